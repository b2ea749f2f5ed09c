"""`road_seg evaluate`: KITTI Road's metrics of a weights file."""

import argparse
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json


def add_parser(subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser("evaluate", help="KITTI Road's metrics, in perspective and in bird's-eye view")
    parser.add_argument("--root", type=Path, required=True, help="KITTI Road folder, the one that holds training/")
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

    names = None
    if args.split != "all":
        names = split_names(args.split) if args.split in SPLITS else read_names(args.split)
    dataset = KittiRoad(args.root, names)
    segmenter = load_segmenter(args)
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
