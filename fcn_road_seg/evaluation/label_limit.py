"""What KITTI Road's labels themselves leave open: how good a mask may be and still not reach 100 %.

python -m fcn_road_seg.evaluation.label_limit KITTI_ROAD_DIR --split val
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.cli.options import add_json_option, add_segmenter_options, load_segmenter, progress, write_json
from fcn_road_seg.datasets.kitti_road import KittiRoad, open_split, read_calibration
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView
from fcn_road_seg.evaluation.corruptions import through_jpeg
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, Sample
from fcn_road_seg.inference.preprocess import network_size

JPEG_QUALITY = 75  # of the copies that most frames here are

Change = Callable[[Sample], tuple[np.ndarray, np.ndarray]]  # to P(road) x 255 and a label, uint8 H x W each


def moved_edge(pixels: int, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The label as the answer, its edge `pixels` outwards, or inwards where that is negative."""
    road = np.where(sample.label == ROAD, np.uint8(255), np.uint8(0))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    return (cv2.dilate if pixels > 0 else cv2.erode)(road, kernel), sample.label


def at_network_size(width: int, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The label as the answer, after it was made as small as the network's input and scaled up again."""
    height, columns = sample.label.shape
    road = np.where(sample.label == ROAD, np.float32(255), np.float32(0))
    small = cv2.resize(road, network_size(columns, height, width), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (columns, height)).round().astype(np.uint8), sample.label


def not_road_where_ignored(segment: Callable, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """A network's answer, to a label in which nothing is ignored any more."""
    return segment(sample.image), np.where(sample.label == IGNORE, np.uint8(NOT_ROAD), sample.label)


def after_jpeg(segment: Callable, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """A network's answer to a compressed copy of the frame."""
    return segment(through_jpeg(sample.image, JPEG_QUALITY)), sample.label


def measure(frames: KittiRoad, change: Change) -> dict[str, float]:
    """MaxF and IoU at its threshold, in perspective and in bird's-eye view, 0..1."""
    perspective, bev = PixelCounts(), PixelCounts()
    for sample in frames:
        view = BirdsEyeView(read_calibration(frames.calibration_path(sample.name)))
        road, label = change(sample)
        perspective.add(road, label)
        bev.add(view(road), view(label, outside=IGNORE))
    row = {}
    for name, counts in (("", perspective), ("bev_", bev)):
        metrics = counts.metrics(0.5)
        row |= {f"{name}max_f": metrics.max_f, f"{name}iou": counts.metrics(metrics.threshold).iou}
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Print a Markdown table. Exit codes: 0 done, 2 bad input (one sentence on stderr)."""
    parser = argparse.ArgumentParser(description="What KITTI Road's labels themselves leave open.")
    parser.add_argument("root", type=Path, help="KITTI Road folder, the one that holds training/")
    parser.add_argument("--split", default="val", help="frames of the labels' part (default: %(default)s)")
    add_segmenter_options(parser)
    add_json_option(parser)
    args = parser.parse_args(argv)
    try:
        frames, everything = open_split(args.root, args.split), KittiRoad(args.root)
        ignoring = [s.name for s in progress(everything, "looking for ignored areas") if (s.label == IGNORE).any()]
        changes: dict[str, tuple[KittiRoad, Change]] = {
            f"the label itself, shown {width} wide": (frames, partial(at_network_size, width)) for width in (576, 832)
        }
        for pixels in (-5, -3, -2, -1, 1, 2, 3, 5):
            way = "outwards" if pixels > 0 else "inwards"
            changes[f"the label, its edge {abs(pixels)} px {way}"] = frames, partial(moved_edge, pixels)
        if ignoring:
            original, segment = KittiRoad(args.root, ignoring), load_segmenter(args)
            of = f"the network on {len(ignoring)} frames with an ignored area"
            changes[of] = original, lambda sample: (segment(sample.image), sample.label)
            changes[f"{of}, which is now not road"] = original, partial(not_road_where_ignored, segment)
            changes[f"{of}, as JPEG of quality {JPEG_QUALITY}"] = original, partial(after_jpeg, segment)
        rows = {name: measure(*change) for name, change in changes.items()}
    except (UserError, OSError) as error:
        print(f"label_limit: {error}", file=sys.stderr)
        return 2
    write_json(args.json, rows)
    print("| answer | MaxF | IoU | BEV MaxF | BEV IoU |\n|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{100 * value:.2f}" for value in row.values()) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
