"""`road_seg evaluate`: measure a weights file on labelled frames, synthetic scenes or a drive."""

import argparse
from pathlib import Path

from fcn_road_seg.cli import evaluate_modes
from fcn_road_seg.cli.options import (
    LABEL_MAP_NEEDS_DATA,
    Subparsers,
    add_instance_options,
    add_json_option,
    add_label_map_option,
    add_min_region_option,
    add_segmenter_options,
    check_instance_options,
    takes_weights,
)
from fcn_road_seg.errors import UserError

MODES = ("metres", "report", "gallery", "flicker", "corruptions", "data", "submission")
"""Options that replace KITTI Road's metrics; at most one of them, but --compare and --gallery go with --data, and
--compare with --report or --gallery."""
SUBTRACT = "--subtract-instances"


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the accuracy on KITTI Road or on any labelled frames, or compare two weights",
        epilog="At most one of --metres, --report, --gallery, --flicker, --corruptions, --data and --submission can be "
        "given, but --compare and --gallery take --root or --data, and --compare takes --report or --gallery.",
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--split",
        help="with --root: all labelled frames, this project's train or val, or a file of frame names (default: all)",
    )
    compare = parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="instead of --weights, put two weights side by side on the frames of --root or --data: figures, bootstrap "
        "intervals of the differences, and with --report a page of the frames where they differ most",
    )
    takes_weights(compare)
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
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="DIR",
        help="instead, write an HTML page there of what goes right and what goes wrong: typical and worst frames, "
        "errors near vehicles and rail tracks; needs --root, --data or --unlabelled; --compare BEFORE NOW shows both",
    )
    parser.add_argument(
        "--unlabelled",
        type=Path,
        metavar="INPUT",
        help="with --gallery: your own frames without labels: a folder of images, a KITTI raw drive or a video",
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
        "--part", choices=("val", "train", "all"), help="with --data: another part of the data sets (default: val)"
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
        "--submission",
        type=Path,
        metavar="DIR",
        help="instead, write the files for KITTI's server there, from testing/ in --root",
    )
    parser.add_argument(
        "--bev",
        choices=("devkit", "exact"),
        help="which pixel a cell of the bird's-eye view takes: as KITTI's development kit does, 1 to 2 pixels up and "
        "left, or the nearest (default: devkit)",
    )
    add_label_map_option(parser)
    add_min_region_option(parser)
    add_instance_options(
        parser, SUBTRACT, "cut vehicles and people out of the road before it is measured, as the node can"
    )
    add_segmenter_options(parser)
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    _check(args)
    check_instance_options(args, SUBTRACT)
    args.split, args.bev, args.part = args.split or "all", args.bev or "devkit", args.part or "val"
    if args.gallery:
        return evaluate_modes.gallery(args)
    if args.compare:
        return evaluate_modes.comparison(args)
    if args.submission:
        return evaluate_modes.submission(args)
    if args.flicker is not None:
        return evaluate_modes.flicker(args)
    if args.metres:
        return evaluate_modes.metres(args)
    if args.report:
        return evaluate_modes.report(args)
    if args.corruptions:
        return evaluate_modes.corruptions(args)
    if args.data:
        return evaluate_modes.data(args)
    return evaluate_modes.metrics(args)


def _check(args: argparse.Namespace) -> None:
    """Check the combination of options.

    Raises:
        UserError: options exclude each other, or one needs another that is missing.
    """
    modes = [f"--{mode}" for mode in MODES if getattr(args, mode) not in (None, False)]
    if args.gallery:
        _check_gallery(args, modes)
    if args.compare:
        _check_comparison(args, modes)
    elif len(modes) > 1 and not args.gallery:
        raise UserError(f"{', '.join(modes[:-1])} and {modes[-1]} exclude each other: give one of them")
    if args.camvid and not args.report:
        raise UserError("--camvid needs --report")
    if args.unlabelled and not args.gallery:
        raise UserError("--unlabelled needs --gallery")
    if args.data and args.root:
        raise UserError("--data and --root exclude each other: give KITTI Road as --data kitti_road:DIR")
    if args.subtract_instances and args.flicker is not None:
        raise UserError(f"{SUBTRACT} and --flicker exclude each other: give one of them")
    if args.split and not args.root:
        raise UserError("--split needs a KITTI Road folder: give --root")
    if args.label_map and not args.data:
        raise UserError(LABEL_MAP_NEEDS_DATA)
    if args.part and not args.data:
        raise UserError("--part needs data sets: give --data")
    if args.submission and (args.split or not args.root):
        raise UserError("--submission takes the test frames of a KITTI Road folder: give --root, without --split")
    if args.bev and not (args.root and modes in ([], ["--report"], ["--submission"]) and not args.compare):
        raise UserError(
            "--bev belongs to KITTI Road's metrics: give --root, without a mode or with --report or --submission"
        )
    if args.report and not (args.root or args.camvid or args.compare):
        raise UserError("--report needs a KITTI Road folder, --root, or a CamVid folder, --camvid")
    if args.corruptions and not args.root:
        raise UserError("--corruptions needs a KITTI Road folder: give --root")
    if not modes and not args.root:
        raise UserError("give a KITTI Road folder with --root, or --data, --metres or --flicker, which work without it")


def _check_gallery(args: argparse.Namespace, modes: list[str]) -> None:
    others = [mode for mode in modes if mode not in ("--data", "--gallery")]
    if others:
        raise UserError(f"--gallery and {others[0]} exclude each other: give one of them")
    if not (args.root or args.data or args.unlabelled):
        raise UserError("--gallery needs frames: give --data, --unlabelled, or a KITTI Road folder with --root")


def _check_comparison(args: argparse.Namespace, modes: list[str]) -> None:
    others = [mode for mode in modes if mode not in ("--data", "--report", "--gallery")]
    if others:
        raise UserError(f"--compare and {others[0]} exclude each other: give one of them")
    if not (args.root or args.data or args.unlabelled):
        raise UserError("--compare needs labelled frames: give --data, or a KITTI Road folder with --root")
    if args.weights:
        raise UserError("--compare names the weights: leave out --weights")
    if args.camvid:
        raise UserError("--compare takes CamVid as --data camvid:DIR: leave out --camvid")
