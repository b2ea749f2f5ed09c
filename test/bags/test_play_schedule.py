"""The timing of a replay: schedule, read-ahead and keys; without ROS."""

import threading
import time
from contextlib import contextmanager

import pytest

from fcn_road_seg.bags import read_ahead
from fcn_road_seg.bags.keys import PAUSE, STEP, parse
from fcn_road_seg.bags.read_ahead import ReadAhead
from fcn_road_seg.bags.reader import Connection
from fcn_road_seg.bags.schedule import SECOND, Schedule, played_range, words
from fcn_road_seg.errors import UserError

START = 1_317_042_000 * SECOND


class Clock:
    def __init__(self):
        self.now = 1000

    def __call__(self) -> int:
        return self.now


def test_schedule_maps_bag_time_to_the_clock():
    clock = Clock()
    schedule = Schedule(4.0, clock)
    schedule.anchor(START)
    assert schedule.due(START + 2 * SECOND) == 1000 + SECOND // 2
    clock.now += SECOND
    assert schedule.bag_time() == START + 4 * SECOND


def test_a_pause_stops_bag_time():
    clock = Clock()
    schedule = Schedule(2.0, clock)
    schedule.anchor(START)
    clock.now += SECOND
    schedule.toggle()
    clock.now += 10 * SECOND
    assert schedule.paused and schedule.bag_time() == START + 2 * SECOND
    schedule.toggle()
    assert not schedule.paused
    clock.now += SECOND
    assert schedule.bag_time() == START + 4 * SECOND
    assert schedule.due(START + 4 * SECOND) == clock.now


def test_a_very_late_message_delays_the_schedule():
    clock = Clock()
    schedule = Schedule(1.0, clock)
    schedule.anchor(START)
    assert schedule.lateness_ms() == {"p50": None, "p99": None, "max": None}
    due = schedule.due(START + SECOND)
    clock.now = due + 50_000_000
    schedule.count(START + SECOND)
    assert (schedule.slips, schedule.due(START + SECOND)) == (0, due)
    clock.now = due + 3 * SECOND
    schedule.count(START + SECOND)
    assert schedule.slips == 1
    assert schedule.due(START + 2 * SECOND) == clock.now + SECOND
    assert schedule.lateness_ms() == {"p50": 1525.0, "p99": pytest.approx(2970.5), "max": 3000.0}


def test_played_range():
    end = START + 10 * SECOND
    assert played_range(START, end, 0.0, None) == (START, None, end)
    assert played_range(START, end, 2.5, 3.0) == (START + 5 * SECOND // 2, START + 11 * SECOND // 2) + (
        START + 11 * SECOND // 2,
    )
    assert played_range(START, end, 8.0, 30.0)[2] == end
    with pytest.raises(UserError, match="it is 10 s long"):
        played_range(START, end, 10.5, None)


def test_keys():
    assert parse(b" s\x1b[C\x1bOC") == [PAUSE, STEP, STEP, STEP]
    assert parse(b"qx\x1b[A ") == [PAUSE]
    assert parse(b"") == []


class Bag:
    """A fake BagReader: messages of 1 MB, one per second, readable only by the thread that opened it, like SQLite."""

    start_ns, end_ns, cut_off, lost = START, START + 99 * SECOND, "", 0
    connections = [Connection("/a", "std_msgs/msg/String", [], 100)]

    def __init__(self, times=range(100), error: Exception | None = None):
        self.times, self.error, self.read = times, error, 0

    def __enter__(self) -> "Bag":
        self.thread = threading.current_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def messages(self, topics=None, start=None, stop=None):
        for seconds in self.times:
            assert threading.current_thread() is self.thread
            at = START + seconds * SECOND
            if (start or 0) <= at < (stop or at + 1):
                self.read += 1
                yield self.connections[0], at, bytes(1 << 20)
        if self.error:
            raise self.error


def seconds_of(bag: ReadAhead) -> list[int]:
    return [(message.time_ns - START) // SECOND for message in iter(bag.take, None)]


def test_read_ahead_is_bounded_and_stops(monkeypatch):
    monkeypatch.setattr(read_ahead, "BUFFER_BYTES", 5 << 20)
    reader = Bag()
    with ReadAhead(reader) as bag:
        bag.begin(["/a"], [], 0.0, None, loop=True)
        for _ in range(130):
            last = bag.take()
        deadline = time.monotonic() + 240
        while reader.read < 135 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert 135 <= reader.read <= 137
        assert (last.lap, last.time_ns) == (1, START + 29 * SECOND)
    assert reader.closed


def test_part_of_a_bag_with_earlier_latched_messages():
    with ReadAhead(Bag(range(8))) as bag:
        bag.begin(["/a"], ["/a"], 3.0, 3.0, loop=False)
        messages = list(iter(bag.take, None))
        assert (bag.start_ns, bag.end_ns) == (START + 3 * SECOND, START + 6 * SECOND)
    assert [(m.lap, (m.time_ns - START) // SECOND) for m in messages] == [
        (-1, 0), (-1, 1), (-1, 2), (0, 3), (0, 4), (0, 5)
    ]  # fmt: skip


def test_the_start_is_that_of_the_topics_played():
    """The bag itself begins earlier, such as at time 0."""
    with ReadAhead(Bag(range(50, 60))) as bag:
        bag.begin(["/a"], [], 2.0, None, loop=False)
        assert seconds_of(bag) == list(range(52, 60))
        assert bag.start_ns == START + 52 * SECOND


def test_durations_in_words():
    seconds = 90, 3600, 30 * 3600, 200 * 86400, 1_700_000_000
    found = [words(n * SECOND) for n in seconds]
    assert found == ["2 minutes", "60 minutes", "30 hours", "200 days", "53.9 years"]


def test_bag_time_never_decreases():
    with ReadAhead(Bag([0, 2, 1, 3])) as bag:
        bag.begin(["/a"], [], 0.0, None, loop=False)
        assert seconds_of(bag) == [0, 2, 2, 3]


def test_an_empty_loop_ends():
    with ReadAhead(Bag([])) as bag:
        bag.begin(["/a"], [], 0.0, None, loop=True)
        assert bag.take() is None


def test_errors_of_the_reader_are_raised():
    with ReadAhead(Bag(range(3), UserError("broken"))) as bag:
        bag.begin(["/a"], [], 0.0, None, loop=False)
        assert [bag.take() is not None for _ in range(3)] == [True] * 3
        with pytest.raises(UserError, match="broken"):
            bag.take()

    @contextmanager
    def no_bag():
        raise UserError("no bag")
        yield

    with pytest.raises(UserError, match="no bag"):
        ReadAhead(no_bag())


def test_an_unused_bag_is_closed():
    reader = Bag()
    with ReadAhead(reader):
        pass
    assert reader.closed
