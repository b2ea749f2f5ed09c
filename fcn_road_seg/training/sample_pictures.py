"""Pictures of a few validation frames, for TensorBoard."""

from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from fcn_road_seg.evaluation.error_picture import error_picture
from fcn_road_seg.evaluation.inference_loop import Segment
from fcn_road_seg.frames.sample import Samples

PICTURES = 4
WIDTH = 640


def sample_pictures(
    segment: Segment, sets: Mapping[str, Samples], threshold: float
) -> Iterator[tuple[str, np.ndarray]]:
    """About `PICTURES` frames, always the same, evenly from all sets, tinted as `error_picture` does.

    Args:
        sets: labelled frames by data set.
        threshold: P(road), 0..1.

    Yields:
        SET/FRAME, and uint8 H x W x 3 RGB, at most `WIDTH` wide.
    """
    for name, frames in sets.items():
        count = min(len(frames), max(1, PICTURES // len(sets)))
        for index in np.linspace(0, len(frames) - 1, count).round().astype(int):
            sample = frames[int(index)]
            picture = error_picture(sample.image, sample.label, segment(sample.image), threshold)
            height, width = picture.shape[:2]
            if width > WIDTH:
                picture = cv2.resize(picture, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
            yield f"{name}/{sample.name}", picture
