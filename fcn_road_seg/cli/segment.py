"""`road_seg segment`: write masks and overlays of images, folders, videos, cameras and streams."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import (
    Subparsers,
    add_instance_options,
    add_min_region_option,
    add_segmenter_options,
    check_instance_options,
    load_detector,
    load_segmenter,
    output_path,
)
from fcn_road_seg.cli.viewers import Viewer, add_viewer_options, viewers
from fcn_road_seg.demo.sheet import EvenlyChosen, captioned, contact_sheet
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import without_secrets
from fcn_road_seg.files.output import check_writable_folder
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_file import SUFFIXES, ImageFileError, images_in, is_image, read_rgb, write_image
from fcn_road_seg.frames.live import LiveFrames, StreamError, is_live
from fcn_road_seg.frames.video import LivePace, VideoReader, VideoWriter
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_mask

if TYPE_CHECKING:
    import numpy as np

    from fcn_road_seg.inference.segmenter import RoadSegmenter

INSTANCES = "--instances"
SHEET_PICTURES, SHEET_COLUMNS = 12, 3


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "segment",
        help="write masks and overlays of images, a folder, a video or a camera",
        description="A camera or a stream always gives its newest frame: those that come while one is segmented are "
        "dropped. Ctrl-C ends it and completes its files.",
    )
    parser.add_argument(
        "input",
        nargs="+",
        help="image files, folders of images, videos; or one camera (0, /dev/video0) or one URL (rtsp://, http://)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for <stem>_mask.png and <stem>_overlay.png; of a video or a camera, a mask of every frame and "
        "<stem>_overlay.mp4",
    )
    parser.add_argument(
        "--sheet",
        type=output_path(*SUFFIXES),
        metavar="FILE",
        help=f"write a contact sheet of the overlays of {SHEET_PICTURES} frames, evenly chosen from all",
    )
    add_viewer_options(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="P(road), 0..1, from which a pixel is road (default: the one stored with the weights)",
    )
    add_min_region_option(parser)
    add_instance_options(parser, INSTANCES, "draw vehicles and people over the road: masks, boxes, names, scores")
    parser.add_argument("--alpha", type=float, default=0.35, help="opacity of the overlay (default: %(default)s)")
    add_segmenter_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0 if every input was segmented, 1 if some could not be read, or a camera stopped; these are named."""
    if not 0 <= args.threshold <= 1:
        raise UserError(f"--threshold is {args.threshold}, but must be in 0..1")
    if not 0 <= args.alpha <= 1:
        raise UserError(f"--alpha is {args.alpha}, but must be in 0..1")
    check_instance_options(args, INSTANCES)
    if not (args.out or args.sheet or args.show or args.serve):
        raise UserError("give --out, a folder for masks and overlays, or one of --sheet, --show and --serve")
    live = [source for source in args.input if is_live(source)]
    if live and len(args.input) > 1:
        raise UserError(f"{without_secrets(live[0])} is a camera or a stream: leave out the other inputs")
    files = [] if live else find_files([Path(path) for path in args.input], args.out)
    if args.sheet and os.path.realpath(args.sheet) in map(os.path.realpath, files):
        raise UserError(f"--sheet {args.sheet} is one of the inputs: choose another name")
    if args.out:
        check_writable_folder(args.out)
    return segment_live(args, live[0]) if live else segment_files(args, files)


class Answers:
    """Segments frames, writes their masks, shows the overlays and collects them for the sheet.

    Attributes:
        count: of the frames segmented so far.
    """

    def __init__(self, args: argparse.Namespace, segmenter: "RoadSegmenter", shown_by: list[Viewer]):
        self._segmenter, self._viewers = segmenter, shown_by
        self._out, self._sheet = args.out, args.sheet
        self._threshold, self._min_region = args.threshold or segmenter.threshold, args.min_region
        self._alpha = args.alpha
        self._detector = load_detector(args) if args.instances else None
        self._pictures = EvenlyChosen["np.ndarray"](SHEET_PICTURES)
        self.count = 0

    def __call__(self, frame: "np.ndarray", stem: str, caption: str, came: float | None = None) -> "np.ndarray":
        """Segment a frame, uint8 H x W x 3 RGB, that came at a time of time.monotonic; returns the overlay."""
        came = time.monotonic() if came is None else came
        probability, hidden = self._segmenter(frame), self._segmenter.hidden(*frame.shape[:2])
        probability = without_small_regions(probability, self._threshold, self._min_region, hidden)
        mask = threshold_mask(probability, self._threshold)
        picture = overlay(frame, mask, self._alpha)
        if self._detector:
            from fcn_road_seg.instances.drawing import draw_instances

            picture = draw_instances(picture, self._detector.detect(frame).without_own_vehicle(hidden))
        if self._out:
            if not self.count:
                self._out.mkdir(parents=True, exist_ok=True)
            write_image(self._out / f"{stem}_mask.png", mask)
        self.count += 1
        if self._sheet:
            self._pictures.offer(lambda: captioned(picture, caption))
        for viewer in self._viewers:
            viewer.show(picture, time.monotonic() - came)
        return picture

    def image(self, picture: "np.ndarray", stem: str) -> None:
        """Write the overlay of an image, if there is a folder for it."""
        if self._out:
            write_image(self._out / f"{stem}_overlay.png", picture)

    @contextmanager
    def video(
        self, stem: str, rate: float, completed_after: tuple[type[BaseException], ...], live: bool = False
    ) -> "Iterator[Callable[[np.ndarray, float], None]]":
        """A function that writes an overlay, whose frame came at some time, to the video, if there is a folder for it.

        Args:
            completed_after: exceptions after which the file is complete, and not deleted.
            live: whether each overlay lasts until the next one comes, see `LivePace`.
        """
        if not self._out:
            yield lambda picture, came: None
            return
        fault: BaseException | None = None
        with VideoWriter(self._out / f"{stem}_overlay.mp4", rate) as writer:
            try:
                yield LivePace(writer).write if live else lambda picture, came: writer.write(picture)
            except completed_after as error:
                fault = error
        if fault:
            raise fault

    def write_sheet(self) -> None:
        """Write the contact sheet, if it was asked for and there is a picture."""
        if pictures := self._pictures.chosen():
            write_image(self._sheet, contact_sheet(pictures, SHEET_COLUMNS))

    def outcome(self, what: str) -> str:
        """What was segmented, and where the results are."""
        into = f" into {self._out}" if self._out and self.count else ""
        sheet = f"; contact sheet: {self._sheet}" if self._sheet and self.count else ""
        return f"{what} segmented{into}{sheet}"


def segment_files(args: argparse.Namespace, files: list[Path]) -> int:
    """Segment images and videos; one progress bar counts the frames of all.

    Raises:
        KeyboardInterrupt: the user has ended it; the files begun are complete.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from fcn_road_seg.cli.late_progress import LateProgress

    say = partial(print, file=sys.stderr)
    bit_depths: dict[Path, BitDepth] = {}  # the images of a folder are taken for those of one camera
    frames: dict[Path, int | None] = {file: 1 if is_image(file) else None for file in files}  # None: unknown
    unreadable, interrupted = 0, False
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with viewers(args, count_of(len(files), "file")) as shown_by:
        answers = Answers(args, load_segmenter(args), shown_by)
        with LateProgress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("segmenting", total=len(files))

            def note(sentence: str) -> None:
                say(f"{file}: {sentence}")

            def expected() -> int:
                return sum(1 if count is None else count for count in frames.values())

            def segment() -> None:
                if is_image(file):
                    depth = bit_depths.setdefault(file.parent, BitDepth(note))
                    frame = read_rgb(file, depth)
                    bar.start()
                    answers.image(answers(frame, file.stem, file.name), file.stem)
                    return
                video = VideoReader(file)
                frames[file] = len(video) or None
                bar.update(task, total=expected() if len(video) else None)
                with answers.video(file.stem, video.rate, (ImageFileError, KeyboardInterrupt)) as write:
                    for i, frame in enumerate(video):
                        bar.start()
                        write(answers(frame, f"{file.stem}_{i:06d}", f"{file.name}, frame {i}"), 0.0)
                        bar.update(task, completed=answers.count)

            try:
                for file in files:
                    before = answers.count
                    try:
                        segment()
                    except ImageFileError as error:
                        unreadable += 1
                        say(f"{'incomplete' if answers.count > before else 'skipped'}: {error}")
                    frames[file] = answers.count - before
                    bar.update(task, total=expected(), completed=answers.count)
            except KeyboardInterrupt:
                interrupted = True
    answers.write_sheet()
    thing = "file" if all(map(is_image, files)) else "frame"
    if interrupted:
        done = count_of(answers.count, thing)
        if None not in frames.values():
            done = f"{answers.count} of {count_of(expected(), thing)}"
        raise KeyboardInterrupt(answers.outcome(f"after {done} {'was' if answers.count == 1 else 'were'}"))
    what = count_of(len(files), "file")
    if unreadable:
        what = f"{len(files) - unreadable} of {what}"
    if thing == "frame":
        what += f", {count_of(answers.count, 'frame')}"
    print(answers.outcome(what))
    return 1 if unreadable else 0


def segment_live(args: argparse.Namespace, source: str) -> int:
    """Segment the newest frames of a camera or a stream until it ends or the user ends it, and complete the files.

    Raises:
        StreamError: it cannot be opened.
        OSError: a file cannot be written; the video has the frames before.
    """
    from rich.console import Console
    from rich.progress import TextColumn

    from fcn_road_seg.cli.late_progress import LateProgress

    say = partial(print, file=sys.stderr, flush=True)
    code = 0
    figures = (
        "{task.completed} frames, {task.fields[rate]:.1f} per second, {task.fields[took]:.0f} ms from frame to overlay"
    )
    with (
        LiveFrames(source, say) as frames,
        viewers(args, frames.name) as shown_by,
        LateProgress(TextColumn(figures), console=Console(stderr=True)) as bar,
    ):
        answers = Answers(args, load_segmenter(args), shown_by)
        stem = live_stem(frames)
        say(f"segmenting {frames.name}: Ctrl-C ends it")
        task = bar.add_task("", total=None, rate=0.0, took=0.0)
        bar.start()
        started = time.monotonic()
        completed_after = KeyboardInterrupt, StreamError, OSError
        try:
            with answers.video(stem, frames.rate, completed_after, live=not frames.recorded) as write:
                for i, (frame, came) in enumerate(frames):
                    write(answers(frame, f"{stem}_{i:06d}", f"{frames.name}, frame {i}", came), came)
                    now = time.monotonic()
                    rate = answers.count / (now - started)
                    bar.update(task, completed=answers.count, rate=rate, took=1000 * (now - came))
        except KeyboardInterrupt:
            pass
        except StreamError as error:
            say(f"road_seg segment: {error}")
            code = 1
    answers.write_sheet()
    print(answers.outcome(f"{answers.count} of {count_of(frames.count, 'frame')} of {frames.name}"))
    return code


def live_stem(frames: LiveFrames) -> str:
    """The stem of the files of a camera or a stream, with the time of a live one, which cannot be recorded again."""
    place = frames.name.partition("://")[2] or Path(frames.name).name
    stem = re.sub(r"[^\w.-]+", "_", place).strip("_.") or "stream"
    return stem if frames.recorded else f"{stem}_{datetime.now():%Y%m%d_%H%M%S}"


def count_of(number: int, thing: str) -> str:
    """A number of things, such as "1 file" or "3 files"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def find_files(inputs: list[Path], out: Path | None) -> list[Path]:
    """The images in every folder and every named file, without duplicates.

    Raises:
        UserError: an input is missing, a folder has no images, an input is in the folder `out`, or two files would
            write the same mask.
    """
    files = []
    for path in inputs:
        if path.is_dir():
            images = images_in(path)
            if not images:
                raise UserError(f"the folder {path} contains no images ({', '.join(SUFFIXES)})")
            files += images
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"{path} does not exist")
    files = list(
        dict.fromkeys(Path(os.path.abspath(file)) for file in files)
    )  # a link is not resolved: results take its name
    if not out:
        return files
    seen: dict[str, Path] = {}
    for file in files:
        if os.path.realpath(file.parent) == os.path.realpath(out):
            raise UserError(f"{file} is in the folder for the results: choose another --out")
        if seen.setdefault(file.stem, file) != file:
            raise same_mask(seen[file.stem], file)
    for stem, file in seen.items():  # a video's masks are numbered
        video = seen.get(stem[:-7]) if re.search(r"_\d{6}\Z", stem) else None
        if video and not is_image(video):
            raise same_mask(video, file)
    return files


def same_mask(one: Path, other: Path) -> UserError:
    """That two inputs would write a mask with the same name."""
    advice = "rename one of them, or choose another --out for it"
    return UserError(f"{one} and {other} would both write {other.stem}_mask.png: {advice}")
