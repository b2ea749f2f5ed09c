"""Maps are computed once per request, in a background thread."""

import contextlib
import gc
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CameraInfo

from fcn_road_seg.ground import CameraModel, GroundError, GroundPlane, lookup
from fcn_road_seg.ground.lookup import MapMaker, MapOptions
from fcn_road_seg.ros.camera_info_subscription import CameraInfoSubscription
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.synthetic import Camera

OPTIONS = NodeParameters().map_options
PLANE = GroundPlane.from_mounting(1.65)


def camera(width: int = 124, height: int = 38) -> CameraModel:
    c = Camera.of_size(width, height)
    p = [c.fx, 0, c.cx, 0, 0, c.fy, c.cy, 0, 0, 0, 1, 0]
    return CameraModel.from_camera_info(width, height, np.eye(3), [], "plumb_bob", np.eye(3), p)


CAMERA = camera()


def wait(maker: MapMaker, *arguments) -> lookup.GroundMaps:
    deadline = time.monotonic() + 240
    while (maps := maker.maps(*arguments)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return maps


def test_a_request_does_not_block_and_the_same_request_returns_the_same_maps(monkeypatch):
    began = []
    gate = threading.Event()

    class Slow(lookup.GroundMaps):
        def __init__(self, *arguments):
            began.append(arguments)
            gate.wait(60)
            super().__init__(*arguments)

    monkeypatch.setattr(lookup, "GroundMaps", Slow)
    maker = MapMaker()
    assert maker.maps(CAMERA, PLANE, OPTIONS) is None and maker.maps(CAMERA, PLANE, OPTIONS) is None
    # A new request during the first computation does not get the first one's maps.
    other = camera(62, 19)
    assert maker.maps(other, PLANE, OPTIONS) is None
    gate.set()
    assert wait(maker, other, PLANE, OPTIONS).tables.size == (62, 19)
    assert len(began) == 2
    assert maker.maps(other, PLANE, OPTIONS) is maker.maps(other, PLANE, OPTIONS)
    assert len(began) == 2


def test_a_plane_that_hardly_moved_keeps_its_maps():
    maker = MapMaker()
    maps = wait(maker, CAMERA, PLANE, OPTIONS)
    assert maker.maps(CAMERA, GroundPlane.from_mounting(1.651, 0.0003), OPTIONS) is maps
    for plane, options in (
        (GroundPlane.from_mounting(1.66), OPTIONS),
        (GroundPlane.from_mounting(1.66, 0.002), OPTIONS),
        (GroundPlane.from_mounting(1.66, 0.002, 0.002), OPTIONS),
        (GroundPlane(PLANE.rotation, PLANE.translation, -0.1), OPTIONS),
        (PLANE, MapOptions(**(vars(OPTIONS) | {"grid_resolution": 0.2}))),
    ):
        assert maker.maps(CAMERA, plane, options) is None
        new = wait(maker, CAMERA, plane, options)
        assert new is not maps
        assert new.tables.plane is plane and new.grid.resolution == options.grid_resolution
        maps = new


def test_an_error_is_raised_every_time_until_the_plane_changes():
    maker = MapMaker()
    up = GroundPlane.from_mounting(1.65, -1.2)
    for _ in range(2):
        with pytest.raises(GroundError, match="no pixel sees the road"):
            wait(maker, CAMERA, up, OPTIONS)
    assert wait(maker, CAMERA, PLANE, OPTIONS).nearest > 1
    maker.forget()
    assert maker.maps(CAMERA, PLANE, OPTIONS) is None


def test_changes_of_the_calibration_do_not_add_up():
    """One calibration's tables are kept, and one thread and the tables of the one before are gone."""
    maker, threads, earlier = MapMaker(), threading.active_count(), []
    for i in range(20):
        maps = wait(maker, camera(124 + i, 38), PLANE, OPTIONS)
        earlier.append(weakref.ref(maps.tables))
        del maps
    gc.collect()
    assert [tables() is not None for tables in earlier] == [False] * 19 + [True]
    assert threading.active_count() <= threads + 1


def test_a_temporary_fault_is_retried(monkeypatch):
    faults = [MemoryError("out of memory")]

    class Faulty(lookup.GroundMaps):
        def __init__(self, *arguments):
            if faults:
                raise faults.pop()
            super().__init__(*arguments)

    monkeypatch.setattr(lookup, "GroundMaps", Faulty)
    maker = MapMaker()
    with pytest.raises(MemoryError, match="out of memory"):
        wait(maker, CAMERA, PLANE, OPTIONS)
    assert wait(maker, CAMERA, PLANE, OPTIONS).nearest > 1


def test_a_fault_keeps_the_traceback_of_the_thread(monkeypatch):
    def fail(*_):
        raise KeyError("colour_lut")

    monkeypatch.setattr(lookup, "RoadScan", fail)
    maker = MapMaker()
    for _ in range(2):
        with pytest.raises(KeyError) as fault:
            wait(maker, CAMERA, PLANE, OPTIONS)
        assert fault.traceback[-1].name == "fail"


def test_a_lasting_fault_does_not_keep_frames_alive():
    maker, up, uncalibrated = MapMaker(), GroundPlane.from_mounting(1.65, -1.2), CameraInfo(width=124, height=38)
    subscription = CameraInfoSubscription(SimpleNamespace(resolve_topic_name=str))
    with pytest.raises(GroundError):
        wait(maker, CAMERA, up, OPTIONS)

    class Frame:
        pass

    def raise_in_a_frame(request) -> weakref.ref:
        frame = Frame()
        with contextlib.suppress(GroundError):
            request()
            pytest.fail("no error was raised")
        return weakref.ref(frame)

    for request in (lambda: maker.maps(CAMERA, up, OPTIONS), lambda: subscription.model(uncalibrated, (124, 38), True)):
        frames = [raise_in_a_frame(request) for _ in range(10)]
        gc.collect()
        assert sum(frame() is not None for frame in frames) <= 1  # the latest


def test_the_nearest_point_is_at_the_bottom_of_the_view():
    maps = wait(MapMaker(), CAMERA, PLANE, OPTIONS)
    bottom = CAMERA.height - round(OPTIONS.bottom_margin * CAMERA.height) - 1
    down = (bottom - CAMERA.intrinsics[1, 2]) / CAMERA.intrinsics[1, 1]
    assert maps.nearest == pytest.approx(1.65 / down, rel=1e-3)
