"""`road_seg demo`: send a drive through the node over ROS 2; write figures, a video and a contact sheet."""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_segmenter_options,
    load_segmenter,
    resolved_options,
    write_json,
)
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser("demo", help="send a drive through the node over ROS 2 and compare its masks")
    parser.add_argument(
        "--drive", type=Path, help="folder of images, video or KITTI raw drive (default: a synthetic drive)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo_out"), help="folder for the results (default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second (default: %(default)s)")
    parser.add_argument(
        "--frames",
        type=int,
        default=0,
        help="maximum number of frames (default: 100 of a synthetic drive, 600 of others)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the synthetic drive (default: %(default)s)")
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 1 if no frame was answered or a mask differs from the one that `road_seg segment` computes, else 0."""
    if not 0 < args.rate <= 1000:
        raise UserError(f"--rate is {args.rate}, but must be more than 0 and at most 1000")
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}, but must be at least 0")
    if args.frames < 0:
        raise UserError(f"--frames is {args.frames}, but must be at least 0")

    from rich.console import Console
    from rich.progress import Progress, track

    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.demo.bag import write_drive
    from fcn_road_seg.demo.run import run_drive
    from fcn_road_seg.demo.summary import figures, write_pictures
    from fcn_road_seg.postprocess.threshold import threshold_mask

    drive = open_drive(args.drive, args.frames, args.rate, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    options = asdict(resolved_options(args))
    parameters = {name: value for name, value in options.items() if value != ""}  # ROS takes no empty value
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="road_seg_demo_") as folder:
        in_bag = write_drive(
            drive,
            Path(folder) / "drive",
            args.rate,
            lambda frames: track(frames, "preparing", drive.count, console=console),
        )
        total = len(in_bag.stamps)
        with Progress(console=console, refresh_per_second=4) as bar:
            task = bar.add_task("driving", total=total)
            recording = run_drive(
                in_bag, args.rate, parameters, args.out, lambda answered: bar.update(task, completed=answered)
            )
        segmenter = load_segmenter(args)
        with Progress(console=console, refresh_per_second=4) as bar:
            task = bar.add_task("comparing", total=total)

            def segment(frame: "np.ndarray") -> "np.ndarray":
                bar.advance(task)
                return threshold_mask(segmenter(frame), segmenter.threshold)

            result = figures(in_bag, args.rate, recording, segment)
        video, sheet = write_pictures(
            in_bag, args.rate, recording, args.out, lambda pairs: track(pairs, "drawing", total, console=console)
        )
    write_json(args.json, result)
    print(summary(result))
    print(f"video           {video}\ncontact sheet   {sheet}\nrecorded masks  {recording.bag}")
    unanswered = result["frames_sent"] - result["frames_answered"]
    different = result["frames_answered"] - result["frames_equal"]
    if unanswered:
        sent, rate = result["frames_sent"], f"{args.rate:g} Hz"
        print(f"{sent - unanswered} of {sent} frames answered at {rate}; newer frames replaced the others")
    if different:
        print(f"road_seg demo: {different} masks differ from those of road_seg segment", file=sys.stderr)
    if not result["frames_answered"]:
        print("road_seg demo: no frame was answered: node.log has the reason", file=sys.stderr)
    return 1 if different or not result["frames_answered"] else 0


def summary(result: dict[str, Any]) -> str:
    """The figures of a drive as text, one per line."""
    iou = "unknown: the drive has no ground truth" if result["iou"] is None else f"{result['iou']:.4f}"
    lines = {
        "drive": result["drive"],
        "frames": f"{result['frames_sent']} sent, {result['frames_answered']} answered",
        "masks": f"{result['frames_equal']} are identical to those of road_seg segment",
        "latency": f"p50 {result['latency_p50_ms']} ms, p99 {result['latency_p99_ms']} ms, from frame to mask",
        "rate": f"{result['fps']} masks per second at {result['rate']:g} frames per second",
        "device": f"{result['device_name']} ({result['device']}, {result['backend']}), {result['precision']}",
        "weights": result["weights"],
        "IoU": iou,
    }
    return "\n".join(f"{name:15} {text}" for name, text in lines.items())
