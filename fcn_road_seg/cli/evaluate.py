"""`road_seg evaluate`: measure a weights file on labelled frames, synthetic scenes or a drive."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_min_region_option,
    add_segmenter_options,
    held_out_sets,
    load_segmenter,
    progress,
    write_json,
)
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from fcn_road_seg.datasets.kitti_road import KittiRoad
    from fcn_road_seg.evaluation.inference_loop import Clean, Segment
    from fcn_road_seg.inference.segmenter import RoadSegmenter

MODES = ("metres", "report", "flicker", "corruptions", "data")
"""Options that replace KITTI Road's metrics; at most one of them."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "evaluate",
        help="KITTI Road's metrics, in perspective and in bird's-eye view",
        epilog="At most one of --metres, --report, --flicker, --corruptions and --data can be given.",
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--split",
        help="with --root: all labelled frames, this project's train or val, or a file of frame names (default: all)",
    )
    parser.add_argument(
        "--metres",
        action="store_true",
        help="instead, measure the errors, in metres, of boundary, scan and grid on synthetic scenes; with --root, "
        "also the grid's IoU on KITTI Road",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="instead, write an HTML page there: figures by scene and distance, curves, classes near errors, the worst "
        "frames; needs --root or --camvid",
    )
    parser.add_argument("--camvid", type=Path, metavar="DIR", help="with --report: CamVid's test part too")
    parser.add_argument(
        "--data",
        action="append",
        metavar="[NAME=]KIND:PATH",
        help="instead, measure in perspective on the validation part of a data set, named as for train; can be given "
        "several times",
    )
    parser.add_argument(
        "--flicker",
        nargs="?",
        const="",
        metavar="DRIVE",
        help="instead, measure how much of the mask changes from frame to frame although the scene does not, with and "
        "without the temporal filter, on a folder of images, a KITTI raw drive or a video (default: a synthetic "
        "drive); with --root, also MaxF of the drive's frames that are labelled there",
    )
    parser.add_argument(
        "--corruptions",
        action="store_true",
        help="instead, measure how much of MaxF remains under fog, rain, blur, noise, dirt, ... at three severities, "
        "as a Markdown table; needs --root",
    )
    parser.add_argument(
        "--bev",
        choices=("devkit", "exact"),
        help="which pixel a cell of the bird's-eye view takes: as KITTI's development kit does, 1 to 2 pixels up and "
        "left, or the nearest (default: devkit)",
    )
    add_min_region_option(parser)
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    _check(args)
    args.split, args.bev = args.split or "all", args.bev or "devkit"
    if args.flicker is not None:
        return _run_flicker(args)
    if args.metres:
        return _run_metres(args)
    if args.report:
        return _run_report(args)
    if args.corruptions:
        return _run_corruptions(args)
    if args.data:
        return _run_data(args)
    return _run_metrics(args)


def _check(args: argparse.Namespace) -> None:
    """Check the combination of options.

    Raises:
        UserError: options exclude each other, or one needs another that is missing.
    """
    modes = [f"--{mode}" for mode in MODES if getattr(args, mode) not in (None, False)]
    if len(modes) > 1:
        raise UserError(f"{', '.join(modes[:-1])} and {modes[-1]} exclude each other: give one of them")
    if args.camvid and not args.report:
        raise UserError("--camvid needs --report")
    if args.data and args.root:
        raise UserError("--data and --root exclude each other: give KITTI Road as --data kitti_road:DIR")
    if args.split and not args.root:
        raise UserError("--split needs a KITTI Road folder: give --root")
    if args.bev and (not args.root or args.metres or args.flicker is not None or args.corruptions):
        raise UserError("--bev belongs to KITTI Road's metrics: give --root, without a mode or with --report")
    if args.report and not (args.root or args.camvid):
        raise UserError("--report needs a KITTI Road folder, --root, or a CamVid folder, --camvid")
    if args.report and args.min_region:
        raise UserError("--report shows P(road) as the network gives it: leave out --min-region")
    if args.corruptions and not args.root:
        raise UserError("--corruptions needs a KITTI Road folder: give --root")
    if not modes and not args.root:
        raise UserError("give a KITTI Road folder with --root, or --data, --metres or --flicker, which work without it")


def _run_metrics(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.evaluation.evaluate import evaluate

    dataset, segmenter = _kitti_road(args), load_segmenter(args)
    figures = evaluate(_segment(args, segmenter), dataset, segmenter.threshold, _track, args.bev)
    figures |= {"bev_sampling": args.bev} | _facts(args, segmenter)
    write_json(args.json, figures)

    views = [view for view in ("perspective", "bev") if figures[view]]
    table = Table(
        "", *views, title=f"{figures['frames']} frames, IoU at the weights' threshold {segmenter.threshold:.3f}"
    )
    for metric in figures["perspective"]:
        table.add_row(metric, *(f"{figures[view][metric]:.4f}" for view in views))
    Console().print(table)
    return 0


def _run_data(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.evaluation.samples import evaluate_samples

    sets, segmenter = held_out_sets(args.data), load_segmenter(args)
    figures = {name: evaluate_samples(segmenter, frames, segmenter.threshold, _track) for name, frames in sets.items()}
    write_json(args.json, figures)
    table = Table("", *next(iter(figures.values())), title=f"at the weights' threshold {segmenter.threshold:.3f}")
    for name, row in figures.items():
        table.add_row(name, *(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    return 0


def _run_metres(args: argparse.Namespace) -> int:
    from rich.console import Console

    from fcn_road_seg.evaluation.ground_errors import measure_ground_errors, tables

    dataset = _kitti_road(args) if args.root else None
    segmenter = load_segmenter(args)
    segment = _segment(args, segmenter)
    figures = measure_ground_errors(segment, segmenter.threshold, dataset=dataset, track=_track)
    figures |= _facts(args, segmenter)
    write_json(args.json, figures)
    console = Console()
    for table in tables(figures):
        console.print(table)
    return 0


def _run_report(args: argparse.Namespace) -> int:
    from fcn_road_seg.datasets.camvid import CamVid
    from fcn_road_seg.evaluation.html_report import camvid_set, kitti_set, write_report

    sets = [kitti_set(_kitti_road(args), f"KITTI Road, {args.split}", args.bev)] if args.root else []
    sets += [camvid_set(CamVid(args.camvid, ("test",)), "CamVid, test part")] if args.camvid else []
    command = shlex.join(["road_seg", *sys.argv[1:]])
    figures = write_report(args.report, load_segmenter(args), sets, command, _track)
    write_json(args.json, figures)
    print(args.report / "index.html")
    return 0


def _run_flicker(args: argparse.Namespace) -> int:
    from rich.console import Console

    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.evaluation.flicker import measure_flicker, table, with_labels

    drive = open_drive(Path(args.flicker) if args.flicker else None)
    frames = progress(drive.frames, drive.name)
    if args.root:
        frames = with_labels(frames, _kitti_road(args))
    segmenter = load_segmenter(args)
    clean = _clean(args, segmenter)
    figures = measure_flicker(segmenter, frames, segmenter.threshold, period=1 / drive.rate, clean=clean)
    figures |= {"drive": drive.name, "device": segmenter.device_name, "precision": segmenter.precision}
    write_json(args.json, figures)
    Console().print(table(figures))
    return 0


def _run_corruptions(args: argparse.Namespace) -> int:
    from fcn_road_seg.evaluation.robustness import evaluate_corruptions, markdown

    dataset, segmenter = _kitti_road(args), load_segmenter(args)
    figures = evaluate_corruptions(_segment(args, segmenter), dataset, segmenter.threshold, track=_track)
    figures |= _facts(args, segmenter)
    write_json(args.json, figures)
    print(markdown(figures))
    return 0


def _clean(args: argparse.Namespace, segmenter: "RoadSegmenter") -> "Clean":
    from fcn_road_seg.postprocess.small_regions import without_small_regions

    def clean(probability: "np.ndarray") -> "np.ndarray":
        hidden = segmenter.hidden(*probability.shape)
        return without_small_regions(probability, segmenter.threshold, args.min_region, hidden)

    return clean


def _segment(args: argparse.Namespace, segmenter: "RoadSegmenter") -> "Segment":
    clean = _clean(args, segmenter)
    return lambda frame: clean(segmenter(frame))


def _kitti_road(args: argparse.Namespace) -> "KittiRoad":
    from fcn_road_seg.datasets.kitti_road import open_split

    return open_split(args.root, args.split)


def _facts(args: argparse.Namespace, segmenter: "RoadSegmenter") -> dict[str, str]:
    return {
        "split": args.split,
        "device": segmenter.device_name,
        "precision": segmenter.precision,
        "weights_sha256": segmenter.checkpoint.sha256,
    }


def _track(items: "Iterable") -> "Iterable":
    return progress(items, "evaluating")
