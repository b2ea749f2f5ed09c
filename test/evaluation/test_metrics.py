"""KITTI's metrics against cases worked by hand, brute force and torchmetrics; the bird's-eye view."""

import numpy as np
import pytest

from fcn_road_seg.evaluation.birds_eye import SHAPE, BirdsEyeView
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import DatasetError


def count(probability, label) -> PixelCounts:
    counts = PixelCounts()
    counts.add(np.array([probability], np.uint8), np.array([label], np.uint8))
    return counts


def random_frame(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = generator.choice([0, 1, 255], size=(60, 80), p=[0.6, 0.3, 0.1]).astype(np.uint8)
    probability = np.clip(generator.normal(90 + 70 * (label == 1), 50), 0, 255).astype(np.uint8)
    return probability, label


def test_worked_by_hand():
    # Four road pixels (250 200 100 40), four others (210 60 30 10), one ignored.
    metrics = count([250, 200, 100, 40, 210, 60, 30, 10, 255], [1, 1, 1, 1, 0, 0, 0, 0, 255]).metrics(0.5)
    # At 40..60: 4 hits, 2 false alarms, no miss -> F 8/10; at 61..100: 3 hits, 1 false, 1 miss -> F 6/8.
    assert metrics.max_f == pytest.approx(0.8)
    assert 31 / 255 <= metrics.threshold <= 40 / 255
    assert metrics.precision == pytest.approx(4 / 6)
    assert metrics.recall == 1.0 and metrics.fnr == 0.0
    assert metrics.fpr == pytest.approx(2 / 4)
    # At 128: 2 hits (250, 200), 1 false alarm (210), 2 misses.
    assert metrics.iou == pytest.approx(2 / 5)
    # Best precision at recall >= r: 1 up to 0.2 (0.25), 0.75 up to 0.7 (0.75), 4/6 up to 1.
    assert metrics.average_precision == pytest.approx((3 * 1 + 5 * 0.75 + 3 * 4 / 6) / 11)


def test_perfect_and_hopeless():
    assert count([255, 255, 0], [1, 1, 0]).metrics().max_f == 1.0
    hopeless = count([0, 0, 255], [1, 1, 0]).metrics()
    assert hopeless.max_f == pytest.approx(0.8)  # everything is road: KITTI's score without any knowledge
    assert hopeless.iou == 0.0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 255, 255], "no label of these frames has road.* 255 is ignored, or else a label_map.yaml"),
        ([1, 1, 255], "but road"),
    ],
)
def test_labels_of_one_class_measure_nothing(label, message):
    with pytest.raises(DatasetError, match=message):
        count([250, 200, 100], label).metrics()


def test_brute_force_agrees():
    probability, label = random_frame()
    metrics = count(probability, label).metrics(0.4)
    road, valid = label == 1, label != 255
    f1 = []
    for level in range(256):
        positive = probability >= level
        tp, fp, fn = (positive & road).sum(), (positive & ~road & valid).sum(), (~positive & road).sum()
        f1.append(2 * tp / (2 * tp + fp + fn))
    assert metrics.max_f == pytest.approx(max(f1))
    assert metrics.threshold == pytest.approx(np.argmax(f1) / 255)
    positive = probability >= 102
    assert metrics.iou == pytest.approx((positive & road).sum() / ((positive & valid) | road).sum())


def test_torchmetrics_agrees():
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    probability, label = random_frame(1)
    metrics = count(probability, label).metrics(128 / 255)
    p, target = torch.from_numpy(probability / 255.0), torch.from_numpy(label.astype(np.int64))
    at = {"threshold": metrics.threshold - 1e-6, "ignore_index": 255}
    assert metrics.max_f == pytest.approx(classification.binary_f1_score(p, target, **at).item(), abs=1e-6)
    assert metrics.precision == pytest.approx(classification.binary_precision(p, target, **at).item(), abs=1e-6)
    assert metrics.recall == pytest.approx(classification.binary_recall(p, target, **at).item(), abs=1e-6)
    specificity = classification.binary_specificity(p, target, **at).item()
    assert metrics.fpr == pytest.approx(1 - specificity, abs=1e-6)
    iou = classification.binary_jaccard_index(p, target, threshold=127.5 / 255, ignore_index=255).item()
    assert metrics.iou == pytest.approx(iou, abs=1e-6)


def test_frames_add_up():
    frames = [random_frame(seed) for seed in (2, 3)]
    counts = PixelCounts()
    for frame in frames:
        counts.add(*frame)
    assert counts.metrics() == count(*(np.concatenate(parts) for parts in zip(*frames, strict=True))).metrics()


def calibration(camera_height: float = 1.65, centre: float = 609.6) -> dict[str, np.ndarray]:
    """A level camera over a level road, KITTI's intrinsics."""
    projection = np.array([[721.5, 0, centre, 0], [0, 721.5, 172.9, 0], [0, 0, 1, 0]])
    to_road = np.hstack([np.eye(3), [[0], [-camera_height], [0]]])
    return {"P2": projection, "R0_rect": np.eye(3), "Tr_cam_to_road": to_road}


def test_birds_eye_view_finds_its_ground():
    """A cell looks up the pixel on which the ground at the cell's x and z is seen."""
    rows, columns = np.mgrid[:375, :1242].astype(np.float32)
    z = np.where(rows > 173, 721.5 * 1.65 / np.maximum(rows - 172.9, 1e-3), 0)
    x = (columns - 609.6) * z / 721.5
    view = BirdsEyeView(calibration(), "exact")
    seen_z, seen_x = view(z.astype(np.float32)), view(x.astype(np.float32))
    assert seen_z.shape == SHAPE == (800, 400)
    true_z = 46 - (np.arange(800) + 0.5) * 0.05
    true_x = -10 + (np.arange(400) + 0.5) * 0.05
    inside = seen_z > 0
    error_z, error_x = np.abs(seen_z - true_z[:, None]), np.abs(seen_x - true_x[None, :])
    assert inside.mean() > 0.9
    assert error_x[inside].max() < 0.25  # the same pixel, 10 m to the side
    assert error_z[600:][inside[600:]].max() < 0.15  # one pixel is 0.1 m at 12 m ...
    assert error_z[inside].max() < 1.0  # ... and 1.8 m at 46 m


@pytest.mark.parametrize(
    ("cell", "devkit", "exact"),
    [
        # x = -0.025, z = 6.025: u = 609.6 - 721.5 x 0.025 / 6.025 = 606.61, v = 172.9 + 721.5 x 1.65 / 6.025 = 370.49
        ((799, 199), (605, 369), (607, 370)),
        # x = -9.975, z = 45.975: u = 453.06, v = 198.79
        ((0, 0), (452, 197), (453, 199)),
        # x = 4.975, z = 20.975: u = 780.73, v = 229.66
        ((500, 299), (779, 228), (781, 230)),
    ],
)
def test_the_pixel_of_a_cell(cell, devkit, exact):
    """The kit: 1 <= u, v, counted from 1 and cut off, so floor(u) - 1 when counted from 0."""
    rows, columns = np.mgrid[:375, :1242].astype(np.float32)
    for sampling, pixel in (("devkit", devkit), ("exact", exact)):
        view = BirdsEyeView(calibration(), sampling)
        assert (view(columns)[cell], view(rows)[cell]) == pixel, sampling
    assert (BirdsEyeView(calibration())(columns)[cell], BirdsEyeView(calibration())(rows)[cell]) == devkit


def test_the_kit_leaves_out_the_rim():
    """It takes no pixel unless 1 <= u <= width and 1 <= v <= height, whatever floor(u) - 1 is."""
    kit, exact = BirdsEyeView(calibration()), BirdsEyeView(calibration(), "exact")
    cell = 799, 199  # v = 370.49
    assert kit(np.ones((371, 1242), np.uint8))[cell] == 1
    assert kit(np.ones((370, 1242), np.uint8))[cell] == 0  # though row 369 is there
    assert exact(np.ones((370, 1242), np.uint8))[cell] == 0 and exact(np.ones((371, 1242), np.uint8))[cell] == 1
    assert kit(np.ones((375, 607), np.uint8))[cell] == 1 and kit(np.ones((375, 606), np.uint8))[cell] == 0  # u = 606.61
    shifted = calibration(centre=609.6 - 606)  # u = 0.61
    assert BirdsEyeView(shifted)(np.ones((375, 1242), np.uint8))[cell] == 0
    assert BirdsEyeView(shifted, "exact")(np.ones((375, 1242), np.uint8))[cell] == 1
    seen = BirdsEyeView(shifted)(np.ones((375, 1242), np.uint8))
    assert seen[799, 200] == 1 and seen[799, :200].sum() == 0  # u = 6.59


def test_birds_eye_view_marks_what_the_image_does_not_show():
    view = BirdsEyeView(calibration())
    label = view(np.zeros((375, 1242), np.uint8), outside=255)
    assert (label[-1] == 255).any() and not (label[0] == 255).any()


def test_birds_eye_view_needs_the_road_plane():
    matrices = calibration()
    del matrices["Tr_cam_to_road"]
    with pytest.raises(DatasetError, match="Tr_cam_to_road"):
        BirdsEyeView(matrices)
