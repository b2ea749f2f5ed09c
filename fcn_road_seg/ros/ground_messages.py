"""The messages of the ground outputs, made from a frame and the maps of its camera; see docs/ground.md."""

from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import Point, Point32, Polygon, PolygonStamped, Pose
from nav_msgs.msg import MapMetaData, OccupancyGrid
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from fcn_road_seg.ground import FIELDS, POINT_STEP
from fcn_road_seg.ground.lookup import GroundMaps
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.ros.segmented_frame import SegmentedFrame

POINT_FIELDS = [PointField(name=name, offset=at, datatype=kind, count=1) for name, at, kind in FIELDS]
OBSTACLE = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "range", "score")] + [(name, "<u2") for name in ("class_id", "instance")]
)
"""A point of ~/obstacles; the last two are an index in `INSTANCE_CLASSES`, and the value in ~/instance_ids."""
DATATYPES = {"f4": PointField.FLOAT32, "u2": PointField.UINT16}
OBSTACLE_FIELDS = [
    PointField(name=name, offset=at, datatype=DATATYPES[kind.str[1:]], count=1)
    for name, (kind, at, *_) in (OBSTACLE.fields or {}).items()
]


class Level(NamedTuple):
    """What the camera of the maps sees: P(road) x 255 and mask, uint8 H x W, and where neither is known, bool H x W."""

    probability: np.ndarray
    mask: np.ndarray
    unseen: np.ndarray | None


@dataclass
class GroundFrame:
    """A frame with all that puts it into metres.

    Attributes:
        maps: of its camera and the road plane.
        header: its stamp, and the ground frame.
        tilt: of the vehicle against the road, see `fcn_road_seg.ground.tilt`; None if it is not known.
    """

    frame: SegmentedFrame
    maps: GroundMaps
    header: Header
    tilt: np.ndarray | None = None

    @cached_property
    def level(self) -> Level:
        """The frame as the level vehicle's camera would have taken it; computed on first use."""
        frame = self.frame
        if self.tilt is None or self.maps.view is None:
            return Level(frame.probability, frame.mask, None)
        probability, unseen = self.maps.view.image(frame.probability, self.tilt)
        return Level(probability, threshold_mask(probability, frame.threshold), unseen)


def points_message(ground: GroundFrame) -> PointCloud2:
    """The organised cloud of a frame, in its optical frame, with its header; valid until the next one is made."""
    frame, maps = ground.frame, ground.maps
    height, width = frame.mask.shape
    if ground.tilt is not None and maps.view is not None:
        maps.cloud.move(maps.view.points(ground.tilt))
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


def grid_message(ground: GroundFrame) -> OccupancyGrid:
    """The occupancy grid of a frame in the ground frame, at the height of the road."""
    grid, level = ground.maps.grid, ground.level
    x, y = grid.origin
    message = OccupancyGrid(header=ground.header)
    message.info = MapMetaData(
        map_load_time=ground.header.stamp,
        resolution=grid.resolution,
        width=grid.shape[1],
        height=grid.shape[0],
        origin=Pose(position=Point(x=x, y=y, z=ground.maps.tables.plane.z)),
    )
    message.data = array("b", grid(level.probability, ground.frame.threshold, level.unseen).tobytes())
    return message


def scan_message(ground: GroundFrame) -> LaserScan:
    """The ranges of a frame from the ground frame's origin, all of the same moment."""
    scan, level = ground.maps.scan, ground.level
    return LaserScan(
        header=ground.header,
        angle_min=scan.angle_min,
        angle_max=scan.angle_max,
        angle_increment=scan.angle_increment,
        range_min=scan.range_min,
        range_max=scan.range_max,
        ranges=array("f", scan(level.mask, level.unseen).tobytes()),
    )


def boundary_message(ground: GroundFrame) -> PolygonStamped:
    """The edges of the road ahead in the ground frame; no points if there is no road."""
    boundary = ground.maps.boundary(ground.level.mask, ground.level.unseen)
    points = [] if boundary is None else boundary.polygon().tolist()
    z = ground.maps.tables.plane.z
    return PolygonStamped(header=ground.header, polygon=Polygon(points=[Point32(x=x, y=y, z=z) for x, y in points]))


def obstacles_message(ground: GroundFrame) -> PointCloud2:
    """The foot points of a frame's instances in the ground frame; those beyond the range of the maps are left out."""
    instances = ground.frame.instances
    assert instances is not None, "obstacles are made of instances"
    points = ground.maps.tables.road_points(instances.feet(), ground.tilt)
    (seen,) = np.nonzero(np.isfinite(points[:, 0]))
    cloud = np.empty(len(seen), OBSTACLE)
    cloud["x"], cloud["y"], cloud["z"] = points[seen].T
    cloud["range"] = np.hypot(points[seen, 0], points[seen, 1])
    cloud["score"], cloud["class_id"] = instances.scores[seen], instances.labels[seen]
    cloud["instance"] = seen + 1
    return PointCloud2(
        header=ground.header,
        height=1,
        width=len(cloud),
        fields=OBSTACLE_FIELDS,
        is_bigendian=False,
        point_step=OBSTACLE.itemsize,
        row_step=cloud.nbytes,
        data=array("B", cloud.tobytes()),
        is_dense=True,
    )
