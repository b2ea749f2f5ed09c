"""How what belongs to one of several cameras is named; a single camera has no name. Imports without ROS."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger
    from rclpy.node import Node


def scoped(camera: str, topic: str) -> str:
    """A topic of a camera: "front/image" of image, "~/front/mask" of ~/mask; as it is for a camera without a name."""
    home, name = ("~/", topic.removeprefix("~/")) if topic.startswith("~/") else ("", topic)
    return f"{home}{camera}/{name}" if camera else topic


def source_of(node: str, camera: str) -> str:
    """What the names of a camera's outputs and statuses start with: "/road_seg/front" of the node /road_seg."""
    return f"{node}/{camera}" if camera else node


def logger_of(node: "Node", camera: str) -> "RcutilsLogger":
    """The logger for what concerns one camera; keep it, because it knows when it said something last."""
    logger: RcutilsLogger = node.get_logger()
    return logger.get_child(camera) if camera else logger
