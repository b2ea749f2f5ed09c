"""A stand-in for a ROS 2 node: a test gives messages to its subscriptions."""

from contextlib import nullcontext
from types import SimpleNamespace

from builtin_interfaces.msg import Time

SECOND = 10**9


def stamp_message(stamp: float) -> Time:
    """A stamp in seconds as a message."""
    seconds, nanoseconds = divmod(round(stamp * SECOND), SECOND)
    return Time(sec=seconds, nanosec=nanoseconds)


class Node:
    """Gives messages to subscriptions; there is no DDS."""

    def __init__(self):
        self.callbacks, self.log = {}, []

    def create_subscription(self, kind, topic, callback, qos, **_):
        self.callbacks[topic] = callback
        handle = nullcontext()
        handle.take_message = lambda *_: None
        return SimpleNamespace(handle=handle, msg_type=kind, topic=topic)

    def destroy_subscription(self, subscription):
        del self.callbacks[subscription.topic]

    def resolve_topic_name(self, name):
        return name

    def get_publishers_info_by_topic(self, topic):
        return []

    def count_publishers(self, topic):
        return 1

    def get_logger(self):
        return SimpleNamespace(info=lambda *_, **__: None, warning=lambda text, **_: self.log.append(text))
