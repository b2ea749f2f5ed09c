"""`road_seg own-vehicle-mask`: propose a mask of the bonnet and all else of the vehicle that its camera sees."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import Subparsers, add_json_option, output_path, progress, write_json
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import visible
from fcn_road_seg.files.output import check_writable
from fcn_road_seg.frames.image_file import SUFFIXES
from fcn_road_seg.frames.own_vehicle_search import LEAST_MOVING

if TYPE_CHECKING:
    import numpy as np

BAG_SUFFIXES = (".bag", ".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
MOST_FRAMES = 3000
RED = (255, 0, 0)


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "own-vehicle-mask",
        help="propose a mask of the vehicle's own bonnet or dashboard from what does not move in a drive",
        description="Finds what reaches the lower edge of the image and stays still while the picture moves. Frames in "
        f"which the vehicle stands are left out; at least {LEAST_MOVING} others are needed. Look at the preview before "
        "you use the mask.",
    )
    parser.add_argument(
        "input", type=Path, help="a drive: a bag, a video, a folder of images in order, or a KITTI raw drive"
    )
    parser.add_argument(
        "--out", type=output_path(".png"), required=True, metavar="FILE.png", help="the mask: 255 = own vehicle"
    )
    parser.add_argument(
        "--preview",
        type=output_path(*SUFFIXES),
        metavar="FILE",
        help="a frame with the mask in red (default: FILE_preview.png)",
    )
    parser.add_argument("--image", metavar="TOPIC", help="image topic of a bag (default: the only one)")
    parser.add_argument(
        "--frames", type=int, default=MOST_FRAMES, metavar="N", help="use the first N frames (default: %(default)s)"
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0, also if no vehicle is in view: this is printed, and no file is written.

    Raises:
        UserError: the drive cannot be read, or its picture moves in too few frames.
    """
    if args.frames < 1:
        raise UserError(f"--frames is {args.frames}, but must be at least 1")
    preview = args.preview or args.out.with_name(f"{args.out.stem}_preview.png")

    from fcn_road_seg.frames.image_file import write_image
    from fcn_road_seg.frames.own_vehicle_search import OwnVehicleSearch
    from fcn_road_seg.postprocess.overlay import overlay

    check_writable(preview)
    search = OwnVehicleSearch()
    for frame in progress(drive_frames(args), "looking"):
        if search.add(frame):
            shown = frame
    mask = search.mask()
    share = float((mask != 0).mean())
    seen = f"the picture moves in {search.moving} of {search.frames} frames"
    figures = {"share": share, "frames": search.frames, "moving": search.moving, "mask": str(args.out)}
    if not share:
        write_json(args.json, figures | {"mask": None})
        print(f"no part of the vehicle is in view ({seen}): a mask is not needed, and none was written")
        return 0
    write_image(args.out, mask)
    write_image(preview, overlay(shown, mask, colour=RED))
    write_json(args.json, figures)
    print(f"{args.out}: {100 * share:.1f} % of the image is the vehicle itself ({seen}); check {preview}")
    return 0


def drive_frames(args: argparse.Namespace) -> "Iterable[np.ndarray]":
    """The frames of the drive, uint8 H x W x 3 RGB, in order.

    Raises:
        UserError: there is no readable drive.
    """
    folder_of_bag = args.input.is_dir() and any(map(is_bag, visible(args.input)))
    if folder_of_bag or is_bag(args.input):
        return bag_frames(args.input, args.image, args.frames)
    if args.image:
        raise UserError(f"--image names a topic of a bag, but {args.input} is none")
    from fcn_road_seg.datasets.drive import open_drive

    return (frame.image for frame in open_drive(args.input, args.frames).frames)


def is_bag(path: Path) -> bool:
    """Whether the file's suffix is that of a bag."""
    return path.name.lower().endswith(BAG_SUFFIXES)


def bag_frames(path: Path, topic: str | None, most: int) -> "Iterator[np.ndarray]":
    """The first frames of an image topic of a bag; images that cannot be decoded are named and skipped."""
    from fcn_road_seg.bags.reader import open_bag
    from fcn_road_seg.bags.segment_bag import image_topics, to_rgb
    from fcn_road_seg.bags.skipped_frames import SkippedFrames
    from fcn_road_seg.frames.bit_depth import BitDepth

    say = partial(print, file=sys.stderr)
    skipped, bit_depth = SkippedFrames(say), BitDepth(say)

    with open_bag(path) as bag:
        (chosen,) = image_topics(bag, (topic,) if topic else ())
        for _, (connection, stamp, data) in zip(range(most), bag.messages([chosen]), strict=False):
            try:
                yield to_rgb(bag.deserialize(data, connection.msgtype), connection, bit_depth)
            except UserError as error:
                skipped.add(chosen, stamp, error)
        skipped.tell_rest()
        if bag.cut_off:
            print(bag.cut_off, file=sys.stderr)
