"""Where the frames of a node's outputs lie: from /tf and /tf_static, and from the node's own camera_height."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile

from fcn_road_seg.ros.camera_topics import optical_pose

MOUNTING = "camera_height", "camera_pitch", "camera_roll", "ground_frame"
"""Parameters of the node, or of one of its cameras, that say where the camera is, if camera_height is not 0."""
ASK_AGAIN = 5.0
"""Seconds between questions for the parameters."""


class Transforms:
    """The transforms while they are wanted: those of /tf when they arrive, those that do not change at any time.

    /tf and /tf_static need tf2_msgs, which a machine without a ROS 2 installation lacks.

    Args:
        node: subscribes and asks.
        observed: fully qualified name of the node whose outputs are shown.
        arrived: called with every list of transforms that arrives.
    """

    def __init__(self, node: Node, observed: str, arrived: Callable[[list[TransformStamped]], None]):
        self._node, self._observed, self._arrived = node, observed, arrived
        self._static: dict[str, TransformStamped] = {}
        self._endpoints: list[Any] = []
        self._client: Any = None
        self._asked = 0.0
        self._mounting: dict[str, Any] = {}

    def start(self) -> None:
        """Subscribe, unless subscribed."""
        if self._client is not None:
            return
        self._client = self._node.create_client(GetParameters, f"{self._observed}/get_parameters")
        self._asked = 0.0
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return
        static = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, callback, qos in (
            ("/tf", lambda message: self._arrived(list(message.transforms)), QoSProfile(depth=100)),
            ("/tf_static", self._on_static, static),
        ):
            self._endpoints.append(self._node.create_subscription(TFMessage, topic, callback, qos))

    def stop(self) -> None:
        """Unsubscribe and forget everything."""
        for subscription in self._endpoints:
            self._node.destroy_subscription(subscription)
        if self._client is not None:
            self._node.destroy_client(self._client)
        self._client, self._endpoints, self._static, self._mounting = None, [], {}, {}

    def fixed(self, header: Any, camera: str) -> list[TransformStamped]:
        """The transforms that do not change; asks for the node's parameters from time to time.

        Args:
            header: of the last mask, which names the camera's frame; None before the first.
            camera: the name of one of several cameras, or "".
        """
        if self._client is not None and time.monotonic() - self._asked > ASK_AGAIN and self._client.service_is_ready():
            self._asked = time.monotonic()
            own = [[f"{camera}.{name}"] for name in MOUNTING] if camera else []  # with one unknown, the answer is empty
            for names in (list(MOUNTING), *own):
                answer = self._client.call_async(GetParameters.Request(names=names))
                answer.add_done_callback(partial(self._on_parameters, names))
        mounting = None if header is None else self._from_mounting(header, camera)
        return [*self._static.values(), *([mounting] if mounting else [])]

    def _on_static(self, message: Any) -> None:
        self._static |= {transform.child_frame_id: transform for transform in message.transforms}
        self._arrived(list(message.transforms))

    def _on_parameters(self, names: Sequence[str], answer: Any) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        messages = (
            ParameterMessage(name=n, value=value) for n, value in zip(names, answer.result().values, strict=False)
        )
        self._mounting |= {message.name: Parameter.from_parameter_msg(message).value for message in messages}

    def _from_mounting(self, header: Any, camera: str) -> TransformStamped | None:
        """The camera's pose above the road that the node's parameters tell; None if it takes it from TF."""
        own: list[Any] = [self._mounting.get(f"{camera}.{name}", self._mounting.get(name)) for name in MOUNTING]
        height, pitch, roll, ground_frame = own
        if not height or None in own or not header.frame_id:
            return None
        (x, y, z), rotation = optical_pose(height, pitch, roll)
        transform = TransformStamped(child_frame_id=header.frame_id)
        transform.header.frame_id, transform.header.stamp = ground_frame, header.stamp
        transform.transform.translation = Vector3(x=x, y=y, z=z)
        transform.transform.rotation = Quaternion(**dict(zip("xyzw", rotation, strict=True)))
        return transform
