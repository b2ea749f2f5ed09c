"""Drops small islands of road, and fills small holes in it, by changing P(road) there."""

from collections.abc import Iterable

import cv2
import numpy as np

from fcn_road_seg.postprocess.threshold import threshold_level, threshold_mask


def without_small_regions(
    probability: np.ndarray, threshold: float, min_region: float, hidden: np.ndarray | None = None
) -> np.ndarray:
    """P(road) whose mask has neither islands of road nor holes in the road that are smaller than a share of the image.

    The last step before the threshold: there is no road on the vehicle itself either, to which a temporal filter may
    have spread it.

    P(road) becomes the nearest value on the other side of the threshold, so that masks, labels, cells and overlays made
    from the result agree, and the confidence of a pixel that changes its class is low. An island's size is what its
    outline encloses. A hole is enclosed by road: what touches the edge of the image is none. Road is connected by edges
    and corners of pixels, a hole by edges.

    Args:
        probability: P(road) x 255, uint8 H x W.
        threshold: P(road), 0..1, from which a pixel is road.
        min_region: share of the image, 0..1; 0 leaves all regions.
        hidden: uint8 H x W, 255 where the vehicle itself is in view and P(road) becomes 0, else 0; None if it is not.

    Returns:
        P(road) x 255, uint8 H x W; `probability` itself if there is nothing to change.
    """
    if hidden is not None:
        probability = cv2.subtract(probability, hidden)
    if not min_region:
        return probability
    limit = min_region * probability.size
    # Outlines are several times faster than cv2.connectedComponentsWithStats, and one pass finds islands and holes.
    outlines, hierarchy = cv2.findContours(
        threshold_mask(probability, threshold), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    islands: dict[int, np.ndarray] = {}
    holes: list[tuple[int, np.ndarray]] = []
    for i, outline in enumerate(outlines):
        # Pick's theorem: pixels on and inside an outline are area + half the pixels on it + 1. A hole's is in the road.
        around = hierarchy[0, i, 3]
        pixels = cv2.contourArea(outline) + 1 + (0.5 if around < 0 else -0.5) * len(outline)
        if pixels < limit and around < 0:
            islands[i] = outline
        elif pixels < limit:
            holes.append((around, outline))
    filled = [outline for around, outline in holes if around not in islands]
    level = threshold_level(threshold)
    if islands:
        highest = np.full_like(probability, 255)
        _fill(highest, islands.values(), level - 1)
        probability = cv2.min(probability, highest)
    if filled:
        lowest = np.zeros_like(probability)
        _fill(lowest, filled, level)
        if hidden is not None:
            lowest = cv2.subtract(lowest, hidden)
        probability = cv2.max(probability, lowest)
    return probability


def _fill(image: np.ndarray, outlines: Iterable[np.ndarray], value: int) -> None:
    for outline in outlines:  # each on its own: together, one inside another would be left out
        cv2.drawContours(image, [outline], -1, value, cv2.FILLED)
