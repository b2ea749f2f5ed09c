"""`python -m fcn_road_seg.cli.label_limit`: what KITTI Road's labels themselves leave open.

python -m fcn_road_seg.cli.label_limit KITTI_ROAD_DIR --split val
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json
from fcn_road_seg.errors import UserError, first_line


def main(argv: Sequence[str] | None = None) -> int:
    """Print a Markdown table. Exit codes: 0 done, 2 bad input (one sentence on stderr)."""
    parser = argparse.ArgumentParser(prog="label_limit", description="What KITTI Road's labels themselves leave open.")
    parser.add_argument("root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument(
        "--split",
        default="val",
        help="frames whose labels are measured: all, train, val or a file of frame names (default: %(default)s)",
    )
    add_segmenter_options(parser)
    add_json_option(parser)
    args = parser.parse_args(argv)
    try:
        rows = _run(args)
    except (UserError, OSError) as error:
        print(f"label_limit: {first_line(error)}", file=sys.stderr)
        return 2
    print("| answer | MaxF | IoU | BEV MaxF | BEV IoU |\n|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{100 * value:.2f}" for value in row.values()) + " |")
    return 0


def _run(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    from fcn_road_seg.datasets.kitti_road import KittiRoad, open_split
    from fcn_road_seg.evaluation import label_limit

    labels, all_frames = open_split(args.root, args.split), KittiRoad(args.root)
    labels.require_calibrations()
    ignoring = label_limit.names_with_ignored_area(
        all_frames, lambda items: progress(items, "looking for ignored areas")
    )
    segmenter = load_segmenter(args) if ignoring else None
    rows = label_limit.limits_of_labels(labels)
    if segmenter:
        rows |= label_limit.limits_of_copies(KittiRoad(args.root, ignoring), segmenter)
    write_json(args.json, rows)
    return rows


if __name__ == "__main__":
    sys.exit(main())
