"""`road_seg segment-bag`: masks for every frame of a bag, in a copy of the bag."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from fcn_road_seg.cli.options import (
    add_json_option,
    add_segmenter_options,
    resolved_weights,
    segmenter_options,
    write_json,
)
from fcn_road_seg.errors import UserError


def add_parser(subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser("segment-bag", help="copy a bag and add masks for every frame")
    parser.add_argument("input", type=Path, nargs="+", help="bags: rosbag2 folders, .mcap, .db3 or ROS 1 .bag files")
    parser.add_argument("--out", type=Path, required=True, help="the new bag; with several bags, a folder for them")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="TOPIC",
        help="topic to segment, repeatable (default: the only one)",
    )
    parser.add_argument("--namespace", default="/road_seg", help="of the topics that are added (default: %(default)s)")
    parser.add_argument(
        "--overlay", nargs="?", const="compressed", default="", choices=("compressed", "raw"), help="add an overlay"
    )
    parser.add_argument("--probability", action="store_true", help="add P(road) x 255")
    parser.add_argument("--threshold", type=float, default=0.0, help="P(road), 0..1 (default: the weights')")
    parser.add_argument("--alpha", type=float, default=0.5, help="opacity of the overlay (default: %(default)s)")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="write the overlay as a video too")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    parser.add_argument("--force", action="store_true", help="replace a bag that is there")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="bags at a time, a process for each")
    parser.add_argument("--ray", metavar="ADDRESS", help="segment the bags on a Ray cluster (auto, host:port, local)")
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """0 when every frame of every bag has its mask; 1 when frames or bags were skipped (each is named)."""
    for name in ("threshold", "alpha"):
        if not 0 <= getattr(args, name) <= 1:
            raise UserError(f"--{name} is {getattr(args, name)}, but must be in 0..1")
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}, but must be at least 1")
    if args.video and (len(args.input) > 1 or len(args.image) > 1):
        raise UserError("--video takes one bag and one image topic: segment them separately")

    from fcn_road_seg.bags.workers import run_here, run_processes, run_ray

    jobs = make_jobs(args)
    if not jobs:
        return 0
    options = segmenter_options(args)
    options = replace(options, weights=resolved_weights(args.weights))
    try:
        with Display(len(jobs)) as display:
            if args.ray:
                run_ray(jobs, options, args.ray, display.event)
            elif min(args.workers, len(jobs)) > 1:
                run_processes(jobs, options, min(args.workers, len(jobs)), display.event)
            else:
                run_here(jobs, options, display.event)
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume goes on from here", file=sys.stderr)
        raise
    if display.failed and len(jobs) == 1:
        raise UserError(display.failed[0])
    for sentence in display.failed:
        print(sentence)
    sums = {key: sum(figures[key] for figures in display.done) for key in ("frames", "masks", "resumed", "skipped")}
    computed = sums["masks"] - sums["resumed"]
    fps = round(computed / display.seconds, 2)
    write_json(args.json, {**sums, "failed": len(display.failed), "fps": fps, "bags": display.done})
    bags = f"{len(display.done)} of {len(jobs)} bags"
    print(f"{sums['masks']} of {sums['frames']} frames of {bags} segmented into {args.out} ({fps:.1f} a second)")
    return 1 if sums["skipped"] or display.failed else 0


def make_jobs(args: argparse.Namespace) -> list:
    """A Job for each bag; with --resume, for each that is not there yet.

    Raises:
        UserError: an output exists, or two bags would get the same.
    """
    from fcn_road_seg.bags.segment_bag import Job

    jobs: dict[Path, Job] = {}
    for bag in args.input:
        name = bag.resolve().name if bag.is_dir() else bag.stem
        out = args.out / name if len(args.input) > 1 else args.out
        if out in jobs:
            raise UserError(f"{jobs[out].bag} and {bag} would become the same bag: segment them separately")
        if args.resume and not args.force and out.exists():
            print(f"{out} is there already")
            continue
        jobs[out] = Job(
            bag=bag.resolve(),
            out=out.absolute(),
            images=tuple(args.image),
            namespace=args.namespace,
            overlay=args.overlay,
            probability=args.probability,
            threshold=args.threshold,
            alpha=args.alpha,
            video=args.video and args.video.absolute(),
            storage=args.storage,
            resume=args.resume,
            force=args.force,
        )
        jobs[out].check()
    return list(jobs.values())


class Display:
    """A progress bar on stderr with frames per second and time left, over all bags.

    Attributes:
        done: the figures of the bags that were segmented.
        failed: a sentence for each that was not.
        seconds: since the first bag was opened.
    """

    def __init__(self, bags: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.done: list[dict] = []
        self.failed: list[str] = []
        self._totals: dict[int, int] = {}
        self._frames: dict[int, int] = {}
        self._bags = bags
        self._progress = Progress(
            TextColumn("segmenting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames, {task.fields[rate]:.1f} per second,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )

    def __enter__(self) -> "Display":
        self._progress.start()
        self._task = self._progress.add_task("", total=None, rate=0.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def seconds(self) -> float:
        return self._progress.tasks[0].elapsed or 1e-9

    def event(self, bag: int, kind: str, value) -> None:
        """What fcn_road_seg.bags.workers reports."""
        if kind == "frames":
            self._totals[bag] = value
        elif kind == "frame":
            self._frames[bag] = value
        elif kind == "note":
            self._progress.console.print(value, markup=False, highlight=False, soft_wrap=True)
        elif kind == "done":
            self.done.append(value)
        else:
            self.failed.append(value)
        if kind in ("frames", "frame"):
            frames = sum(self._frames.values())
            total = sum(self._totals.values()) * self._bags / len(self._totals)  # bags that wait count as average ones
            self._progress.update(self._task, completed=frames, total=round(total), rate=frames / self.seconds)
