"""`python -m fcn_road_seg.cli.alarm_rates`: how often the out-of-domain alarm is raised, and on what.

python -m fcn_road_seg.cli.alarm_rates KITTI_ROAD_DIR/testing/image_2 CAMVID_DIR/test --no-road PICTURES
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json
from fcn_road_seg.errors import UserError, first_line


def main(argv: Sequence[str] | None = None) -> int:
    """Print a Markdown table. Exit codes: 0 done, 2 bad input (one sentence on stderr)."""
    parser = argparse.ArgumentParser(prog="alarm_rates", description="Rates of the out-of-domain alarm.")
    parser.add_argument("folders", type=Path, nargs="+", help="folders of ordinary road images")
    parser.add_argument("--no-road", type=Path, nargs="*", default=[], help="folders of pictures that show no road")
    parser.add_argument("--every", type=int, default=10, help="corrupt every n-th image (default: %(default)s)")
    add_segmenter_options(parser)
    add_json_option(parser)
    args = parser.parse_args(argv)
    try:
        figures = _run(args)
    except (UserError, OSError) as error:
        print(f"alarm_rates: {first_line(error)}", file=sys.stderr)
        return 2
    print("| frames | number | alarms |\n|---|---|---|")
    for part in figures.values():
        for name, row in part.items():
            print(f"| {name} | {row['frames']} | {row['alarms']} ({100 * row['rate']:.1f} %) |")
    return 0


def _run(args: argparse.Namespace) -> dict[str, dict[str, dict]]:
    from fcn_road_seg.evaluation.alarm_rates import alarm_rates

    if args.every < 1:
        raise UserError(f"--every is {args.every}, but must be at least 1")
    ordinary, no_road = ({str(f): _images(f) for f in folders} for folders in (args.folders, args.no_road))
    segmenter = load_segmenter(args)
    figures = alarm_rates(segmenter, ordinary, no_road, args.every, lambda items: progress(items, "segmenting"))
    write_json(args.json, figures)
    return figures


def _images(folder: Path) -> list[Path]:
    from fcn_road_seg.frames.image_file import images_in

    images = images_in(folder) if folder.is_dir() else []
    if not images:
        raise UserError(f"there are no images in the folder {folder}")
    return images


if __name__ == "__main__":
    sys.exit(main())
