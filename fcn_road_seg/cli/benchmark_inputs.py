"""What `road_seg benchmark` measures: networks and frames, from its options."""

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import data_sets, progress
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from fcn_road_seg.benchmark.peer_model import PeerModel
    from fcn_road_seg.frames.sample import Samples

NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


def named_weights(items: list[str]) -> dict[str, str]:
    """The weights files by their network's name, from [NAME=]FILE."""
    weights: dict[str, str] = {}
    for item in filter(None, items):
        name, equals, file = item.partition("=")
        if not equals or Path(item).is_file():
            name, file = "full", item
        if not (NAME.fullmatch(name) and file):
            raise UserError(f"--weights is {item!r}, but must be FILE or NAME=FILE, with a name of letters and digits")
        if name in weights:
            raise UserError(f"--weights names {name} twice: give each network its own name, NAME=FILE")
        weights[name] = file
    return weights


def load_peers(items: list[str], device: str, threads: int) -> "list[PeerModel]":
    """Other projects' networks: each in FP32, and in the CPU's fastest floating-point arithmetic."""
    if not items:
        return []
    from fcn_road_seg.benchmark.peer_conventions import find_peer, load_conventions
    from fcn_road_seg.benchmark.peer_model import PeerModel
    from fcn_road_seg.inference.backends.hardware import fast_float_precision

    if device != "cpu":
        raise UserError("--peer measures on the CPU: give --device cpu, so that all networks run there")
    peers = []
    for path, conventions in map(find_peer, items):
        read = load_conventions(conventions)
        for arithmetic in dict.fromkeys(("fp32", fast_float_precision())):
            peers.append(PeerModel(path, read, arithmetic, threads))
    systems = Counter((peer.name, peer.precision) for peer in peers)
    if repeated := [name for (name, _), number in systems.items() if number > 1]:
        raise UserError(f"--peer: two networks are named {repeated[0]}: give each its own name in its conventions")
    return peers


def labelled_sets(args: argparse.Namespace, dataset: "Samples | None") -> "dict[str, Samples]":
    """The labelled sets of --data by name; with --peer, the frames of --root too."""
    from fcn_road_seg.datasets.selection import Thinned

    sets: dict[str, Samples] = {}
    if dataset is not None and args.peer:
        sets[f"kitti_road {args.split}"] = dataset
    for name, frames in data_sets(args.data, args.label_map).items():
        sets[name] = Thinned(frames, args.data_frames) if args.data_frames else frames
    return sets


def parse_node(text: str | None) -> dict[str, str]:
    """The node's parameters for BACKEND:PRECISION; empty if the node is not to be measured."""
    if text is None:
        return {}
    backend, colon, precision = text.partition(":")
    if not (backend and colon and precision):
        raise UserError(f"--node is {text!r}, but must be BACKEND:PRECISION, such as openvino:bf16")
    return {"backend": backend, "precision": precision}


def timed_frames(path: Path | None, dataset: "Samples | None", most: int) -> "list[np.ndarray]":
    """The frames to time, uint8 H x W x 3 RGB."""
    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.frames.image_file import is_image, read_rgb

    if path is None and dataset is not None:
        return [dataset[i].image for i in range(min(most, len(dataset)))]
    if path is not None and is_image(path):
        return [read_rgb(path)]
    drive = open_drive(path, most)
    frames = [frame.image for frame in progress(drive.frames, "preparing frames")]
    if not frames:
        raise UserError(f"{drive.name} contains no frames")
    return frames
