"""The ROS 2 node: camera images in, road masks out. ROS and nothing of torch."""

import signal
import sys
from typing import TYPE_CHECKING

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from fcn_road_seg import parameters
from fcn_road_seg.camera_subscription import CameraSubscription
from fcn_road_seg.image_message import fill_image, image_to_rgb
from fcn_road_seg.mask import threshold_mask
from fcn_road_seg.overlay import overlay
from fcn_road_seg.ros_environment import set_ros_defaults

if TYPE_CHECKING:
    from fcn_road_seg.segmenter import RoadSegmenter

NODE_NAME = "road_seg"


class RoadSegNode(LifecycleNode):
    """Segments the road in every frame that it has time for: always the newest one.

    Topics (their names can be remapped; every output carries the header of the frame it belongs to):
        image: sensor_msgs/Image, subscribed, KEEP_LAST 1, see CameraSubscription for its reliability.
        ~/mask: sensor_msgs/Image mono8, 255 = road, RELIABLE, KEEP_LAST 1. Goes out first.
        ~/overlay: sensor_msgs/Image bgr8, the frame with the road tinted; made only while somebody subscribes.

    The executor has one thread and inference runs in the callback, so DDS's queue of one frame is the only queue.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
    """

    def __init__(self):
        super().__init__(NODE_NAME)
        for parameter in parameters.PARAMETERS:
            parameters.declare(self, parameter)
        self._mask_publisher = self._publisher("~/mask")
        self._overlay_publisher = self._publisher("~/overlay")
        self._camera = CameraSubscription(self, self._on_image)
        self._segmenter: RoadSegmenter | None = None
        self._dropped = 0
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def _publisher(self, topic: str) -> LifecyclePublisher:
        """A publisher of images, RELIABLE and KEEP_LAST 1 unless the parameters qos_overrides.<topic> say otherwise."""
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
        policies = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
        overriding = QoSOverridingOptions(policy_kinds=policies)
        try:
            return self.create_lifecycle_publisher(Image, topic, qos, qos_overriding_options=overriding)
        except RuntimeError as error:
            raise parameters.ParameterError(f"{topic}: {error}") from None

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights and run once, so that the first frame is not slow."""
        try:
            self._segmenter = self._load()
            if self._value("warm_up_height") and self._value("warm_up_width"):
                self._segmenter.warm_up(self._value("warm_up_height"), self._value("warm_up_width"))
        except Exception as error:  # rclpy would swallow it without a word
            self._release()
            command = f"ros2 lifecycle set {self.get_fully_qualified_name()}"
            self.get_logger().error(
                f"Not configured: {error}; mend that, then {command} configure and {command} activate"
            )
            return TransitionCallbackReturn.FAILURE
        segmenter = self._segmenter
        self.get_logger().info(
            f"Weights {segmenter.checkpoint.path} "
            f"on {segmenter.device_name} ({segmenter.device}, {segmenter.backend}), "
            f"precision {segmenter.precision}, network width {segmenter.network_width}, "
            f"threshold {self._threshold():.3f}"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start listening to the camera."""
        try:
            self._camera.start()
        except Exception as error:  # as above
            self.get_logger().error(f"Not activated: {error}")
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening to the camera."""
        self._camera.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self._camera.stop()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, from where the node can be configured again."""
        return self.on_shutdown(state)

    def start(self) -> None:
        """Configure and activate, if the parameter autostart says so."""
        if not self._value("autostart") or self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return
        if self.context.ok():  # not interrupted meanwhile
            self.trigger_activate()

    def _load(self) -> "RoadSegmenter":
        # Importing torch takes seconds; here Ctrl-C ends the node cleanly meanwhile, because rclpy is up.
        from fcn_road_seg.segmenter import RoadSegmenter

        device = self._value("device")
        if self._value("require_cuda"):
            device = "cuda" if device == "auto" else device
            if not device.startswith("cuda"):
                raise parameters.ParameterError(f"require_cuda is true, but device is '{device}'")
        return RoadSegmenter.load(
            self._value("weights"), device, self._value("precision"), self._value("network_width")
        )

    def _release(self) -> None:
        if self._segmenter is not None:
            self._segmenter.close()
            self._segmenter = None

    # A frame

    def _on_image(self, message: Image) -> None:
        try:
            frame = image_to_rgb(message)
            probability = self._segmenter(frame)
        except ValueError as error:
            self._dropped += 1
            self.get_logger().warning(f"Frame dropped ({self._dropped} so far): {error}", throttle_duration_sec=1.0)
            return
        mask = threshold_mask(probability, self._threshold())
        self._mask_publisher.publish(fill_image(Image(header=message.header), mask, "mono8"))
        if self._overlay_publisher.get_subscription_count():
            picture = overlay(frame, mask, self._value("overlay_alpha"))[:, :, ::-1]
            self._overlay_publisher.publish(fill_image(Image(header=message.header), picture, "bgr8"))

    # Parameters

    def _value(self, name: str) -> parameters.Value:
        return self.get_parameter(name).value

    def _threshold(self) -> float:
        """P(road), 0..1, from which a pixel is road: the parameter, or the checkpoint's where that is 0."""
        return self._value("threshold") or self._segmenter.threshold

    def _on_set_parameters(self, changes: list[rclpy.Parameter]) -> SetParametersResult:
        try:
            for change in changes:
                parameters.check_change(change.name, change.value, configured=self._segmenter is not None)
        except parameters.ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def main() -> int:
    """Run the node until SIGINT or SIGTERM; the process's exit code: 0, or 2 for a parameter it cannot take."""
    set_ros_defaults()
    rclpy.init()
    node = None
    try:
        node = RoadSegNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.start()
        executor.spin()
    except parameters.ParameterError as error:
        print(f"road_seg_node: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C under a launcher comes twice
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
