"""Draw docs/synthetic.jpg: each camera, street and weather of the synthetic scenes once, with the road's edge.

python tools/synthetic_sheet.py docs/synthetic.jpg
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.synthetic import CAMERAS, SyntheticDrive

WIDTH = 400
ROWS = (
    (
        ("hd", "residential", "sun", 7),
        ("hd", "country", "overcast", 3),
        ("hd", "urban", "wet", 4),
        ("hd", "avenue", "dusk", 5),
    ),
    (
        ("windscreen", "residential", "sun", 38),
        ("windscreen", "avenue", "rain", 24),
        ("windscreen", "urban", "headlights", 11),
        ("windscreen", "country", "rainy_night", 13),
    ),
    (
        ("hd", "brick_pavement", "sun", 2),
        ("hd", "gravel", "sun", 4),
        ("hd", "residential", "headlights", 0),
        ("hd", "country", "rain", 22),
    ),
    (
        ("robot", "brick", "overcast", 1),
        ("vga", "gravel_shoulder", "fog", 6),
        ("vga", "residential", "night", 3),
        ("sxga", "urban", "overcast", 2),
    ),
)
"""Camera, scene, weather and seed of each frame."""


def picture(name: str, scene: str, weather: str, seed: int) -> np.ndarray:
    """One frame with the road's edge and its names, uint8 H x WIDTH x 3 RGB."""
    camera = CAMERAS[name]
    height = round(WIDTH * camera.height / camera.width)
    camera = camera.resized(2 * WIDTH, 2 * height)
    frame = SyntheticDrive(seed=seed, camera=camera, scene=scene, weather=weather)[20]
    edges, _ = cv2.findContours(frame.road.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    image = cv2.drawContours(frame.image.copy(), edges, -1, (60, 255, 90), 2)
    image = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    text = f"{name}, {scene}, {weather}"
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    image[: high + 10, : wide + 10] //= 4
    cv2.putText(image, text, (5, high + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def row(frames: tuple[tuple[str, str, str, int], ...]) -> np.ndarray:
    """Several frames side by side, cut to the height of the lowest, uint8 H x W x 3 RGB."""
    images = [picture(*frame) for frame in frames]
    height = min(len(image) for image in images)
    return np.hstack([np.pad(image[:height], ((0, 4), (0, 4), (0, 0)), constant_values=255) for image in images])


def main(path: Path) -> None:
    """Write the sheet to `path`."""
    sheet = np.vstack([row(frames) for frames in ROWS])
    _, content = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    path.write_bytes(content.data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
