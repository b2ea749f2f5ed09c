"""How what belongs to one of several cameras is named; a single camera has no name. Imports without ROS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger
    from rclpy.node import Node

AROUND = "front", "left", "rear", "right", "front_left", "front_right"
"""Names for the cameras of a vehicle that has several."""


def around(count: int) -> tuple[str, ...]:
    """The names of so many cameras, at most as many as `AROUND` has; one has none."""
    return AROUND[:count] if count > 1 else ("",)


def scoped(camera: str, topic: str) -> str:
    """A topic of a camera: "front/image" of image, "~/front/mask" of ~/mask; as it is for a camera without a name."""
    home, name = ("~/", topic.removeprefix("~/")) if topic.startswith("~/") else ("", topic)
    return f"{home}{camera}/{name}" if camera else topic


def unmapped(camera: str, topic: str) -> str:
    """The full name of a camera's topic if neither the node nor it is renamed: "/road_seg/front/mask" of ~/mask."""
    return "/" + scoped(camera, topic).replace("~", "road_seg")


def topic_for(camera: str, topics: Sequence[str]) -> str:
    """Which of the published topics to propose to a camera: one with its name in the path; "" if none has it.

    A camera without a name gets the first.
    """
    return next((topic for topic in topics if not camera or camera in topic.split("/")), "")


def source_of(node: str, camera: str) -> str:
    """What the names of a camera's outputs and statuses start with: "/road_seg/front" of the node /road_seg."""
    return f"{node}/{camera}" if camera else node


def logger_of(node: "Node", camera: str) -> "RcutilsLogger":
    """The logger for what concerns one camera; keep it, because it knows when it said something last."""
    logger: RcutilsLogger = node.get_logger()
    return logger.get_child(camera) if camera else logger
