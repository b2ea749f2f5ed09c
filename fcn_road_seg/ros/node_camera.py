"""One camera of the node: its images, its outputs, and what is known of both."""

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.ros.camera_subscription import CameraSubscription
from fcn_road_seg.ros.demand import Demand
from fcn_road_seg.ros.diagnostics import IMAGE_TOPIC, MASK_TOPIC, Report
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_handler import FrameHandler
from fcn_road_seg.ros.frame_statistics import FrameStatistics
from fcn_road_seg.ros.ground_outputs import GroundOutputs
from fcn_road_seg.ros.instance_detection import InstanceDetection
from fcn_road_seg.ros.instance_outputs import InstanceOutputs
from fcn_road_seg.ros.output_publishers import OutputPublishers
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.pixel_outputs import PixelOutputs


class NodeCamera:
    """A camera with its topics, and all that the node keeps of it; the cameras of a node share only the networks.

    Args:
        node: has the topics.
        name: of the camera; empty if it is the only one.
        on_image: gets this camera and each image with its rclpy MessageInfo.
        faults: records unexpected exceptions.

    Attributes:
        own_vehicle: where its images show the vehicle itself; None without such a mask.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        on_image: Callable[["NodeCamera", Image | CompressedImage, dict], None],
        faults: FaultLog,
    ):
        self.name = name
        self.own_vehicle: OwnVehicle | None = None
        output = OutputPublishers(node, name)
        mask_publisher = self._mask_publisher = output(Image, "~/mask")
        self.ground_outputs = GroundOutputs(node, output, faults, name)
        self.pixel_outputs = PixelOutputs(node, output)
        self.instance_outputs = InstanceOutputs(output)
        self.statistics = FrameStatistics()
        self.demand = Demand(output.listened_to)
        outputs = self.ground_outputs, self.pixel_outputs
        self.detection = InstanceDetection(node, (*outputs, self.instance_outputs), faults, name)
        self.frame_handler = FrameHandler(
            node,
            mask_publisher,
            (*outputs, self.detection),
            self.detection,
            self.demand,
            self.statistics,
            faults,
            name,
        )
        self.subscription = CameraSubscription(
            node, faults, lambda *image: on_image(self, *image), self.statistics.resting, name
        )

    def configure(self, values: NodeParameters) -> None:
        """Read what its frames need.

        Raises:
            UserError: the own-vehicle mask cannot be used.
        """
        self.own_vehicle = OwnVehicle(values.own_vehicle_mask) if values.own_vehicle_mask else None

    def reports(self, max_fps: float, faster: str) -> list[Report]:
        """Its statuses while the node is active; `max_fps` is the parameter, `faster` as in `FrameStatistics`."""
        others = self.ground_outputs.report(max_fps), self.detection.report()
        frames, *details = self.statistics.reports(self.subscription.problem, max_fps, others, faster)
        topics = {IMAGE_TOPIC: self.subscription.topic, MASK_TOPIC: self._mask_publisher.topic_name}
        return [frames._replace(values=topics | frames.values), *details]

    def stop(self) -> None:
        """Unsubscribe from everything, and forget the frames that wait."""
        self.subscription.stop()
        self.ground_outputs.stop()
        self.detection.stop()

    def release(self) -> None:
        """Stop, and free the maps."""
        self.stop()
        self.ground_outputs.release()
        self.detection.release()
        self.own_vehicle = None
