"""Services of a node that always answer, whatever is requested; rclpy's own leave some requests without an answer."""

from collections.abc import Callable, Sequence
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

Callback = Callable[[Any, Any], Any]


def answer_always(node: Node, faults: FaultLog) -> None:
    """Replace the callbacks of a node's services.

    After a fault, which is logged and counted, a service answers with an empty response. A parameter of an unknown
    type or name is refused in a sentence, and so is a transition that the present state does not have: Humble's rclpy
    raises for it.
    """
    own: dict[type, Callback] = {
        SetParameters: lambda request, response: _set_each(node, faults, request, response),
        SetParametersAtomically: lambda request, response: _set_all(node, faults, request, response),
    }
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


def _set_each(node: Node, faults: FaultLog, request: Any, response: Any) -> Any:
    response.results = [_set(node, faults, [message]) for message in request.parameters]
    return response


def _set_all(node: Node, faults: FaultLog, request: Any, response: Any) -> Any:
    response.result = _set(node, faults, request.parameters)
    return response


def _set(node: Node, faults: FaultLog, messages: Sequence[ParameterMessage]) -> SetParametersResult:
    known = {kind.value for kind in Parameter.Type}
    for message in messages:
        if not node.has_parameter(message.name):
            return _refusal(no_such_parameter(message.name, node.get_parameters_by_prefix("")))
        if message.value.type not in known:
            return _refusal(f"'{message.name}' cannot have the type {message.value.type}, which ROS 2 does not know")
    with faults.survived("Setting parameters failed"):
        return node.set_parameters_atomically([Parameter.from_parameter_msg(message) for message in messages])
    return _refusal("the node failed to set it; its log has the traceback")


def _refusal(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
