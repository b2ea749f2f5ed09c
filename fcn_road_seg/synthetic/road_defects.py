"""Cracks, patches, covers and stains of the road, as a texture."""

import cv2
import numpy as np

from fcn_road_seg.synthetic.textures import Ripmap, noise


def road_defects(rng: np.random.Generator, amount: float) -> Ripmap:
    """Cracks, tar seams, patches, covers and stains of one street, 51 m x 12.8 m at 2.5 cm per texel.

    Args:
        rng: the same state gives the same defects.
        amount: how many, from 0 to about 2.
    """
    height, width, metre = 2048, 512, 40
    tile = np.zeros((height, width), np.float32)
    for _ in range(rng.poisson(7 * amount)):  # patches of newer or older asphalt
        r, c = int(rng.integers(0, height)), int(rng.integers(0, width))
        h, w = rng.uniform(0.6, 7) * metre, rng.uniform(0.4, 2.2) * metre
        tone = rng.uniform(-0.4, 0.28)
        cv2.rectangle(tile, (c, r), (int(c + w), int(r + h)), float(tone), -1)
        if rng.random() < 0.7:
            cv2.rectangle(tile, (c, r), (int(c + w), int(r + h)), float(min(tone, 0) - 0.3), int(rng.integers(1, 3)))
    for _ in range(rng.poisson(14 * amount)):  # cracks, some of them sealed with tar
        sealed = rng.random() < 0.4
        points, heading = [rng.uniform((0, 0), (width, height))], rng.uniform(0, 6.3)
        for _ in range(rng.integers(8, 40)):
            heading += rng.normal(0, 0.45)
            points.append(points[-1] + 9 * np.array([np.cos(heading), np.sin(heading)]))
        cv2.polylines(
            tile,
            [(np.array(points) * 16).astype(np.int32)],
            False,
            -0.75 if sealed else -0.45,
            int(rng.integers(2, 4)) if sealed else 1,
            cv2.LINE_8,
            4,
        )
    for column in rng.uniform(0, width, rng.poisson(1.2 * amount)):  # seams along the road
        wobble = column + noise(rng, height, 2, 200)[:, 0] * 3
        seam = np.stack([wobble, np.arange(height)], -1)[::16]
        cv2.polylines(tile, [seam.astype(np.int32)], False, -0.5, int(rng.integers(1, 3)))
    for _ in range(rng.poisson(2.5)):  # manhole covers
        centre = (int(rng.integers(20, width - 20)), int(rng.integers(20, height - 20)))
        cv2.circle(tile, centre, 14, -0.2, -1)
        cv2.circle(tile, centre, 12, float(rng.uniform(-0.7, -0.4)), -1)
        cv2.circle(tile, centre, 14, -0.7, 1)
    for _ in range(rng.poisson(12 * amount)):  # stains
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(3, 22)), int(rng.integers(5, 60)))
        spot = np.zeros_like(tile)
        cv2.ellipse(spot, centre, axes, 0, 0, 360, float(rng.uniform(-0.35, 0.15)), -1)
        top, bottom = max(0, centre[1] - 90), centre[1] + 90
        tile[top:bottom] += cv2.GaussianBlur(spot[top:bottom], (0, 0), 5)
    return Ripmap(tile, 0.025)
