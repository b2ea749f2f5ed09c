"""Label maps: ids, palettes, colours and names, and every invalid file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_road_seg.datasets.label_image import read_label
from fcn_road_seg.datasets.label_map import NAMES, read_label_map
from fcn_road_seg.frames.sample import DatasetError

IMAGE = np.zeros((2, 3, 3), np.uint8)
IDS = np.array([[7, 8, 0], [11, 7, 255]], np.uint8)


def write(folder: Path, text: str) -> Path:
    path = folder / "map.yaml"
    path.write_text(text)
    return path


def test_ids_of_grey_images_and_of_palettes(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "grey.png")
    palette = Image.fromarray(IDS).convert("P")
    palette.putdata(IDS.ravel().tolist())
    palette.putpalette([value % 256 for value in range(768)])
    palette.save(tmp_path / "palette.png")
    mapped = read_label_map(write(tmp_path, "road: [7, 8]\nnot_road: 11\nignore: [0, 255]\n"))
    for name in ("grey.png", "palette.png"):
        label = read_label(tmp_path / name, IMAGE, mapped)
        assert label.dtype == np.uint8 and label.tolist() == [[1, 1, 255], [0, 1, 255]]


def test_colours_of_pixels_and_of_palettes(tmp_path):
    colours = np.array([[[128, 64, 128], [0, 0, 0], [1, 2, 3]], [[128, 64, 128], [1, 2, 3], [1, 2, 3]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    palette = Image.fromarray(np.array([[0, 1, 2], [0, 2, 2]], np.uint8)).convert("P")
    palette.putdata([0, 1, 2, 0, 2, 2])
    palette.putpalette([128, 64, 128, 0, 0, 0, 1, 2, 3])
    palette.save(tmp_path / "palette.png")
    mapped = read_label_map(write(tmp_path, 'road: ["#804080"]\nignore: [[0, 0, 0]]\ndefault: not_road\n'))
    for name in ("colours.png", "palette.png"):
        assert read_label(tmp_path / name, IMAGE, mapped).tolist() == [[1, 255, 0], [1, 0, 0]]
    with pytest.raises(DatasetError, match="colours.png is a colour image.*name its colours in a label_map.yaml"):
        read_label(tmp_path / "colours.png", IMAGE, None)


def test_values_that_are_not_named(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "grey.png")
    with pytest.raises(
        DatasetError, match=r"grey.png has the ids 11, 255, which .*map.yaml does not name.*default: not_road"
    ):
        read_label(tmp_path / "grey.png", IMAGE, read_label_map(write(tmp_path, "road: [7, 8]\nignore: 0")))
    mapped = read_label_map(write(tmp_path, "road: 7\ndefault: ignore"))
    assert read_label(tmp_path / "grey.png", IMAGE, mapped).tolist() == [[1, 255, 255], [255, 1, 255]]
    Image.fromarray(IMAGE + 9).save(tmp_path / "colour.png")
    with pytest.raises(DatasetError, match="colour.png has the colour #090909"):
        read_label(tmp_path / "colour.png", IMAGE, read_label_map(write(tmp_path, 'road: "#ffffff"')))


def test_names_of_categories(tmp_path):
    assert NAMES.of_name("Drivable_Area", tmp_path) == 1 and NAMES.of_name("not-road", tmp_path) == 0
    with pytest.raises(
        DatasetError, match="has the category 'car', whose meaning is unknown: add it to .* label_map.yaml beside"
    ):
        NAMES.of_name("car", tmp_path)
    mapped = read_label_map(write(tmp_path, "road: [Paved Road, track]\nnot_road: car\noutside: ignore"))
    assert [mapped.of_name(name, tmp_path) for name in ("paved_road", "TRACK", "car")] == [1, 1, 0]
    assert mapped.outside == 255 and NAMES.outside == 0
    with pytest.raises(DatasetError, match="'road', which .*map.yaml does not name"):
        mapped.of_name("road", tmp_path)  # names in a map replace the known ones


@pytest.mark.parametrize(
    "text", ["default: not_road", "outside: ignore\ndefault: not_road", "road: 7\ndefault: not_road"]
)
def test_a_map_without_names_of_categories_keeps_the_known_ones(tmp_path, text):
    mapped = read_label_map(write(tmp_path, text))
    assert [mapped.of_name(name, tmp_path) for name in ("road", "void", "kerb")] == [1, 255, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road: [", "not valid YAML"),
        ("- 7", "is not a label map"),
        ("lane: 7", "is not a label map"),
        ("road: 7\nlane: 8", "has no key 'lane'"),
        ("road: 256", "256 is neither an id of 0..255"),
        ("road: true", "True is neither"),
        ("road: [1.5]", "1.5 is neither"),
        ('road: ["#12"]', "'#12' is neither"),
        ("road: [[1, 2]]", r"\[1, 2\] is neither"),
        ("road: #804080", "None is neither.*in quotes"),
        ("road: 7\nignore: [8, 7]", "gives 7 two meanings"),
        ('road: [7, "#804080"]', "has ids and colours"),
        ("road: 7\ndefault: 0", "default is 0, but must be road, not_road or ignore"),
        ("road: 7\noutside: sky", "outside is 'sky'"),
    ],
)
def test_invalid_files_are_refused(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        read_label_map(write(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot read the label map"):
        read_label_map(tmp_path / "missing.yaml")
    (tmp_path / "map.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not valid YAML"):
        read_label_map(tmp_path / "map.yaml")
