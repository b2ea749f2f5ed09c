"""Draws the node's ground outputs from above. Does not import ROS."""

import math
from bisect import bisect_right
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.view.ground_arrays import EDGES, FAINT, NOT_ROAD, SCAN, boundary_points, grid_cells, scan_points

STRIP = 28
"""Height in pixels of the strip with the caption and the legend."""
UNSEEN, ROAD, TEXT = (38, 38, 40), (40, 96, 150), (236, 236, 236)
MARGIN = 12
"""Pixels left and right of the strip's text."""
RING = 10.0
"""Metres between the range rings."""


def legend_strip(width: int, caption: str = "", legend: bool = True) -> np.ndarray:
    """A strip to put below a picture: a caption at the left, and the names of the colours at the right.

    Returns:
        uint8 `STRIP` x `width` x 3 RGB.
    """
    strip = np.full((STRIP, width, 3), UNSEEN, np.uint8)
    right = _legend(strip) if legend else width - MARGIN
    write(strip, fitted(caption, right - MARGIN), (MARGIN, 19), TEXT)
    return strip


def _legend(strip: np.ndarray) -> int:
    """Name the colours, from the right edge of a strip; returns the column to the left of which there is room."""
    right = strip.shape[1] - MARGIN
    for name, colour in (
        ("edges", EDGES),
        ("scan", SCAN),
        ("unseen", FAINT),
        ("not road", NOT_ROAD),
        ("road", ROAD),
    ):
        width = text_width(name)
        write(strip, name, (right - width, 19), TEXT)
        corner = right - width - 18, 9
        hollow = name == "unseen"
        cv2.rectangle(strip, corner, (corner[0] + 11, 19), colour, 1 if hollow else cv2.FILLED)
        right = corner[0] - 14
    return right


def text_width(text: str) -> int:
    """The width in pixels of what `write` writes."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    return width


def fitted(text: str, width: int) -> str:
    """A text that may be a file's name as one line, at most `width` pixels wide: its middle is left out if need be."""
    text = text.encode(errors="replace").decode()  # it may be no text
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    if text_width(text) <= width:
        return text

    def shortened(letters: int) -> str:
        return f"{text[: (letters + 1) // 2]}...{text[len(text) - letters // 2 :]}"

    return shortened(bisect_right(range(len(text)), width, key=lambda n: text_width(shortened(n))) - 1)


def write(picture: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Write a line of text with its baseline's left end at (x, y)."""
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def birds_eye(outputs: dict[str, Any], width: int, height: int, missing: str = "no grid") -> np.ndarray:
    """Draw the node's ground outputs from above; the vehicle is at the lower edge and ahead is up.

    Edges and scan reach as far as the camera sees the road, the grid only as far as its cells are told apart: they are
    drawn where the grid is seen.

    Args:
        outputs: "grid", "scan" and "boundary", the messages of a frame; any may be missing.
        width: of the picture in pixels.
        height: of the picture in pixels.
        missing: what to write where there is no grid.

    Returns:
        uint8 `height` x `width` x 3 RGB; the grid keeps its aspect ratio, is centred and touches the lower edge.
    """
    picture = np.full((height, width, 3), UNSEEN, np.uint8)
    grid = outputs.get("grid")
    if grid is None:
        write(picture, missing, (8, height // 2), TEXT)
        return picture
    info = grid.info
    cells = grid_cells(grid).T[::-1, ::-1]  # the grid's rows run from right to left, and its columns ahead
    share = np.clip(cells, 0, 100)[..., None] / 100
    colours = np.where(cells[..., None] < 0, UNSEEN, (1 - share) * ROAD + share * NOT_ROAD).astype(np.uint8)
    scale = min(width / (info.height * info.resolution), height / (info.width * info.resolution))  # pixels per metre
    size = [max(1, round(n * info.resolution * scale)) for n in (info.height, info.width)]
    left = (width - size[0]) // 2
    place = slice(height - size[1], height), slice(left, left + size[0])
    picture[place] = cv2.resize(colours, size, interpolation=cv2.INTER_NEAREST)
    seen = np.zeros((height, width), np.uint8)
    seen[place] = cv2.resize((cells >= 0).view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    reach = 2 * math.ceil(info.resolution * scale) + 1  # an edge may lie half a pixel outside of the outermost cell
    shown = cv2.dilate(seen, np.ones((reach, reach), np.uint8)) > 0
    x0, y0 = info.origin.position.x, info.origin.position.y

    def pixels(points: np.ndarray) -> np.ndarray:
        """Columns and rows of points (x ahead, y left) in metres."""
        return np.rint([left + size[0] - (points[:, 1] - y0) * scale, height - (points[:, 0] - x0) * scale]).T.astype(
            int
        )

    vehicle = pixels(np.zeros((1, 2)))[0].tolist()
    for ring in np.arange(RING, info.width * info.resolution + x0, RING):
        cv2.ellipse(picture, vehicle, [round(ring * scale)] * 2, 0, 180, 360, FAINT, 1, cv2.LINE_AA)
        write(picture, f"{ring:g} m", (left + 4, round(vehicle[1] - ring * scale) + 14), TEXT)
    drawn = picture.copy()
    if "boundary" in outputs:
        corners = pixels(boundary_points(outputs["boundary"]))
        cv2.polylines(drawn, [corners], isClosed=True, color=EDGES, thickness=1, lineType=cv2.LINE_AA)
    if "scan" in outputs:
        for centre in pixels(scan_points(outputs["scan"])).tolist():
            cv2.circle(drawn, centre, 2, SCAN, cv2.FILLED)
    picture[shown] = drawn[shown]
    body = np.array([[0.0, 0.9], [0.0, -0.9], [2.2, 0.0]])  # an arrow as wide as a car
    cv2.fillPoly(picture, [pixels(body)], AZURE, cv2.LINE_AA)
    return picture
