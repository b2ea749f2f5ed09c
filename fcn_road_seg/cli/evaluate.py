"""`road_seg evaluate`: KITTI Road's metrics of a weights file."""

import argparse
import shlex
import sys
from pathlib import Path

from fcn_road_seg.cli.options import (
    add_json_option,
    add_segmenter_options,
    load_segmenter,
    named_paths,
    progress,
    write_json,
)
from fcn_road_seg.errors import UserError


def add_parser(subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser("evaluate", help="KITTI Road's metrics, in perspective and in bird's-eye view")
    parser.add_argument("--root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--metres",
        action="store_true",
        help="instead, errors in metres of edges, scan and grid on synthetic scenes; with --root, KITTI's grid too",
    )
    parser.add_argument(
        "--split", default="all", help="all labelled frames, this project's train or val, or a file of frame names"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="instead, write a page there: figures by scene and distance, curves, what errors are near, worst frames",
    )
    parser.add_argument("--camvid", type=Path, metavar="DIR", help="with --report: CamVid's test part too")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="instead, figures in perspective of the validation parts of data sets, named as for train",
    )
    parser.add_argument(
        "--flicker",
        nargs="?",
        const="",
        metavar="DRIVE",
        help="instead, how much of the mask changes from frame to frame though the scene does not, with and without "
        "the temporal filter: of a folder of images, a KITTI raw drive or a video (default: a synthetic drive); with "
        "--root, also MaxF of the drive's frames that are labelled there",
    )
    parser.add_argument(
        "--corruptions",
        action="store_true",
        help="instead, what fog, rain, blur, noise, dirt, ... leave of MaxF at three severities, as a Markdown table",
    )
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.datasets.kitti_road import open_split
    from fcn_road_seg.evaluation.evaluate import evaluate

    if args.flicker is not None:
        return _run_flicker(args)
    if args.data:
        return _run_data(args)
    if not (args.root or args.metres or (args.report and args.camvid)):
        raise UserError("name a KITTI Road folder with --root, or give --metres or --flicker, which need none")
    if args.corruptions and not args.root:
        raise UserError("--corruptions needs a KITTI Road folder: name it with --root")
    dataset = open_split(args.root, args.split) if args.root else None
    segmenter = load_segmenter(args)
    if args.corruptions:
        return _run_corruptions(args, segmenter, dataset)
    if args.metres:
        return _run_metres(args, segmenter, dataset)
    if args.report:
        return _run_report(args, segmenter, dataset)
    figures = evaluate(segmenter, dataset, segmenter.threshold, lambda items: progress(items, "evaluating"))
    figures |= {"split": args.split, "device": segmenter.device_name, "precision": segmenter.precision}
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

    from fcn_road_seg.datasets.held_out import open_held_out
    from fcn_road_seg.evaluation.samples import evaluate_samples

    paths, kinds = named_paths(args.data)
    sets = {name: open_held_out(name, kinds[name], folders[0]) for name, folders in paths.items()}
    segmenter = load_segmenter(args)
    figures = {
        name: evaluate_samples(segmenter, dataset, segmenter.threshold, lambda items: progress(items, "evaluating"))
        for name, dataset in sets.items()
    }
    write_json(args.json, figures)
    table = Table("", *next(iter(figures.values())), title=f"at the weights' threshold {segmenter.threshold:.3f}")
    for name, row in figures.items():
        table.add_row(name, *(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    return 0


def _run_metres(args: argparse.Namespace, segmenter, dataset) -> int:
    from rich.console import Console

    from fcn_road_seg.evaluation.metres import evaluate_metres, tables

    figures = evaluate_metres(
        segmenter, segmenter.threshold, dataset=dataset, track=lambda items: progress(items, "evaluating")
    )
    figures |= {"split": args.split, "device": segmenter.device_name, "precision": segmenter.precision}
    write_json(args.json, figures)
    console = Console()
    for table in tables(figures):
        console.print(table)
    return 0


def _run_report(args: argparse.Namespace, segmenter, dataset) -> int:
    from fcn_road_seg.datasets.camvid import CamVid
    from fcn_road_seg.evaluation.report import camvid_set, kitti_set, write_report

    sets = [kitti_set(dataset, f"KITTI Road, {args.split}")] if dataset else []
    sets += [camvid_set(CamVid(args.camvid, ("test",)), "CamVid, test part")] if args.camvid else []
    command = shlex.join(["road_seg", *sys.argv[1:]])
    figures = write_report(args.report, segmenter, sets, command, lambda items: progress(items, "evaluating"))
    write_json(args.json, figures)
    print(args.report / "index.html")
    return 0


def _run_flicker(args: argparse.Namespace) -> int:
    from rich.console import Console

    from fcn_road_seg.datasets.kitti_road import open_split
    from fcn_road_seg.demo.drive import open_drive
    from fcn_road_seg.evaluation.flicker import measure_flicker, table, with_labels

    drive = open_drive(Path(args.flicker) if args.flicker else None)
    frames = progress(drive.frames, drive.name)
    if args.root:
        frames = with_labels(frames, open_split(args.root, args.split))
    segmenter = load_segmenter(args)
    figures = measure_flicker(segmenter, frames, segmenter.threshold, period=1 / drive.rate)
    figures |= {"drive": drive.name, "device": segmenter.device_name, "precision": segmenter.precision}
    write_json(args.json, figures)
    Console().print(table(figures))
    return 0


def _run_corruptions(args: argparse.Namespace, segmenter, dataset) -> int:
    from fcn_road_seg.evaluation.robustness import evaluate_corruptions, markdown

    figures = evaluate_corruptions(
        segmenter, dataset, segmenter.threshold, track=lambda items: progress(items, "evaluating")
    )
    figures |= {"split": args.split, "device": segmenter.device_name, "precision": segmenter.precision}
    write_json(args.json, figures)
    print(markdown(figures))
    return 0
