"""`road_seg calibrate`: calibrate P(road) with one temperature."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import (
    LABEL_MAP_NEEDS_DATA,
    Subparsers,
    add_json_option,
    add_label_map_option,
    add_own_vehicle_option,
    add_weights_option,
    data_sets,
    output_path,
    progress,
    write_json,
)
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    from fcn_road_seg.frames.sample import Samples


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "calibrate", help="fit the temperature of P(road) on labelled frames and store it in a copy of the weights"
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="instead of --root, fit on the validation part of a data set, named as for train; can be given several "
        "times; this also chooses a new threshold, the one with the highest mean F1 over the sets",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=40,
        help="with --data: the largest number of frames of each set (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        help="with --root: val, which training never sees, or a file of frame names (default: val)",
    )
    add_weights_option(parser)
    parser.add_argument(
        "--out",
        type=output_path(".safetensors"),
        required=True,
        metavar="FILE.safetensors",
        help="the weights file to write",
    )
    parser.add_argument(
        "--road-precision",
        type=float,
        default=0.99,
        metavar="SHARE",
        help="precision, 0..1, required of the pixels that ~/labels marks as road; sets min_confidence "
        "(default: %(default)s)",
    )
    add_own_vehicle_option(parser, "does not count")
    add_label_map_option(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.datasets import kitti_road
    from fcn_road_seg.evaluation import temperature_scaling
    from fcn_road_seg.frames.own_vehicle import OwnVehicle
    from fcn_road_seg.inference import checkpoint
    from fcn_road_seg.inference.segmenter import weights_path

    if not 0 < args.road_precision <= 1:
        raise UserError(f"--road-precision is {args.road_precision}, but must be above 0 and at most 1")
    if args.split in ("all", "train"):
        raise UserError(
            f"--split {args.split} has frames that training has seen: fit on val or on a file of frame names"
        )
    if bool(args.root) == bool(args.data):
        raise UserError("name a KITTI Road folder with --root, or data sets with --data")
    if args.label_map and not args.data:
        raise UserError(LABEL_MAP_NEEDS_DATA)
    if args.split and args.data:
        raise UserError("--split needs a KITTI Road folder: give --root instead of --data")
    own_vehicle = OwnVehicle(args.own_vehicle_mask) if args.own_vehicle_mask else None
    dataset: Samples
    if args.data:
        dataset, groups = held_out_frames(args.data, args.label_map, args.frames)
    else:
        split = kitti_road.split_path("val") if args.split in (None, "val") else Path(args.split)
        dataset = kitti_road.KittiRoad(args.root, kitti_road.read_names(split))
        groups = temperature_scaling.read_streets(split)
    loaded = checkpoint.load(weights_path(args.weights))
    metadata = loaded.metadata
    raw = replace(
        metadata,
        temperature=1.0,
        threshold=temperature_scaling.moved_threshold(metadata.threshold, metadata.temperature, 1.0),
    )
    network = replace(loaded, metadata=raw).network()
    table = temperature_scaling.TemperatureTable(
        network, dataset, metadata.network_width, lambda items: progress(items, "calibrating"), own_vehicle
    )
    threshold = None if args.data else raw.threshold
    figures = temperature_scaling.calibrate(table, threshold, args.road_precision, groups)
    if own_vehicle is not None:
        figures["own_vehicle_mask_sha256"] = own_vehicle.sha256
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
    for name, text in (("before", "T = 1"), ("after", "T"), ("held_out", "T of the other groups")):
        if figures[name]:
            errors.add_row(text, *(f"{value:.4f}" for value in figures[name].values()))
    console.print(errors)
    shares = Table("min_confidence", "precision", "recall", "not road: precision", "coverage", title="~/labels")
    chosen = figures["min_confidence"]
    for row in [*figures["confidence"], *([chosen] if chosen else [])]:
        shares.add_row(*("none" if value is None else f"{value:.4f}" for value in row.values()))
    console.print(shares)
    if chosen:
        console.print(f"min_confidence {chosen['confidence']:.3f} gives road a precision of {args.road_precision}")
    else:
        console.print(f"no min_confidence gives road a precision of {args.road_precision}")
    console.print(f"{args.out}: temperature {result.temperature:.3f}, threshold {result.threshold:.4f}")
    return 0


def held_out_frames(items: list[str], label_maps: list[str], most: int) -> "tuple[Samples, list[list[str]]]":
    """At most `most` validation frames of each set in `--data` as one data set, and the frames' names by set."""
    from fcn_road_seg.datasets.selection import Thinned, Together

    if most < 1:
        raise UserError(f"--frames is {most}, but must be 1 or more")
    sets = [Thinned(dataset, most, f"{name}/") for name, dataset in data_sets(items, label_maps).items()]
    return Together(sets), [frames.names for frames in sets]
