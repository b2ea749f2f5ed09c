"""Everything that is looked up to answer in metres, made in a thread of its own. Knows no ROS."""

import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread

import numpy as np

from fcn_road_seg.ground import (
    CameraModel,
    GroundError,
    GroundPlane,
    GroundTables,
    PointCloud,
    RoadBoundary,
    RoadGrid,
    RoadScan,
)

ROTATION_TOLERANCE = 5e-4
"""Radians that a plane may have turned and still count as the same: 3 cm at 10 m below a camera 1.65 m high."""
TRANSLATION_TOLERANCE = 2e-3
"""Metres that it may have moved."""


@dataclass(frozen=True)
class MapOptions:
    """What the outputs are made with; see `GroundTables`, `RoadGrid` and `RoadScan`, whose arguments they are."""

    max_range: float
    bottom_margin: float
    grid_resolution: float
    grid_length: float
    grid_width: float
    grid_mode: str
    scan_angle_increment: float
    scan_min_obstacle: float


class GroundMaps:
    """The lookup tables and outputs of one camera, plane and size.

    Attributes:
        tables, cloud, grid, scan, boundary: see `fcn_road_seg.ground`.
        nearest: metres on the road from the point below the camera to the nearest that it sees.
        seconds: that they took to make.

    Raises:
        GroundError: there is nothing to be had in metres from this.
    """

    def __init__(self, camera: CameraModel, plane: GroundPlane, options: MapOptions):
        began = time.perf_counter()
        self.tables = GroundTables(camera, plane, options.max_range, options.bottom_margin)
        self.cloud = PointCloud(self.tables.optical_points())
        self.grid = RoadGrid(
            self.tables, options.grid_resolution, options.grid_length, options.grid_width, options.grid_mode
        )
        self.scan = RoadScan(self.tables, options.scan_angle_increment, options.scan_min_obstacle)
        self.boundary = RoadBoundary(self.tables)
        away = self.tables.xy - self.tables.origin[:2]
        self.nearest = float(np.sqrt(np.nanmin(np.square(away).sum(-1))))
        self.seconds = time.perf_counter() - began


class MapMaker:
    """Keeps the maps of the newest camera, plane and options; they take a part of a second, and no mask waits."""

    def __init__(self):
        self._made_for: tuple[CameraModel, GroundPlane, MapOptions] | None = None
        self._future: Future | None = None

    def maps(self, camera: CameraModel, plane: GroundPlane, options: MapOptions) -> GroundMaps | None:
        """The maps for exactly this; None while they are being made.

        Raises:
            GroundError: they cannot be made.
        """
        if self._made_for is None or not _same(self._made_for, (camera, plane, options)):
            if self._future is not None and not self._future.done():
                return None  # one at a time; the next frame asks again
            self._made_for = camera, plane, options
            self._future = Future()
            arguments = self._future, camera, plane, options
            Thread(target=_make, args=arguments, name="ground maps", daemon=True).start()  # the process need not wait
        if not self._future.done():
            return None
        if error := self._future.exception():
            if not isinstance(error, GroundError):  # such as too little memory, which may pass
                self.forget()
            raise error.with_traceback(None)  # the tracebacks of all frames so far would keep their images
        return self._future.result()

    def forget(self) -> None:
        """Free them."""
        self._made_for = self._future = None


def _make(future: Future, *arguments) -> None:
    os.nice(19)  # on Linux a thread's own: masks come first
    try:
        future.set_result(GroundMaps(*arguments))
    except BaseException as error:
        future.set_exception(error)


def _same(a: tuple[CameraModel, GroundPlane, MapOptions], b: tuple[CameraModel, GroundPlane, MapOptions]) -> bool:
    (camera_a, plane_a, options_a), (camera_b, plane_b, options_b) = a, b
    return (
        camera_a is camera_b
        and options_a == options_b
        and plane_a.z == plane_b.z
        and np.allclose(plane_a.rotation, plane_b.rotation, rtol=0, atol=ROTATION_TOLERANCE)
        and np.allclose(plane_a.translation, plane_b.translation, rtol=0, atol=TRANSLATION_TOLERANCE)
    )
