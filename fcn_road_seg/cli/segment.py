"""`road_seg segment`: write masks and overlays of images, folders and videos."""

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import Subparsers, add_min_region_option, add_segmenter_options, load_segmenter, progress
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable_folder
from fcn_road_seg.frames.image_file import SUFFIXES, images_in, is_image

if TYPE_CHECKING:
    import numpy as np


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser("segment", help="write masks and overlays of images, a folder or a video")
    parser.add_argument("input", type=Path, nargs="+", help="image files, folders of images, videos")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for <stem>_mask.png and <stem>_overlay.png; of a video, a mask of every frame and "
        "<stem>_overlay.mp4",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="P(road), 0..1, from which a pixel is road (default: the one stored with the weights)",
    )
    add_min_region_option(parser)
    parser.add_argument("--alpha", type=float, default=0.35, help="opacity of the overlay (default: %(default)s)")
    add_segmenter_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0 if every input was segmented, 1 if some could not be read; these are named."""
    if not 0 <= args.threshold <= 1:
        raise UserError(f"--threshold is {args.threshold}, but must be in 0..1")
    if not 0 <= args.alpha <= 1:
        raise UserError(f"--alpha is {args.alpha}, but must be in 0..1")
    files = find_files(args.input, args.out)
    check_writable_folder(args.out)
    segmenter = load_segmenter(args)
    threshold = args.threshold or segmenter.threshold
    args.out.mkdir(parents=True, exist_ok=True)

    from fcn_road_seg.frames.bit_depth import BitDepth
    from fcn_road_seg.frames.image_file import ImageFileError, read_rgb, write_image
    from fcn_road_seg.frames.video import VideoReader, VideoWriter
    from fcn_road_seg.postprocess.overlay import overlay
    from fcn_road_seg.postprocess.small_regions import without_small_regions
    from fcn_road_seg.postprocess.threshold import threshold_mask

    def answer(frame: "np.ndarray", name: str) -> "np.ndarray":
        probability, hidden = segmenter(frame), segmenter.hidden(*frame.shape[:2])
        mask = threshold_mask(without_small_regions(probability, threshold, args.min_region, hidden), threshold)
        write_image(args.out / f"{name}_mask.png", mask)
        return overlay(frame, mask, args.alpha)

    bit_depths: dict[Path, BitDepth] = {}  # the images of a folder are taken for those of one camera
    unreadable = 0
    for file in progress(files, "segmenting"):
        try:
            if is_image(file):
                depth = bit_depths.setdefault(file.parent, BitDepth(partial(print, f"{file.parent}:", file=sys.stderr)))
                write_image(args.out / f"{file.stem}_overlay.png", answer(read_rgb(file, depth), file.stem))
                continue
            video, fault = VideoReader(file), None
            with VideoWriter(args.out / f"{file.stem}_overlay.mp4", video.rate) as writer:
                try:
                    for i, frame in enumerate(progress(video, file.name)):
                        writer.write(answer(frame, f"{file.stem}_{i:06d}"))
                except ImageFileError as error:
                    fault = error  # keep the overlay of the frames that could be read
            if fault:
                raise fault
        except ImageFileError as error:
            unreadable += 1
            print(f"skipped: {error}", file=sys.stderr)
    print(f"{len(files) - unreadable} of {len(files)} files segmented into {args.out}")
    return 1 if unreadable else 0


def find_files(inputs: list[Path], out: Path) -> list[Path]:
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
    seen: dict[str, Path] = {}
    for file in files:
        if os.path.realpath(file.parent) == os.path.realpath(out):
            raise UserError(f"{file} is in the folder for the results: choose another --out")
        if seen.setdefault(file.stem, file) != file:
            raise UserError(f"{seen[file.stem]} and {file} would write the same mask: segment them separately")
    for stem, file in seen.items():  # a video's masks are numbered
        video = seen.get(stem[:-7]) if re.search(r"_\d{6}\Z", stem) else None
        if video and not is_image(video):
            raise UserError(f"{video} and {file} would write the same mask: segment them separately")
    return files
