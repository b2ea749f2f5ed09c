"""`road_seg pseudo-label`: label a folder of images by the vote of several networks."""

import argparse
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_own_vehicle_option,
    progress,
    takes_weights,
    write_json,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable_folder

if TYPE_CHECKING:
    from fcn_road_seg.training.label_folder import Member

MEMBER = re.compile(r"(?P<file>.+?)(?:@(?P<size>\d+(?:\.\d+)?))?(?:\*(?P<votes>\d+(?:\.\d+)?))?")


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "pseudo-label",
        help="label images by the vote of several networks, as a data set to train on",
        epilog="Each network sees every image and its mirror image. *VOTES is its weight in the mean, 1 by default. "
        "labels.json in --out says which files made the labels.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGES", help="folder of images")
    weights = parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="FILE[@WIDTH][*VOTES]",
        help="weights file, or road, lite or permissive, at a network width in pixels (default: the weights' own); may "
        "be repeated",
    )
    takes_weights(weights)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="MODEL[:CONVENTIONS][@SCALE][*VOTES]",
        help="another project's network, .onnx or .xml, as for benchmark; @0.85 shows it the frame smaller, framed "
        "in grey; may be repeated",
    )
    parser.add_argument(
        "--road", type=float, default=0.9, help="P(road) from which a pixel is road (default: %(default)s)"
    )
    parser.add_argument(
        "--not-road",
        type=float,
        default=0.1,
        help="P(road) up to which a pixel is not road; between the two it is ignored, 255 (default: %(default)s)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="LABELS",
        help="folder of labels, NAME.png, of which only ignored pixels, 255, are labelled",
    )
    add_own_vehicle_option(parser, "is labelled not road, unless --keep has a label of it")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the data set to write, for --data folder:DIR"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N, of --weights (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of each network (default: all)")
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from fcn_road_seg.frames.own_vehicle import OwnVehicle
    from fcn_road_seg.training.label_folder import images_to_label, label_folder

    if not (args.weights or args.peer):
        raise UserError("no network votes: give --weights, --peer or both")
    images = images_to_label(args.images)
    own_vehicle = OwnVehicle(args.own_vehicle_mask) if args.own_vehicle_mask else None
    check_writable_folder(args.out)
    members = [weights_member(text, args.device, args.threads) for text in args.weights]
    members += [peer_member(text, args.threads) for text in args.peer]
    track = partial(progress, description="labelling frames")
    figures = label_folder(members, images, args.out, args.road, args.not_road, args.keep, track, own_vehicle)
    write_json(args.json, figures)
    print(
        f"{args.out}: {figures['frames']} frames, {100 * figures['road']:.1f} % of the pixels are road, "
        f"{100 * figures['not_road']:.1f} % are not, {100 * figures['ignored']:.1f} % are ignored"
    )
    if figures["left_out"]:
        print(f"{figures['left_out']} images are left out: the networks are sure of none of their pixels")
    return 0


def weights_member(text: str, device: str, threads: int) -> "Member":
    """A network of this program, from FILE[@WIDTH][*VOTES], in floating-point arithmetic."""
    from fcn_road_seg.inference.backends.hardware import fast_float_precision, torch_device
    from fcn_road_seg.inference.options import SegmenterOptions
    from fcn_road_seg.inference.segmenter import RoadSegmenter
    from fcn_road_seg.training.label_folder import Member

    file, size, votes = parts(text, "--weights")
    if size != int(size):
        raise UserError(f"--weights is {text!r}, but a network width is a whole number of pixels")
    precision = fast_float_precision() if torch_device(device).type == "cpu" else "auto"
    segmenter = RoadSegmenter.load(SegmenterOptions(file, device, precision, network_width=int(size), threads=threads))
    facts = {
        "weights": segmenter.checkpoint.path.name,
        "sha256": segmenter.checkpoint.sha256,
        "network_width": segmenter.network_width,
        "precision": segmenter.precision,
    }
    return Member(segmenter, votes, facts)


def peer_member(text: str, threads: int) -> "Member":
    """Another project's network, from MODEL[:CONVENTIONS][@SCALE][*VOTES]."""
    from fcn_road_seg.benchmark.peer_conventions import find_peer, load_conventions
    from fcn_road_seg.benchmark.peer_model import PeerModel
    from fcn_road_seg.inference.backends.hardware import fast_float_precision
    from fcn_road_seg.training.label_folder import Member, files_sha256, shown_smaller

    file, size, votes = parts(text, "--peer")
    if size > 1:
        raise UserError(f"--peer is {text!r}, but a scale is above 0 and at most 1: the input's size is fixed")
    path, conventions = find_peer(file)
    peer = PeerModel(path, load_conventions(conventions), fast_float_precision(), threads)
    files = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
    facts = {
        "peer": peer.name,
        "model": path.name,
        "sha256": files_sha256(files),
        "conventions_sha256": files_sha256([conventions]),
        "input_size": peer.input_size,
        "scale": size or 1.0,
        "precision": peer.precision,
    }
    return Member(shown_smaller(peer, size, peer.conventions.pad) if size else peer, votes, facts)


def parts(text: str, option: str) -> tuple[str, float, float]:
    """File, size (0: none given) and votes of FILE[@SIZE][*VOTES].

    Raises:
        UserError: it has another form, or no votes.
    """
    found = MEMBER.fullmatch(text)
    votes = float(found["votes"] or 1) if found else 0.0
    if found is None or votes <= 0 or "*" in found["file"]:
        raise UserError(f"{option} is {text!r}, but must be FILE or FILE*VOTES, with a number of votes above 0")
    return found["file"], float(found["size"] or 0), votes
