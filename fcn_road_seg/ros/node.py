"""The ROS 2 node: camera images in, road masks out. It loads torch only when it is configured."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, NoReturn

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.errors import DeviceLostError, UserError, first_line, missing_package
from fcn_road_seg.ros import attitude_subscription, camera_info_subscription, camera_subscription
from fcn_road_seg.ros.bond import Bond
from fcn_road_seg.ros.demand import offer_pause
from fcn_road_seg.ros.diagnostics import ERROR, OK, Report, device_report, diagnostic_array, what_is_faster
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_handler import TRANSPORTS, road_threshold
from fcn_road_seg.ros.instance_detection import detection_thread, warm_up
from fcn_road_seg.ros.load_segmenter import check_together, load_detector, load_segmenter
from fcn_road_seg.ros.log import log_to
from fcn_road_seg.ros.node_camera import NodeCamera
from fcn_road_seg.ros.parameter import ParameterError, declare_all, declare_given, read_all, warn_undeclared
from fcn_road_seg.ros.parameters import OF_CAMERA, NodeParameters, camera_names, check_change
from fcn_road_seg.ros.qos import create_overridable_publisher, overrides
from fcn_road_seg.ros.remedies import transitions
from fcn_road_seg.ros.scope import logger_of, scoped, source_of
from fcn_road_seg.ros.services import answer_always
from fcn_road_seg.ros.steady_clock import STEADY

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

NODE_NAME = "road_seg"
Transition = Callable[["RoadSegNode", LifecycleState], TransitionCallbackReturn]


def traced(transition: Transition) -> Transition:
    """A transition callback whose exceptions are logged, which rclpy does not do; a lost device ends the process."""

    @wraps(transition)
    def run(self: "RoadSegNode", state: LifecycleState) -> TransitionCallbackReturn:
        try:
            with self.faults.survived(f"A transition from {state.label} failed"):
                return transition(self, state)
        except DeviceLostError as error:
            _exit(error)
        return TransitionCallbackReturn.ERROR

    return run


class RoadSegNode(LifecycleNode):
    """Segments the road in the images of a camera, or several; takes the newest frame of each and skips older ones.

    Topics (all names can be remapped; every output carries the header of its image; with the parameter cameras those
    of the camera front are front/image, front/camera_info, ~/front/mask ...):
        image: sensor_msgs/Image or CompressedImage, subscribed, KEEP_LAST 1, see `CameraSubscription`.
        ~/mask: sensor_msgs/Image mono8, 255 = road, RELIABLE, KEEP_LAST 1. Published first.
        ~/points, ~/grid, ~/scan, ~/boundary, ~/camera_info: after the mask, on the road plane; see `GroundOutputs`.
        ~/mask/compressed, ~/labels, ~/confidence, ~/probability, ~/overlay, ~/overlay/compressed, ~/label_info: pixel
            for pixel; see `PixelOutputs`.
        ~/instances, ~/instance_ids, ~/obstacles: with the parameter instances; see `InstanceDetection`.

        /diagnostics: diagnostic_msgs/DiagnosticArray, once a second in every state, see `diagnostics`.
        bond: bond/Status, ten times a second while active, see `Bond`.

    Inference runs in the callback of the image, so DDS's queue of one frame for each camera is the only queue; the
    executor serves the cameras in turn. Frames that nobody needs are counted, but not segmented; see `Demand`, which
    the service ~/enable pauses.

    Args:
        context, namespace, parameter_overrides: as in `rclpy.node.Node`.

    Attributes:
        faults: the exceptions that the node survived.
        camera_names: of its cameras; ("",) for one without a name.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take, or two cameras have the same topic.
        SystemExit: in a callback, when the device no longer answers.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        namespace: str | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ):
        super().__init__(NODE_NAME, context=context, namespace=namespace, parameter_overrides=parameter_overrides)
        self.faults = FaultLog(self)
        self.camera_names = names = camera_names(declare_all(self, NodeParameters).cameras)
        self._given = {name: declare_given(self, name, OF_CAMERA) for name in names if name}
        self._snapshots: dict[str, NodeParameters] = {}
        _check_apart([self.resolve_topic_name(scoped(name, camera_subscription.TOPIC)) for name in names])
        self._cameras = [NodeCamera(self, name, self._on_image, self.faults) for name in names]
        _check_apart([publisher.topic_name for publisher in self.publishers])
        self._diagnostics_publisher = create_overridable_publisher(
            self, self.create_publisher, DiagnosticArray, "/diagnostics", depth=10
        )
        self._bond = Bond(self, self.faults)
        self._segmenter: RoadSegmenter | None = None
        self._detection_thread: ThreadPoolExecutor | None = None
        self._failure = ""  # why the last requested transition failed
        self.create_timer(1.0, self.faults.guard("Diagnostics failed", self._diagnose, None), clock=STEADY)
        refusal = SetParametersResult(successful=False, reason="the node failed to check it; its log has the traceback")
        self.add_on_set_parameters_callback(
            self.faults.guard("Setting parameters failed", self._on_set_parameters, refusal)
        )
        offer_pause(self, [camera.demand for camera in self._cameras])
        optional = [f"{name}.{row.name}" for name in names if name for row in OF_CAMERA]
        answer_always(self, self.faults, optional)
        topics = [camera.subscription.topic for camera in self._cameras]
        later = [scoped(name, camera_info_subscription.TOPIC) for name in names] + list(attitude_subscription.KINDS)
        topics += map(self.resolve_topic_name, later)
        warn_undeclared(self, [name for topic in topics for name in overrides(topic, "subscription")], optional)

    # Lifecycle

    @traced
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights and run once, so that the first frame is not slow."""
        values = self._values()
        try:
            log_to(self.get_logger())
            for camera in self._cameras:
                check_together(self._values(camera.name))
                camera.configure(self._values(camera.name))
            segmenter = self._segmenter = load_segmenter(values)
            detector = load_detector(values, segmenter)
            of_cameras = map(self._values, self.camera_names)
            sizes = dict.fromkeys((each.warm_up_height, each.warm_up_width) for each in of_cameras)
            for height, width in filter(all, sizes):
                segmenter.warm_up(height, width)
            if detector is not None:
                self._detection_thread = detection_thread(values)
                for height, width in filter(all, sizes):
                    warm_up(detector, self._detection_thread, height, width)
                for camera in self._cameras:
                    camera.detection.start(detector, self._detection_thread)
        except DeviceLostError:
            raise
        except Exception as error:
            self._release()
            advice = transitions(self.get_fully_qualified_name(), "configure", "activate")
            return self._refuse("Not configured", error, f"; fix that, then {advice}")
        at_warm_up = ""
        if segmenter.network_size:
            last = self._values(self._cameras[-1].name)
            network_size = "x".join(map(str, segmenter.network_size))
            at_warm_up = f" ({network_size} for {last.warm_up_width}x{last.warm_up_height})"
        self.get_logger().info(
            f"Weights {segmenter.checkpoint.path} "
            f"on {segmenter.device_name} ({segmenter.device}, {segmenter.backend}), "
            f"precision {segmenter.precision}, network width {segmenter.network_width}{at_warm_up}, "
            f"threshold {road_threshold(values, segmenter):.3f}"
        )
        if detector is not None and detector.checkpoint is not None:
            self.get_logger().info(
                f"Instances: weights {detector.checkpoint.path} "
                f"on {detector.device} ({detector.backend}), precision {detector.precision}"
            )
        if detector is not None and self._cameras[0].instance_outputs.without_boxes:
            self.get_logger().info(self._cameras[0].instance_outputs.without_boxes)
        for camera in self._cameras:
            if own_vehicle := camera.own_vehicle:
                logger_of(self, camera.name).info(
                    f"Own-vehicle mask {own_vehicle.path}: {100 * own_vehicle.share:.1f} % of the image is never road"
                )
        if segmenter.why_not_cuda:
            self.get_logger().warning(f"Running on the CPU: {segmenter.why_not_cuda}")
        self._warn_of_shared_ground_frames()
        self._failure = ""
        return super().on_configure(state)

    def _warn_of_shared_ground_frames(self) -> None:
        """Warn if the origin of a ground frame would be below two cameras."""
        cameras: dict[str, list[str]] = {}
        for name in self.camera_names:
            if (values := self._values(name)).camera_height:
                cameras.setdefault(values.ground_frame, []).append(name)
        for frame, names in cameras.items():
            if len(names) > 1:
                self.get_logger().warning(
                    f"{' and '.join(names)} have camera_height and the same ground_frame, {frame}, so what they see "
                    f"lies in one place: give each its own, such as {names[0]}.ground_frame:={names[0]}_ground"
                )

    @traced
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        segmenter = self._segmenter
        assert segmenter is not None, "a node is activated after it is configured"
        try:
            self._bond.start(self._values().bond)
            for camera in self._cameras:
                camera.frame_handler.restart()
                message_type, _ = TRANSPORTS[self._values(camera.name).image_transport]
                camera.subscription.start(message_type)
        except Exception as error:
            self._rest()
            return self._refuse("Not activated", error)
        self._failure = ""
        result = super().on_activate(state)
        now = self.get_clock().now().to_msg()
        for camera in self._cameras:
            camera.pixel_outputs.publish_names(now, road_threshold(self._values(camera.name), segmenter))
        return result

    @traced
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe from the camera."""
        self._rest()
        return super().on_deactivate(state)

    @traced
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network."""
        self._release()
        return super().on_cleanup(state)

    @traced
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self._release()
        return super().on_shutdown(state)

    @traced
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything; back to unconfigured, from where the node can be configured again."""
        self._release()
        self._fail(f"A transition from {state.label} failed and everything was freed: configure the node again")
        return TransitionCallbackReturn.SUCCESS

    def start(self) -> None:
        """Configure and activate, if the parameter autostart is true."""
        if not self._values().autostart or self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return
        if self.context.ok():  # not interrupted meanwhile
            self.trigger_activate()

    def _rest(self) -> None:
        self._bond.stop()
        for camera in self._cameras:
            camera.stop()

    def _release(self) -> None:
        self._bond.stop()
        for camera in self._cameras:
            camera.release()
        thread, self._detection_thread = self._detection_thread, None
        if thread is not None:
            thread.shutdown()
        segmenter, self._segmenter = self._segmenter, None
        if segmenter is not None:
            segmenter.close()

    def _refuse(self, what: str, error: Exception, advice: str = "") -> TransitionCallbackReturn:
        """Refuse a transition: a sentence for what the user can fix, for anything else a traceback as well."""
        missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else ""
        fault = error.__cause__ if isinstance(error, UserError) else error
        if not missing and isinstance(fault, Exception) and not isinstance(fault, OSError):
            self.faults.record(what, fault)
        return self._fail(f"{what}: {missing or first_line(error)}{advice}")

    def _fail(self, sentence: str) -> TransitionCallbackReturn:
        self._failure = sentence
        self.get_logger().error(sentence)
        return TransitionCallbackReturn.FAILURE

    # Frames and diagnostics

    def _on_image(self, camera: NodeCamera, message: Image | CompressedImage, info: dict) -> None:
        if self._segmenter is None:  # the node was cleaned up while the frame waited
            return
        values = self._values(camera.name)
        try:
            camera.frame_handler.handle(message, info, self._segmenter, values, camera.own_vehicle)
        except DeviceLostError as error:
            _exit(error)

    def _diagnose(self) -> None:
        # rclpy offers a node no public way to ask for its own lifecycle state.
        _, state = self._state_machine.current_state
        paused = self._cameras[0].demand.paused  # as all are
        sentence = f"{state}, paused by ~/enable" if paused else state
        values = {"state": state, "enabled": str(not paused).lower(), "bond": self._bond.state()}
        own = [Report("state", ERROR if self._failure else OK, self._failure or sentence, values), self.faults.report()]
        segmenter = self._segmenter
        if segmenter is not None:
            own.append(device_report(segmenter, {camera.name: camera.own_vehicle for camera in self._cameras}))
        node = self.get_fully_qualified_name()
        reports = {node: own}
        if state == "active" and segmenter is not None:
            faster = what_is_faster(segmenter)
            for camera in self._cameras:
                reports.setdefault(source_of(node, camera.name), []).extend(
                    camera.reports(self._values(camera.name).max_fps, faster)
                )
        self._diagnostics_publisher.publish(diagnostic_array(self.get_clock().now().to_msg(), node, reports))

    # Parameters

    def _values(self, camera: str = "") -> NodeParameters:
        """The parameters, with what was given for one of several cameras alone; read again only after a change."""
        if camera not in self._snapshots:
            given = {name: self.get_parameter(f"{camera}.{name}").value for name in self._given.get(camera, ())}
            self._snapshots[camera] = replace(read_all(self, NodeParameters), **given)
        return self._snapshots[camera]

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            for change in changes:
                check_change(change.name, change.value, configured=self._segmenter is not None)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._snapshots.clear()  # rclpy sets the values after this callback
        return SetParametersResult(successful=True)


def _check_apart(topics: list[str]) -> None:
    """Raise ParameterError if two of the node's topics have been given the same name."""
    if twice := next((topic for topic in topics if topics.count(topic) > 1), ""):
        raise ParameterError(f"two topics of this node are renamed to {twice}: give each camera its own")


def _exit(error: DeviceLostError) -> NoReturn:
    raise SystemExit(f"road_seg_node: {error}; the node ends, so that it can be started again") from None
