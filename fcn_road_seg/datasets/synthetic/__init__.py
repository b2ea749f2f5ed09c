"""Procedural road scenes with exact truth: a drive for the demo and the tests, and samples for training."""

from .camera import Camera
from .drive import SyntheticDrive, SyntheticRoad
from .layout import SCENES
from .render import SyntheticFrame
from .road import RoadRegion
from .weather import WEATHERS

__all__ = ["SCENES", "WEATHERS", "Camera", "RoadRegion", "SyntheticDrive", "SyntheticFrame", "SyntheticRoad"]
