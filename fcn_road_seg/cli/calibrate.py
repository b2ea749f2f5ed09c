"""`road_seg calibrate`: make P(road) mean what it says, by one temperature."""

import argparse
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, json_path, named_paths, progress, write_json
from fcn_road_seg.errors import UserError


def add_parser(subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "calibrate", help="fit the temperature of P(road) on labelled frames and store it in a copy of the weights"
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="instead, the validation parts of several data sets, named as for train; the threshold is then new: "
        "that with the highest mean F1 over them",
    )
    parser.add_argument(
        "--frames", type=int, default=40, help="with --data: at most this many of each (default: %(default)s)"
    )
    parser.add_argument(
        "--split", default="val", help="frames to fit on: val, which training never sees, or a file of frame names"
    )
    parser.add_argument("--weights", default="", help="safetensors file, or lite (default: the shipped full network)")
    parser.add_argument("--out", type=json_path, required=True, metavar="FILE", help="the weights file to write")
    parser.add_argument(
        "--road-precision",
        type=float,
        default=0.99,
        metavar="SHARE",
        help="0..1, wanted of the pixels that ~/labels calls road; min_confidence is chosen for it "
        "(default: %(default)s)",
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg import checkpoint
    from fcn_road_seg.datasets import kitti_road
    from fcn_road_seg.evaluation import calibration
    from fcn_road_seg.segmenter import weights_path

    if not 0 < args.road_precision <= 1:
        raise UserError(f"--road-precision is {args.road_precision}, but must be above 0 and at most 1")
    if args.split in ("all", "train"):
        raise UserError(f"--split {args.split} has frames that training saw: fit on val or on a file of frame names")
    if bool(args.root) == bool(args.data):
        raise UserError("name a KITTI Road folder with --root, or data sets with --data")
    if args.data:
        dataset, groups = held_out_frames(args.data, args.frames)
    else:
        split = kitti_road.split_path("val") if args.split == "val" else Path(args.split)
        dataset = kitti_road.KittiRoad(args.root, kitti_road.read_names(split))
        groups = calibration.read_streets(split)
    loaded = checkpoint.load(weights_path(args.weights))
    metadata = loaded.metadata
    raw = replace(
        metadata,
        temperature=1.0,
        threshold=calibration.moved_threshold(metadata.threshold, metadata.temperature, 1.0),
    )
    network = replace(loaded, metadata=raw).network()
    table = calibration.TemperatureTable(
        network, dataset, metadata.network_width, lambda items: progress(items, "calibrating")
    )
    figures = calibration.calibrate(table, None if args.data else raw.threshold, args.road_precision, groups)
    result = replace(
        raw,
        temperature=figures["temperature"],
        threshold=figures["threshold"],
        origin=loaded.sha256,
        figures=metadata.figures | {"calibration": figures},
    )
    checkpoint.save(args.out, network, result)
    write_json(args.json, figures)

    console = Console()
    errors = Table(
        "", "ECE", "ECE, P 0.05..0.95", "NLL", title=f"{figures['frames']} frames, T = {result.temperature:.3f}"
    )
    for name, words in (("before", "T = 1"), ("after", "T"), ("held_out", "T of the other groups")):
        if figures[name]:
            errors.add_row(words, *(f"{value:.4f}" for value in figures[name].values()))
    console.print(errors)
    shares = Table("min_confidence", "precision", "recall", "not road: precision", "coverage", title="~/labels")
    chosen = figures["min_confidence"]
    for row in [*figures["confidence"], *([chosen] if chosen else [])]:
        shares.add_row(*("none" if value is None else f"{value:.4f}" for value in row.values()))
    console.print(shares)
    if chosen:
        console.print(f"min_confidence {chosen['confidence']:.3f} has precision {args.road_precision} of road")
    else:
        console.print(f"no min_confidence has precision {args.road_precision} of road")
    console.print(f"{args.out}: temperature {result.temperature:.3f}, threshold {result.threshold:.4f}")
    return 0


def held_out_frames(items: list[str], most: int):
    """The validation frames of `--data` as one data set, and the frames' names by data set."""
    from fcn_road_seg.datasets.held_out import Thinned, Together, open_held_out

    if most < 1:
        raise UserError(f"--frames is {most}, but must be 1 or more")
    paths, kinds = named_paths(items)
    sets = [Thinned(open_held_out(name, kinds[name], folders[0]), most, f"{name}/") for name, folders in paths.items()]
    groups = [[f"{s.prefix}{s.dataset.names[i]}" for i in s.indices] for s in sets]
    return Together(sets), groups
