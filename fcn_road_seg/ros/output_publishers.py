"""The publishers of the node's outputs, and whether anybody listens to them."""

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy

from fcn_road_seg.ros.qos import create_overridable_publisher


class OutputPublishers:
    """Creates the publishers of all outputs; what is made for every frame of a camera asks it for a listener."""

    def __init__(self, node: LifecycleNode):
        self._node = node
        self._of_every_frame: list[Publisher] = []

    def __call__(
        self, message_type: type, topic: str, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    ) -> Publisher:
        """Create the publisher of an output, see `create_overridable_publisher`.

        One that is TRANSIENT_LOCAL is for what is published now and then; its subscribers need no frames.
        """
        publisher = create_overridable_publisher(
            self._node, self._node.create_lifecycle_publisher, message_type, topic, durability=durability
        )
        if durability == DurabilityPolicy.VOLATILE:
            self._of_every_frame.append(publisher)
        return publisher

    def listened_to(self) -> bool:
        """Whether an output that is made for every frame has a subscriber."""
        return any(publisher.get_subscription_count() for publisher in self._of_every_frame)
