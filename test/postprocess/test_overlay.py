"""The overlay: tint, outline and what stays as it is."""

import cv2
import numpy as np
import pytest

from fcn_road_seg.cli.main import make_parser
from fcn_road_seg.postprocess.overlay import ALPHA, AZURE, overlay

FRAME = np.random.default_rng(0).integers(0, 256, (500, 80, 3), np.uint8)


def mixed(opacity: float) -> np.ndarray:
    return cv2.addWeighted(FRAME, 1 - opacity, np.full_like(FRAME, AZURE), opacity, 0)


def test_the_road_is_tinted_and_outlined_on_its_inside():
    mask = np.zeros((500, 80), np.uint8)
    mask[100:400, 20:] = 255  # it leaves the image on the right, where it has no edge
    picture = overlay(FRAME, mask)
    inside, outline = mask == 255, mask == 255
    inside[:102] = inside[398:] = inside[:, :22] = False
    np.testing.assert_array_equal(picture[inside], mixed(ALPHA)[inside])
    np.testing.assert_array_equal(picture[outline & ~inside], mixed(2 * ALPHA)[outline & ~inside])
    np.testing.assert_array_equal(picture[mask == 0], FRAME[mask == 0])


def test_without_opacity_the_frame_is_unchanged():
    np.testing.assert_array_equal(overlay(FRAME, np.full((500, 80), 255, np.uint8), 0), FRAME)


@pytest.mark.parametrize("command", (["segment", "frame.png"], ["segment-bag", "bag"]))
def test_commands_draw_the_same_overlay_as_the_node(command):
    assert make_parser().parse_args([*command, "--out", "out"]).alpha == ALPHA
