"""The ground outputs: what the node publishes about the road plane; see docs/ground.md."""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from geometry_msgs.msg import PolygonStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2
from std_msgs.msg import Header

from fcn_road_seg.errors import first_line
from fcn_road_seg.ground import CameraModel, GroundError, GroundPlane
from fcn_road_seg.ground.lookup import GroundMaps, MapMaker
from fcn_road_seg.ros.camera_info_subscription import CameraInfoSubscription, NotYetError
from fcn_road_seg.ros.diagnostics import OK, STALE, WARN, Report
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_statistics import patience, unless_old
from fcn_road_seg.ros.ground_attitude import GroundAttitude
from fcn_road_seg.ros.ground_messages import (
    GroundFrame,
    boundary_message,
    grid_message,
    obstacles_message,
    points_message,
    scan_message,
)
from fcn_road_seg.ros.ground_transform import GroundTransform
from fcn_road_seg.ros.history import LateTransformError
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.scope import logger_of
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.ros.steady_clock import STEADY

TABLES_SECONDS = 30.0
"""Longest that making the tables may take before it is reported as a fault."""
MAX_WAIT = 5 * 10**8
"""Nanoseconds of the camera's stamps for which a frame waits for the transform of its stamp."""
MOST_WAITING = 16
"""Frames that may wait at once: half a second at 30 frames per second, 1 MB each for KITTI's camera."""
LOG_PERIOD = 10.0
IDLE = Report("ground", OK, "no ground output is subscribed to", {})
GIVEN_UP = "frames whose transform or attitude did not come"
NO_PIXELS = np.empty((0, 0, 3), np.uint8)
Outputs = tuple[tuple[Publisher, Callable[[GroundFrame], Any]], ...]
"""Publishers, and what makes their messages."""


class Waiting(NamedTuple):
    """Outputs of a frame that wait for the frame's transform."""

    frame: SegmentedFrame
    camera: CameraModel
    outputs: Outputs


class GroundOutputs:
    """~/points, ~/grid, ~/scan, ~/boundary, ~/obstacles and ~/camera_info, each made only while it is subscribed to.

    Only then does the node subscribe to calibration and TF. If they are unusable, the log and `report` say why in a
    sentence and nothing is published; maps of another camera, plane or size are never used. A frame whose transform has
    or attitude has not arrived waits for it; one of another time is never used in its place.

    Args:
        node: subscribes and logs.
        publisher: creates a publisher of a message type on a topic.
        faults: records unexpected exceptions while transforms arrive.
        camera: the camera's name, if there are several.
    """

    def __init__(self, node: Node, publisher: Callable[..., Publisher], faults: FaultLog, camera: str = ""):
        self._logger = logger_of(node, camera)
        self._info_publisher = publisher(CameraInfo, "~/camera_info")
        self._road: Outputs = (
            (publisher(PointCloud2, "~/points"), points_message),
            (publisher(OccupancyGrid, "~/grid"), grid_message),
            (publisher(LaserScan, "~/scan"), scan_message),
            (publisher(PolygonStamped, "~/boundary"), boundary_message),
        )
        self._obstacles: Outputs = ((publisher(PointCloud2, "~/obstacles"), obstacles_message),)
        self._camera_info = CameraInfoSubscription(node, camera)
        serve = faults.guard("A frame that waited for its transform has no ground outputs", self._serve, None)
        self._transform = GroundTransform(node, serve)
        self._attitude = GroundAttitude(node, serve, self._transform)
        self._maker = MapMaker()
        self._waiting: deque[Waiting] = deque()  # the oldest first
        self._given_up = 0
        self._last_stamp = 0
        self._logged_maps: GroundMaps | None = None
        self._fault_logged = False  # whether the last log line was a fault
        self._waiting_since: float | None = None
        self._report = IDLE
        self._other_frame = ""  # that the calibration names another frame than the image
        self._camera_height = 0.0
        self._last_frame = time.monotonic()

    def publish(self, frame: SegmentedFrame) -> None:
        """Publish the outputs that are subscribed to as soon as the frame's pose is known, or report why not."""
        self._last_frame = time.monotonic()
        self._camera_height = frame.parameters.camera_height
        subscribed = any(publisher.get_subscription_count() for publisher, _ in self._road + self._obstacles)
        if not subscribed and not self._info_publisher.get_subscription_count():
            return self.stop()
        self._camera_info.start()
        self._waiting_since = self._waiting_since or time.monotonic()
        if frame.parameters.attitude == "none":
            self._attitude.stop()
        if frame.parameters.camera_height and frame.parameters.attitude == "none":
            self._transform.stop()
            self._drop_waiting()
        elif frame.stamp < self._last_stamp:  # a bag was restarted, or the clock set back
            self._transform.forget_moving()
            self._attitude.forget()
            self._drop_waiting()
        self._last_stamp = frame.stamp
        with self._reporting():
            info = self._calibration(frame)
            self._compare_frames(frame, info)
            if self._info_publisher.get_subscription_count():
                stamped = copy.copy(info)
                stamped.header = frame.header
                self._info_publisher.publish(stamped)
            if subscribed:
                self._publish_when_possible(frame, info, self._road)
            else:
                self._waiting_since, self._report = time.monotonic(), IDLE

    @property
    def wants_instances(self) -> bool:
        """Whether ~/obstacles is subscribed to."""
        return any(publisher.get_subscription_count() for publisher, _ in self._obstacles)

    def publish_instances(self, frame: SegmentedFrame) -> None:
        """Publish ~/obstacles, if it is subscribed to, of a frame that `publish` has had, as soon as it is possible."""
        gone = self._waiting_since is None or frame.stamp > self._last_stamp  # stopped, or time went back, meanwhile
        if self.wants_instances and not gone:
            with self._reporting():
                self._publish_when_possible(frame, self._calibration(frame), self._obstacles)

    def _calibration(self, frame: SegmentedFrame) -> CameraInfo:
        height, width = frame.mask.shape
        return self._camera_info.matching(frame.header, (width, height))

    def _compare_frames(self, frame: SegmentedFrame, info: CameraInfo) -> None:
        self._other_frame = self._camera_info.of_another_frame(frame.header, info)
        if self._other_frame:
            self._logger.warning(
                f"The ground outputs may be wrong: {self._other_frame}",
                throttle_duration_sec=LOG_PERIOD,
                throttle_time_source_type=STEADY,
            )

    def _publish_when_possible(self, frame: SegmentedFrame, info: CameraInfo, outputs: Outputs) -> None:
        height, width = frame.mask.shape
        camera = self._camera_info.model(info, (width, height), frame.parameters.rectified)
        self._waiting.append(Waiting(frame, camera, outputs))
        self._serve()
        if len(self._waiting) > MOST_WAITING:
            self._waiting.pop()
            self._given_up += 1

    def _drop_waiting(self) -> None:
        self._given_up += len(self._waiting)
        self._waiting.clear()

    def _serve(self) -> None:
        """Publish the frames whose transform has arrived, and give up those that have waited too long."""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            frame = waiting.frame
            with self._reporting():
                try:
                    self._publish_in_metres(*waiting)
                except LateTransformError as error:
                    if not frame.stamp or self._last_stamp - frame.stamp > MAX_WAIT:
                        self._given_up += 1
                        raise
                    self._waiting.append(waiting._replace(frame=replace(frame, image=NO_PIXELS)))
                    if self._report is IDLE:
                        self._report_not_yet(error)

    def _publish_in_metres(self, frame: SegmentedFrame, camera: CameraModel, outputs: Outputs) -> None:
        parameters = frame.parameters
        plane = self._plane(frame)
        maps = self._maker.maps(camera, plane, parameters.map_options, frame.hidden)
        if maps is None:
            height, width = frame.mask.shape
            raise NotYetError(
                f"the tables for images of {width}x{height} are being computed; if this never "
                "ends, the calibration or the transform keeps changing",
                TABLES_SECONDS,
            )
        header = Header(stamp=frame.header.stamp, frame_id=parameters.ground_frame)
        tilt = None if parameters.attitude == "none" else self._attitude.tilt(frame, plane)
        ground = GroundFrame(frame, maps, header, tilt)
        for publisher, fill in outputs:
            if publisher.get_subscription_count():
                publisher.publish(fill(ground))
        self._waiting_since = time.monotonic()
        self._report_maps(maps, parameters)

    def _plane(self, frame: SegmentedFrame) -> GroundPlane:
        parameters = frame.parameters
        if parameters.camera_height:
            return GroundPlane.from_mounting(parameters.camera_height, parameters.camera_pitch, parameters.camera_roll)
        return self._transform.plane(parameters.ground_frame, frame.header.frame_id, frame.stamp, parameters.ground_z)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report why the block could not publish; an unexpected exception passes through."""
        try:
            yield
        except NotYetError as error:
            if time.monotonic() - (self._waiting_since or 0.0) >= error.patience:
                self._report_fault(error)
            else:
                self._report_not_yet(error)
        except GroundError as error:
            self._report_fault(error)
        except Exception as error:
            self._fault_logged = True
            sentence = f"ground outputs are not published: {type(error).__name__}: {first_line(error)}"
            self._report = Report("ground", WARN, sentence, {})
            raise

    def _report_not_yet(self, error: NotYetError) -> None:
        self._report = Report("ground", STALE, f"not yet: {first_line(error)}", {})

    def _report_fault(self, error: GroundError) -> None:
        self._fault_logged = True
        why = first_line(error)
        self._report = Report("ground", WARN, f"ground outputs are not published: {why}", {})
        self._logger.warning(
            f"Ground outputs are not published: {why}",
            throttle_duration_sec=LOG_PERIOD,
            throttle_time_source_type=STEADY,
        )

    def _report_maps(self, maps: GroundMaps, parameters: NodeParameters) -> None:
        ground_frame = parameters.ground_frame
        if maps is self._logged_maps and self._report.values.get("ground frame") == ground_frame:
            return
        source = "camera_height, camera_pitch and camera_roll" if parameters.camera_height else "TF"
        sentence = (
            f"the road lies {maps.tables.height_above_road:.2f} m below the camera and is mapped from "
            f"{maps.nearest:.1f} to {maps.tables.max_range:.1f} m"
        )
        values = {
            "ground frame": ground_frame,
            "plane from": source,
            "height above the road (m)": f"{maps.tables.height_above_road:.3f}",
            "nearest point (m)": f"{maps.nearest:.2f}",
            "making the tables (ms)": f"{1000 * maps.seconds:.0f}",
        }
        self._report = Report("ground", OK, sentence, values)
        if self._fault_logged or maps is not self._logged_maps:
            self._logger.info(
                f"Ground outputs ({ground_frame}, plane from {source}): {sentence}",
                throttle_duration_sec=LOG_PERIOD,
                throttle_time_source_type=STEADY,
            )
        self._logged_maps, self._fault_logged = maps, False

    def report(self, max_fps: float = 0.0) -> Report:
        """The state of the ground outputs; STALE if no frame comes. `max_fps` is the parameter."""
        values = self._report.values | self._attitude.values()
        if self._given_up:
            values = values | {GIVEN_UP: str(self._given_up)}
        report = self._report._replace(values=values)
        if self._other_frame and report.level == OK:
            report = report._replace(level=WARN, sentence=self._other_frame)
        age, limit = time.monotonic() - self._last_frame, patience(max_fps)
        if self._report is not IDLE or self._other_frame:
            return unless_old(report, "frame", age, limit)
        missing = self._camera_info.missing() if self._camera_height and age <= limit else ""
        return report._replace(level=WARN, sentence=f"camera_height is set, but {missing}") if missing else report

    def stop(self) -> None:
        """Unsubscribe from camera_info, TF and the attitude, and forget the frames that wait."""
        self._camera_info.stop()
        self._transform.stop()
        self._attitude.stop()
        self._waiting.clear()
        self._last_stamp = 0
        self._waiting_since = None
        self._report = IDLE
        self._other_frame = ""

    def release(self) -> None:
        """Stop, and free the maps."""
        self.stop()
        self._maker.forget()
        self._logged_maps = None
