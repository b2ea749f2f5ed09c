"""Accuracy in metres: bounds for ground truth masks, and the figures of KITTI Road."""

import io

import cv2
import numpy as np
import pytest
from tiny_kitti import write_folder

from fcn_road_seg.datasets.kitti_road import KittiRoad, encode_label, read_calibration
from fcn_road_seg.evaluation.birds_eye import RESOLUTION, SHAPE, X_RANGE, Z_RANGE, BirdsEyeView
from fcn_road_seg.evaluation.ground_errors import FIRST_SEED, Errors, kitti_grid, measure_ground_errors, tables, view
from fcn_road_seg.evaluation.ground_truth import GroundTruth
from fcn_road_seg.evaluation.kitti_camera import camera_model, road_plane
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD
from fcn_road_seg.ground import GroundTables
from fcn_road_seg.synthetic import Camera, SyntheticDrive


def nothing(image: np.ndarray) -> np.ndarray:
    """A segmenter that finds no road."""
    return np.zeros(image.shape[:2], np.uint8)


@pytest.fixture(scope="module")
def figures() -> dict:
    return measure_ground_errors(nothing, 0.5, frames=5)


def test_true_masks_give_true_edges(figures):
    edge = figures["masks"]["true"]["edge"]
    assert edge["6-10 m"]["median"] <= 0.05 and edge["10-20 m"]["median"] <= 0.2
    for band in edge.values():
        assert band["count"] > 50 and band["found"] == 1
        assert 0.5 * band["pixel_limit"] < band["median"] < 1.3 * band["pixel_limit"]
        assert band["p95"] < 3 * band["pixel_limit"]


def test_true_masks_give_true_ranges_and_cells(figures):
    true = figures["masks"]["true"]
    for band in true["scan"].values():
        assert band["count"] > 20 and band["found"] > 0.99 and band["median"] < 2 * band["pixel_limit"] + 0.01
    assert true["phantom"] == 0 and true["grid_iou"] > 0.99


def test_a_wrong_pitch_shows_in_the_figures(figures):
    """Half a degree moves what is at x by (x^2 + h^2) / h * 0.0087: 0.54 m at 10 m, 2.13 m at 20 m."""
    true, tilted = figures["masks"]["true"], figures["masks"]["pitch +0.5 deg"]
    assert 0.2 < tilted["scan"]["6-10 m"]["median"] < 0.56
    assert 0.5 < tilted["scan"]["10-20 m"]["median"] < 2.2
    assert tilted["edge"]["20-40 m"]["median"] > 10 * true["edge"]["20-40 m"]["median"]
    assert tilted["grid_iou"] < true["grid_iou"] - 0.02


def test_a_segmenter_that_finds_no_road_scores_zero(figures):
    blind = figures["masks"]["segmenter"]
    assert blind["grid_iou"] == 0 and blind["phantom"] == 1
    assert all(band["found"] == 0 and band["median"] is None for band in blind["edge"].values())


@pytest.fixture
def bonnet(tmp_path) -> OwnVehicle:
    (tmp_path / "bonnet.yaml").write_text("polygons: [[[0.2, 1], [0.3, 0.75], [0.7, 0.75], [0.8, 1]]]")
    return OwnVehicle(tmp_path / "bonnet.yaml")


def test_the_own_vehicle_is_unseen_and_not_an_obstacle(bonnet):
    """As in the node: what it hides counts neither for nor against a mask that is right everywhere else."""
    road = SyntheticDrive(seed=FIRST_SEED, frames=2000, camera=Camera())[0].road
    figures = measure_ground_errors(lambda _: bonnet.hide(road.astype(np.uint8) * 255), 0.5, bonnet, frames=1)["masks"]
    assert figures["segmenter"] == figures["true"]
    assert figures["true"]["phantom"] == 0 and figures["true"]["grid_iou"] > 0.99
    assert figures["true"]["edge"]["10-20 m"]["found"] == 1
    for output in ("edge", "scan"):
        for band in figures["true"][output].values():
            assert band["median"] is None or band["median"] < 2 * band["pixel_limit"] + 0.01


def test_a_mask_that_is_too_wide_is_off_by_that_much():
    """Ground truth grown by 0.5 m on each side gives an error of 0.5 m."""
    camera = Camera()
    seen, errors = view(camera), Errors()
    for seed in (1, 2):
        frame = SyntheticDrive(seed=seed, frames=1, camera=camera)[0]
        region = frame.road_region
        known = ~np.isnan(seen.tables.xy[..., 0])
        s, d = region.to_road(*seen.tables.xy[known].T)
        wide = np.zeros(known.shape, bool)
        wide[known] = np.maximum(region.outside(+1, s, d), region.outside(-1, s, d)) < 0.5
        errors.add(GroundTruth(frame, seen), seen, wide.view(np.uint8) * np.uint8(255), 0.5)
    for band in errors.figures()["edge"].values():
        assert band["median"] == pytest.approx(0.5, abs=0.03)


def test_the_report_is_a_table(figures):
    from rich.console import Console

    console = Console(width=80, file=io.StringIO())
    for table in tables({**figures, "kitti": {"frames": 3, "grid_iou": 0.5}}):
        console.print(table)
    text = console.file.getvalue()
    assert "KITTI Road, 3 frames" in text and "50.00" in text and text.count("pitch +0.5 deg") == 7


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> KittiRoad:
    return KittiRoad(write_folder(tmp_path_factory.mktemp("kitti"), ["um_000000", "um_000001"]))


def test_the_grid_of_kitti_road(drawn):
    labels = {drawn[i].image.tobytes(): (drawn[i].label == ROAD).astype(np.uint8) * 255 for i in range(len(drawn))}
    assert kitti_grid(lambda image: labels[image.tobytes()], 0.5, drawn) == {"frames": 2, "grid_iou": 1.0}
    half = kitti_grid(lambda image: labels[image.tobytes()] * (np.arange(192) < 96).astype(np.uint8), 0.5, drawn)
    assert 0.2 < half["grid_iou"] < 0.8


def test_cells_that_the_own_vehicle_hides_do_not_count(drawn, bonnet):
    labels = {s.image.tobytes(): bonnet.hide((s.label == ROAD).astype(np.uint8) * 255) for s in drawn}
    assert kitti_grid(lambda image: labels[image.tobytes()], 0.5, drawn)["grid_iou"] < 0.9
    assert kitti_grid(lambda image: labels[image.tobytes()], 0.5, drawn, own_vehicle=bonnet)["grid_iou"] == 1


def test_ignored_cells_do_not_count(tmp_path):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000"]))
    label = dataset[0].label.copy()
    label[:, :80] = IGNORE
    write_image(dataset.label_path("um_000000"), encode_label(label))
    answer = np.where(label == NOT_ROAD, 0, 255).astype(np.uint8)  # wrong only where the label is ignored
    assert kitti_grid(lambda image: answer, 0.5, dataset)["grid_iou"] == 1


def check_planes_agree(calibration: dict, width: int, height: int) -> None:
    """Check that KITTI's bird's-eye view and the tables look up the same pixels."""
    table = GroundTables(camera_model(calibration, width, height), road_plane(calibration))
    z = np.arange(Z_RANGE[1] - RESOLUTION / 2, Z_RANGE[0], -RESOLUTION)
    x = np.arange(X_RANGE[0] + RESOLUTION / 2, X_RANGE[1], RESOLUTION)
    across, ahead = np.meshgrid(x, z)
    pixels = table.pixels(np.stack([ahead, -across], -1))
    seen = ~np.isnan(pixels[..., 0])
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bev = BirdsEyeView(calibration, "exact")
    assert seen.shape == SHAPE and seen.mean() > 0.3
    for axis, image in enumerate((columns, rows)):
        assert np.abs(bev(image, outside=-1)[seen] - pixels[seen][:, axis]).max() < 0.6


def test_the_plane_of_a_turned_and_shifted_camera():
    turn, tilt = cv2.Rodrigues(np.array([0.02, -0.01, 0.03]))[0], cv2.Rodrigues(np.array([-0.03, 0.02, 0.01]))[0]
    calibration = {
        "P2": np.array([[700.0, 0, 600, 45], [0, 700, 170, 0.2], [0, 0, 1, 0.003]]),
        "R0_rect": turn,
        "Tr_cam_to_road": np.column_stack([tilt, (0.1, -1.6, 0.3)]),
    }
    check_planes_agree(calibration, 1242, 375)


def test_the_plane_of_kitti_road(repository):
    path = repository.parent / "shared" / "data" / "kitti_road" / "training" / "calib" / "um_000000.txt"
    if not path.is_file():
        pytest.skip("KITTI Road is not available")
    check_planes_agree(read_calibration(path), 1242, 375)
