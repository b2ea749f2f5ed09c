"""Folders of labelled frames: parts, invalid folders, and several folders in one training."""

import json
import shutil
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from tiny_kitti import write_folder as write_kitti

from fcn_road_seg.cli.main import main
from fcn_road_seg.cli.options import data_sets, label_maps, named_paths
from fcn_road_seg.datasets import folder, kitti_road
from fcn_road_seg.datasets.folder import SPLITS, EmptyPartError, Folder, part_names
from fcn_road_seg.datasets.label_map import read_label_map
from fcn_road_seg.errors import missing_package
from fcn_road_seg.evaluation.samples import evaluate_samples
from fcn_road_seg.frames.image_file import ImageFileError
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


def test_frames_are_read_with_their_labels(root):
    frames = Folder(root, "all")
    assert frames.names == NAMES and len(frames) == 4 and not frames.remarks
    for k, sample in enumerate(frames):
        assert sample.label.dtype == np.uint8 and sample.classes is None and sample.name == NAMES[k]
        assert (sample.label[:, :5] == 255).all() and (sample.label[30 + k :, 20:70] == 1).all()
        assert (sample.label == 1).sum() == (30 - k) * 50 and sample.image.shape == (60, 100, 3)


def test_without_lists_the_last_fifth_validates(root, capsys):
    frames = Folder(root)
    assert frames.names == NAMES[:3] and Folder(root, "val").names == NAMES[3:]
    assert frames.remarks == Folder(root, "val").remarks
    assert "mine has no val.txt: the last 1 of 4 frames by name validate" in frames.remarks[0]
    for part in ("train", "val"):
        data_sets([f"mine=folder:{root}"], [], part)
        assert capsys.readouterr().err == f"{frames.remarks[0]}.\n"
    many = [f"{k:03d}" for k in range(52)]
    assert part_names(root, "val", many) == (many[42:], True) and part_names(root, "train", many) == (many[:42], True)
    numbered = ["frame_10", "frame_9", "frame_8", "frame_100", "frame_11"]
    assert part_names(root, "val", numbered) == (["frame_100"], True)
    (root / "val.txt").write_text("# all frames are for training\n")
    assert Folder(root).names == NAMES and not Folder(root).remarks
    with pytest.raises(EmptyPartError, match="has no val part"):
        Folder(root, "val")
    (root / "val.txt").unlink()
    (root / "train.txt").write_text("a_1\n")
    with pytest.raises(EmptyPartError, match="has no val part"):
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
    assert Folder(root, "train", "field").names == NAMES[:3]
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
    (root / "val.txt").write_text("b_1\n")
    with pytest.raises(DatasetError, match="has no image of c_1"):
        (root / "train.txt").write_text("c_1\n")
        Folder(root)
    (root / "train.txt").unlink()
    (root / "labels" / "a_2.png").unlink()
    with pytest.raises(DatasetError, match="a_2.jpg has no label .*a_2.png or .json .1 of 4 images have none.: label"):
        Folder(root)


def test_invalid_labels_are_refused(root):
    file = root / "labels" / "a_1.png"
    for label, message in (
        (
            np.tile(np.uint8([7, 1, 9, 128]), (60, 25)),
            "a_1.png holds 7, 9, 128, but labels are 0 not road, 1 road",
        ),
        (np.zeros((6, 10), np.uint8), "a_1.png is 10x6, but its image is 100x60"),
        (np.zeros((60, 100, 3), np.uint8), "a_1.png is a colour image with the colour #000000"),
        (np.full((60, 100), 255, np.uint8), "a_1.png labels no pixel"),
    ):
        cv2.imwrite(str(file), label)
        with pytest.raises(DatasetError, match=message):
            Folder(root)[0]
    file.write_bytes(b"")
    with pytest.raises(DatasetError, match="a_1.png cannot be read"):
        Folder(root)[0]
    file.write_bytes(cv2.imencode(".jpg", np.zeros((60, 100), np.uint8))[1].tobytes())
    with pytest.raises(DatasetError, match="a_1.png is a JPEG, whose pixels are not exact: save labels as PNG"):
        Folder(root)[0]
    file.rename(root / "labels" / "a_1.jpg")
    with pytest.raises(DatasetError, match="a_1.jpg is a JPEG, whose pixels are not exact"):
        Folder(root)


def test_suffixes_in_capitals_and_hidden_files(root):
    for old, new in (("images/a_1.png", "images/a_1.PNG"), ("images/a_2.jpg", "images/a_2.JPEG")):
        (root / old).rename(root / new)
    (root / "labels/a_2.png").rename(root / "labels/a_2.Png")
    (root / "images/._a_1.PNG").write_bytes(b"")
    (root / "labels/._a_1.png").write_bytes(b"")
    frames = Folder(root, "all")
    assert frames.names == NAMES and all((sample.label == 1).any() for sample in frames)
    cv2.imwrite(str(root / "images" / "a_1.jpg"), frames[0].image)
    with pytest.raises(ImageFileError, match="a_1.PNG and a_1.jpg have the same name: remove one"):
        Folder(root)


def test_a_frame_in_both_lists_is_refused(root):
    (root / "train.txt").write_text("a_1\nb_1\n")
    (root / "val.txt").write_text("b_1\nb_2\n")
    with pytest.raises(DatasetError, match="train.txt and .*val.txt both name b_1: a frame trains or validates"):
        Folder(root)


def test_a_folders_label_map_is_found_and_replaced(root):
    (root / "label_map.yaml").write_text("road: 0\nnot_road: [1, 255]\n")
    sample = Folder(root)[0]
    assert (
        (sample.label[:30, 5:] == 1).all()
        and (sample.label[30:, 20:70] == 0).all()
        and (sample.label[:, :5] == 0).all()
    )
    other = root.parent / "other.yaml"
    other.write_text("ignore: [0, 255]\nnot_road: 1\n")
    assert set(np.unique(Folder(root, label_map=read_label_map(other))[0].label)) == {0, 255}
    (held_out,) = data_sets([f"farm=folder:{root}"], [f"farm={other}"]).values()
    assert held_out.names == ["b_2"] and set(np.unique(held_out[0].label)) == {0, 255}
    other.write_text("ignore: [0, 1, 255]\n")
    with pytest.raises(DatasetError, match="a_1.png labels no pixel: all of them are ignored"):
        Folder(root, label_map=read_label_map(other))[0]


def test_photos_that_exif_turns_are_refused(root):
    exif = Image.Exif()
    for orientation in (1, 3):
        exif[0x0112] = orientation
        Image.fromarray(Folder(root)[1].image).save(root / "images" / "a_2.jpg", exif=exif)
        if orientation == 1:
            assert Folder(root)[1].name == "a_2"
    with pytest.raises(DatasetError, match="a_2.jpg is stored turned or mirrored .EXIF orientation 3.*mogrify"):
        Folder(root)[1]


def test_labelme_files_lie_in_labels_or_beside_the_images(root):
    rectangle = {"label": "road", "shape_type": "rectangle", "points": [[20.5, 30.5], [69.5, 59.5]]}
    text = json.dumps({"shapes": [rectangle], "imageWidth": 100, "imageHeight": 60})
    expected = np.zeros((60, 100), np.uint8)
    expected[30:, 20:70] = 1
    (root / "labels" / "a_1.png").unlink()
    (root / "labels" / "a_1.json").write_text(text)
    assert (Folder(root)[0].label == expected).all() and (Folder(root)[1].label[:, :5] == 255).all()
    shutil.rmtree(root / "labels")
    for name in NAMES:
        (root / "images" / f"{name}.json").write_text(text)
    frames = Folder(root, "all")
    assert frames.names == NAMES and all((sample.label == expected).all() for sample in frames)


def test_coco_annotations_replace_labels(root):
    pytest.importorskip("pycocotools")
    content = {
        "images": [{"id": k, "file_name": f"{name}.png", "width": 100, "height": 60} for k, name in enumerate(NAMES)],
        "categories": [{"id": 1, "name": "road"}],
        "annotations": [
            {"image_id": k, "category_id": 1, "segmentation": [[20, 30, 70, 30, 70, 60, 20, 60]]} for k in (0, 1, 3)
        ],
    }
    shutil.rmtree(root / "labels")
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(content))
    frames = Folder(root, "all")
    assert frames.names == ["a_1", "a_2", "b_2"]
    assert "instances_default.json has no annotations of 1 of the 4 images: they are left out" in frames.remarks[0]
    (root / "labels").mkdir()
    for name in NAMES:
        cv2.imwrite(str(root / "labels" / f"{name}.png"), np.zeros((60, 100), np.uint8))
    both = Folder(root, "all")
    assert both.remarks == [f"{root / 'annotations'} is not read, because {root / 'labels'} has the labels"]
    assert not both[0].label.any()
    shutil.rmtree(root / "labels")
    content["images"] = [image for image in content["images"] if image["id"] != 2]  # b_1, which nobody annotated
    (root / "annotations" / "instances_default.json").write_text(json.dumps(content))
    assert Folder(root, "all").remarks == frames.remarks
    expected = np.zeros((60, 100), np.uint8)
    expected[30:, 20:70] = 1
    assert all((sample.label == expected).all() for sample in frames)
    (root / "train.txt").write_text("b_1\n")
    with pytest.raises(DatasetError, match="instances_default.json has no annotation of b_1"):
        Folder(root)
    (root / "annotations" / "more.json").write_text("{}")
    with pytest.raises(DatasetError, match="has 2 JSON files .instances_default.json, more.json"):
        Folder(root)
    (root / "annotations.json").write_text(json.dumps(content))
    assert Folder(root, "all").names == ["a_1", "a_2", "b_2"]
    (root / "images" / "b_2.jpg").unlink()
    with pytest.raises(DatasetError, match="has no image of b_2"):
        Folder(root, "all")


def test_pycocotools_is_named_where_it_is_missing(root, monkeypatch, capsys):
    content = {
        "images": [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(NAMES)],
        "categories": [{"id": 1, "name": "road"}],
        "annotations": [{"image_id": k, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]} for k in range(4)],
    }
    shutil.rmtree(root / "labels")
    (root / "annotations.json").write_text(json.dumps(content))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ModuleNotFoundError) as error:
        Folder(root, "all")[0]
    monkeypatch.undo()
    if find_spec("pycocotools") is None:
        assert "pip install pycocotools (the extra coco has it)" in missing_package(error.value)


def test_figures_of_a_folder_are_right(root):
    segment = lambda image: np.where(image[..., 0] > 127, np.uint8(250), np.uint8(3))  # noqa: E731
    figures = evaluate_samples(segment, Folder(root, "all"), 0.5)
    assert figures["frames"] == 4 and figures["max_f"] > 0.99 and figures["iou"] > 0.98 and figures["ece"] < 0.03
    assert figures["recall"] > 0.98 and figures["precision"] > 0.98
    assert evaluate_samples(segment, Folder(root), 0.999)["recall"] == 0


def test_data_sets_are_named_by_kind_or_by_name():
    paths, kinds = named_paths(["farm=folder:/a:b", "kitti_road:/k", "folder:/c", "unlabelled:/u", "unlabelled:/v"])
    assert paths == {"farm": ["/a:b"], "kitti_road": ["/k"], "folder": ["/c"], "unlabelled": ["/u", "/v"]}
    assert kinds == {"farm": "folder", "kitti_road": "kitti_road", "folder": "folder", "unlabelled": "unlabelled"}
    with pytest.raises(DatasetError, match="only a folder has a name of its own"):
        named_paths(["town=camvid:/c"])
    with pytest.raises(DatasetError, match="two kinds of data set 'camvid'"):
        named_paths(["camvid=folder:/c", "camvid:/c"])
    with pytest.raises(DatasetError, match="names no data set: give KIND:DIR"):
        named_paths(["folder"])
    for name in ("all", "a/b", ""):
        with pytest.raises(DatasetError, match="a folder's name has letters, digits"):
            named_paths([f"{name}=folder:/c"])


def test_label_maps_belong_to_folders_by_name(tmp_path):
    (tmp_path / "a.yaml").write_text("road: 1")
    file, one = str(tmp_path / "a.yaml"), {"farm": "folder", "kitti_road": "kitti_road"}
    assert label_maps([file], one)["farm"].ids == label_maps([f"farm={file}"], one)["farm"].ids == {1: 1}
    two = one | {"yard": "folder"}
    assert set(label_maps([f"yard={file}", f"farm={file}"], two)) == {"farm", "yard"}
    for items, message in (
        ([file], "is for one folder, but --data names 2: give NAME=FILE"),
        ([f"kitti_road={file}"], "kitti_road is no folder in --data"),
        ([f"farm={file}", f"farm={file}"], "farm is given twice"),
        (["farm=missing.yaml"], "cannot read the label map missing.yaml"),
    ):
        with pytest.raises(DatasetError, match=message):
            label_maps(items, two)


def test_several_folders_feed_the_training(root, tmp_path, monkeypatch, capsys):
    names = {"train": ["um_000000"], "val": ["umm_000000"]}
    monkeypatch.setattr(kitti_road, "split_names", names.get)
    kitti = write_kitti(tmp_path / "kitti", names["train"] + names["val"])
    tensors = {theirs: FCN8s("atrous", 16).state_dict()[ours] for theirs, ours in torchvision_names().items()}
    save_file(tensors, tmp_path / "vgg16.safetensors")
    (root / "val.txt").write_text("b_2\n")
    arguments = (
        f"train --recipe world --validation-frames 1 --fc-width 16 --network-width 64 --network-height 32 --epochs 1 "
        f"--batch-size 2 --autocast false --device cpu --workers 0 --encoder-weights {tmp_path / 'vgg16.safetensors'} "
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
    assert metadata.data["validation/farm"]["names"] == metadata.data["validation/folder"]["names"] == ["b_2"]
    assert metadata.data["validation/kitti_road"]["names"] == ["umm_000000"]
    assert {"farm_max_f", "folder_max_f", "kitti_road_max_f"} < set(metadata.figures["validation"])
    assert metadata.data["farm"]["frames"] == 3 and metadata.recipe["samples"]["farm"] == 3


def test_fine_tuning_on_ones_own_folder_needs_nothing_else(root, tmp_path, capsys):
    """Recipe finetune takes the weights' form and size, and validates on the folder's own last frames."""
    start = tmp_path / "start.safetensors"
    checkpoint.save(start, FCN8s("atrous", 16), checkpoint.Metadata("atrous", 16, network_width=96))
    command = (
        f"train --weights {start} --data mine=folder:{root} --device cpu --workers 0 --epochs 1 --batch-size 2 "
        f"--autocast false --samples SAMPLES --out {tmp_path / 'run'}"
    ).split()
    command[command.index("SAMPLES")] = "{all: 4}"
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "the last 1 of 4 frames by name validate" in said and "Validation on mine (1 frames)." in said
    metadata = checkpoint.load(tmp_path / "run" / "last.safetensors").metadata
    assert metadata.recipe["name"] == "finetune" and metadata.recipe["samples"] == {"mine": 4}
    assert (metadata.network_width, metadata.recipe["network_height"], metadata.fc_width) == (96, 32, 16)
    assert metadata.data["mine"]["names"] == NAMES[:3] and metadata.data["validation/mine"]["names"] == ["b_2"]
    assert metadata.origin == checkpoint.load(start).sha256 and 0 <= metadata.max_f <= 1

    (root / "val.txt").write_text("")
    assert main([*command[:-1], str(tmp_path / "other")]) == 2
    assert "nothing validates this training: give --data folder:DIR with frames in val.txt" in capsys.readouterr().err
    assert main(["train", "--recipe", "finetune", "--data", f"folder:{root}", "--device", "cpu"]) == 2
    assert "recipe finetune starts from trained weights: give --weights road" in capsys.readouterr().err
    assert main([*command, "--samples", "{all: 4, mine: 2}"]) == 2
    assert "all, which stands for every set, beside others" in capsys.readouterr().err
    assert main(["train", "--weights", str(start), "--device", "cpu"]) == 2
    assert "recipe finetune trains on the data sets that you name: give --data folder:DIR" in capsys.readouterr().err
