"""How often the out-of-domain alarm sounds: on frames as they are, and on the same ones spoilt.

python -m fcn_road_seg.evaluation.alarm_rates KITTI_ROAD_DIR/testing/image_2 CAMVID_DIR/test --no-road PICTURES
"""

import argparse
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.corrupted_frames import KINDS
from fcn_road_seg.frames.image_file import images_in, read_rgb
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.postprocess.out_of_domain import alarm, look


def alarms(
    segment: Callable[[np.ndarray], np.ndarray],
    files: Sequence[Path],
    kinds: Iterable[str] = (),
    every: int = 1,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[str, list[str]]:
    """What `out_of_domain.alarm` says of images.

    Args:
        segment: uint8 H x W x 3 RGB -> P(road) x 255, uint8 H x W.
        kinds: of `corrupted_frames.KINDS`, done to every `every`-th image.

    Returns:
        One sentence per image, "" where nothing is wrong, under "" as they are and under each kind.
    """
    sentences: dict[str, list[str]] = {kind: [] for kind in ("", *kinds)}
    for i in track(range(len(files))):
        frame = read_rgb(files[i])
        for kind in sentences:
            if not kind or i % every == 0:
                rng = np.random.default_rng(zlib.crc32(f"{kind} {files[i].stem}".encode()))
                spoilt = KINDS[kind](frame, rng) if kind else frame
                sentences[kind].append(alarm(look(spoilt, segment(spoilt))))
    return sentences


def main(argv: Sequence[str] | None = None) -> int:
    """Print a Markdown table. Exit codes: 0 done, 2 bad input (one sentence on stderr)."""
    parser = argparse.ArgumentParser(description="Rates of the out-of-domain alarm.")
    parser.add_argument("folders", type=Path, nargs="+", help="folders of ordinary road images")
    parser.add_argument("--no-road", type=Path, nargs="*", default=[], help="folders of pictures that show no road")
    parser.add_argument("--every", type=int, default=10, help="spoil every so manieth image (default: %(default)s)")
    add_segmenter_options(parser)
    add_json_option(parser)
    args = parser.parse_args(argv)
    try:
        if args.every < 1:
            raise UserError(f"--every is {args.every}, but must be at least 1")
        for folder in (*args.folders, *args.no_road):
            if not folder.is_dir() or not images_in(folder):
                raise DatasetError(f"there are no images in the folder {folder}")
        segmenter = load_segmenter(args)
        ordinary: dict[str, list[str]] = {}
        spoilt: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for folder in args.folders:
            found = alarms(segmenter, images_in(folder), KINDS, args.every, partial(progress, description=folder.name))
            ordinary[str(folder)] = found.pop("")
            for kind, sentences in found.items():
                spoilt[kind] += sentences
        no_road = {str(f): alarms(segmenter, images_in(f))[""] for f in args.no_road}
    except (UserError, OSError) as error:
        print(f"alarm_rates: {error}", file=sys.stderr)
        return 2

    together = {"all of them": [s for sentences in ordinary.values() for s in sentences]}
    figures = {
        "ordinary": {name: _counts(s) for name, s in (ordinary | together).items()},
        "spoilt": {name: _counts(s) for name, s in spoilt.items()},
        "no_road": {name: _counts(s) for name, s in no_road.items()},
    }
    write_json(args.json, figures)
    print("| frames | number | alarms |\n|---|---|---|")
    for part in figures.values():
        for name, row in part.items():
            print(f"| {name} | {row['frames']} | {row['alarms']} ({100 * row['rate']:.1f} %) |")
    return 0


def _counts(sentences: list[str]) -> dict:
    count = sum(map(bool, sentences))
    return {"frames": len(sentences), "alarms": count, "rate": count / max(len(sentences), 1)}


if __name__ == "__main__":
    sys.exit(main())
