"""The ground outputs: what the node publishes about the road plane; see docs/ground.md."""

import copy
import time
from collections.abc import Callable

from geometry_msgs.msg import PolygonStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2
from std_msgs.msg import Header

from fcn_road_seg.errors import first_line
from fcn_road_seg.ground import GroundError, GroundPlane
from fcn_road_seg.ground.lookup import GroundMaps, MapMaker
from fcn_road_seg.ros.camera_info_subscription import CameraInfoSubscription, NotYetError
from fcn_road_seg.ros.diagnostics import OK, STALE, WARN, Report
from fcn_road_seg.ros.frame_statistics import unless_old
from fcn_road_seg.ros.ground_messages import boundary_message, grid_message, points_message, scan_message
from fcn_road_seg.ros.ground_transform import GroundTransform
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.ros.steady_clock import STEADY

TABLES_SECONDS = 30.0
"""Longest that making the tables may take before it is reported as a fault."""
LOG_PERIOD = 10.0
IDLE = Report("ground", OK, "no ground output is subscribed to", {})


class GroundOutputs:
    """~/points, ~/grid, ~/scan, ~/boundary and ~/camera_info, each made only while it is subscribed to.

    Only then does the node subscribe to calibration and TF. If they are unusable, the log and `report` say why in a
    sentence and nothing is published; maps of another camera, plane or size are never used.

    Args:
        node: subscribes and logs.
        publisher: creates a publisher of a message type on a topic.
    """

    def __init__(self, node: Node, publisher: Callable[..., Publisher]):
        self._node = node
        self._info_publisher = publisher(CameraInfo, "~/camera_info")
        self._publishers = {
            topic: (publisher(kind, f"~/{topic}"), fill)
            for topic, kind, fill in (
                ("points", PointCloud2, points_message),
                ("grid", OccupancyGrid, grid_message),
                ("scan", LaserScan, scan_message),
                ("boundary", PolygonStamped, boundary_message),
            )
        }
        self._camera_info = CameraInfoSubscription(node)
        self._transform = GroundTransform(node)
        self._maker = MapMaker()
        self._logged_maps: GroundMaps | None = None
        self._fault_logged = False  # whether the last log line was a fault
        self._waiting_since: float | None = None
        self._report = IDLE
        self._last_frame = time.monotonic()

    def publish(self, frame: SegmentedFrame) -> None:
        """Publish the outputs that are subscribed to, or report why that is impossible."""
        self._last_frame = time.monotonic()
        subscribed = [output for output in self._publishers.values() if output[0].get_subscription_count()]
        if not subscribed and not self._info_publisher.get_subscription_count():
            return self.stop()
        self._camera_info.start()
        waiting_since = self._waiting_since = self._waiting_since or time.monotonic()
        try:
            maps = self._look_up(frame, bool(subscribed))
        except NotYetError as error:
            if time.monotonic() - waiting_since >= error.patience:
                return self._report_fault(error)
            self._report = Report("ground", STALE, f"not yet: {first_line(error)}", {})
            return
        except GroundError as error:
            return self._report_fault(error)
        except Exception as error:
            self._fault_logged = True
            sentence = f"ground outputs are not published: {type(error).__name__}: {first_line(error)}"
            self._report = Report("ground", WARN, sentence, {})
            raise
        self._waiting_since = time.monotonic()
        if maps is None:
            self._report = IDLE
        else:
            ground = Header(stamp=frame.header.stamp, frame_id=frame.parameters.ground_frame)
            for publisher, fill in subscribed:
                publisher.publish(fill(frame, maps, ground))
            self._report_maps(maps, frame.parameters)

    def _look_up(self, frame: SegmentedFrame, needs_maps: bool) -> GroundMaps | None:
        """Publish ~/camera_info; the maps for exactly this frame, or None if only camera_info is subscribed to."""
        size = frame.mask.shape[1], frame.mask.shape[0]
        info = self._camera_info.matching(frame.header, size)
        if self._info_publisher.get_subscription_count():
            stamped = copy.copy(info)
            stamped.header = frame.header
            self._info_publisher.publish(stamped)
        if not needs_maps:
            return None
        camera = self._camera_info.model(info, size, frame.parameters.rectified)
        plane = self._plane(frame.header, frame.parameters)
        maps = self._maker.maps(camera, plane, frame.parameters.map_options, frame.hidden)
        if maps is None:
            raise NotYetError(
                f"the tables for images of {size[0]}x{size[1]} are being computed; if this never "
                "ends, the calibration or the transform keeps changing",
                TABLES_SECONDS,
            )
        return maps

    def _plane(self, header: Header, parameters: NodeParameters) -> GroundPlane:
        if parameters.camera_height:
            self._transform.stop()
            return GroundPlane.from_mounting(parameters.camera_height, parameters.camera_pitch, parameters.camera_roll)
        return self._transform.plane(parameters.ground_frame, header.frame_id, header.stamp, parameters.ground_z)

    def _report_fault(self, error: GroundError) -> None:
        self._fault_logged = True
        why = first_line(error)
        self._report = Report("ground", WARN, f"ground outputs are not published: {why}", {})
        self._node.get_logger().warning(
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
            self._node.get_logger().info(
                f"Ground outputs ({ground_frame}, plane from {source}): {sentence}",
                throttle_duration_sec=LOG_PERIOD,
                throttle_time_source_type=STEADY,
            )
        self._logged_maps, self._fault_logged = maps, False

    def report(self) -> Report:
        """The state of the ground outputs; STALE if no frame comes."""
        if self._report is IDLE:
            return IDLE
        return unless_old(self._report, "frame", time.monotonic() - self._last_frame)

    def stop(self) -> None:
        """Unsubscribe from camera_info and TF."""
        self._camera_info.stop()
        self._transform.stop()
        self._waiting_since = None
        self._report = IDLE

    def release(self) -> None:
        """Stop, and free the maps."""
        self.stop()
        self._maker.forget()
        self._logged_maps = None
