"""labelme's and COCO's annotations: exact labels, and every invalid file."""

import json

import numpy as np
import pytest

from fcn_road_seg.datasets.coco import CocoLabels
from fcn_road_seg.datasets.label_map import NAMES, LabelMap
from fcn_road_seg.datasets.labelme import read_shapes
from fcn_road_seg.frames.sample import DatasetError

IMAGE = np.zeros((6, 8, 3), np.uint8)


def shape(kind, points, label="road"):
    return {"label": label, "shape_type": kind, "points": points}


def labelme(folder, *shapes, **others):
    path = folder / "frame.json"
    path.write_text(json.dumps({"shapes": list(shapes), "imageWidth": 8, "imageHeight": 6, **others}))
    return path


def test_labelme_shapes_are_drawn_in_their_order(tmp_path):
    corners = [[1.5, 2.5], [6.5, 2.5], [6.5, 5.5], [1.5, 5.5]]
    path = labelme(
        tmp_path,
        shape("polygon", corners),
        shape("rectangle", [[5.5, 4.5], [3.5, 3.5]], "Not_Road"),
        shape("point", [[0.5, 0.5]], "a point"),
        shape("linestrip", [[0, 0], [7, 5]], "a lane"),
        shape("rectangle", [[0.5, 0.5], [0.5, 0.5]], "ignore"),
    )
    label = read_shapes(path, IMAGE, NAMES)
    expected = np.zeros((6, 8), np.uint8)
    expected[2:6, 1:7] = 1
    expected[3:5, 3:6] = 0
    expected[0, 0] = 255
    assert label.dtype == np.uint8 and label.tolist() == expected.tolist()


def test_labelme_circles_and_pixels_outside_all_shapes(tmp_path):
    path = labelme(tmp_path, shape("circle", [[4.5, 3.5], [6.5, 3.5]]))
    label = read_shapes(path, IMAGE, LabelMap("m", names={"road": 1}, outside=255))
    y, x = np.indices((6, 8))
    away = np.hypot(x - 4, y - 3)
    assert (label[away <= 2] == 1).all() and (label[away > 2.6] == 255).all() and set(np.unique(label)) == {1, 255}


def test_old_labelme_files_have_polygons_without_a_type_and_no_size(tmp_path):
    path = tmp_path / "frame.json"
    triangle = {"label": "road", "points": [[0.5, 0.5], [7.5, 0.5], [0.5, 5.5]]}
    path.write_text(json.dumps({"shapes": [triangle]}))
    label = read_shapes(path, IMAGE, NAMES)
    assert label[0].tolist() == [1] * 8 and label[:, 0].tolist() == [1] * 6 and label[5, 3] == label[3, 7] == 0


def test_shapes_far_outside_the_image_are_cut_off(tmp_path):
    path = labelme(tmp_path, shape("rectangle", [[-1e12, 3.5], [1e12, 1e12]]))
    assert read_shapes(path, IMAGE, NAMES).tolist() == [[0] * 8] * 3 + [[1] * 8] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "frame.json is not valid JSON"),
        ("[]", "is not a labelme file"),
        ({"imageWidth": 6, "imageHeight": 8}, "frame.json is 6x8, but its image is 8x6"),
        ({"shapes": [{"points": []}]}, "has a shape without a label"),
        (
            {"shapes": [shape("mask", [[0, 0], [1, 1]])]},
            "a shape of the type 'mask', but only polygon, rectangle, circle",
        ),
        ({"shapes": [shape("polygon", [[0, 0], [1, 1]])]}, "'road' are not at least 3 pairs of numbers"),
        ({"shapes": [shape("polygon", [[0, 0], [1, 1], [2]])]}, "are not at least 3 pairs"),
        ({"shapes": [shape("circle", None)]}, "are not at least 2 pairs"),
        ({"shapes": [shape("rectangle", [[0, "a"], [1, 1]])]}, "are not at least 2 pairs"),
        ({"shapes": [shape("polygon", [[0, 0], [1, 1], [2, 3]], "tree")]}, "'tree', whose meaning is unknown"),
    ],
)
def test_invalid_labelme_files_are_refused(tmp_path, content, message):
    path = labelme(tmp_path, **content) if isinstance(content, dict) else tmp_path / "frame.json"
    if isinstance(content, str):
        path.write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_shapes(path, IMAGE, NAMES)


def test_a_missing_labelme_file_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match="cannot read .*frame.json"):
        read_shapes(tmp_path / "frame.json", IMAGE, NAMES)


SQUARE = [[1, 2, 5, 2, 5, 5, 1, 5]]
COLUMNS = {"size": [6, 8], "counts": [30, 6, 12]}  # column 5


def coco(folder, *annotations, **others):
    path = folder / "annotations.json"
    content = {
        "images": [
            {"id": 4, "file_name": "drive/frame.jpg", "width": 8, "height": 6},
            {"id": 5, "file_name": "bare.jpg", "width": 8, "height": 6},
        ],
        "categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "ignore"}, {"id": 3, "name": "tree"}],
        "annotations": [{"image_id": 4, "category_id": c, "segmentation": s} for c, s in annotations],
        **others,
    }
    path.write_text(json.dumps(content))
    return path


def test_coco_polygons_and_runs(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    packed = mask.encode(np.asfortranarray(np.arange(48).reshape(6, 8) == 47, np.uint8))
    packed["counts"] = packed["counts"].decode()
    labels = CocoLabels(coco(tmp_path, (1, SQUARE), (2, COLUMNS), (1, packed)), NAMES)
    assert labels.names == ["frame"]
    expected = np.zeros((6, 8), np.uint8)
    expected[2:5, 1:5] = 1
    expected[:, 5] = 255
    expected[5, 7] = 1
    label = labels.read("frame", IMAGE)
    assert label.dtype == np.uint8 and label.tolist() == expected.tolist()


def test_coco_masks_of_several_polygons_and_pixels_outside(tmp_path):
    pytest.importorskip("pycocotools.mask")
    both = [[0, 0, 2, 0, 2, 2, 0, 2], [6, 4, 8, 4, 8, 6, 6, 6]]
    label = CocoLabels(coco(tmp_path, (1, both)), LabelMap("m", names={"road": 1}, outside=255)).read("frame", IMAGE)
    expected = np.full((6, 8), 255)
    expected[:2, :2] = expected[4:, 6:] = 1
    assert label.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("annotations", "others", "message"),
    [
        ((), {"images": None}, "is not a COCO file"),
        ((), {"categories": [{"id": 1}]}, "is not a COCO file.*KeyError 'name'"),
        (((1, SQUARE),), {"images": [{"id": 9, "file_name": "a.jpg"}]}, "annotation 0 is of the image 4, which is not"),
        ((), {"images": [{"id": i, "file_name": f"{i}/a.jpg"} for i in (1, 2)]}, "several images of the same name"),
        (((3, SQUARE),), {}, "has the category 'tree', whose meaning is unknown"),
        (((7, SQUARE),), {}, "an annotation of the category 7, which is not listed"),
        (((1, []),), {}, "has a 'road' without a polygon or mask"),
        (((1, [[1, 2, 3, 4]]),), {}, "malformed segmentation .a polygon has fewer than three corners"),
        (((1, 5),), {}, "malformed segmentation"),
        (((1, {"size": [8, 6], "counts": [48]}),), {}, r"has a mask of the size \[8, 6\]"),
        (((1, {"size": [6, 8]}),), {}, "malformed segmentation"),
        (((1, {"size": [6, 8], "counts": [40]}),), {}, "its runs have 40 pixels together, not 48"),
        (
            ((1, SQUARE),),
            {"images": [{"id": 4, "file_name": "frame.jpg", "width": 6, "height": 8}]},
            "image frame.jpg is 6x8, but its image is 8x6",
        ),
    ],
)
def test_invalid_coco_files_are_refused(tmp_path, annotations, others, message):
    pytest.importorskip("pycocotools.mask")
    path = coco(tmp_path, *annotations, **others)
    with pytest.raises(DatasetError, match=message):
        CocoLabels(path, NAMES).read("frame", IMAGE)


def test_broken_json_is_refused(tmp_path):
    path = coco(tmp_path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(DatasetError, match="annotations.json is not valid JSON"):
        CocoLabels(path, NAMES)
