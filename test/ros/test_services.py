"""Requests that rclpy's own services leave without an answer, or answer wrongly; the node in the test's process."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from node_harness import Spinning
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock

from fcn_road_seg.ros.node import RoadSegNode
from fcn_road_seg.ros.usage import NODE_TOPICS

FAULT = "the node failed to set it; its log has the traceback"


class Requests(Spinning):
    """A RoadSegNode that is not configured, and a client of its services."""

    def __init__(self, context, **parameters):
        overrides = [RosParameter(name, value=value) for name, value in parameters.items()]
        self.node = RoadSegNode(context=context, namespace="requests", parameter_overrides=overrides)
        self.client = rclpy.create_node("client", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.client)

    def __enter__(self) -> "Requests":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.client.destroy_node()
        self.node.destroy_node()

    def ask(self, kind: type, name: str, **request):
        client = self.client.create_client(kind, f"/requests/road_seg/{name}")
        self.spin_until(client.service_is_ready, f"the service {name}")
        future = client.call_async(kind.Request(**request))
        self.spin_until(future.done, f"an answer of {name}")
        self.client.destroy_client(client)
        return future.result()


@pytest.fixture(scope="module")
def requests(context):
    with Requests(context) as requests:
        yield requests


def parameter(name: str, **value) -> Parameter:
    return Parameter(name=name, value=ParameterValue(**value))


@pytest.mark.parametrize(
    "message, reason",
    [
        (
            parameter("threshold", type=99),
            "'threshold' cannot have the type 99, which ROS 2 does not know",
        ),
        (parameter("", type=2, integer_value=1), "this node has no parameter ''"),
        (parameter("", type=99), "this node has no parameter ''"),
        (
            parameter("thresold", type=3, double_value=0.3),
            "this node has no parameter 'thresold'; did you mean threshold?",
        ),
        (parameter("threshold", type=0), "'threshold' cannot be deleted"),
        (
            parameter("threshold", type=2, integer_value=1),
            "'threshold' is a double (0.0 to 1.0), written with a decimal point, not 1",
        ),
        (parameter("threshold", type=3, double_value=1.5), "'threshold' is a double (0.0 to 1.0) and cannot be 1.5"),
        (
            parameter("network_width", type=7, integer_array_value=[64]),
            "'network_width' is an integer (0 to 4096, a multiple of 32), not [64]",
        ),
        (
            parameter("network_width", type=2, integer_value=65),
            "'network_width' is an integer (0 to 4096, a multiple of 32) and cannot be 65",
        ),
        (
            parameter("cameras", type=9, string_array_value=["front"]),
            "'cameras' is read only when the node starts: start it again with the value that you want",
        ),
        (parameter("use_sim_time", type=4, string_value="yes"), "'use_sim_time' is a bool, not 'yes'"),
    ],
)
def test_a_parameter_that_cannot_be_set_is_refused_in_a_sentence(requests, message, reason):
    good = parameter("threshold", type=3, double_value=0.25)
    for order in ([message, good], [good, message]):
        results = requests.ask(SetParameters, "set_parameters", parameters=order).results
        assert sorted((result.successful, result.reason) for result in results) == [(False, reason), (True, "")]
        answer = requests.ask(SetParametersAtomically, "set_parameters_atomically", parameters=order).result
        assert (answer.successful, answer.reason) == (False, reason)
    assert requests.node.get_parameter("threshold").value == 0.25
    assert not requests.node.has_parameter("")
    assert requests.node.faults.report().values == {}


def test_parameters_of_one_camera_are_refused_in_a_sentence_too(context):
    with Requests(context, cameras=["front", "left"], **{"front.threshold": 0.4}) as requests:
        messages = [
            parameter("front.threshold", type=2, integer_value=1),
            parameter("left.threshold", type=3, double_value=0.3),
            parameter("rear.threshold", type=3, double_value=0.3),
        ]
        results = requests.ask(SetParameters, "set_parameters", parameters=messages).results
    assert [result.reason for result in results] == [
        "'front.threshold' is a double (0.0 to 1.0), written with a decimal point, not 1",
        "this node has no parameter 'left.threshold': give it at start, or set 'threshold', which is for all cameras",
        "this node has no parameter 'rear.threshold', because it has no camera 'rear'",
    ]


def test_a_parameter_without_a_name_is_refused_in_this_process_too(requests):
    (result,) = requests.node.set_parameters([RosParameter("", value=1)])
    assert (result.successful, result.reason) == (False, "a parameter needs a name")


def test_questions_about_parameters_that_do_not_exist(requests):
    names = ["threshold", "none", ""]
    assert requests.ask(GetParameters, "get_parameters", names=names).values == []
    assert list(requests.ask(GetParameterTypes, "get_parameter_types", names=names).types) == []
    assert requests.ask(DescribeParameters, "describe_parameters", names=names).descriptors == []
    assert requests.ask(ListParameters, "list_parameters", prefixes=["none"], depth=2**64 - 1).result.names == []


@pytest.mark.parametrize("transition", [{"id": 255}, {"label": "none"}, {"label": "transition_success"}, {"id": 3}])
def test_transitions_that_do_not_exist(requests, transition):
    assert not requests.ask(ChangeState, "change_state", transition=Transition(**transition)).success
    assert requests.ask(GetState, "get_state").current_state.label == "unconfigured"


def test_a_fault_in_a_service_is_answered_and_counted(context, monkeypatch):
    def fail(*_):
        raise KeyError("ours")

    monkeypatch.setattr("rclpy.parameter_service.ParameterService._describe_parameters_callback", fail)
    with Requests(context) as requests:
        assert requests.ask(DescribeParameters, "describe_parameters", names=["threshold"]).descriptors == []
        monkeypatch.setattr(requests.node, "set_parameters_atomically", fail)
        good = parameter("threshold", type=3, double_value=0.25)
        (result,) = requests.ask(SetParameters, "set_parameters", parameters=[good]).results
        assert (result.successful, result.reason) == (False, FAULT)
        ((kind, count),) = requests.node.faults.report().values.items()
    assert kind.startswith("KeyError at test_services.py:") and count == "2"


def test_a_clock_before_time_began_is_a_fault_and_no_end(context):
    with Requests(context, use_sim_time=True) as requests:
        publisher = requests.client.create_publisher(Clock, "/clock", 1)
        requests.spin_until(publisher.get_subscription_count, "the node's subscription to /clock")
        message = Clock()
        message.clock.sec = -5

        def failed() -> bool:
            publisher.publish(message)
            with requests.node.faults.survived("A callback failed"):  # as the executable does
                requests.spin_for(0.1)
            return bool(requests.node.faults.report().values)

        requests.spin_until(failed, "the fault")
        message.clock.sec = 7

        def at_seven() -> bool:
            publisher.publish(message)
            return requests.node.get_clock().now().nanoseconds == 7 * 10**9

        requests.spin_until(at_seven, "the next message on /clock")


def test_parameters_without_effect_are_named(context, monkeypatch):
    said = []
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.warning", lambda _, text, **__: said.append(text))
    later = {"qos_overrides./requests/image.subscription.depth": 3}
    later["qos_overrides./requests/camera_info.subscription.reliability"] = "reliable"
    with Requests(context, thresold=0.3, weight="lite", threshold=0.3, **later):
        pass
    assert said == [
        "A parameter has no effect: this node has no parameter 'thresold'; did you mean threshold?",
        "A parameter has no effect: this node has no parameter 'weight'; did you mean weights?",
    ]


def test_help_lists_the_topics_that_the_node_has(context):
    with Requests(context) as requests:
        node = requests.node
        published = {publisher.topic_name for publisher in node.publishers}
        listed = {node.resolve_topic_name(topic.name) for topic in NODE_TOPICS}
        inputs = {node.resolve_topic_name(name) for name in ("image", "camera_info", "imu", "odom")}
        optional = {node.resolve_topic_name(name) for name in ("~/label_info", "~/instances", "bond")}
    assert published - listed <= {"/parameter_events", "/requests/road_seg/transition_event", "/rosout"}
    assert listed - published - optional == inputs
