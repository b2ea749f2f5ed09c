"""`road_seg kitti-to-bag`: convert KITTI drives to rosbag2 bags."""

import argparse
from pathlib import Path

from fcn_road_seg.cli.options import Subparsers, add_bag_options, add_json_option, write_json


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "kitti-to-bag", help="convert drives of KITTI raw or odometry, or KITTI Road folders, to rosbag2 bags"
    )
    parser.add_argument(
        "drives",
        type=Path,
        nargs="+",
        metavar="DRIVE",
        help="a ..._sync folder of KITTI raw, a sequences/NN folder of KITTI odometry, or a KITTI Road folder",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the bag to write; for several drives, a folder for their bags"
    )
    parser.add_argument(
        "--camera",
        type=int,
        choices=range(4),
        action="append",
        help="camera to convert, repeatable (default: all that the drive has)",
    )
    parser.add_argument(
        "--compressed", action="store_true", help="store the bytes of the image files (JPEG, PNG) instead of pixels"
    )
    add_bag_options(parser)
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="number of drives converted at a time (default: 1)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing bags")
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0.

    Raises:
        UserError: a drive could not be converted; the others are.
    """
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from fcn_road_seg.bags.kitti import open_drive
    from fcn_road_seg.bags.kitti_to_bag import count, write_bag
    from fcn_road_seg.bags.writer import check_out
    from fcn_road_seg.cli.late_progress import LateProgress
    from fcn_road_seg.errors import UserError, first_line

    bags: dict[Path, Path] = {}
    for path in args.drives:
        bag = args.out if len(args.drives) == 1 else args.out / path.resolve().name
        if bag in bags:
            raise UserError(f"{bags[bag]} and {path} would both be written to {bag}: convert them one at a time")
        bags[bag] = path
    for bag in bags:
        check_out(bag, args.force)
    stop = threading.Event()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    figures, errors = [], []

    with LateProgress(*columns, console=Console(stderr=True)) as bars, ThreadPoolExecutor(args.workers) as pool:

        def convert(bag: Path) -> dict:
            begin = time.monotonic()
            drive = open_drive(bags[bag], args.camera)
            bar = bars.add_task(drive.name, total=count(drive))
            bars.start()

            def on_message() -> None:
                if stop.is_set():
                    raise UserError("interrupted")
                bars.advance(bar)

            messages = write_bag(
                drive,
                bag,
                compressed=args.compressed,
                storage=args.storage,
                version=args.rosbag2_version,
                force=args.force,
                on_message=on_message,
            )
            size = sum(file.stat().st_size for file in bag.iterdir())
            seconds = round(time.monotonic() - begin, 3)
            return {
                "drive": drive.name,
                "bag": str(bag),
                "messages": messages,
                "bytes": size,
                "seconds": seconds,
                "notes": drive.notes,
            }

        try:
            for future in as_completed([pool.submit(convert, bag) for bag in bags]):
                try:
                    figures.append(future.result())
                except (UserError, OSError) as error:
                    errors.append(first_line(error))
        except BaseException:  # Ctrl-C: the threads stop at their next message and remove their unfinished bags
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise

    figures.sort(key=lambda f: f["bag"])
    for f in figures:
        print(f"{f['bag']}: {sum(f['messages'].values())} messages, {f['bytes'] / 1e6:.1f} MB, {f['seconds']:.1f} s")
        print(*(f"  {n} {topic}" for topic, n in f["messages"].items()), *f["notes"], sep="\n")
    write_json(args.json, figures)
    if errors:
        raise UserError("\n".join(sorted(errors)))
    return 0


def _workers(text: str) -> int:
    """A number of drives, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of drives: give 1 or more")
    return int(text)
