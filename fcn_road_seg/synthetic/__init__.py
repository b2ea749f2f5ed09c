"""Renders procedural road scenes with exact ground truth: a continuous drive, a course to drive at will, and samples
for training.

Imports NumPy and OpenCV, and from the other rooms only `frames`.
"""

from fcn_road_seg.synthetic.camera import CAMERAS, Camera
from fcn_road_seg.synthetic.course import SyntheticCourse
from fcn_road_seg.synthetic.drive import SyntheticDrive, SyntheticRoad
from fcn_road_seg.synthetic.layout import SCENES
from fcn_road_seg.synthetic.pitching import PitchingDrive
from fcn_road_seg.synthetic.render import SyntheticFrame
from fcn_road_seg.synthetic.road import RoadRegion
from fcn_road_seg.synthetic.vehicle import Pose, Vehicle
from fcn_road_seg.synthetic.weather import WEATHERS
from fcn_road_seg.synthetic.world import SHAPES, SyntheticWorld

__all__ = [
    "CAMERAS",
    "SCENES",
    "SHAPES",
    "WEATHERS",
    "Camera",
    "PitchingDrive",
    "Pose",
    "RoadRegion",
    "SyntheticCourse",
    "SyntheticDrive",
    "SyntheticFrame",
    "SyntheticRoad",
    "SyntheticWorld",
    "Vehicle",
]
