"""Maps pixels to metres on the road plane, and masks to point clouds, grids, scans and boundaries, without ROS.

Imports NumPy and OpenCV, and from the other rooms only `postprocess`.

Frames are REP-103's: the optical frame has z forward, x right, y down; the ground frame x forward, y left, z up.
"""

from fcn_road_seg.ground.boundary import Boundary, RoadBoundary
from fcn_road_seg.ground.camera_model import CameraModel
from fcn_road_seg.ground.grid import GRID_MODES, RoadGrid
from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.level_view import LevelView, tilt
from fcn_road_seg.ground.plane import GroundPlane
from fcn_road_seg.ground.points import FIELDS, POINT_STEP, PointCloud
from fcn_road_seg.ground.scan import RoadScan
from fcn_road_seg.ground.tables import GroundTables

__all__ = [
    "FIELDS",
    "GRID_MODES",
    "POINT_STEP",
    "Boundary",
    "CameraModel",
    "GroundError",
    "GroundPlane",
    "GroundTables",
    "LevelView",
    "PointCloud",
    "RoadBoundary",
    "RoadGrid",
    "RoadScan",
    "tilt",
]
