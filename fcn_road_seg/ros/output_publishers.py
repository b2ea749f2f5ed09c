"""The publishers of a camera's outputs, and whether anybody listens to them."""

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy

from fcn_road_seg.ros.qos import create_overridable_publisher
from fcn_road_seg.ros.scope import scoped


class OutputPublishers:
    """Creates the publishers of a camera's outputs; what is made for every frame asks it for a listener."""

    def __init__(self, node: LifecycleNode, camera: str = ""):
        self._node, self._camera = node, camera
        self._of_every_frame: list[Publisher] = []

    def __call__(
        self, message_type: type, topic: str, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    ) -> Publisher:
        """Create the publisher of an output such as ~/mask, see `scoped` and `create_overridable_publisher`.

        One that is TRANSIENT_LOCAL is for what is published now and then; its subscribers need no frames.
        """
        name = scoped(self._camera, topic)
        publisher = create_overridable_publisher(
            self._node, self._node.create_lifecycle_publisher, message_type, name, durability=durability
        )
        if durability == DurabilityPolicy.VOLATILE:
            self._of_every_frame.append(publisher)
        return publisher

    def listened_to(self) -> bool:
        """Whether an output that is made for every frame has a subscriber."""
        return any(publisher.get_subscription_count() for publisher in self._of_every_frame)
