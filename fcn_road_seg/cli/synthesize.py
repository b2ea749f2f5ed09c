"""`road_seg synthesize`: write synthetic labelled frames as a folder to train on."""

import argparse
from pathlib import Path

from fcn_road_seg.cli.options import Subparsers, progress
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable_folder, whole_folder, write_whole

METRES_APART = 40.0
"""Distance between frames that no two of them look alike at."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "synthesize",
        help="write synthetic labelled frames as a folder for train --data folder:DIR",
        description="Frames of a drive along one synthetic street, with labels 0 not road and 1 road.",
    )
    parser.add_argument("out", type=Path, help="folder to write images/, labels/, train.txt and val.txt to")
    parser.add_argument("--frames", type=int, default=10, help="number of frames to train on (default: %(default)s)")
    parser.add_argument(
        "--val-frames", type=int, default=0, help="number of frames of another street, for val.txt (default: none)"
    )
    parser.add_argument("--camera", default="kitti", help="a camera of docs/synthetic.md (default: %(default)s)")
    parser.add_argument("--scene", default="random", help="a scene of docs/synthetic.md (default: %(default)s)")
    parser.add_argument("--weather", default="random", help="a weather of docs/synthetic.md (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the streets (default: %(default)s)")
    return parser


def run(args: argparse.Namespace) -> int:
    if args.frames < 1 or args.val_frames < 0 or args.seed < 0:
        raise UserError("--frames must be 1 or more, --val-frames and --seed 0 or more")
    for part in ("images", "labels"):
        if (args.out / part).exists():
            raise UserError(f"{args.out} already has {part}/: choose another folder")
    check_names(args)
    check_writable_folder(args.out)
    with whole_folder(args.out / "images") as images, whole_folder(args.out / "labels") as labels:
        names = {"train": write_drive(args, args.seed, args.frames, "street_a", images, labels)}
        if args.val_frames:
            names["val"] = write_drive(args, args.seed + 1, args.val_frames, "street_b", images, labels)
        for part, listed in names.items():
            write_whole(args.out / f"{part}.txt", "".join(f"{name}\n" for name in listed))
    print(f"{args.out}: " + ", ".join(f"{len(listed)} frames in {part}.txt" for part, listed in names.items()))
    return 0


def check_names(args: argparse.Namespace) -> None:
    """Raise UserError if the camera, the scene or the weather is unknown."""
    from fcn_road_seg.synthetic import CAMERAS, SCENES, WEATHERS

    for option, given, known in (
        ("camera", args.camera, CAMERAS),
        ("scene", args.scene, ("random", *SCENES)),
        ("weather", args.weather, ("random", *WEATHERS)),
    ):
        if given not in known:
            raise UserError(f"there is no {option} {given!r}: --{option} takes {', '.join(known)}")


def write_drive(args: argparse.Namespace, seed: int, count: int, prefix: str, images: Path, labels: Path) -> list[str]:
    """Write frames of one street, `METRES_APART`, to folders for their images and labels; returns their names."""
    import numpy as np

    from fcn_road_seg.frames.image_file import write_image
    from fcn_road_seg.synthetic import CAMERAS, SyntheticDrive

    drive = SyntheticDrive(
        seed, count, CAMERAS[args.camera], rate=1.0, speed=METRES_APART, weather=args.weather, scene=args.scene
    )
    names = [f"{prefix}_{i:03d}" for i in range(count)]
    for i in progress(range(count), f"drawing {prefix}"):
        frame = drive[i]
        write_image(images / f"{names[i]}.jpg", frame.image)
        write_image(labels / f"{names[i]}.png", frame.road.view(np.uint8))
    return names
