"""Plays a bag over ROS 2 as recorded: the same bytes, the same spacing, the same QoS."""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from fcn_road_seg.bags.keys import PAUSE, Keys
from fcn_road_seg.bags.publishers import choose, create_publisher, create_publishers, is_latched, left_out
from fcn_road_seg.bags.read_ahead import Message, ReadAhead
from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.schedule import SECOND, Schedule, words
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.start import refusals, start_ros

DISCOVERY_SECONDS = 1.0
"""Time from the discovery of the subscribers to the first message, for further ones and for both sides of a match."""
DELIVERY_SECONDS = 0.5
"""Time to deliver the last messages before the publishers are destroyed."""
MIN_LAP = SECOND // 10
LONG_GAP = 60 * SECOND
FINE = SECOND // 1000
"""This long before a deadline the sleeps get short, because timer slack and other programs make sleeps late."""
CHORES_PERIOD = SECOND // 20
CHORES_TIME = SECOND // 100
"""Chores are postponed once if a message is due within this time."""
FAR = 2**63
EVENTS_PERIOD = SECOND


@dataclass(frozen=True)
class PlayOptions:
    """Options of a replay; times are in seconds of the bag."""

    rate: float = 1.0
    """Seconds of the bag per second of real time."""
    loop: bool = False
    start: float = 0.0
    """Relative to the first message on the played topics."""
    duration: float | None = None
    topics: Sequence[str] | None = None
    """Names in the bag; None for all."""
    clock: float | None = None
    """/clock messages per second of real time, in addition to one per message; None for no /clock."""
    paused: bool = False
    """Start paused."""
    remap: dict[str, str] = field(default_factory=dict)
    """New names by the names in the bag, or by /clock."""
    skip_gaps: bool = False
    """Go on at once where the bag has no message for more than a minute."""
    wait: float = 3.0
    """Maximum seconds to wait for the first subscriber: discovery takes time, and so does the road_seg node, which
    adapts to the publisher's QoS. 0 starts immediately."""
    wait_for: Collection[str] = ()
    """Names of nodes that must all have subscribed, instead of any: others may be discovered before them."""


@dataclass(frozen=True)
class Position:
    """The position of a replay."""

    seconds: float
    """Of the bag, from the start of the played part."""
    of_seconds: float
    """Length of the played part."""
    lap: int
    """From 0."""
    state: str
    """connecting, playing or paused."""


def play(
    path: str | Path,
    options: PlayOptions,
    notify: Callable[[str], None] = print,
    on_position: Callable[[Position], None] = lambda position: None,
) -> dict[str, Any]:
    """Play a bag to its end, or until Ctrl-C. In a terminal, space pauses, right arrow and s step.

    Args:
        notify: called with sentences for the user, such as which topics are left out.
        on_position: called 20 times a second; must return quickly.

    Returns:
        Figures: bag, messages (published, by topic), laps, seconds, lateness_ms (p50, p99 and max of the delay from
        the due time to the publish call), slips (how often the schedule was delayed), left_out (reasons by topic),
        lost (messages that a damaged bag promises but does not have), interrupted.

    Raises:
        UserError: the bag cannot be read or has nothing to play, the options do not fit it, or ROS 2 does not start.
    """
    context = Context()
    with ReadAhead(open_bag(path)) as bag:
        start_ros(context=context)
        try:
            return {"bag": str(path)} | Player(bag, options, context, notify, on_position).play()
        finally:
            rclpy.try_shutdown(context=context)


class Player:
    """One replay of an open bag."""

    def __init__(
        self,
        bag: ReadAhead,
        options: PlayOptions,
        context: Context,
        notify: Callable[[str], None],
        on_position: Callable[[Position], None],
    ):
        self._bag, self._options, self._notify, self._on_position = bag, options, notify, on_position
        self._schedule = Schedule(options.rate)
        with refusals():
            self._node = rclpy.create_node(
                "road_seg_play", context=context, start_parameter_services=False, enable_rosout=False
            )
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        chosen = choose(bag.connections, options.topics, options.remap)
        self._left_out = left_out(chosen, bool(options.clock))
        for topic, reason in self._left_out.items():
            notify(f"{topic} is left out: {reason}")
        chosen = [connection for connection in chosen if connection.topic not in self._left_out]
        if not chosen:
            raise UserError("nothing to play: " + ("all topics are left out" if self._left_out else "the bag is empty"))
        self._publishers = create_publishers(self._node, chosen, options.remap)
        self._clock: Publisher | None = None
        if options.clock:
            self._clock = create_publisher(self._node, Clock, "/clock", QoSProfile(depth=1), options.remap)
        self._pressed: deque[str] = deque()
        self._sent: Counter[str] = Counter()
        self._start = self._end = self._lap = 0
        self._last_tick = self._next_chores = self._next_events = 0

    def play(self) -> dict[str, Any]:
        """Play the open bag; see the function `play`."""
        start = time.monotonic()
        interrupted = False
        with Keys() as self._keys:
            if self._options.paused and not self._keys.active:
                raise UserError("--paused needs a terminal, where space resumes")
            try:
                self._play()
            except KeyboardInterrupt:
                interrupted = True
        if self._bag.cut_off:
            self._notify(self._bag.cut_off)
        return {
            "messages": dict(self._sent),
            "laps": self._lap + 1,
            "seconds": round(time.monotonic() - start, 3),
            "lateness_ms": self._schedule.lateness_ms(),
            "slips": self._schedule.slips,
            "left_out": self._left_out,
            "lost": self._bag.lost,
            "interrupted": interrupted,
        }

    def _play(self) -> None:
        topics = {connection.topic for connection in self._publishers}
        latched = {connection.topic for connection in self._publishers if is_latched(connection)}
        self._bag.begin(topics, latched, self._options.start, self._options.duration, self._options.loop)
        message = self._bag.take()
        if message is None:
            why = self._bag.cut_off if self._bag.lost else "the bag has no messages on these topics in that period"
            raise UserError(f"nothing to play: {why}")
        self._start, self._end = self._bag.start_ns, self._bag.end_ns
        self._connect()
        while message and message.lap < 0:
            self._publish(message)
            message = self._bag.take()
        self._schedule.anchor(self._start)
        if self._options.paused:
            self._schedule.toggle()
        latest = self._start
        while message:
            if message.lap != self._lap:
                self._cross_gap(latest, self._end)
                self._wait(max(self._end, self._start + MIN_LAP))
                self._schedule.anchor(self._start)
                self._lap, latest = message.lap, self._start
            self._cross_gap(latest, message.time_ns)
            latest = message.time_ns
            stepped = self._wait(message.time_ns)
            self._tick(message.time_ns, FINE)
            if stepped:
                self._schedule.anchor(message.time_ns)
            else:
                self._schedule.count(message.time_ns)
            self._publish(message)
            message = self._bag.take()
        self._report_position()
        for publisher in set(self._publishers.values()):
            publisher.wait_for_all_acked(Duration(seconds=DELIVERY_SECONDS))
        time.sleep(DELIVERY_SECONDS)  # BEST_EFFORT has no acknowledgements

    def _cross_gap(self, begin: int, end: int) -> None:
        """Report a long time without messages, once, and skip it if the options say so."""
        if end - begin <= LONG_GAP:
            return
        if self._options.skip_gaps:
            self._schedule.anchor(end)
        if self._lap == 0:
            gap = f"{words(end - begin)} without messages, {(begin - self._start) / SECOND:.1f} s after the start"
            skip = self._options.skip_gaps
            self._notify(f"skipped {gap}" if skip else f"the bag has {gap}: --skip-gaps skips such gaps")

    def _wait(self, bag_ns: int) -> bool:
        """Wait until a bag time is due, serving clock, keys and events; True if the user has requested a step."""
        period = round(SECOND / self._options.clock) if self._options.clock else None
        while True:
            now = self._schedule.clock()
            due = FAR if self._schedule.paused else self._schedule.due(bag_ns)
            chores = self._next_chores
            if due < now + CHORES_TIME:
                chores += CHORES_PERIOD
            if now >= chores:
                self._do_chores(now)
                continue
            if period and now >= self._last_tick + period:
                self._tick(bag_ns, 0)
            if self._pressed:
                if self._pressed.popleft() == PAUSE:
                    self._schedule.toggle()
                elif self._schedule.paused:
                    return True
                continue
            if due <= now:
                return False
            tick = self._last_tick + period if period else FAR
            left = min(due, tick, chores) - now
            if left > FINE:
                self._pressed.extend(self._keys.wait((left - FINE) / SECOND))
            elif left > 0:
                time.sleep(min(left, FINE // 5) / SECOND)

    def _do_chores(self, now: int) -> None:
        """Poll the keys, report the position, and handle ROS events such as QoS clashes, which rclpy logs."""
        self._next_chores = now + CHORES_PERIOD
        self._pressed.extend(self._keys.wait(0))
        self._report_position()
        if now >= self._next_events:
            self._next_events = now + EVENTS_PERIOD
            self._executor.spin_once(timeout_sec=0)

    def _report_position(self) -> None:
        seconds, of_seconds = ((end - self._start) / SECOND for end in (self._schedule.bag_time(), self._end))
        state = "paused" if self._schedule.paused else "playing"
        self._on_position(Position(min(seconds, of_seconds), of_seconds, self._lap, state))

    def _tick(self, latest: int, min_period: int) -> None:
        """Publish the bag time, limited to `latest`, on /clock, unless the last was less than `min_period` ago."""
        now = self._schedule.clock()
        if self._clock is None or now < self._last_tick + min_period:
            return
        self._last_tick = now
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(min(self._schedule.bag_time(), latest), SECOND)
        self._clock.publish(clock)

    def _publish(self, message: Message) -> None:
        self._publishers[message.connection].publish(message.data)
        self._sent[message.connection.topic] += 1

    def _connect(self) -> None:
        """Wait for subscribers to discover the publishers."""
        self._on_position(Position(0.0, (self._end - self._start) / SECOND, 0, "connecting"))
        give_up = time.monotonic() + self._options.wait
        while missing := self._missing_subscribers():
            if time.monotonic() >= give_up:
                if self._options.wait:
                    self._notify(f"{missing} within {self._options.wait:g} s; playing anyway")
                return
            self._executor.spin_once(timeout_sec=0.05)
        time.sleep(DISCOVERY_SECONDS)

    def _missing_subscribers(self) -> str:
        """Which subscribers have not been discovered, in words; empty if nothing is missing."""
        publishers = set(self._publishers.values())
        if not self._options.wait_for:
            return "" if any(publisher.get_subscription_count() for publisher in publishers) else "no subscriber"
        topics = {publisher.topic_name for publisher in publishers}
        found = {info.node_name for topic in topics for info in self._node.get_subscriptions_info_by_topic(topic)}
        missing = sorted(set(self._options.wait_for) - found)
        return f"no subscription of {' and '.join(missing)}" if missing else ""
