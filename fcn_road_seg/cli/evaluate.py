"""`road_seg evaluate`: KITTI Road's metrics of a weights file."""

import argparse
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json
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
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.datasets.kitti_road import SPLITS, KittiRoad, read_names, split_names
    from fcn_road_seg.evaluation.evaluate import evaluate

    if not (args.root or args.metres):
        raise UserError("name a KITTI Road folder with --root, or give --metres, which needs none")
    names = None
    if args.split != "all":
        names = split_names(args.split) if args.split in SPLITS else read_names(args.split)
    dataset = KittiRoad(args.root, names) if args.root else None
    segmenter = load_segmenter(args)
    if args.metres:
        return _run_metres(args, segmenter, dataset)
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
