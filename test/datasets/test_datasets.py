"""KITTI Road and CamVid: layout, colours, splits and invalid folders."""

from pathlib import Path

import numpy as np
import pytest
from tiny_kitti import draw, write_folder

from fcn_road_seg.datasets.camvid import CamVid
from fcn_road_seg.datasets.kitti_road import (
    KittiRoad,
    decode_label,
    encode_label,
    read_calibration,
    read_names,
    split_names,
)
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import DatasetError

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = ["um_000000", "um_000001", "umm_000000", "uu_000003"]


def test_kitti_colours():
    colours = np.array([[(255, 0, 255), (255, 0, 0), (0, 0, 0)]], np.uint8)
    label = decode_label(colours, "um_road_000000.png")
    assert label.tolist() == [[1, 0, 255]]
    assert np.array_equal(encode_label(label), colours)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PNG", ".jpeg"])
def test_kitti_road(tmp_path, suffix):
    dataset = KittiRoad(write_folder(tmp_path, NAMES, suffix))
    assert dataset.names == NAMES
    for seed, sample in enumerate(dataset):
        image, label = draw(seed)
        assert sample.name == NAMES[seed]
        assert np.array_equal(sample.label, label)
        assert np.abs(sample.image.astype(int) - image).mean() < (1e-9 if suffix.lower() == ".png" else 10)
    assert read_calibration(dataset.calibration_path("um_000000"))["P2"].shape == (3, 4)


def test_kitti_road_takes_the_named_frames(tmp_path):
    root = write_folder(tmp_path, NAMES)
    assert KittiRoad(root, ["uu_000003", "um_000000"]).names == ["uu_000003", "um_000000"]
    with pytest.raises(DatasetError, match="um_000042"):
        KittiRoad(root, ["um_000042"])


def test_invalid_kitti_road_folders_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="training/image_2"):
        KittiRoad(tmp_path)
    (tmp_path / "training" / "image_2").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no labelled frame"):
        KittiRoad(tmp_path)


def test_label_of_another_size(tmp_path):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000"]))
    write_image(dataset.label_path("um_000000"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(DatasetError, match="10x10"):
        dataset[0]


WHITE, YELLOW = (255, 255, 255), (255, 255, 0)


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        (
            [WHITE, (0, 0, 0)],
            "um_road_000001.png has the colour #ffffff, but .* #ff00ff .road., #ff0000 .not road",
        ),
        ([(255, 0, 255), (0, 0, 255)], "um_road_000001.png has the colour #0000ff"),
        ([(255, 0, 254), YELLOW], "um_road_000001.png has the colours #ff00fe, #ffff00"),
        ([(0, 0, 0), (0, 0, 0)], "um_road_000001.png labels no pixel"),
    ],
)
def test_kitti_labels_in_other_colours_are_refused(tmp_path, colours, message):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000", "um_000001"]))
    write_image(dataset.label_path("um_000001"), np.tile(np.array(colours, np.uint8), (60, 96, 1)))
    assert dataset[0].name == "um_000000"
    with pytest.raises(DatasetError, match=message):
        dataset[1]


def test_labels_whose_suffix_is_in_capitals(tmp_path):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000"]))
    dataset.label_path("um_000000").rename(tmp_path / "training" / "gt_image_2" / "um_road_000000.PNG")
    (tmp_path / "training" / "image_2" / "._um_000000.png").write_bytes(b"")
    assert np.array_equal(KittiRoad(tmp_path)[0].label, draw(0)[1])


def test_a_frame_named_twice_is_refused(tmp_path):
    (tmp_path / "split.txt").write_text("um_000000\n\n# a street\num_000001\num_000000\n")
    with pytest.raises(DatasetError, match="split.txt names um_000000 twice, in lines 1 and 5: leave one out"):
        read_names(tmp_path / "split.txt")


def test_a_malformed_calibration_is_refused(tmp_path):
    file = tmp_path / "calib.txt"
    file.write_text("P2: 1 2 three\n")
    with pytest.raises(DatasetError, match="P2"):
        read_calibration(file)
    file.write_text("P2: 1 2\n")
    with pytest.raises(DatasetError, match="P2"):
        read_calibration(file)


def test_splits_share_no_frame():
    train, val = split_names("train"), split_names("val")
    assert len(train) == len(set(train)) and len(val) == len(set(val))
    assert not set(train) & set(val)
    assert {n.split("_")[0] for n in train + val} == {"um", "umm"}


def test_splits_hold_out_complete_scenes():
    """Neighbouring numbers are near-duplicates: the split separates them only at the edge of a scene."""
    val = set(split_names("val"))
    frames = [name.split("_") for name in split_names("train") + sorted(val)]
    parted = [
        (kind, number)
        for kind, number in frames
        if f"{kind}_{int(number) + 1:06d}" in {"_".join(f) for f in frames}
        and (f"{kind}_{number}" in val) != (f"{kind}_{int(number) + 1:06d}" in val)
    ]
    assert len(parted) <= 9, parted  # a random split of these frames would separate about 35


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere.txt"):
        read_names(tmp_path / "nowhere.txt")


def test_camvid(tmp_path):
    image = np.full((6, 8, 3), 90, np.uint8)
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8) % 12
    for part in ("train", "trainannot", "val", "valannot"):
        (tmp_path / part).mkdir()
    write_image(tmp_path / "train" / "a.png", image)
    write_image(tmp_path / "trainannot" / "a.png", ids)
    sample = CamVid(tmp_path, ["train"])[0]
    assert np.array_equal(sample.label == 1, ids == 3)
    assert np.array_equal(sample.label == 255, ids == 11)
    assert np.array_equal(sample.classes, np.where(ids == 11, 255, ids))

    for name in ("b.PNG", "c.jpeg", "._b.PNG"):
        write_image(tmp_path / "train" / name, image)
    write_image(tmp_path / "trainannot" / "b.png", ids)
    write_image(tmp_path / "trainannot" / "c.PNG", ids)
    assert CamVid(tmp_path, ["train"]).names == ["a", "b", "c"]
    for value, message in ((12, "a.png holds the class id 12, but the highest valid one is 11"), (11, "labels no")):
        write_image(tmp_path / "trainannot" / "a.png", np.full_like(ids, value))
        with pytest.raises(DatasetError, match=message):
            CamVid(tmp_path, ["train"])[0]

    write_image(tmp_path / "val" / "b.png", image)
    with pytest.raises(DatasetError, match="b.png has no annotation"):
        CamVid(tmp_path, ["val"])
    with pytest.raises(DatasetError, match="not a CamVid folder"):
        CamVid(tmp_path, ["test"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared does not exist")
def test_the_real_sets():
    kitti = KittiRoad(SHARED / "kitti_road")
    assert set(kitti.names) == set(split_names("train") + split_names("val"))
    sample = kitti[kitti.names.index("um_000000")]
    assert sample.image.shape == (375, 1242, 3) and set(np.unique(sample.label)) == {0, 1, 255}
    camvid = CamVid(SHARED / "camvid")
    assert len(camvid) == 701
    assert 0.2 < np.mean([(camvid[i].label == 1).mean() for i in range(0, 701, 50)]) < 0.5
