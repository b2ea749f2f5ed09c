"""Errors, in metres, of the ground outputs: on synthetic scenes, whose truth is exact, and on KITTI Road."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.ground_truth import GroundTruth, View
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.kitti_camera import camera_model, check_files, read_checked, road_plane
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import IGNORE, ROAD
from fcn_road_seg.ground import CameraModel, GroundPlane, GroundTables, RoadGrid
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.synthetic import Camera, SyntheticDrive, SyntheticFrame

if TYPE_CHECKING:
    from rich.table import Table

BANDS = ((6, 10), (10, 20), (20, 40))
"""Metres: an edge belongs to a band by its distance ahead, a range of the scan by the range itself."""
PITCH_ERROR = np.deg2rad(0.5)
FIRST_SEED = 100
FRAMES_PER_STREET = 4
IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def measure_ground_errors(
    segment: Segment,
    threshold: float,
    own_vehicle: OwnVehicle | None = None,
    frames: int = 32,
    dataset: KittiRoad | None = None,
    track: Track = iter,
) -> dict:
    """Errors of edges, scan and grid of the true masks, of the segmenter's, and of a camera whose pitch is wrong.

    Args:
        threshold: P(road), 0..1, from which a pixel or a cell is road.
        own_vehicle: what the node's own-vehicle mask hides, which is unknown in metres; None hides nothing.
        frames: number of synthetic frames, of KITTI's camera, on streets of random kind and weather.
        dataset: KITTI Road frames with calibration, for the grid's IoU; None leaves them out.

    Returns:
        {"frames", "masks": {"true", "segmenter", "pitch +0.5 deg": {"edge", "scan": {"6-10 m", ...: {"median",
        "p95", "found", "count", "pixel_limit"}}, "phantom", "grid_iou"}}, "kitti": {"frames", "grid_iou"} or None}.
        Errors are in metres. found: share of the true edges or ranges that the output has; phantom: share of the
        free bearings that have a range; pixel_limit: median error, in metres, of an output that is right to the pixel.

    Raises:
        DatasetError, GroundError: the calibration of a frame of `dataset` is missing or unusable.
        FrameError, GroundError: `own_vehicle` has another shape than the frames, or covers all of the road.
    """
    if dataset is not None:
        dataset.require_calibrations()
        check_files([dataset.calibration_path(name) for name in dataset.names])
    camera = Camera()
    hidden = _hidden(own_vehicle, camera.width, camera.height)
    exact, tilted = view(camera, hidden=hidden), view(camera, PITCH_ERROR, hidden)
    errors = {name: Errors() for name in ("true", "segmenter", "pitch +0.5 deg")}
    for frame, probability in segmented(segment, _synthetic_frames(camera, track(range(frames)))):
        true = frame.road.view(np.uint8) * np.uint8(255)
        truth = GroundTruth(frame, exact)
        errors["true"].add(truth, exact, true, threshold)
        errors["segmenter"].add(truth, exact, probability, threshold)
        errors["pitch +0.5 deg"].add(truth, tilted, true, threshold)
    return {
        "frames": frames,
        "masks": {name: error.figures() for name, error in errors.items()},
        "kitti": None if dataset is None else kitti_grid(segment, threshold, dataset, track, own_vehicle),
    }


def _hidden(own_vehicle: OwnVehicle | None, width: int, height: int) -> np.ndarray | None:
    return None if own_vehicle is None else own_vehicle.hidden(height, width)


def _synthetic_frames(camera: Camera, indices: Iterable[int]) -> Iterator[SyntheticFrame]:
    for i in indices:
        drive = SyntheticDrive(seed=FIRST_SEED + i // FRAMES_PER_STREET, frames=2000, camera=camera)
        yield drive[(i % FRAMES_PER_STREET) * 100]


def view(camera: Camera, pitch_error: float = 0.0, hidden: np.ndarray | None = None) -> View:
    """The ground outputs of a synthetic camera whose pitch is assumed `pitch_error` radians too steep.

    `hidden` is as in `GroundTables`.
    """
    k = [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1]
    p = [camera.fx, 0, camera.cx, 0, 0, camera.fy, camera.cy, 0, 0, 0, 1, 0]
    model = CameraModel.from_camera_info(camera.width, camera.height, k, [], "", IDENTITY, p)
    plane = GroundPlane.from_mounting(camera.camera_height, camera.pitch + pitch_error)
    return View(GroundTables(model, plane, hidden=hidden))


class Errors:
    """The errors of one kind of mask, summed over frames."""

    def __init__(self) -> None:
        self._edges: list[np.ndarray] = []
        self._ranges: list[np.ndarray] = []
        self._free, self._phantom, self._both, self._either = 0, 0, 0, 0

    def add(self, truth: GroundTruth, seen: View, probability: np.ndarray, threshold: float) -> None:
        mask = threshold_mask(probability, threshold)
        self._edges.append(truth.edge_errors(seen.boundary(mask)))
        ranges, phantom, free = truth.scan_errors(seen, seen.scan(mask))
        self._ranges.append(ranges)
        self._phantom, self._free = self._phantom + phantom, self._free + free
        both, either = truth.grid_overlap(seen.grid(probability, threshold))
        self._both, self._either = self._both + both, self._either + either

    def figures(self) -> dict:
        return {
            "edge": _by_band(np.concatenate(self._edges)),
            "scan": _by_band(np.concatenate(self._ranges)),
            "phantom": self._phantom / self._free if self._free else None,
            "grid_iou": self._both / self._either if self._either else None,
        }


def _by_band(rows: np.ndarray) -> dict:
    """Rows of (distance, error or NaN, pixel size), metres -> figures by band."""
    figures = {}
    for near, far in BANDS:
        band = rows[(rows[:, 0] >= near) & (rows[:, 0] < far)]
        error = band[~np.isnan(band[:, 1]), 1]
        figures[f"{near}-{far} m"] = {
            "median": float(np.median(error)) if len(error) else None,
            "p95": float(np.percentile(error, 95)) if len(error) else None,
            "found": len(error) / len(band) if len(band) else None,
            "count": len(band),
            # An edge lies anywhere between two pixel centres: the error is uniform up to half a pixel.
            "pixel_limit": float(np.median(band[:, 2]) / 4) if len(band) else None,
        }
    return figures


def kitti_grid(
    segment: Segment,
    threshold: float,
    dataset: KittiRoad,
    track: Track = iter,
    own_vehicle: OwnVehicle | None = None,
) -> dict:
    """IoU of the road in the grid of the segmenter's masks and in that of the labels, over all frames' known cells.

    Raises:
        DatasetError, FrameError, GroundError: as in `measure_ground_errors`.
    """
    grids: dict[tuple, RoadGrid] = {}
    both = either = 0
    for sample, probability in segmented(segment, track(dataset)):
        size = sample.label.shape[1], sample.label.shape[0]
        calibration = read_checked(dataset.calibration_path(sample.name), size)
        key = (size, *(calibration[name].tobytes() for name in sorted(calibration)))
        if key not in grids:
            model, plane = camera_model(calibration, *size), road_plane(calibration)
            grids[key] = RoadGrid(GroundTables(model, plane, hidden=_hidden(own_vehicle, *size)))
        grid = grids[key]
        answer = grid(probability, threshold)
        label = grid((sample.label == ROAD).view(np.uint8) * np.uint8(255))
        ignored = grid.probability((sample.label == IGNORE).view(np.uint8) * np.uint8(255)) > 0
        counted = (label >= 0) & ~ignored
        both += int(((answer == 0) & (label == 0) & counted).sum())
        either += int((((answer == 0) | (label == 0)) & counted).sum())
    return {"frames": len(dataset), "grid_iou": both / either if either else None}


def tables(figures: dict) -> "list[Table]":
    """The result of `measure_ground_errors` as rich tables for a terminal."""
    from rich.table import Table

    def number(value: float | None, unit: float = 1.0, digits: int = 3) -> str:
        return "-" if value is None else f"{value * unit:.{digits}f}"

    bands = []
    for output, title in (("edge", "edges of the road"), ("scan", "ranges of the scan")):
        table = Table("mask", "distance", "median m", "95 % m", "found %", "limit m", "count")
        table.title = f"{title}, {figures['frames']} synthetic frames"
        for mask, figure in figures["masks"].items():
            for band, f in figure[output].items():
                cells = (number(f["median"]), number(f["p95"]), number(f["found"], 100, 1), number(f["pixel_limit"]))
                table.add_row(mask, band, *cells, str(f["count"]))
        bands.append(table)
    totals = Table("mask", "grid IoU %", "phantom ranges %")
    for mask, figure in figures["masks"].items():
        totals.add_row(mask, number(figure["grid_iou"], 100, 2), number(figure["phantom"], 100, 2))
    if figures["kitti"]:
        totals.add_row(f"KITTI Road, {figures['kitti']['frames']} frames", number(figures["kitti"]["grid_iou"], 100, 2))
    return [*bands, totals]
