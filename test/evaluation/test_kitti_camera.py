"""KITTI Road's calibration files: what is wrong with one is said with its name, before the work begins."""

import re

import pytest
from tiny_kitti import CALIBRATION, write_folder

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.evaluation.ground_errors import measure_ground_errors
from fcn_road_seg.evaluation.html_report import kitti_set
from fcn_road_seg.evaluation.kitti_camera import calibrated, read_checked
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.training.validation import check_calibrations, validate

NAMES = ["um_000000", "um_000001", "um_000002"]
SIZE = (192, 60)


def fail(image):
    pytest.fail("work began")


@pytest.fixture
def dataset(tmp_path) -> KittiRoad:
    return KittiRoad(write_folder(tmp_path, NAMES))


WRONG = {
    "no P2": ("P2: 100 0 95.5 0 0 100 30 0 0 0 1 0\n", "", "the calibration has no P2 of 3 x 4 numbers"),
    "NaN": ("100 0 95.5", "100 0 nan", "P2 contains a number that is not finite"),
    "infinity": ("R0_rect: 1", "R0_rect: inf", "R0_rect contains a number that is not finite"),
    "sign": ("-1.65", "1.65", "the camera is 1.65 m below the road, but must be 0.05 to 10 m above it: check Tr_cam"),
    "centimetres": ("-1.65", "-165", "the camera is 165 m above the road"),
    "no rotation": ("R0_rect: 1", "R0_rect: 2", "R0_rect is not a rotation"),
    "metres": ("P2: 100 0 95.5 0 0 100 30", "P2: 0.58 0 0.5 0 0 0.58 0.5", "the calibration's P2 is impossible"),
    "telescope": ("P2: 100 0 95.5 0 0 100 30", "P2: 1e9 0 95.5 0 0 1e9 30", "a field of view of 1.1e-05 x 3.438e-06"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_calibration_that_is_wrong_is_named(tmp_path, fault):
    old, new, text = WRONG[fault]
    path = tmp_path / "um_000001.txt"
    assert CALIBRATION.count(old) == 1
    path.write_text(CALIBRATION)
    assert read_checked(path, SIZE)["P2"][0, 0] == 100
    path.write_text(CALIBRATION.replace(old, new))
    with pytest.raises(DatasetError, match=f"^{re.escape(str(path))}: [^\n]+$") as error:
        read_checked(path, SIZE)
    assert text in str(error.value)


USES = {
    "evaluate": lambda dataset: evaluate(fail, dataset, 0.5),
    "metres": lambda dataset: measure_ground_errors(fail, 0.5, dataset=dataset),
    "report": kitti_set,
    "training": lambda dataset: check_calibrations({"kitti_road": dataset}),
    "validation": lambda dataset: validate(fail, {"kitti_road": dataset}),
}


@pytest.mark.parametrize("use", USES)
def test_one_calibration_of_many_is_missing_or_wrong(dataset, use):
    path = dataset.calibration_path("um_000001")
    path.write_text(CALIBRATION.replace("-1.65", "1.65"))
    with pytest.raises(DatasetError, match=r"um_000001.txt: the camera is 1.65 m below the road"):
        USES[use](dataset)
    path.unlink()
    with pytest.raises(DatasetError, match=r"lacks the calibration of um_000001 in training/calib \(1 frames in all\)"):
        USES[use](dataset)


def test_all_or_none_have_a_calibration(dataset):
    assert calibrated(dataset)
    dataset.calibration_path("um_000002").write_text("P2: 1 2 3\n")
    dataset.calibration_path("um_000000").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"um_000000.txt.*\(2 of 3 frames have no usable calibration\)"):
        calibrated(dataset)
    for name in NAMES:
        dataset.calibration_path(name).unlink()
    assert not calibrated(dataset)
