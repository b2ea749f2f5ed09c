"""What the node publishes of a frame in metres; docs/ground.md says what it means."""

import copy
import time
from array import array
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from geometry_msgs.msg import Point, Point32, Polygon, PolygonStamped, Pose
from nav_msgs.msg import MapMetaData, OccupancyGrid
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from fcn_road_seg.errors import first_line
from fcn_road_seg.ground import FIELDS, POINT_STEP, GroundError, GroundPlane
from fcn_road_seg.ground.lookup import GroundMaps, MapMaker, MapOptions
from fcn_road_seg.ros.camera_info_subscription import CameraInfoSubscription, NotYetError
from fcn_road_seg.ros.diagnostics import OK, WARN, Report
from fcn_road_seg.ros.ground_transform import GroundTransform
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.ros.steady_clock import STEADY

TABLES_SECONDS = 30.0
"""Longest that making tables may take before it is a fault."""
LOG_PERIOD = 10.0
POINT_FIELDS = [PointField(name=name, offset=at, datatype=kind, count=1) for name, at, kind in FIELDS]


class MetricOutputs:
    """~/points, ~/grid, ~/scan, ~/boundary and ~/camera_info, each made only while somebody subscribes.

    Calibration and TF are listened to only then, too. Whatever is wrong with them is a sentence in the log and in
    `report`, and nothing is published; maps of another camera, plane or size are never used.

    Args:
        node: has the parameters of the outputs.
        publisher: makes a publisher of a message type on a topic.
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
        self._maps: GroundMaps | None = None  # those that the log was told of
        self._wrong = False  # whether a fault was the last that it was told
        self._waiting_since: float | None = None
        self._report = self._idle()

    def publish(self, frame: SegmentedFrame) -> None:
        """Send what is subscribed to, or say why it cannot be."""
        wanted = [output for output in self._publishers.values() if output[0].get_subscription_count()]
        if not wanted and not self._info_publisher.get_subscription_count():
            return self.stop()
        self._camera_info.start()
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        try:
            maps = self._look_up(frame, bool(wanted))
        except GroundError as error:
            return self._say(error)
        except Exception as error:
            self._wrong = True
            sentence = f"nothing is published in metres: {type(error).__name__}: {first_line(error)}"
            self._report = Report("ground", WARN, sentence, {})
            raise
        self._waiting_since = time.monotonic()
        if maps is None:
            self._report = self._idle()
        else:
            ground = Header(stamp=frame.header.stamp, frame_id=self._value("ground_frame"))
            for publisher, fill in wanted:
                publisher.publish(fill(frame, maps, ground))
            self._tell(maps)

    def _look_up(self, frame: SegmentedFrame, in_metres: bool) -> GroundMaps | None:
        """Maps for this very frame; None while they are being made, or if only camera_info is wanted."""
        size = frame.mask.shape[1], frame.mask.shape[0]
        info = self._camera_info.matching(frame.header, size)
        if self._info_publisher.get_subscription_count():
            stamped = copy.copy(info)
            stamped.header = frame.header
            self._info_publisher.publish(stamped)
        if not in_metres:
            return None
        camera = self._camera_info.model(info, size, self._value("rectified"))
        options = MapOptions(**{field.name: self._value(field.name) for field in fields(MapOptions)})
        maps = self._maker.maps(camera, self._plane(frame.header), options)
        if maps is None:
            raise NotYetError(
                f"the tables for images of {size[0]}x{size[1]} are being made; if that never ends, "
                "calibration or transform change all the time",
                TABLES_SECONDS,
            )
        return maps

    def _plane(self, header: Any) -> GroundPlane:
        height = self._value("camera_height")
        if height:
            self._transform.stop()
            return GroundPlane.from_mounting(height, self._value("camera_pitch"), self._value("camera_roll"))
        return self._transform.plane(
            self._value("ground_frame"), header.frame_id, header.stamp, self._value("ground_z")
        )

    def _say(self, error: GroundError) -> None:
        sentence = first_line(error)
        if isinstance(error, NotYetError) and time.monotonic() - self._waiting_since < error.patience:
            self._report = Report("ground", OK, f"not yet: {sentence}", {})
            return
        self._wrong = True
        self._report = Report("ground", WARN, f"nothing is published in metres: {sentence}", {})
        self._node.get_logger().warning(
            f"Nothing is published in metres: {sentence}",
            throttle_duration_sec=LOG_PERIOD,
            throttle_time_source_type=STEADY,
        )

    def _tell(self, maps: GroundMaps) -> None:
        ground_frame = self._value("ground_frame")
        if maps is self._maps and self._report.values.get("ground frame") == ground_frame:
            return  # it has been told
        source = "camera_height, camera_pitch and camera_roll" if self._value("camera_height") else "TF"
        sentence = (
            f"the road lies {maps.tables.height_above_road:.2f} m below the camera and is known from "
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
        if self._wrong or maps is not self._maps:
            self._node.get_logger().info(
                f"In metres ({ground_frame}, plane from {source}): {sentence}",
                throttle_duration_sec=LOG_PERIOD,
                throttle_time_source_type=STEADY,
            )
        self._maps, self._wrong = maps, False

    def report(self) -> Report:
        """How it stands with the answer in metres."""
        return self._report

    def stop(self) -> None:
        """Stop listening to camera_info and TF."""
        self._camera_info.stop()
        self._transform.stop()
        self._waiting_since = None
        self._report = self._idle()

    def release(self) -> None:
        """Stop, and free the maps."""
        self.stop()
        self._maker.forget()
        self._maps = None

    def _idle(self) -> Report:
        return Report("ground", OK, "nobody subscribes to anything in metres", {})

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value


def points_message(frame: SegmentedFrame, maps: GroundMaps, ground: Header) -> PointCloud2:
    """The organised cloud of a frame, in its optical frame, with its header; valid until the next one is made."""
    height, width = frame.mask.shape
    return PointCloud2(
        header=frame.header,
        height=height,
        width=width,
        fields=POINT_FIELDS,
        is_bigendian=False,
        point_step=POINT_STEP,
        row_step=POINT_STEP * width,
        data=maps.cloud(*frame.labels_and_confidence),
        is_dense=False,
    )


def grid_message(frame: SegmentedFrame, maps: GroundMaps, ground: Header) -> OccupancyGrid:
    """The cells of a frame in the ground frame, on the road."""
    grid = maps.grid
    x, y = grid.origin
    message = OccupancyGrid(header=ground)
    message.info = MapMetaData(
        map_load_time=ground.stamp,
        resolution=grid.resolution,
        width=grid.shape[1],
        height=grid.shape[0],
        origin=Pose(position=Point(x=x, y=y, z=maps.tables.plane.z)),
    )
    message.data = array("b", grid(frame.probability, frame.threshold).tobytes())
    return message


def scan_message(frame: SegmentedFrame, maps: GroundMaps, ground: Header) -> LaserScan:
    """The ranges of a frame from the ground frame's origin, all of one moment."""
    scan = maps.scan
    return LaserScan(
        header=ground,
        angle_min=scan.angle_min,
        angle_max=scan.angle_max,
        angle_increment=scan.angle_increment,
        range_min=scan.range_min,
        range_max=scan.range_max,
        ranges=array("f", scan(frame.mask).tobytes()),
    )


def boundary_message(frame: SegmentedFrame, maps: GroundMaps, ground: Header) -> PolygonStamped:
    """The edges of the road ahead in the ground frame; no points where there is no road."""
    boundary = maps.boundary(frame.mask)
    points = [] if boundary is None else boundary.polygon().tolist()
    z = maps.tables.plane.z
    return PolygonStamped(header=ground, polygon=Polygon(points=[Point32(x=x, y=y, z=z) for x, y in points]))
