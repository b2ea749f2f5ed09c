"""Data sets with instances: Cityscapes' instanceIds, COCO's format, and folders that are neither."""

import json

import numpy as np
import pytest
from PIL import Image

from fcn_road_seg.datasets.cityscapes_instances import CityscapesInstances
from fcn_road_seg.datasets.coco_instances import CocoInstances
from fcn_road_seg.datasets.open_instances import open_instances
from fcn_road_seg.frames.sample import DatasetError

HEIGHT, WIDTH = 64, 128
SQUARE = [[10, 20, 30, 20, 30, 40, 10, 40]]


@pytest.fixture
def cityscapes(tmp_path):
    ids = np.full((HEIGHT, WIDTH), 7, np.uint16)  # road
    ids[10:20, 10:30] = 26000  # cars
    ids[15:30, 20:40] = 26001
    ids[40:50, 5:9] = 24000  # a person
    ids[0:4, 0:8] = ids[0:4, 20:30] = 33  # two groups of bicycles
    ids[50:54, 60:80] = 30000  # a trailer
    ids[56:60, 60:80] = 29  # caravans
    for folder, name, pixels in (
        ("leftImg8bit", "leftImg8bit", np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        ("gtFine", "gtFine_labelIds", (ids % 1000).astype(np.uint8)),
        ("gtFine", "gtFine_instanceIds", ids),
    ):
        path = tmp_path / folder / "val" / "ulm"
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path / f"ulm_000000_000019_{name}.png")
    return tmp_path


def test_cityscapes_instances_groups_and_uncounted_classes(cityscapes):
    frames = open_instances("cityscapes", cityscapes, "val")
    sample = frames[0]
    assert frames.names == [sample.name] == ["ulm_000000_000019"]
    assert sample.labels.tolist() == [0, 2, 2]
    assert sample.masks.sum((1, 2)).tolist() == [40, 150, 300]
    found = sorted(zip(sample.ignored_labels.tolist(), sample.ignored.sum((1, 2)).tolist(), strict=True))
    assert found == [(-1, 80), (-1, 80), (7, 32), (7, 40)]


def test_distances_follow_from_the_camera_file_or_cityscapes_usual_camera(cityscapes):
    usual = CityscapesInstances(cityscapes, "val")[0].row_distances
    # Row 40 of 64 is row 648 of 1024: 134.9 pixels below the middle, focal length 2265.3, pitch 0.038 rad.
    assert usual[40] == pytest.approx(1.22 / np.tan(0.038 + np.arctan((648 - 513.1) / 2265.3)), rel=1e-4)
    assert np.isinf(usual[25]) and (np.diff(usual[30:]) < 0).all()
    folder = cityscapes / "camera" / "val" / "ulm"
    folder.mkdir(parents=True)
    camera = {"extrinsic": {"z": 2.44, "pitch": 0.038}, "intrinsic": {"fy": 2265.3, "v0": 513.1}}
    (folder / "ulm_000000_000019_camera.json").write_text(json.dumps(camera))
    assert CityscapesInstances(cityscapes, "val")[0].row_distances[40] == pytest.approx(2 * usual[40])
    (folder / "ulm_000000_000019_camera.json").write_text("{}")
    with pytest.raises(DatasetError, match="is not a camera file"):
        CityscapesInstances(cityscapes, "val")[0]


def test_frames_without_instance_ids_are_named(cityscapes):
    next((cityscapes / "gtFine").rglob("*instanceIds.png")).unlink()
    with pytest.raises(DatasetError, match="has no label .*instanceIds.png"):
        CityscapesInstances(cityscapes, "val")


def write_coco(root, file, image, annotations, categories=("Car", "dog", "person")):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
        "annotations": [{"id": i, "image_id": 1, **a} for i, a in enumerate(annotations)],
    }
    for path in (root / file, root / image):
        path.parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content))
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / image)
    return root


@pytest.mark.parametrize(
    "file, image",
    [
        ("annotations/instances_val2017.json", "val2017/a.png"),
        ("annotations/instances_val.json", "images/a.png"),
        ("valid/_annotations.coco.json", "valid/a.png"),
    ],
)
def test_coco_instances_and_crowds_by_category_name(tmp_path, file, image):
    crowd = {"category_id": 2, "iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 64, 64 * 127]}}
    annotations = [
        {"category_id": 0, "segmentation": SQUARE},
        {"category_id": 1, "segmentation": SQUARE},
        crowd,
    ]
    sample = open_instances("coco", write_coco(tmp_path, file, image, annotations), "val")[0]
    assert (sample.labels.tolist(), sample.ignored_labels.tolist()) == ([2], [0])
    assert sample.masks[0].sum() == 400 and sample.ignored[0][:, 0].all() and sample.row_distances is None


def test_coco_faults_are_named(tmp_path):
    file, image, square = "annotations/instances_train.json", "images/a.png", {"category_id": 0, "segmentation": SQUARE}
    with pytest.raises(DatasetError, match="without a polygon or mask"):
        CocoInstances(write_coco(tmp_path / "a", file, image, [{"category_id": 0, "bbox": [1, 2, 3, 4]}]))[0]
    with pytest.raises(DatasetError, match="has none of the categories person, rider"):
        CocoInstances(write_coco(tmp_path / "b", file, image, [square], ["cat"]))
    with pytest.raises(DatasetError, match="with a part train"):
        CocoInstances(tmp_path)
    (write_coco(tmp_path / "c", file, image, [square]) / image).unlink()
    with pytest.raises(DatasetError, match="is in none of"):
        CocoInstances(tmp_path / "c")[0]
    write_coco(tmp_path / "c", "train/_annotations.coco.json", image, [square])
    with pytest.raises(DatasetError, match="leave one"):
        CocoInstances(tmp_path / "c")
    with pytest.raises(DatasetError, match="there are cityscapes, coco"):
        open_instances("camvid", tmp_path, "val")
