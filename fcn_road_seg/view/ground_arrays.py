"""The node's grid and points as arrays with colours, for viewers in 3D. Does not import ROS."""

from typing import Any

import numpy as np

from fcn_road_seg.ground import FIELDS, POINT_STEP
from fcn_road_seg.postprocess.overlay import AZURE

NOT_ROAD, FAINT, EDGES, SCAN = (126, 116, 104), (112, 112, 116), (255, 214, 70), (255, 120, 60)
"""RGB colours; the road's is the overlay's."""
ROAD_LABEL, NOT_ROAD_LABEL = 1, 0
OPACITY = 160
"""Of the cells that are seen, 0..255."""
POINT = np.dtype(
    {
        "names": [name for name, *_ in FIELDS],
        "formats": ["<f4" if name in "xyz" else "u1" for name, *_ in FIELDS],
        "offsets": [offset for _, offset, _ in FIELDS],
        "itemsize": POINT_STEP,
    }
)


def grid_cells(message: Any) -> np.ndarray:
    """The cells of a nav_msgs/OccupancyGrid, int8 rows (along y) x columns (along x)."""
    return np.asarray(message.data, np.int8).reshape(message.info.height, message.info.width)


def cell_colours(cells: np.ndarray) -> np.ndarray:
    """The cells' colours, uint8 rows x columns x 4 RGBA: road in the overlay's colour, unseen transparent."""
    share = np.clip(cells, 0, 100)[..., None] / 100
    rgba = np.empty((*cells.shape, 4), np.uint8)
    rgba[..., :3] = (1 - share) * AZURE + share * NOT_ROAD
    rgba[..., 3] = np.where(cells < 0, 0, OPACITY)
    return rgba


def road_points(message: Any, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The points of the node's sensor_msgs/PointCloud2 that lie on the road plane.

    Args:
        step: take every n-th row and column.

    Returns:
        The points, of type `POINT`, in the optical frame, and their colours by label, uint8 N x 4 RGBA.
    """
    cloud = np.frombuffer(message.data, POINT).reshape(message.height, message.width)[::step, ::step].reshape(-1)
    points = cloud[np.isfinite(cloud["z"])]
    colours = np.full((len(points), 4), (*FAINT, 255), np.uint8)  # unknown
    colours[points["label"] == ROAD_LABEL] = (*AZURE, 255)
    colours[points["label"] == NOT_ROAD_LABEL] = (*NOT_ROAD, 255)
    return points, colours


def boundary_points(message: Any) -> np.ndarray:
    """The corners of a geometry_msgs/PolygonStamped, float32 N x 3."""
    return np.array([(p.x, p.y, p.z) for p in message.polygon.points], np.float32).reshape(-1, 3)


def scan_points(message: Any) -> np.ndarray:
    """Where the rays of a sensor_msgs/LaserScan end, float32 N x 3, without those that end nowhere."""
    ranges = np.asarray(message.ranges, np.float64)
    bearings = message.angle_min + message.angle_increment * np.arange(len(ranges))
    ends = np.stack([ranges * np.cos(bearings), ranges * np.sin(bearings), np.zeros_like(ranges)], -1)
    return ends[np.isfinite(ranges)].astype(np.float32)
