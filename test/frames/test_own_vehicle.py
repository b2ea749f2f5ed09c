"""Own-vehicle masks: images and polygons, at the frame's size; what cannot be one is refused in a sentence."""

import hashlib

import cv2
import numpy as np
import pytest

from fcn_road_seg.errors import FrameError, UserError
from fcn_road_seg.files.checksum import write_checksum
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle

BONNET = "polygons:\n  - [[0, 1], [0, 0.75], [1, 0.75], [1, 1]]\n  - [[0.5, 0.5], [0.625, 0.5], [0.625, 1], [0.5, 1]]\n"


def image(path, height=60, width=80):
    mask = np.zeros((height, width), np.uint8)
    mask[height * 3 // 4 :] = 1  # not black, however dark
    mask[height // 2 :, width // 2 : width * 5 // 8] = 200
    write_image(path, mask)
    return OwnVehicle(path)


def test_every_pixel_that_is_not_black_is_the_vehicle(tmp_path):
    own = image(tmp_path / "mask.png")
    hidden = own.hidden(60, 80)
    assert hidden.dtype == np.uint8 and set(np.unique(hidden)) == {0, 255}
    assert (hidden[45:] == 255).all() and (hidden[30:, 40:50] == 255).all()
    assert np.count_nonzero(hidden) == 15 * 80 + 15 * 10
    assert own.share == np.count_nonzero(hidden) / hidden.size
    assert own.sha256 == hashlib.sha256((tmp_path / "mask.png").read_bytes()).hexdigest()
    colour = np.zeros((60, 80, 3), np.uint8)
    colour[50:, :, 2] = 9
    write_image(tmp_path / "colour.png", colour)
    np.testing.assert_array_equal(OwnVehicle(tmp_path / "colour.png").hidden(60, 80)[:, 0] != 0, np.arange(60) >= 50)


def test_polygons_and_an_image_mark_the_same_pixels(tmp_path):
    (tmp_path / "mask.yaml").write_text(BONNET)
    polygons, drawn = OwnVehicle(tmp_path / "mask.yaml"), image(tmp_path / "mask.png")
    assert polygons.share == pytest.approx(drawn.share, abs=0.002)
    difference = polygons.hidden(60, 80) != drawn.hidden(60, 80)
    assert difference.mean() < 0.02  # OpenCV draws the pixels on the outline too
    (tmp_path / "mask.json").write_text('{"polygons": [[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]}')
    rows = OwnVehicle(tmp_path / "mask.json").hidden(100, 30)[:, 7]
    assert np.flatnonzero(rows)[0] in (49, 50) and rows[-1] == 255


@pytest.mark.parametrize("height, width", [(30, 40), (61, 81), (135, 180), (601, 800)])
def test_a_mask_of_the_same_shape_is_scaled(tmp_path, height, width):
    hidden = image(tmp_path / "mask.png").hidden(height, width)
    assert hidden.shape == (height, width)
    assert np.flatnonzero(hidden[:, 0])[0] == pytest.approx(0.75 * height, abs=1)
    assert np.count_nonzero(hidden[height // 2 + 1]) == pytest.approx(width / 8, abs=1)


def test_another_aspect_ratio_is_refused(tmp_path):
    own = image(tmp_path / "mask.png")
    with pytest.raises(FrameError, match=r"mask.png is 80x60, but the frame 1242x375 has another aspect ratio: ") as e:
        own.hidden(375, 1242)
    assert e.value.reason == "own_vehicle_mask"
    own.hidden(375, 500)
    (tmp_path / "mask.yaml").write_text(BONNET)  # polygons fit any frame
    assert OwnVehicle(tmp_path / "mask.yaml").hidden(375, 1242).shape == (375, 1242)


def test_hide(tmp_path):
    own = image(tmp_path / "mask.png")
    probability = np.random.default_rng(0).integers(1, 256, (60, 80), np.uint8)
    before = probability.copy()
    answer = own.hide(probability)
    hidden = own.hidden(60, 80) != 0
    assert (answer[hidden] == 0).all() and (answer[~hidden] == probability[~hidden]).all()
    np.testing.assert_array_equal(probability, before)
    assert own.hidden(60, 80) is own.hidden(60, 80)  # the ground maps are kept as long as the array is the same


def test_a_mask_with_a_sha256_file_must_be_that_file(tmp_path):
    path = tmp_path / "mask.yaml"
    path.write_text(BONNET)
    write_checksum(path, path.read_bytes())
    assert OwnVehicle(path).sha256 == hashlib.sha256(BONNET.encode()).hexdigest()
    path.write_text(BONNET.replace("0.75", "0.25"))
    with pytest.raises(UserError, match=r"mask.yaml was damaged or altered: .* mask.yaml.sha256; renew that file if"):
        OwnVehicle(path)
    (tmp_path / "mask.yaml.sha256").write_text("")
    with pytest.raises(UserError, match="was damaged or altered"):
        OwnVehicle(path)


def test_the_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "mask.yaml").write_text(BONNET)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert OwnVehicle("~/mask.yaml").path == tmp_path / "mask.yaml"


def test_what_cannot_be_a_mask_is_refused_in_a_sentence(tmp_path):
    def refused(name: str) -> str:
        with pytest.raises(UserError) as error:
            OwnVehicle(tmp_path / name)
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
        return str(error.value)

    assert "there is no own-vehicle mask" in refused("none.png")
    (tmp_path / "folder.png").mkdir()
    assert "cannot be read: Is a directory" in refused("folder.png")
    (tmp_path / "text.png").write_text("no image")
    assert "not an image that OpenCV can read" in refused("text.png")
    write_image(tmp_path / "black.png", np.zeros((6, 8), np.uint8))
    assert "marks no pixel" in refused("black.png")
    write_image(tmp_path / "white.png", np.full((6, 8), 255, np.uint8))
    assert "covers the whole image" in refused("white.png")
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", np.eye(99, dtype=np.uint8))[1].tobytes()[:-20])
    assert "a PNG that was cut off" in refused("cut.png")
    write_image(tmp_path / "lossy.jpg", np.eye(99, dtype=np.uint8))
    assert "save it as PNG" in refused("lossy.jpg")
    (tmp_path / "whole.yaml").write_text("polygons: [[[0, 0], [1, 0], [1, 1], [0, 1]]]")
    assert "covers the whole image" in refused("whole.yaml")
    for content in (
        "",
        "polygons: 3",
        "polygons: [[[0, 0], [1, 1]]]",
        "polygons: [[[0, 0], [1, 1], [2, 0]]]",
        "polygons: [[[0, 0], [1, 1], [.nan, 0]]]",
        "polygons: [[[0, 0], [1, 1], [0]]]",
        "polygons: [[[0, 0, 0], [1, 1, 1], [0, 1, 0]]]",
        "points: [[[0, 0], [1, 1], [0, 1]]]",
        "polygons: [[[0, 0], [1, 1], [0, 1]]]\nsize: 3",
        "[[0, 0], [1, 1], [0, 1]]",
        "polygons: [",
        "\xff",
    ):
        (tmp_path / "bad.yaml").write_bytes(content.encode("latin-1"))
        assert "is not 'polygons: [[[x, y], " in refused("bad.yaml")
    (tmp_path / "none.yaml").write_text("polygons: []")
    assert "marks no pixel" in refused("none.yaml")
