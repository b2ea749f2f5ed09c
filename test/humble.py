"""Makes the installed rclpy look like ROS 2 Humble's, for which there are no wheels; importing this does it.

Only what this package uses and what Humble has not, or does differently, as read in the branch humble of ros2/rclpy.
"""

import os
import sys
from types import SimpleNamespace

import rclpy.event_handler
import rclpy.executors
import rclpy.logging
import rclpy.qos
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription

os.environ["ROS_DISTRO"] = "humble"

# Humble calls this module qos_event.
sys.modules["rclpy.qos_event"] = sys.modules["rclpy.event_handler"]
sys.modules["rclpy.event_handler"] = None  # type: ignore[assignment]

del rclpy.logging.get_logger_level

# Callbacks of subscriptions get the message alone.
_kinds = Subscription.CallbackType
rclpy.executors.Subscription = SimpleNamespace(CallbackType=_kinds)
del Subscription.CallbackType


def _set_callback(subscription, callback):
    subscription._callback = callback
    subscription._callback_type = _kinds.MessageOnly


Subscription.callback = property(lambda subscription: subscription._callback, _set_callback)


# Durations of a QoS cannot be None.
def _strict(policy):
    plain = getattr(rclpy.qos.QoSProfile, policy)

    def set_policy(profile, value):
        assert isinstance(value, Duration)
        plain.fset(profile, value)

    return property(plain.fget, set_policy)


for _policy in ("lifespan", "deadline", "liveliness_lease_duration"):
    setattr(rclpy.qos.QoSProfile, _policy, _strict(_policy))


# A transition that the present state does not have raises.
_change_state = LifecycleNode._LifecycleNodeMixin__change_state


def _change_state_or_raise(node, transition):
    machine = node._state_machine
    if transition not in [known for known, *_ in machine.available_transitions]:
        raise rclpy_implementation.RCLError(f"No transition matching {transition} found for {machine.current_state[1]}")
    return _change_state(node, transition)


LifecycleNode._LifecycleNodeMixin__change_state = _change_state_or_raise
