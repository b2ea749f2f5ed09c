"""One camera frame with its result, from which all outputs besides the mask are made."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from rclpy.clock import Clock
from std_msgs.msg import Header

from fcn_road_seg.instances.drawing import draw_instances
from fcn_road_seg.instances.instances import Instances
from fcn_road_seg.postprocess.labels import labels_and_confidence
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.ros.parameters import NodeParameters


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time in nanoseconds; a negative one counts as none, 0."""
    return max(stamp.sec * 10**9 + stamp.nanosec, 0)


def age(clock: Clock, stamp: int) -> float | None:
    """Seconds since a stamp in nanoseconds; None without a stamp, or before a simulated clock begins."""
    now = clock.now().nanoseconds
    return (now - stamp) / 1e9 if stamp and now else None


@dataclass
class SegmentedFrame:
    """A frame and its result; arrays have the frame's size.

    Attributes:
        header: that of the image.
        image: uint8 H x W x 3 RGB.
        probability: P(road) x 255, uint8 H x W.
        mask: uint8 H x W, 255 = road.
        threshold: P(road), 0..1, from which the mask is road.
        parameters: the node's, as they were when the frame arrived.
        hidden: where the vehicle itself is in view: uint8 H x W, 255 there, else 0; None without an own-vehicle mask.
        instances: of the frame; None as long as they have not been looked for.
    """

    header: Header
    image: np.ndarray
    probability: np.ndarray
    mask: np.ndarray
    threshold: float
    parameters: NodeParameters
    hidden: np.ndarray | None = None
    instances: Instances | None = None

    @property
    def stamp(self) -> int:
        """When the image was taken, nanoseconds; 0 if it does not say."""
        return nanoseconds(self.header.stamp)

    @cached_property
    def labels_and_confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Class ids and confidence x 255, uint8 H x W each; computed on first use."""
        return labels_and_confidence(self.probability, self.threshold, self.parameters.min_confidence, self.hidden)

    @cached_property
    def overlay(self) -> np.ndarray:
        """The image with the road tinted and the instances drawn, uint8 H x W x 3 BGR; computed on first use."""
        road = overlay(self.image, self.mask, self.parameters.overlay_alpha)
        return (road if self.instances is None else draw_instances(road, self.instances))[:, :, ::-1]
