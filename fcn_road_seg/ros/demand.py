"""Which frames are worth the work: those that somebody listens for, evenly spaced, unless the node is paused."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.node import Node

from fcn_road_seg.ros.frame_statistics import IDLE, MAX_FPS, PAUSED
from fcn_road_seg.ros.parameters import NodeParameters

IDLE_AFTER = 2.0
"""Seconds without a subscriber of any output after which frames are not segmented."""
EARLY = 0.1
"""Share of the period of max_fps by which a frame may be early: cameras are not exact."""


class Demand:
    """Decides for each frame whether it is segmented.

    Args:
        listened_to: whether an output has a subscriber.
        clock: returns seconds that never go back.

    Attributes:
        paused: no frame is segmented.
    """

    def __init__(self, listened_to: Callable[[], bool], clock: Callable[[], float] = time.monotonic):
        self._listened_to = listened_to
        self._clock = clock
        self.paused = False
        self.restart()

    def restart(self) -> None:
        """Begin as if somebody had just listened."""
        self._last_listener = self._clock()
        self._max_fps, self._due = 0.0, -math.inf

    def refusal(self, parameters: NodeParameters) -> str:
        """Why a frame that arrives now is not to be segmented, `PAUSED`, `IDLE` or `MAX_FPS`; empty if it is."""
        now = self._clock()
        if parameters.always_on or self._listened_to():
            self._last_listener = now
        if reason := PAUSED if self.paused else IDLE if now - self._last_listener > IDLE_AFTER else "":
            self._due = -math.inf  # the first frame afterwards does not wait
            return reason
        return "" if self._is_due(now, parameters.max_fps) else MAX_FPS

    def _is_due(self, now: float, max_fps: float) -> bool:
        """Whether max_fps allows a frame now; then the next is due a period after this one was, and not much sooner."""
        if max_fps != self._max_fps:
            self._max_fps, self._due = max_fps, -math.inf
        if not max_fps:
            return True
        period = 1 / max_fps
        late = now - self._due
        if late < -EARLY * period:
            return False
        self._due = now + period if late > period else max(self._due + period, now + period / 2)
        return True


def offer_pause(node: Node, demands: Sequence[Demand]) -> None:
    """Offer the service ~/enable, a std_srvs/SetBool that pauses and resumes; it keeps its value in every state."""
    try:
        from std_srvs.srv import SetBool
    except ImportError:
        node.get_logger().info("No ~/enable: the ROS 2 package std_srvs is not installed")
        return

    def enable(request: Any, response: Any) -> Any:
        for demand in demands:
            demand.paused = not request.data
        response.success = True
        response.message = "not paused" if request.data else "paused: frames are counted, not segmented"
        node.get_logger().info(f"~/enable: {response.message}")
        return response

    node.create_service(SetBool, "~/enable", enable)
