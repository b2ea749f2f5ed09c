"""A KITTI Road folder of drawn frames, in the official layout, for tests."""

from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.datasets.kitti_road import encode_label
from fcn_road_seg.frames.image_file import write_image

CALIBRATION = """P2: 100 0 95.5 0 0 100 30 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_cam_to_road: 1 0 0 0 0 1 0 -1.65 0 0 1 0

"""


def draw(seed: int, height: int = 60, width: int = 192) -> tuple[np.ndarray, np.ndarray]:
    """A grey trapezoid of road on green under blue: image RGB and label; the bottom row is ignored."""
    generator = np.random.default_rng(seed)
    horizon = height // 2
    label = np.zeros((height, width), np.uint8)
    middle, left, right = width // 2 + generator.integers(-20, 20), *generator.integers(10, 60, 2)
    corners = [(middle - 3, horizon), (middle + 3, horizon), (width - right, height), (left, height)]
    cv2.fillPoly(label, [np.array(corners, np.int32)], 1)
    image = np.zeros((height, width, 3), np.uint8)
    image[:horizon], image[horizon:] = (120, 160, 230), (40, 130, 50)
    image[label == 1] = (110, 110, 115)
    image = np.clip(image + generator.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    label[-1] = 255
    return image, label


def write_folder(root: Path, names: list[str], suffix: str = ".png") -> Path:
    """Write frames with these names ("um_000000", ...); returns `root`."""
    for part in ("image_2", "gt_image_2", "calib"):
        (root / "training" / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        image, label = draw(seed)
        category, number = name.split("_")
        write_image(root / "training" / "image_2" / f"{name}{suffix}", image)
        write_image(root / "training" / "gt_image_2" / f"{category}_road_{number}.png", encode_label(label))
        (root / "training" / "calib" / f"{name}.txt").write_text(CALIBRATION)
    return root
