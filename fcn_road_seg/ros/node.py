"""The ROS 2 node: camera images in, road masks out. ROS and nothing of torch."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.errors import DeviceLostError, FrameError, first_line
from fcn_road_seg.frames.image_message import compressed_to_rgb, fill_image, image_to_rgb
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.postprocess.out_of_domain import alarm, look
from fcn_road_seg.postprocess.temporal_filter import TemporalFilter
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.ros import parameters
from fcn_road_seg.ros.camera_subscription import CameraSubscription
from fcn_road_seg.ros.diagnostics import ERROR, OK, FrameStatistics, Report, device_report, diagnostic_array
from fcn_road_seg.ros.ground_outputs import MetricOutputs
from fcn_road_seg.ros.log import log_to
from fcn_road_seg.ros.pixel_outputs import PixelOutputs
from fcn_road_seg.ros.qos import OVERRIDABLE, PublisherEventCallbacks, clash_reporter
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.ros.steady_clock import STEADY

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

NODE_NAME = "road_seg"
TRANSPORTS = {"raw": (Image, image_to_rgb), "compressed": (CompressedImage, compressed_to_rgb)}
"""By the parameter image_transport: the type of the topic image, and what decodes it."""


class RoadSegNode(LifecycleNode):
    """Segments the road in every frame that it has time for: always the newest one.

    Topics (their names can be remapped; every output carries the header of the frame it belongs to):
        image: sensor_msgs/Image or CompressedImage, subscribed, KEEP_LAST 1, see CameraSubscription.
        ~/mask: sensor_msgs/Image mono8, 255 = road, RELIABLE, KEEP_LAST 1. Goes out first.
        ~/points, ~/grid, ~/scan, ~/boundary, ~/camera_info: after it, the same in metres; see `MetricOutputs`.
        ~/labels, ~/confidence, ~/probability, ~/overlay, ~/label_info: pixel for pixel; see `PixelOutputs`.

        /diagnostics: diagnostic_msgs/DiagnosticArray, once a second in every state, see `diagnostics`.

    The executor has one thread and inference runs in the callback, so DDS's queue of one frame is the only queue.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
        SystemExit: by a callback, when the device answers no more.
    """

    def __init__(self):
        super().__init__(NODE_NAME)
        for parameter in parameters.PARAMETERS:
            parameters.declare(self, parameter)
        output = partial(self._publisher, self.create_lifecycle_publisher)
        self._mask_publisher = output(Image, "~/mask")
        self._metric_outputs = MetricOutputs(self, output)
        self._pixel_outputs = PixelOutputs(self, output)
        self._diagnostics_publisher = self._publisher(self.create_publisher, DiagnosticArray, "/diagnostics", depth=10)
        self._camera = CameraSubscription(self, self._on_image)
        self._segmenter: RoadSegmenter | None = None
        self._temporal_filter = TemporalFilter()
        self._statistics = FrameStatistics()
        self._fault = ""  # why it is not in the state that it was told to go to
        self.create_timer(1.0, self._diagnose, clock=STEADY)
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def _publisher(
        self,
        create: Callable,
        message_type: type,
        topic: str,
        depth: int = 1,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> Publisher:
        """A publisher, RELIABLE and KEEP_LAST unless the parameters qos_overrides.<topic> say otherwise."""
        reliable = ReliabilityPolicy.RELIABLE
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliable, durability=durability)
        name = self.resolve_topic_name(topic)
        report = clash_reporter(self, name, lambda: publisher.qos_profile, "publisher")
        try:
            publisher = create(
                message_type,
                topic,
                qos,
                qos_overriding_options=QoSOverridingOptions(policy_kinds=OVERRIDABLE),
                event_callbacks=PublisherEventCallbacks(incompatible_qos=report),
            )
        except (RuntimeError, ParameterException) as error:
            raise parameters.ParameterError(f"qos_overrides.{name}.publisher: {error}") from None
        return publisher

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights and run once, so that the first frame is not slow."""
        try:
            self._segmenter = self._load()
            if self._value("warm_up_height") and self._value("warm_up_width"):
                self._segmenter.warm_up(self._value("warm_up_height"), self._value("warm_up_width"))
        except DeviceLostError as error:
            raise self._end(error) from None
        except Exception as error:  # rclpy would swallow it without a word
            self._release()
            command = f"ros2 lifecycle set {self.get_fully_qualified_name()}"
            why = first_line(error)
            return self._fail(f"Not configured: {why}; mend that, then {command} configure and {command} activate")
        segmenter = self._segmenter
        self.get_logger().info(
            f"Weights {segmenter.checkpoint.path} "
            f"on {segmenter.device_name} ({segmenter.device}, {segmenter.backend}), "
            f"precision {segmenter.precision}, network width {segmenter.network_width}, "
            f"threshold {self._threshold():.3f}"
        )
        if segmenter.cuda_not_had:
            self.get_logger().warning(f"Running on the CPU: {segmenter.cuda_not_had}")
        self._fault = ""
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start listening to the camera."""
        message_type, self._decode = TRANSPORTS[self._value("image_transport")]
        self._statistics.restart()
        self._temporal_filter.reset()
        try:
            self._camera.start(message_type)
        except Exception as error:  # as above
            return self._fail(f"Not activated: {first_line(error)}")
        self._fault = ""
        result = super().on_activate(state)
        self._pixel_outputs.publish_names(self.get_clock().now().to_msg(), self._threshold())
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening to the camera."""
        self._camera.stop()
        self._metric_outputs.stop()
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
        """Stop and free everything; back to unconfigured, from where the node can be configured again."""
        self.on_shutdown(state)
        self._fail(f"A transition from {state.label} failed and everything was freed: configure the node again")
        return TransitionCallbackReturn.SUCCESS

    def _fail(self, sentence: str) -> TransitionCallbackReturn:
        self._fault = sentence
        self.get_logger().error(sentence)
        return TransitionCallbackReturn.FAILURE

    def _end(self, error: DeviceLostError) -> SystemExit:
        return SystemExit(f"road_seg_node: {error}; the node ends, so that it can be started anew")

    def start(self) -> None:
        """Configure and activate, if the parameter autostart says so."""
        if not self._value("autostart") or self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return
        if self.context.ok():  # not interrupted meanwhile
            self.trigger_activate()

    def _load(self) -> "RoadSegmenter":
        # Importing torch takes seconds; here Ctrl-C ends the node cleanly meanwhile, because rclpy is up.
        from fcn_road_seg.inference.segmenter import RoadSegmenter

        log_to(self.get_logger())
        device = self._value("device")
        if self._value("require_cuda"):
            device = "cuda" if device == "auto" else device
            if not device.startswith("cuda"):
                raise parameters.ParameterError(f"require_cuda is true, but device is '{device}'")
        return RoadSegmenter.load(
            SegmenterOptions(
                weights=self._value("weights"),
                device=device,
                precision=self._value("precision"),
                backend=self._value("backend"),
                network_width=self._value("network_width"),
                threads=self._value("threads"),
            )
        )

    def _release(self) -> None:
        self._metric_outputs.release()
        segmenter, self._segmenter = self._segmenter, None
        if segmenter is not None:
            try:
                segmenter.close()
            except DeviceLostError as error:
                raise self._end(error) from None

    # A frame

    def _on_image(self, message: Image | CompressedImage, info: dict) -> None:
        try:
            self._answer(message, info)
        except DeviceLostError as error:
            raise self._end(error) from None
        except FrameError as error:
            self._drop(error.reason, str(error))
        except MemoryError:
            self._drop("memory", "there is not enough memory for it")
        except Exception as error:  # a fault of this program or a library must not end the drive
            self._drop("fault", f"{type(error).__name__}: {first_line(error)}")

    def _answer(self, message: Image | CompressedImage, info: dict) -> None:
        began = time.perf_counter()
        stamp = max(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, 0)  # negative: none either
        publisher = info.get("publisher_gid")
        # Without the publisher, in ROS 2 before Kilted, two cameras' numbers would be mixed up.
        sequence = None if publisher is None else info.get("publication_sequence_number")
        self._statistics.arrived(stamp, repr(publisher), sequence)
        age_at_arrival = self._age(stamp)
        limit = self._value("max_age_ms")
        if limit and age_at_arrival is not None and 1000 * age_at_arrival > limit:
            raise FrameError("age", f"it is {1000 * age_at_arrival:.0f} ms old, but max_age_ms is {limit:g}")
        frame = self._decode(message)
        decoded = time.perf_counter()
        probability = self._segmenter(frame)
        answered = time.perf_counter()
        camera = message.header.frame_id
        probability = self._temporal_filter(probability, frame, self._value("smoothing"), stamp, camera)
        threshold = self._threshold()
        mask = threshold_mask(probability, threshold)
        thresholded = time.perf_counter()
        self._mask_publisher.publish(fill_image(Image(header=message.header), mask, "mono8"))
        published, age = time.perf_counter(), self._age(stamp)
        if age is not None and self.get_clock().ros_time_is_active:
            age += published - began  # /clock is heard between two frames only
        self._publish_more(
            SegmentedFrame(message.header, frame, probability, mask, threshold, self._value("min_confidence"))
        )
        seconds = {
            "decode": decoded - began,
            **self._segmenter.seconds,
            "threshold": thresholded - answered,
            "publish": published - thresholded,
            "outputs": time.perf_counter() - published,
        }
        road_fraction = np.count_nonzero(mask) / mask.size
        self._statistics.answered(seconds, age_at_arrival, age, road_fraction, alarm(look(frame, probability)))

    def _publish_more(self, frame: SegmentedFrame) -> None:
        for outputs in (self._metric_outputs, self._pixel_outputs):
            try:
                outputs.publish(frame)
            except Exception as error:  # the mask is out, and the next one shall follow
                sentence = f"Only the mask is published: {type(error).__name__}: {first_line(error)}"
                self.get_logger().error(sentence, throttle_duration_sec=1.0, throttle_time_source_type=STEADY)

    def _drop(self, reason: str, sentence: str) -> None:
        count = self._statistics.drop(reason, sentence)
        words = f"Frame dropped ({count} so far): {sentence}"
        self.get_logger().warning(words, throttle_duration_sec=1.0, throttle_time_source_type=STEADY)

    def _age(self, stamp: int) -> float | None:
        """Seconds since a stamp in nanoseconds; None without a stamp, or with a simulated clock that has not begun."""
        now = self.get_clock().now().nanoseconds
        return (now - stamp) / 1e9 if stamp and now else None

    # Diagnostics

    def _diagnose(self) -> None:
        _, state = self._state_machine.current_state
        reports = [Report("state", ERROR if self._fault else OK, self._fault or state, {"state": state})]
        if self._segmenter is not None:
            reports.append(device_report(self._segmenter))
        if state == "active":
            reports += [*self._statistics.reports(), self._metric_outputs.report()]
        stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(diagnostic_array(stamp, self.get_fully_qualified_name(), reports))

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
