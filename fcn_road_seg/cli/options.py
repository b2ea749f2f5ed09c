"""Options that several verbs share."""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable, is_direct, write_whole
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.inference.options import BACKENDS, PRECISIONS, SHIPPED_WEIGHTS, SegmenterOptions
from fcn_road_seg.ros.scope import AROUND

if TYPE_CHECKING:
    import numpy as np

    from fcn_road_seg.datasets.label_map import LabelMap
    from fcn_road_seg.datasets.selection import NamedSamples
    from fcn_road_seg.inference.segmenter import RoadSegmenter
    from fcn_road_seg.instances.detector import InstanceDetector

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `add_parser` of each verb adds its parser to; argparse has no public name for it."""
MAX_MIN_REGION = 0.1
ROS_NAME = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""The name of a node or a topic."""
SET_NAME = re.compile(r"[\w.-]+")
RESERVED_NAMES = ("all", "origin", "validation", "synthetic", "unlabelled")
"""Names that mean something else in `samples` or in the metadata of weights."""
NAMED_KINDS = ("folder", "coco")
"""Kinds of data sets of one's own; coco has instances."""
LABEL_MAP_NEEDS_DATA = "--label-map is for the folders of --data: give --data NAME=folder:DIR"
PART_NAMES = {"train": "training", "val": "validation", "all": "labelled"}


def add_segmenter_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmenter_options`."""
    add_weights_option(parser)
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N, or a device of OpenVINO such as gpu, npu or auto:npu,cpu (default: %(default)s)",
    )
    for name, choices in (("precision", PRECISIONS), ("backend", BACKENDS)):
        parser.add_argument(
            f"--{name}",
            default="auto",
            choices=("auto", *choices),
            help=f"{name} of the network (default: %(default)s)",
        )
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads of the network (default: chosen by the backend)"
    )
    add_network_width_option(parser)
    add_own_vehicle_option(parser, "is never road")


def add_own_vehicle_option(parser: argparse.ArgumentParser, effect: str) -> None:
    """Add the option --own-vehicle-mask; `effect` ends the sentence "what ..."."""
    parser.add_argument(
        "--own-vehicle-mask",
        default="",
        metavar="FILE",
        help=f"image (not black = own vehicle) or polygons (YAML) of what {effect}; "
        "road_seg own-vehicle-mask makes one from a drive",
    )


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --weights."""
    weights = parser.add_argument(
        "--weights",
        default="",
        help="safetensors file, or the shipped road (also called full), lite or permissive (default: road)",
    )
    takes_weights(weights)


def takes_weights(option: argparse.Action) -> None:
    """Let the shell complete an option with the names of shipped weights and with weights files."""
    option.completer = _weights_that_begin_with  # type: ignore[attr-defined]  # argcomplete's


def _weights_that_begin_with(prefix: str, **_: object) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return [*filter(None, SHIPPED_WEIGHTS), *FilesCompleter(["safetensors"])(prefix)]


def add_network_width_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --network-width."""
    parser.add_argument(
        "--network-width",
        type=int,
        default=0,
        help="width in pixels, a multiple of 32, of the network's input for frames of KITTI's shape (1242x375); "
        "narrower frames get as many pixels (default: the width stored with the weights)",
    )


def add_instance_options(parser: argparse.ArgumentParser, flag: str, effect: str) -> None:
    """Add an option that needs the network for instances, and those of its weights."""
    parser.add_argument(flag, action="store_true", help=effect)
    parser.add_argument(
        "--instance-weights", metavar="FILE", help=f"with {flag}: their weights (default: the shipped ones)"
    )
    parser.add_argument(
        "--instance-score",
        type=float,
        help=f"with {flag}: only those with at least this score, 0..1 (default: 0.5)",
    )


def check_instance_options(args: argparse.Namespace, flag: str) -> None:
    """Raise UserError if the options of `add_instance_options` do not fit together."""
    used = getattr(args, flag.lstrip("-").replace("-", "_"))
    for option, value in (("--instance-weights", args.instance_weights), ("--instance-score", args.instance_score)):
        if value is not None and not used:
            raise UserError(f"{option} belongs to {flag}: give both")
    if args.instance_score is not None and not 0 <= args.instance_score <= 1:
        raise UserError(f"--instance-score is {args.instance_score}, but must be in 0..1")


def load_detector(args: argparse.Namespace) -> "InstanceDetector":
    """Load the network for instances with the options of `add_instance_options`."""
    from fcn_road_seg.instances.detector import InstanceDetector, instance_weights

    detector = InstanceDetector.load(instance_weights(args.instance_weights), options=segmenter_options(args))
    if args.instance_score is not None:
        detector.least_score = args.instance_score
    return detector


def add_min_region_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --min-region."""
    parser.add_argument(
        "--min-region",
        type=min_region,
        default=0.0,
        metavar="SHARE",
        help="drop islands of road, and fill holes in it, that are smaller than this share of the image, 0..0.1 "
        "(default: %(default)s, none)",
    )


def min_region(text: str) -> float:
    """A share of the image that is small enough to be a crumb."""
    share = float(text)
    if not 0 <= share <= MAX_MIN_REGION:
        raise argparse.ArgumentTypeError(f"{text} is not a share of the image from 0 to {MAX_MIN_REGION:g}")
    return share


def segmenter_options(args: argparse.Namespace) -> SegmenterOptions:
    """The options of `add_segmenter_options`."""
    return SegmenterOptions(**{field.name: getattr(args, field.name) for field in fields(SegmenterOptions)})


def load_segmenter(args: argparse.Namespace) -> "RoadSegmenter":
    """Load the segmenter that the options select; its log messages go to stderr."""
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    logging.basicConfig(format="%(message)s")
    logging.getLogger("fcn_road_seg").setLevel(logging.INFO)
    return RoadSegmenter.load(segmenter_options(args))


def segmenter_facts(segmenter: "RoadSegmenter") -> dict[str, str]:
    """What every JSON file of measurements says about the weights and where they ran."""
    return {
        "device": segmenter.device_name,
        "precision": segmenter.precision,
        "weights_sha256": segmenter.checkpoint.sha256,
        "network_sha256": segmenter.network_sha256,
    }


def example_frames() -> "list[np.ndarray]":
    """Two synthetic road scenes, uint8 H x W x 3 RGB, on which an exported network is checked."""
    from fcn_road_seg.synthetic import SyntheticDrive

    return [SyntheticDrive(seed=seed, frames=1)[0].image for seed in (1, 2)]


def resolved_weights(weights: str) -> str:
    """The value of --weights for a process that may run in another folder."""
    return weights if weights in SHIPPED_WEIGHTS else str(Path(weights).resolve())


def resolved_options(args: argparse.Namespace) -> SegmenterOptions:
    """`segmenter_options` for a process that may run in another folder."""
    mask = args.own_vehicle_mask and str(Path(args.own_vehicle_mask).resolve())
    return replace(segmenter_options(args), weights=resolved_weights(args.weights), own_vehicle_mask=mask)


def add_bag_options(parser: argparse.ArgumentParser) -> None:
    """Add the options --storage and --rosbag2-version of a bag to write, see `bags.writer.new_bag`."""
    parser.add_argument(
        "--storage",
        choices=("mcap", "sqlite3"),
        default="",
        help="storage format (default: mcap; sqlite3 with --rosbag2-version 8, because Humble installs no mcap)",
    )
    parser.add_argument(
        "--rosbag2-version",
        type=int,
        choices=(8, 9),
        help="version of the bag's metadata: 8 for the rosbag2 of ROS 2 Humble and Iron, 9 for later ones (default: "
        "what ROS_DISTRO reads, 9 if it is not set)",
    )


def add_cameras_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option --cameras, a number of cameras; `what` they give."""
    parser.add_argument(
        "--cameras",
        type=int,
        default=1,
        choices=range(1, len(AROUND) + 1),
        metavar="N",
        help=f"{what}, 1 to {len(AROUND)} (default: %(default)s)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --json."""
    parser.add_argument(
        "--json", type=output_path(".json"), metavar="FILE.json", help="write the figures to a JSON file"
    )


def output_path(*suffixes: str) -> Callable[[str], Path]:
    """The type of an option that names a file to write: a long run must not end without its figures.

    Args:
        suffixes: of the formats that the file may have; a device or a pipe, such as /dev/stdout, needs none.

    Returns:
        Turns the option's text into a path that can be written, or raises ArgumentTypeError.
    """

    def parse(text: str) -> Path:
        path = Path(text)
        if not is_direct(path) and path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text} does not end in {' or '.join(suffixes)}")
        try:
            check_writable(path)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return path

    return parse


def write_json(path: Path | None, figures: dict | list) -> None:
    """Write figures to a JSON file, if a path is given.

    Raises:
        OSError: it cannot be written; the figures are printed then.
    """
    if path:
        text = json.dumps(figures, indent=2) + "\n"
        try:
            write_whole(path, text)
        except OSError:
            print(text)
            raise


def progress(items: Iterable, description: str) -> Iterator:
    """Iterate over `items` with a progress bar on stderr, which appears when the first one is done."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from fcn_road_seg.cli.late_progress import LateProgress

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(show_speed=True)
    left, hidden = TimeRemainingColumn(elapsed_when_finished=True), os.environ.get("RANK", "0") != "0"
    with LateProgress(*columns, left, console=Console(stderr=True), disable=hidden) as bar:
        for item in bar.track(items, description=description):
            yield item
            bar.start()


def check_node_name(name: str) -> None:
    """Raise UserError if a node, which --node names, cannot have a name."""
    if not ROS_NAME.fullmatch(name):
        raise UserError(f"--node is '{name}', which is not a valid node name: give one such as /road_seg")


def add_label_map_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --label-map."""
    parser.add_argument(
        "--label-map",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="YAML file that says which ids, colours or categories of a folder's labels are road, not_road or ignore "
        "(default: label_map.yaml in the folder); with several folders, NAME is the folder's",
    )


def named_paths(items: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Parse `[NAME=]KIND:PATH`: the paths of each data set by its name, and its kind; the default NAME is KIND.

    Raises:
        DatasetError: an item has no path, or names a data set other than a folder; a name is invalid, or stands for
            two kinds.
    """
    paths: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for item in items:
        head, colon, path = item.partition(":")
        name, given, kind = head.partition("=")
        if not path:
            raise DatasetError(f"--data {item} names no data set: give KIND:DIR or NAME=KIND:DIR")
        if given and kind not in NAMED_KINDS:
            raise DatasetError(f"--data {item}: only a folder has a name of its own, as in {name}=folder:DIR")
        if given and (not SET_NAME.fullmatch(name) or name in RESERVED_NAMES):
            raise DatasetError(
                f"--data {item}: a folder's name has letters, digits, _, - and ., and is none of "
                f"{', '.join(RESERVED_NAMES)}"
            )
        if kinds.setdefault(name, kind or name) != (kind or name):
            raise DatasetError(f"--data calls two kinds of data set {name!r}")
        paths.setdefault(name, []).append(path)
    return paths, kinds


def label_maps(items: list[str], kinds: dict[str, str]) -> "dict[str, LabelMap]":
    """Read the label maps of --label-map by the names of their folders; `kinds` is from `named_paths`.

    Raises:
        DatasetError: a file cannot be read or is invalid, or it is not clear which folder it belongs to.
    """
    from fcn_road_seg.datasets.label_map import read_label_map

    folders = [name for name, kind in kinds.items() if kind == "folder"]
    if items and not folders:
        raise DatasetError(LABEL_MAP_NEEDS_DATA)
    maps: dict[str, LabelMap] = {}
    for item in items:
        name, given, file = item.partition("=")
        if not given:
            if len(folders) != 1:
                raise DatasetError(
                    f"--label-map {item} is for one folder, but --data names {len(folders)}: give NAME=FILE, with the "
                    "name of a folder"
                )
            name, file = folders[0], item
        if name not in folders or name in maps:
            wrong = "is given twice" if name in maps else "is no folder in --data"
            raise DatasetError(f"--label-map {item}: {name} {wrong}")
        maps[name] = read_label_map(file)
    return maps


def data_sets(items: list[str], label_map_items: list[str], part: str = "val") -> "dict[str, NamedSamples]":
    """Open one part of the data sets in `--data`, by their names, see `named_paths`; their remarks go to stderr."""
    from fcn_road_seg.datasets.open_dataset import KINDS, open_dataset
    from fcn_road_seg.datasets.selection import remarks

    paths, kinds = named_paths(items)
    for kind in kinds.values():
        if kind.split("+")[0] in ("synthetic", "unlabelled"):
            raise DatasetError(f"{kind!r} has no {PART_NAMES[part]} part; {', '.join(KINDS)} have one")
    maps = label_maps(label_map_items, kinds)
    for name, folders in paths.items():
        if len(folders) > 1:
            raise DatasetError(f"--data {name} is given {len(folders)} times: give each set one folder")
    sets = {name: open_dataset(kinds[name], folders[0], part, name, maps.get(name)) for name, folders in paths.items()}
    for remark in remarks(sets.values()):
        print(remark, file=sys.stderr)
    return sets
