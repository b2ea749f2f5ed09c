"""Services of a node that always answer, whatever is requested; rclpy's own leave some requests without an answer."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter

from fcn_road_seg.errors import first_line
from fcn_road_seg.ros.arguments import no_such_parameter
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import ParameterError, check_descriptor

Callback = Callable[[Any, Any], Any]


def answer_always(node: Node, faults: FaultLog, optional: Collection[str] = ()) -> None:
    """Replace the callbacks of a node's services.

    After a fault, which is logged and counted, a service answers with an empty response. A parameter of an unknown
    name, or one that cannot have the value, is refused in a sentence that says what is possible, and so is a transition
    that the present state does not have: Humble's rclpy raises for it.

    Args:
        optional: as in `no_such_parameter`.
    """

    def set_together(messages: Sequence[ParameterMessage]) -> SetParametersResult:
        try:
            for message in messages:
                _check(node, message, optional)
        except ParameterError as error:
            return _refusal(str(error))
        with faults.survived("Setting parameters failed"):
            return node.set_parameters_atomically([Parameter.from_parameter_msg(message) for message in messages])
        return _refusal("the node failed to set it; its log has the traceback")

    def set_each(request: Any, response: Any) -> Any:
        response.results = [set_together([message]) for message in request.parameters]
        return response

    def set_all(request: Any, response: Any) -> Any:
        response.result = set_together(request.parameters)
        return response

    own: dict[type, Callback] = {SetParameters: set_each, SetParametersAtomically: set_all}
    for service in node.services:
        callback = own.get(service.srv_type, service.callback)
        if service.srv_type is ChangeState:
            callback = _refusing_transitions(node, callback)
        service.callback = _answering(faults, service.srv_name, callback)


def _answering(faults: FaultLog, name: str, callback: Callback) -> Callback:
    def answer(request: Any, response: Any) -> Any:
        with faults.survived(f"The service {name} failed"):
            return callback(request, response)
        return type(response)()

    return answer


def _refusing_transitions(node: Node, callback: Callback) -> Callback:
    def change_state(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except rclpy_implementation.RCLError as error:
            node.get_logger().error(f"A transition was refused: {first_line(error)}")
            response.success = False
            return response

    return change_state


def _check(node: Node, message: ParameterMessage, optional: Collection[str]) -> None:
    """Raise ParameterError, in one sentence, if a node has no such parameter, or cannot give it that value."""
    name, kind = message.name, message.value.type
    if not node.has_parameter(name):
        raise ParameterError(no_such_parameter(name, node.get_parameters_by_prefix(""), optional))
    if kind not in {each.value for each in Parameter.Type}:
        raise ParameterError(f"'{name}' cannot have the type {kind}, which ROS 2 does not know")
    check_descriptor(node.describe_parameter(name), Parameter.from_parameter_msg(message).value)


def _refusal(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
