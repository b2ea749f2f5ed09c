"""The lookup tables of all ground outputs, computed in a background thread."""

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
    LevelView,
    PointCloud,
    RoadBoundary,
    RoadGrid,
    RoadScan,
)

ROTATION_TOLERANCE = 5e-4
"""Rotation in radians up to which a plane counts as unchanged: 3 cm at 10 m below a camera 1.65 m high."""
TRANSLATION_TOLERANCE = 2e-3
"""Translation in metres up to which a plane counts as unchanged."""


@dataclass(frozen=True)
class MapOptions:
    """Arguments of `GroundTables`, `RoadGrid` and `RoadScan`, under the names of the node's parameters."""

    max_range: float
    bottom_margin: float
    grid_resolution: float
    grid_length: float
    grid_width: float
    grid_mode: str
    scan_angle_increment: float
    scan_min_obstacle: float
    max_camera_height: float
    attitude: str
    """Whether the vehicle's attitude is known, and from what; not "none" prepares a `LevelView`."""


class GroundMaps:
    """The lookup tables and outputs of one camera and plane; the arguments are those of `GroundTables`.

    Attributes:
        tables, cloud, grid, scan, boundary, view: see `fcn_road_seg.ground`; view, a `LevelView`, is None without an
            attitude.
        nearest: distance on the road from the point below the camera to the nearest point that it sees, metres.
        seconds: how long the computation took.

    Raises:
        GroundError: camera, plane and options do not allow ground outputs.
    """

    def __init__(self, camera: CameraModel, plane: GroundPlane, options: MapOptions, hidden: np.ndarray | None = None):
        began = time.perf_counter()
        self.tables = GroundTables(
            camera, plane, options.max_range, options.bottom_margin, hidden, options.max_camera_height
        )
        self.cloud = PointCloud(self.tables.optical_points())
        self.grid = RoadGrid(
            self.tables, options.grid_resolution, options.grid_length, options.grid_width, options.grid_mode
        )
        self.scan = RoadScan(self.tables, options.scan_angle_increment, options.scan_min_obstacle)
        self.boundary = RoadBoundary(self.tables)
        self.view = None if options.attitude == "none" else LevelView(self.tables, options.bottom_margin, hidden)
        away = self.tables.xy - self.tables.origin[:2]
        self.nearest = float(np.sqrt(np.nanmin(np.square(away).sum(-1))))
        self.seconds = time.perf_counter() - began


Key = tuple[CameraModel, GroundPlane, MapOptions, np.ndarray | None]


class MapMaker:
    """Computes the maps of the latest camera, plane and options in the background, so that no mask waits for them."""

    def __init__(self) -> None:
        self._key: Key | None = None
        self._future: Future[GroundMaps] | None = None

    def maps(
        self, camera: CameraModel, plane: GroundPlane, options: MapOptions, hidden: np.ndarray | None = None
    ) -> GroundMaps | None:
        """The maps of this camera, plane and options; None while they are being computed.

        Args:
            hidden: as in `GroundTables`; the same array as long as nothing has changed.

        Raises:
            GroundError: camera, plane and options do not allow ground outputs.
        """
        key = camera, plane, options, hidden
        future = self._future
        if future is None or self._key is None or not _same(self._key, key):
            if future is not None and not future.done():
                return None  # one computation at a time; the next frame asks again
            future = Future()
            self._key, self._future = key, future
            # A daemon, so that the process need not wait for it at exit.
            Thread(target=_compute, args=(future, *key), name="ground maps", daemon=True).start()
        if not future.done():
            return None
        if error := future.exception():
            if isinstance(error, GroundError):
                raise error.with_traceback(None)  # the traceback would keep the images of all frames so far alive
            self.forget()  # for example a lack of memory, which may be temporary
            try:
                raise error
            finally:
                del error, future  # the traceback refers to this call: without a cycle it ends with its handler
        return future.result()

    def forget(self) -> None:
        """Free the maps."""
        self._key = self._future = None


def _compute(
    future: Future[GroundMaps],
    camera: CameraModel,
    plane: GroundPlane,
    options: MapOptions,
    hidden: np.ndarray | None,
) -> None:
    os.nice(19)  # on Linux it applies to this thread only: masks come first
    try:
        future.set_result(GroundMaps(camera, plane, options, hidden))
    except BaseException as error:
        future.set_exception(error)


def _same(a: Key, b: Key) -> bool:
    (camera_a, plane_a, options_a, hidden_a), (camera_b, plane_b, options_b, hidden_b) = a, b
    return (
        camera_a is camera_b
        and options_a == options_b
        and hidden_a is hidden_b
        and plane_a.z == plane_b.z
        and np.allclose(plane_a.rotation, plane_b.rotation, rtol=0, atol=ROTATION_TOLERANCE)
        and np.allclose(plane_a.translation, plane_b.translation, rtol=0, atol=TRANSLATION_TOLERANCE)
    )
