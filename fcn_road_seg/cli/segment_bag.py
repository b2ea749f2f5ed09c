"""`road_seg segment-bag`: copy a bag and add a mask for every frame."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_road_seg.cli.options import (
    Subparsers,
    add_bag_options,
    add_json_option,
    add_min_region_option,
    add_segmenter_options,
    output_path,
    resolved_options,
    write_json,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.options import SegmenterOptions

if TYPE_CHECKING:
    from fcn_road_seg.bags.segment_bag import Job

FIGURES = "frames", "masks", "resumed", "skipped", "lost"
"""Numbers of which the sums over all bags are reported."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser("segment-bag", help="copy a bag and add a mask for every frame")
    parser.add_argument("input", type=Path, nargs="+", help="bags: rosbag2 folders, .mcap, .db3 or ROS 1 .bag files")
    parser.add_argument("--out", type=Path, required=True, help="the new bag; for several bags, a folder for them")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="TOPIC",
        help="topic to segment, repeatable (default: the only image topic)",
    )
    parser.add_argument("--namespace", default="/road_seg", help="namespace of the added topics (default: %(default)s)")
    parser.add_argument(
        "--overlay",
        nargs="?",
        const="compressed",
        default="",
        choices=("compressed", "raw"),
        help="add a topic with an overlay",
    )
    parser.add_argument("--probability", action="store_true", help="add a topic with P(road) x 255")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="P(road), 0..1, from which a pixel is road (default: the one stored with the weights)",
    )
    add_min_region_option(parser)
    parser.add_argument("--alpha", type=float, default=0.35, help="opacity of the overlay (default: %(default)s)")
    parser.add_argument(
        "--video", type=output_path(".mp4"), metavar="OUT.mp4", help="also write the overlay as a video"
    )
    add_bag_options(parser)
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--force", action="store_true", help="replace existing bags")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of processes, each of which segments one bag at a time (default: %(default)s); with --ray local, "
        "1 stands for as many as there are CPUs",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="segment the bags on a Ray cluster (auto, host:port, local)")
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0 if every frame of every bag has a mask, 1 if frames or bags were skipped or lost; these are named."""
    for name in ("threshold", "alpha"):
        if not 0 <= getattr(args, name) <= 1:
            raise UserError(f"--{name} is {getattr(args, name)}, but must be in 0..1")
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}, but must be at least 1")
    if args.video and (len(args.input) > 1 or len(args.image) > 1):
        raise UserError("--video takes one bag and one image topic: segment them separately")

    from fcn_road_seg.bags.workers import run_here, run_processes, run_ray

    options = resolved_options(args)
    jobs = make_jobs(args, options)
    if not jobs:
        return 0
    try:
        with Display(len(jobs)) as display:
            if args.ray:
                run_ray(jobs, options, args.ray, args.workers, display.event)
            elif min(args.workers, len(jobs)) > 1:
                run_processes(jobs, options, min(args.workers, len(jobs)), display.event)
            else:
                run_here(jobs, options, display.event)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{display.so_far()}; the same command with --resume continues from here") from None
    if display.failed and len(jobs) == 1:
        raise UserError(display.failed[0])
    for sentence in display.failed:
        print(sentence)
    sums = {key: sum(figures[key] for figures in display.done) for key in FIGURES}
    computed = sums["masks"] - sums["resumed"]
    fps = round(computed / display.seconds, 2)
    write_json(args.json, {**sums, "failed": len(display.failed), "fps": fps, "bags": display.done})
    bags = f"{len(display.done)} of {len(jobs)} bags"
    print(f"{sums['masks']} of {sums['frames']} frames of {bags} segmented into {args.out} ({fps:.1f} a second)")
    return 1 if sums["skipped"] or sums["lost"] or display.failed else 0


def make_jobs(args: argparse.Namespace, options: SegmenterOptions) -> "list[Job]":
    """A job for each bag; with --resume, for each whose output does not exist yet.

    Raises:
        UserError: an output exists, or, with --resume, is of other settings; or two bags have the same output.
    """
    from fcn_road_seg.bags.segment_bag import Job

    jobs: dict[Path, Job] = {}
    done: list[Job] = []
    for bag in args.input:
        name = bag.resolve().name if bag.is_dir() else bag.stem
        out = args.out / name if len(args.input) > 1 else args.out
        if out in jobs:
            raise UserError(f"{jobs[out].bag} and {bag} would both be written to {out}: segment them separately")
        job = Job(
            bag=bag.resolve(),
            out=out.absolute(),
            images=tuple(args.image),
            namespace=args.namespace,
            overlay=args.overlay,
            probability=args.probability,
            threshold=args.threshold,
            min_region=args.min_region,
            alpha=args.alpha,
            video=args.video and args.video.absolute(),
            storage=args.storage,
            version=args.rosbag2_version,
            resume=args.resume,
            force=args.force,
        )
        if args.resume and not args.force and out.exists():
            done.append(job)
        else:
            job.check()
            jobs[out] = job
    if done:
        check_done(done, options)
    for job in done:
        print(f"{job.out} already exists")
    return list(jobs.values())


def check_done(jobs: "list[Job]", options: SegmenterOptions) -> None:
    """Check that finished bags are what these jobs would write, so that a folder does not mix settings.

    Raises:
        UserError: one is of other settings, or does not say of which.
    """
    from fcn_road_seg.bags.settings import differences, network_settings, recorded_settings
    from fcn_road_seg.frames.own_vehicle import OwnVehicle
    from fcn_road_seg.inference.checkpoint import load
    from fcn_road_seg.inference.segmenter import weights_path

    checkpoint = load(weights_path(options.weights))
    own_vehicle = OwnVehicle(options.own_vehicle_mask) if options.own_vehicle_mask else None
    width = options.network_width or checkpoint.metadata.network_width
    network = network_settings(checkpoint, width, own_vehicle)
    network |= {
        name: value
        for name, value in (("precision", options.precision), ("backend", options.backend))
        if value != "auto"
    }
    for job in jobs:
        if other := differences(recorded_settings(job.out), job.settings(checkpoint, network)):
            raise UserError(
                f"{job.out} was segmented with other settings ({', '.join(other)}): choose another --out, or replace "
                "it with --force"
            )


class Display:
    """A progress bar on stderr for all bags, with frames per second and the remaining time.

    Attributes:
        done: the figures of each segmented bag.
        failed: a sentence for each bag that failed.
        seconds: time since the start.
    """

    def __init__(self, bags: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        from fcn_road_seg.cli.late_progress import LateProgress

        self.done: list[dict] = []
        self.failed: list[str] = []
        self._totals: dict[int, int] = {}
        self._frames: dict[int, int] = {}
        self._bags = bags
        self._progress = LateProgress(
            TextColumn("segmenting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames, {task.fields[rate]:.1f} per second,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )

    def __enter__(self) -> "Display":
        self._task = self._progress.add_task("", total=None, rate=0.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def seconds(self) -> float:
        return self._progress.tasks[0].elapsed or 1e-9

    def so_far(self) -> str:
        """The frames done, of those of the bags that were opened."""
        return f"after {sum(self._frames.values())} of {sum(self._totals.values())} frames"

    def event(self, bag: int, kind: str, value: Any) -> None:
        """Handle a report of fcn_road_seg.bags.workers."""
        if kind == "frames":
            self._totals[bag] = value
            self._progress.start()
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
            total = (
                sum(self._totals.values()) * self._bags / len(self._totals)
            )  # bags not opened yet count as average ones
            self._progress.update(self._task, completed=frames, total=round(total), rate=frames / self.seconds)
