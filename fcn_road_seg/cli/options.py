"""Options that several verbs share."""

import argparse
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fcn_road_seg.datasets.sample import DatasetError

ROS_NAME = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""Of a node or a topic."""


def add_segmenter_options(parser: argparse.ArgumentParser) -> None:
    """Which weights, on what."""
    parser.add_argument("--weights", default="", help="safetensors file, or lite (default: the shipped full network)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8 (default: %(default)s)")
    parser.add_argument(
        "--backend", default="auto", help="auto, torch, compile, openvino or graph (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="of the network on a CPU (default: the backend's choice)"
    )
    parser.add_argument("--network-width", type=int, default=0, help="pixels, multiple of 32 (default: the weights')")


def load_segmenter(args: argparse.Namespace):
    """The segmenter that the options above name; what it has to say while it gets ready goes to stderr."""
    from fcn_road_seg.segmenter import RoadSegmenter

    logging.basicConfig(format="%(message)s")
    logging.getLogger("fcn_road_seg").setLevel(logging.INFO)
    return RoadSegmenter.load(args.weights, args.device, args.precision, args.network_width, args.backend, args.threads)


def resolved_weights(weights: str) -> str:
    """What --weights names, for a process that may run in another folder."""
    return weights if weights in ("", "lite") else str(Path(weights).resolve())


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=json_path, metavar="FILE", help="write the figures there as JSON")


def json_path(text: str) -> Path:
    """A path whose folder is there, so that a long run does not end without its figures."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write {text}: name a file in a folder that is there")
    return path


def write_json(path: Path | None, figures: dict | list) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n")


def progress(items: Iterable, description: str) -> Iterable:
    """A progress bar on stderr round `items`."""
    from rich.console import Console
    from rich.progress import track

    return track(items, description, console=Console(stderr=True), disable=os.environ.get("RANK", "0") != "0")


def named_paths(items: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The paths of each data set and its kind, by its name, from `[NAME=]KIND:PATH`; without NAME it is the kind's."""
    paths: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for item in items:
        head, _, path = item.partition(":")
        name, given, kind = head.partition("=")
        if given and kind != "folder":
            raise DatasetError(f"--data {item}: only a folder has a name of its own, as in {name}=folder:DIR")
        if kinds.setdefault(name, kind or name) != (kind or name):
            raise DatasetError(f"--data calls two kinds of data set {name!r}")
        paths.setdefault(name, []).append(path)
    return paths, kinds
