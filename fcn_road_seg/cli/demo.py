"""`road_seg demo`: send a drive through the node over ROS 2; write figures, a video and a contact sheet."""

import argparse
import sys
import tempfile
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_road_seg.cli.options import (
    Subparsers,
    add_cameras_option,
    add_json_option,
    add_segmenter_options,
    load_segmenter,
    output_path,
    resolved_options,
    write_json,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable_folder

if TYPE_CHECKING:
    import numpy as np

    from fcn_road_seg.datasets.drive import Drive
    from fcn_road_seg.inference.segmenter import RoadSegmenter


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser("demo", help="send a drive through the node over ROS 2 and compare its masks")
    parser.add_argument(
        "--drive", type=Path, help="folder of images, video or KITTI raw drive (default: a synthetic drive)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo_out"), help="folder for the results (default: %(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="frames per second; 0: each frame when the one before has its mask (default: 10, or what this machine "
        "keeps up with; 0 for images and videos)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=0,
        help="maximum number of frames, of each camera (default: 40 of a synthetic drive, 600 of others)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the synthetic drive (default: %(default)s)")
    add_cameras_option(parser, "synthetic drives, each with its own seed, of as many cameras of one node")
    parser.add_argument(
        "--animation",
        type=animation_path,
        metavar="FILE",
        help="write the pictures of the video as an animated .webp, .gif or .png as well",
    )
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def animation_path(text: str) -> Path:
    """The path of an animated picture, in an existing folder."""
    import cv2

    path = output_path(".webp", ".gif", ".png")(text)
    if not hasattr(cv2, "imwriteanimation"):
        raise argparse.ArgumentTypeError(f"animations need OpenCV 4.11 or newer, but this is {cv2.__version__}")
    return path


def run(args: argparse.Namespace) -> int:
    """Return 1 if no frame was answered or a mask differs from the one that `road_seg segment` computes, else 0."""
    if args.rate is not None and not 0 <= args.rate <= 1000:
        raise UserError(f"--rate is {args.rate:g}, but must be from 0 to 1000")
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}, but must be at least 0")
    if args.frames < 0:
        raise UserError(f"--frames is {args.frames}, but must be at least 0")
    if args.drive and args.cameras > 1:
        raise UserError("--drive is the drive of one camera: leave out --cameras, or --drive for synthetic drives")

    from rich.console import Console
    from rich.progress import track

    from fcn_road_seg.cli.late_progress import LateProgress
    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.demo.run import run_drive
    from fcn_road_seg.demo.summary import figures, write_pictures
    from fcn_road_seg.postprocess.threshold import threshold_mask
    from fcn_road_seg.ros.domain import DomainReservation
    from fcn_road_seg.ros.scope import around
    from fcn_road_seg.ros.start import check_start

    domain = DomainReservation()  # until the end
    domain.isolate_process()
    check_start()
    drive = open_drive(args.drive, args.frames, args.rate or 10.0, args.seed, around(args.cameras))
    frames = iter(drive.frames)
    first = next(frames, None)
    if first is None:
        raise UserError(f"{drive.name} has no frames")
    drive = replace(drive, frames=chain([first], frames))
    check_writable_folder(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    segmenter, rate = choose(args, drive, first.image)
    height, width = first.image.shape[:2]
    parameters = asdict(resolved_options(args)) | {"warm_up_width": width, "warm_up_height": height}
    parameters = {name: value for name, value in parameters.items() if value != ""}  # ROS takes no empty value
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="road_seg_demo_") as folder:
        with LateProgress(console=console, refresh_per_second=4) as bar:
            bar.start()
            preparing = bar.add_task("preparing", total=drive.count)
            driving = bar.add_task("driving", total=drive.count, start=False)

            def advance(done: int) -> None:
                bar.start_task(driving)
                bar.update(driving, completed=done)

            answers = run_drive(
                drive,
                rate,
                parameters,
                Path(folder) / "drive",
                args.out,
                lambda frames: bar.track(frames, drive.count, task_id=preparing),
                advance,
            )
            bar.update(driving, total=sum(len(recording.stamps) for _, recording in answers))
        with LateProgress(console=console, refresh_per_second=4) as bar:
            bar.start()
            latencies = [latency for _, recording in answers for latency in recording.latencies]
            task = bar.add_task("comparing", total=sum(latency is not None for latency in latencies))

            def segment(frame: "np.ndarray") -> "np.ndarray":
                bar.advance(task)
                return threshold_mask(segmenter(frame), segmenter.threshold)

            result = figures(answers, rate, segment)
        _, recording = answers[0]
        video, sheet = write_pictures(
            answers,
            rate,
            args.out,
            args.animation,
            lambda frames: track(frames, "rendering", len(recording.stamps), console=console),
        )
    write_json(args.json, result)
    print(summary(result))
    print(f"video           {video}\ncontact sheet   {sheet}\nrecorded masks  {recording.bag}")
    cameras = result.get("cameras", {"": result})
    different = sum(camera["frames_answered"] - camera["frames_equal"] for camera in cameras.values())
    if different:
        print(f"road_seg demo: {different} masks differ from those of road_seg segment", file=sys.stderr)
    silent = [f"no frame of {name}".removesuffix(" of ") for name in cameras if not cameras[name]["frames_answered"]]
    if silent:
        log = args.out / "node.log"
        print(f"road_seg demo: {' and '.join(silent)} was answered: {log} has the reason", file=sys.stderr)
    return 1 if different or silent else 0


def choose(args: argparse.Namespace, drive: "Drive", frame: "np.ndarray") -> "tuple[RoadSegmenter, float]":
    """The segmenter and the rate: as the options say, else what this machine keeps up with; sets args.weights.

    Drives that a camera recorded at a rate are played at one; images and videos go as fast as they are answered. The
    node has the frames of all cameras to segment in the time between two of one camera.
    """
    from fcn_road_seg.demo.pace import RATES, seconds_per_frame, sustained_rate

    live = drive.kitti is not None or drive.camera is not None
    segmenter = load_segmenter(args)
    seconds = seconds_per_frame(segmenter, frame)
    wanted = RATES[0] if args.rate is None else args.rate
    if not args.weights and live and sustained_rate(args.cameras * seconds) < wanted:
        args.weights = "lite"
        segmenter, full = load_segmenter(args), seconds
        seconds = seconds_per_frame(segmenter, frame)
        print(f"The full weights take {1000 * full:.0f} ms a frame on this machine now: taking lite.", file=sys.stderr)
    rate = args.rate
    if rate is None:
        rate = sustained_rate(args.cameras * seconds) if live else 0.0
    pace = f"at {rate:g} Hz" if rate else "each as soon as the one before has its mask"
    them = "them" if args.cameras == 1 else f"those of {args.cameras} cameras"
    print(f"A frame takes {1000 * seconds:.0f} ms: sending {them} {pace}.", file=sys.stderr)
    return segmenter, rate


def summary(result: dict[str, Any]) -> str:
    """The figures of a drive as text, one per line; those of several cameras in a line for each."""
    lines = {"drive": result["drive"]}
    if "cameras" in result:
        lines |= {name: camera_line(camera, result["rate"]) for name, camera in result["cameras"].items()}
        ratio = result["latency_p50_spread"]
        why = "a camera has no mask" if ratio is None else f"the largest p50 is {ratio:g} times the smallest"
        lines["latencies"] = f"{'fair' if result['fair'] else 'not fair'}: {why}"
    else:
        lines["frames"] = frames_line(result, result["rate"])
        if result["frames_answered"]:
            lines |= {
                "masks": f"{result['frames_equal']} are identical to those of road_seg segment",
                "latency": f"p50 {result['latency_p50_ms']} ms, p99 {result['latency_p99_ms']} ms, from frame to mask",
            }
        if result["fps"] is not None:
            lines["rate"] = f"{result['fps']} masks per second"
    lines |= {
        "device": f"{result['device_name']} ({result['device']}, {result['backend']}), {result['precision']}",
        "weights": result["weights"],
    }
    if result.get("iou") is not None:
        lines["IoU"] = f"{result['iou']:.4f} with the true road"
    return "\n".join(f"{name:15} {text}" for name, text in lines.items())


def camera_line(camera: dict[str, Any], rate: float) -> str:
    """The figures of one of several cameras."""
    line = frames_line(camera, rate)
    if camera["frames_answered"]:
        line += f"; {camera['frames_equal']} masks identical to those of road_seg segment; "
        line += f"p50 {camera['latency_p50_ms']} ms, max {camera['latency_max_ms']} ms, from frame to mask"
    return line


def frames_line(camera: dict[str, Any], rate: float) -> str:
    """How many frames of a camera were answered, and what became of the others."""
    sent, answered = camera["frames_sent"], camera["frames_answered"]
    pace = f"at {rate:g} Hz" if rate else "one by one"
    line = f"{answered} of {sent} frames answered {pace}"
    newer = camera["frames_replaced"]
    lost = sent - answered - newer
    if newer:
        line += f"; newer frames replaced {newer if lost else 'the others'}"
    if lost:
        line += f"; {lost if newer else 'the others'} got no answer"
    return line
