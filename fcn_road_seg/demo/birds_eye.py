"""Draws the bird's-eye view of a frame: grid, scan and boundary."""

from typing import Any

import cv2
import numpy as np

GREY = (48, 48, 48)
COLOURS = {-1: GREY, 0: (60, 120, 60), 100: (150, 120, 110)}
"""RGB colours of the grid's cells: unknown, road, not road."""
BOUNDARY, SCAN = (255, 220, 60), (255, 70, 70)


def birds_eye(outputs: dict[str, Any], width: int) -> np.ndarray:
    """Draw the node's ground outputs; the vehicle is at the left and faces right.

    Args:
        outputs: "grid", "scan" and "boundary", the messages of a frame; any may be missing.
        width: of the picture in pixels.

    Returns:
        uint8 H x `width` x 3 RGB, with the grid's aspect ratio, or 2:1 without a grid.
    """
    grid = outputs.get("grid")
    if grid is None:
        return np.full((width // 2, width, 3), GREY, np.uint8)
    info = grid.info
    cells = np.asarray(grid.data, np.int8).reshape(info.height, info.width)
    share = np.clip(cells, 0, 100)[..., None] / 100
    picture = np.where(cells[..., None] < 0, COLOURS[-1], (1 - share) * COLOURS[0] + share * COLOURS[100])
    height = max(1, round(width * info.height / info.width))
    # The first row of the grid is on the right-hand side of the vehicle.
    picture = cv2.resize(picture[::-1].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    scale = width / (info.width * info.resolution)
    x, y = info.origin.position.x, info.origin.position.y

    def pixels(points: np.ndarray) -> np.ndarray:
        return np.rint([(points[:, 0] - x) * scale, height - (points[:, 1] - y) * scale]).T.astype(np.int32)

    if "boundary" in outputs:
        points = np.array([(p.x, p.y) for p in outputs["boundary"].polygon.points], np.float64).reshape(-1, 2)
        cv2.polylines(picture, [pixels(points)], isClosed=True, color=BOUNDARY, thickness=1, lineType=cv2.LINE_AA)
    if "scan" in outputs:
        scan = outputs["scan"]
        ranges = np.asarray(scan.ranges, np.float64)
        bearings = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
        hit = np.isfinite(ranges)
        points = ranges[hit, None] * np.stack([np.cos(bearings[hit]), np.sin(bearings[hit])], -1)
        for centre in pixels(points).tolist():
            cv2.circle(picture, centre, 2, SCAN, cv2.FILLED)
    return picture
