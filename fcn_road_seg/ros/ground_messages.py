"""The messages of the ground outputs, made from a frame and the maps of its camera; see docs/ground.md."""

from array import array

import numpy as np
from geometry_msgs.msg import Point, Point32, Polygon, PolygonStamped, Pose
from nav_msgs.msg import MapMetaData, OccupancyGrid
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from fcn_road_seg.ground import FIELDS, POINT_STEP
from fcn_road_seg.ground.lookup import GroundMaps
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
    """The occupancy grid of a frame in the ground frame, at the height of the road."""
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
    """The ranges of a frame from the ground frame's origin, all of the same moment."""
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
    """The edges of the road ahead in the ground frame; no points if there is no road."""
    boundary = maps.boundary(frame.mask)
    points = [] if boundary is None else boundary.polygon().tolist()
    z = maps.tables.plane.z
    return PolygonStamped(header=ground, polygon=Polygon(points=[Point32(x=x, y=y, z=z) for x, y in points]))


def obstacles_message(frame: SegmentedFrame, maps: GroundMaps, ground: Header) -> PointCloud2:
    """The foot points of a frame's instances in the ground frame; those beyond the range of the maps are left out."""
    assert frame.instances is not None, "obstacles are made of instances"
    points = maps.tables.road_points(frame.instances.feet())
    (seen,) = np.nonzero(np.isfinite(points[:, 0]))
    cloud = np.empty(len(seen), OBSTACLE)
    cloud["x"], cloud["y"], cloud["z"] = points[seen].T
    cloud["range"] = np.hypot(points[seen, 0], points[seen, 1])
    cloud["score"], cloud["class_id"] = frame.instances.scores[seen], frame.instances.labels[seen]
    cloud["instance"] = seen + 1
    return PointCloud2(
        header=ground,
        height=1,
        width=len(cloud),
        fields=OBSTACLE_FIELDS,
        is_bigendian=False,
        point_step=OBSTACLE.itemsize,
        row_step=cloud.nbytes,
        data=array("B", cloud.tobytes()),
        is_dense=True,
    )
