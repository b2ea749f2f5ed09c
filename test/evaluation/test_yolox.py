"""YOLOX as a yardstick: its boxes lie where its answer says, in whole frames and in tiles."""

import numpy as np
import pytest
from tiny_yolox import yolox

from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.instance_metrics import PERSONS, InstanceResults
from fcn_road_seg.evaluation.yolox import YoloX
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample
from fcn_road_seg.instances.detector import Instances

pytest.importorskip("openvino")


def test_boxes_are_decoded_and_scaled_to_the_frame(tmp_path):
    # Anchor 64 + 5 is stride 16, row 1, column 1. The frame, 256 x 128, is shrunk to a quarter.
    found = {64 + 5: (0.5, 0.25, np.log(2), 0, 2, 0.9), 3: (0, 0, 0, 0, 4, 0.9), 9: (0, 0, 0, 0, 0, 0.04)}
    instances = YoloX(yolox(tmp_path / "y.onnx", found)).detect(np.zeros((128, 256, 3), np.uint8))
    np.testing.assert_allclose(instances.boxes, [[32, 48, 160, 112]], atol=1e-4)
    assert [INSTANCE_CLASSES[label] for label in instances.labels] == ["car"]  # no aeroplane, nothing below 0.05
    np.testing.assert_allclose(instances.scores, [0.9], atol=1e-6)
    assert instances.masks.sum() == 128 * 64 and instances.masks[0, 48:112, 32:160].all()


def test_tiles_lie_at_both_sides_and_doubles_are_one(tmp_path):
    path = yolox(tmp_path / "y.onnx", {64 + 5: (0, 0, 0, 0, 0, 0.8)})
    instances = YoloX(path, tiles=True).detect(np.zeros((128, 256, 3), np.uint8))
    assert sorted(instances.boxes.round().tolist()) == [[16, 16, 48, 48], [32, 32, 96, 96], [144, 16, 176, 48]]
    square = YoloX(path, tiles=True).detect(np.zeros((128, 128, 3), np.uint8))
    assert square.boxes.round().tolist() == [[16, 16, 48, 48]]


def test_another_network_is_refused(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(UserError, match=r"no\.onnx cannot be read as an ONNX model"):
        YoloX(tmp_path / "no.onnx")
    with pytest.raises(UserError, match=r"its output must be 1 x 84 x 85"):
        YoloX(yolox(tmp_path / "y.onnx", {}, columns=86))


def test_riders_count_as_persons_where_merged():
    rider, person = INSTANCE_CLASSES.index("rider"), INSTANCE_CLASSES.index("person")
    masks = np.zeros((1, 40, 40), bool)
    masks[0, 10:30, 10:20] = True
    sample = InstanceSample(
        np.zeros((40, 40, 3), np.uint8), masks, np.array([rider]), masks[:0], np.array([], int), "a"
    )
    found = Instances(np.float32([[10, 10, 20, 30]]), np.array([person]), np.float32([0.9]), masks)
    merged, apart = InstanceResults(PERSONS), InstanceResults()
    for results in (merged, apart):
        results.add(sample, found)
    assert merged.by_class("box") == {"person": pytest.approx({"ap": 1, "ap50": 1})}
    assert apart.by_class("box") == {"rider": {"ap": 0, "ap50": 0}}
