"""The colours of right and wrong: where they are, and that everybody can tell them apart."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from fcn_road_seg.evaluation.error_picture import COLOURS, MEANINGS, OPACITY, error_picture, label_picture
from fcn_road_seg.postprocess.overlay import AZURE

# Machado, Oliveira and Fernandes (2009): what a viewer sees of linear RGB.
VIEWERS = {
    "everybody else": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def test_the_colours_of_right_and_wrong():
    image, label = np.full((1, 5, 3), 100, np.uint8), np.array([[1, 1, 0, 0, 255]], np.uint8)
    picture = error_picture(image, label, np.array([[255, 0, 255, 0, 255]], np.uint8), 0.5)[0]
    assert picture.tolist() == [[65, 122, 178], [224, 200, 20], [190, 60, 20], [100] * 3, [33] * 3]
    assert label_picture(image, label)[0].tolist() == [[65, 122, 178]] * 2 + [[100] * 3] * 2 + [[33] * 3]


def test_found_road_has_the_colour_of_overlays():
    assert COLOURS["found"] == AZURE and COLOURS.keys() == OPACITY.keys() == MEANINGS.keys()


@pytest.mark.parametrize("viewer", VIEWERS)
def test_the_colour_blind_tell_them_apart_on_any_frame(viewer):
    """At least 15 in CIE Lab: from each other on any greys, and from what has no tint on the same grey."""
    greys = np.arange(20, 236, 15)
    image = np.repeat(np.uint8(greys)[None, :, None], 3, -1)
    ones = np.ones((1, len(greys)), np.uint8)
    pictures = {
        "found": error_picture(image, ones, 255 * ones, 0.5),
        "missed": error_picture(image, ones, 0 * ones, 0.5),
        "false": error_picture(image, 0 * ones, 255 * ones, 0.5),
        "right": error_picture(image, 0 * ones, 0 * ones, 0.5),
    }
    seen = {name: lab(picture, np.array(VIEWERS[viewer])) for name, picture in pictures.items()}
    for a, b in combinations(seen, 2):
        distance = np.linalg.norm(seen[a][:, None] - seen[b][None], axis=-1)
        assert (np.diagonal(distance) if b == "right" else distance).min() > 15, (a, b)


def lab(picture: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """CIE Lab, N x 3, of a picture's pixels as a viewer sees them."""
    values = picture.reshape(-1, 3) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ sight.T, 0, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(np.float32(values)[None], cv2.COLOR_RGB2LAB)[0]
