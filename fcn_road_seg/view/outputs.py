"""What viewers show: the names of the outputs, one received message, and what a viewer is. Does not import ROS."""

from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np

from fcn_road_seg.frames.image_message import compressed_to_rgb, image_to_rgb
from fcn_road_seg.view.figures import Figures

CAMERA, MASK, OVERLAY = "camera", "mask", "overlay"
GRID, SCAN, BOUNDARY, POINTS, CAMERA_INFO = "grid", "scan", "boundary", "points", "camera_info"
INSTANCES, TRANSFORMS = "instances", "transforms"
GROUND = GRID, SCAN, BOUNDARY
"""What the bird's-eye picture shows, in the order in which the node publishes it."""
OUTPUTS = CAMERA, MASK, OVERLAY, *GROUND, POINTS, INSTANCES, CAMERA_INFO, TRANSFORMS
"""All but the camera and the transforms are topics of the node with these names."""
JPEG_QUALITY = 85


class Sample:
    """A received message.

    Attributes:
        output: its name in `OUTPUTS`.
        stamp: of its frame, in nanoseconds; 0 if it has none.
        message: the ROS message, or an object with its fields; of transforms, a list of geometry_msgs/TransformStamped.
    """

    def __init__(self, output: str, stamp: int, message: Any):
        self.output, self.stamp, self.message = output, stamp, message

    @property
    def frame_id(self) -> str:
        """The frame of its header."""
        return str(self.message.header.frame_id)

    @cached_property
    def rgb(self) -> np.ndarray:
        """The image of a camera, an overlay or a mask, uint8 H x W x 3 RGB.

        Raises:
            FrameError: it cannot be decoded.
        """
        return image_to_rgb(self.message) if hasattr(self.message, "encoding") else compressed_to_rgb(self.message)

    @cached_property
    def jpeg(self) -> bytes:
        """The image as JPEG.

        Raises:
            FrameError: it cannot be decoded.
        """
        return jpeg(self.rgb)


def jpeg(rgb: np.ndarray) -> bytes:
    """An image, uint8 H x W x 3 RGB, as JPEG."""
    return encode(rgb, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))


def encode(rgb: np.ndarray, suffix: str, parameters: tuple[int, ...] = ()) -> bytes:
    """An image, uint8 H x W x 3 RGB, as the content of a file with a suffix such as ".png"."""
    _, content = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), parameters)
    return bytes(content)


class Viewer(Protocol):
    """Something that shows the outputs: the page, Foxglove, rerun. The listener calls it from one thread."""

    def wants(self, output: str) -> bool:
        """Whether anybody looks at an output, so that it must be subscribed to."""

    def show(self, sample: Sample) -> None:
        """Show an output that is wanted."""

    def show_latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """Show the latency of a mask, in seconds, None if unknown, and the figures that it changed."""

    def show_status(self, now: int, figures: Figures) -> None:
        """Show the state of the node, once a second, at a time of the node's clock in nanoseconds."""
