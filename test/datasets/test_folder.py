"""Folders of labelled frames: parts, invalid folders, and several folders in one training."""

import json

import cv2
import numpy as np
import pytest
from safetensors.torch import save_file
from tiny_kitti import write_folder as write_kitti

from fcn_road_seg.cli.main import main
from fcn_road_seg.cli.options import named_paths
from fcn_road_seg.datasets import folder, kitti_road
from fcn_road_seg.datasets.folder import SPLITS, Folder
from fcn_road_seg.evaluation.samples import evaluate_samples, recall_at
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import FCN8s, torchvision_names

NAMES = ["a_1", "a_2", "b_1", "b_2"]


@pytest.fixture
def root(tmp_path):
    """Four frames whose road is white, with an ignored stripe."""
    for kind in ("images", "labels"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    for k, name in enumerate(NAMES):
        label = np.zeros((60, 100), np.uint8)
        label[30 + k :, 20:70] = 1
        image = np.repeat(label[..., None] * 255, 3, 2)
        label[:, :5] = 255
        cv2.imwrite(str(tmp_path / "mine" / "images" / f"{name}.{'jpg' if k % 2 else 'png'}"), image)
        cv2.imwrite(str(tmp_path / "mine" / "labels" / f"{name}.png"), label)
    return tmp_path / "mine"


def test_without_lists_every_frame_is_for_training(root):
    frames = Folder(root)
    assert frames.names == NAMES == Folder(root, "all").names and len(frames) == 4
    for k, sample in enumerate(frames):
        assert sample.label.dtype == np.uint8 and sample.classes is None and sample.name == NAMES[k]
        assert (sample.label[:, :5] == 255).all() and (sample.label[30 + k :, 20:70] == 1).all()
        assert (sample.label == 1).sum() == (30 - k) * 50 and sample.image.shape == (60, 100, 3)
    with pytest.raises(DatasetError, match="has no val part"):
        Folder(root, "val")


def test_lists_name_the_frames_of_each_part(root):
    (root / "val.txt").write_text("# another drive\nb_1\nb_2  # at night\n")
    assert Folder(root, "val").names == ["b_1", "b_2"] and Folder(root).names == ["a_1", "a_2"]
    (root / "train.txt").write_text("a_2\n")
    assert Folder(root).names == ["a_2"] and Folder(root, "all").names == NAMES


def test_a_known_set_has_this_projects_validation_part(root, monkeypatch, tmp_path):
    monkeypatch.setattr(folder, "SPLITS", tmp_path)
    (tmp_path / "farm_val.txt").write_text("a_2\nof_another_release\n")
    assert Folder(root, "val", "farm").names == ["a_2"] and Folder(root, "train", "farm").names == ["a_1", "b_1", "b_2"]
    assert Folder(root, "train", "field").names == NAMES
    (root / "val.txt").write_text("b_1\n")
    assert Folder(root, "val", "farm").names == ["b_1"]


def test_shipped_lists_name_each_frame_once():
    for name in ("idd", "bdd", "ru", "lums"):
        frames = kitti_road.read_names(SPLITS / f"{name}_val.txt")
        assert 15 < len(frames) == len(set(frames))


def test_invalid_folders_are_refused(root, tmp_path):
    with pytest.raises(DatasetError, match="has no images/"):
        Folder(tmp_path)
    with pytest.raises(DatasetError, match="train, val, all, not 'test'"):
        Folder(root, "test")
    (root / "val.txt").write_text("c_1\n")
    with pytest.raises(DatasetError, match="has no image of c_1"):
        (root / "train.txt").write_text("c_1\n")
        Folder(root)
    (root / "train.txt").unlink()
    (root / "labels" / "a_2.png").unlink()
    with pytest.raises(DatasetError, match="a_2.jpg has no label .*a_2.png"):
        Folder(root)


def test_invalid_labels_are_refused(root):
    file = root / "labels" / "a_1.png"
    for label, message in (
        (np.full((60, 100), 7, np.uint8), "a_1.png holds 7, but labels are 0 not road, 1 road, 255 ignore"),
        (np.zeros((6, 10), np.uint8), "a_1.png is 10x6, but its image is 100x60"),
        (np.zeros((60, 100, 3), np.uint8), "a_1.png is a colour image"),
    ):
        cv2.imwrite(str(file), label)
        with pytest.raises(DatasetError, match=message):
            Folder(root)[0]


def test_figures_of_a_folder_are_right(root):
    segment = lambda image: np.where(image[..., 0] > 127, np.uint8(250), np.uint8(3))  # noqa: E731
    figures = evaluate_samples(segment, Folder(root), 0.5)
    assert figures["frames"] == 4 and figures["max_f"] > 0.99 and figures["iou"] > 0.98 and figures["ece"] < 0.03
    assert figures["recall"] > 0.98 and figures["precision"] > 0.98
    assert recall_at(segment, Folder(root), 0.5) == pytest.approx(figures["recall"])
    assert recall_at(segment, Folder(root), 0.999) == 0


def test_data_sets_are_named_by_kind_or_by_name():
    paths, kinds = named_paths(["farm=folder:/a:b", "kitti_road:/k", "folder:/c", "unlabelled:/u", "unlabelled:/v"])
    assert paths == {"farm": ["/a:b"], "kitti_road": ["/k"], "folder": ["/c"], "unlabelled": ["/u", "/v"]}
    assert kinds == {"farm": "folder", "kitti_road": "kitti_road", "folder": "folder", "unlabelled": "unlabelled"}
    with pytest.raises(DatasetError, match="only a folder has a name of its own"):
        named_paths(["town=camvid:/c"])
    with pytest.raises(DatasetError, match="two kinds of data set 'camvid'"):
        named_paths(["camvid=folder:/c", "camvid:/c"])


def test_several_folders_feed_the_training(root, tmp_path, monkeypatch, capsys):
    names = {"train": ["um_000000"], "val": ["umm_000000"]}
    monkeypatch.setattr(kitti_road, "split_names", names.get)
    kitti = write_kitti(tmp_path / "kitti", names["train"] + names["val"])
    tensors = {theirs: FCN8s("atrous", 16).state_dict()[ours] for theirs, ours in torchvision_names().items()}
    save_file(tensors, tmp_path / "vgg16.safetensors")
    (root / "val.txt").write_text("b_2\n")
    arguments = (
        f"train --recipe world --fc-width 16 --network-width 64 --network-height 32 --epochs 1 --batch-size 2 "
        f"--autocast false --device cpu --workers 0 --encoder-weights {tmp_path / 'vgg16.safetensors'} "
        f"--out {tmp_path / 'run'} --data kitti_road:{kitti} --data farm=folder:{root}"
    ).split()
    assert main([*arguments, "--samples", "{kitti_road: 1, farm: 3, folder: 2}"]) == 2
    assert "give --data folder:DIR" in capsys.readouterr().err
    assert main([*arguments, "--samples", "{farm: 3, field: 1}"]) == 2
    assert "give --data field=folder:DIR" in capsys.readouterr().err
    assert main([*arguments, "--data", f"folder:{root}", "--samples", "{kitti_road: 1, farm: 3, folder: 2}"]) == 0
    seen = json.loads((tmp_path / "run" / "data.json").read_text())
    assert seen["farm"] == seen["folder"] == NAMES[:3]
    metadata = checkpoint.load(tmp_path / "run" / "last.safetensors").metadata
    assert metadata.data["farm"]["frames"] == 3 and metadata.recipe["samples"]["farm"] == 3
