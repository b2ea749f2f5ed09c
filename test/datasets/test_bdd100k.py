"""BDD100K's drivable areas: both layouts, which areas are road, and invalid folders."""

import numpy as np
import pytest
from PIL import Image
from tiny_bdd100k import NAMES, draw, write_folder

from fcn_road_seg.datasets.bdd100k import Bdd100k
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import DatasetError


@pytest.mark.parametrize("first_release", [False, True])
@pytest.mark.parametrize(
    ("road", "areas"), [(("direct", "alternative"), [0, 1]), (("direct",), [0]), (("alternative",), [1])]
)
def test_both_layouts(tmp_path, first_release, road, areas):
    frames = Bdd100k(write_folder(tmp_path, "val", first_release), "val", road)
    assert frames.names == list(NAMES) and len(frames) == len(NAMES)
    for seed, sample in enumerate(frames):
        image, truth = draw(seed)
        assert set(np.unique(truth)) == {0, 1, 2}
        assert np.array_equal(sample.label, np.isin(truth, areas)) and sample.label.dtype == np.uint8
        assert np.abs(sample.image.astype(int) - image).mean() < 10
        assert sample.classes is None and sample.name == NAMES[seed]


def test_both_areas_are_road_by_default(tmp_path):
    root = write_folder(tmp_path)
    assert np.array_equal(Bdd100k(root)[0].label, Bdd100k(root, "train", ["direct", "alternative"])[0].label)


def test_the_current_layout_comes_first(tmp_path):
    root = write_folder(write_folder(tmp_path, first_release=True))
    assert np.array_equal(Bdd100k(root)[0].label, draw(0)[1] < 2)


def test_invalid_bdd100k_folders_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no images/100k/train"):
        Bdd100k(tmp_path)
    (tmp_path / "images" / "100k" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="neither labels/drivable/masks/train nor drivable_maps/labels/train"):
        Bdd100k(tmp_path)
    (tmp_path / "labels" / "drivable" / "masks" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has no images"):
        Bdd100k(tmp_path)
    with pytest.raises(DatasetError, match="no images/100k/val"):
        Bdd100k(write_folder(tmp_path), "val")
    for road, message in ((["oncoming"], "not oncoming"), ([], "not none")):
        with pytest.raises(DatasetError, match=message):
            Bdd100k(tmp_path, road=road)


def test_suffixes_in_capitals_and_hidden_files(tmp_path):
    root = write_folder(tmp_path)
    images, labels = root / "images/100k/train", root / "labels/drivable/masks/train"
    (images / f"{NAMES[0]}.jpg").rename(images / f"{NAMES[0]}.JPEG")
    (labels / f"{NAMES[1]}.png").rename(labels / f"{NAMES[1]}.PNG")
    (images / f"._{NAMES[0]}.jpg").write_bytes(b"")
    assert Bdd100k(root).names == list(NAMES) and Bdd100k(root)[1].label.any()


def test_an_image_without_label_is_named(tmp_path):
    root = write_folder(tmp_path)
    (root / "labels" / "drivable" / "masks" / "train" / f"{NAMES[2]}.png").unlink()
    with pytest.raises(DatasetError, match=f"{NAMES[2]}.jpg has no label .*{NAMES[2]}.png"):
        Bdd100k(root)


def test_damaged_files_are_named(tmp_path):
    frames = Bdd100k(write_folder(tmp_path))
    image, label = frames.frames[0]
    intact = label.read_bytes()
    label.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(DatasetError, match=f"{NAMES[0]}.png cannot be read"):
        frames[0]
    Image.fromarray(np.full((180, 320), 3, np.uint8)).save(label)
    with pytest.raises(DatasetError, match="class id 3, but the highest valid one is 2"):
        frames[0]
    label.write_bytes(intact)
    image.write_bytes(image.read_bytes()[:-300])
    with pytest.raises(UserError, match=f"{NAMES[0]}.jpg is a JPEG that was cut off"):
        frames[0]
