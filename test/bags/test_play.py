"""`road_seg play`: the messages that subscribers in another process receive, and their timing.

Times are DDS source timestamps, taken when the player publishes: load on the receiving side does not change them.
"""

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import TIMEOUT, Client
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from fcn_road_seg.bags.play import PlayOptions, play
from fcn_road_seg.bags.publishers import recorded_qos
from fcn_road_seg.bags.reader import Connection
from fcn_road_seg.bags.writer import new_bag, offered_qos
from fcn_road_seg.cli import play as verb
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.environment import isolated_ros_environment

SECOND = 1_000_000_000
START = 1_317_042_000 * SECOND + 123_456_789
CAMERA, TALK, NOTE = "/camera", "/talk", "/note"
PROGRAM = """
import sys
from fcn_road_seg.cli.main import main
sys.exit(main(["play", *sys.argv[1:]]))
"""


def text(content: str) -> bytes:
    """A std_msgs/String in CDR."""
    return b"\0\1\0\0" + struct.pack("<I", len(content) + 1) + content.encode() + b"\0"


def write_bag(path: Path, messages: list[tuple[float, str, bytes]], qos: dict[str, list], missing: str = "") -> Path:
    """Write messages (seconds from START, topic, CDR) of type String; the topic `missing` gets an unknown type."""
    with new_bag(path) as writer:
        connections = {
            topic: writer.add_connection(
                topic,
                "nobody_msgs/msg/Text" if topic == missing else "std_msgs/msg/String",
                msgdef="string data",
                rihs01="RIHS01_" + 64 * "0",
                offered_qos_profiles=profiles,
            )
            for topic, profiles in qos.items()
        }
        for seconds, topic, data in sorted(messages):
            writer.write(connections[topic], START + round(seconds * SECOND), data)
    return path


def talk(path: Path, count: int = 40, rate: float = 20) -> Path:
    return write_bag(path, [(i / rate, TALK, text(f"message {i}")) for i in range(count)], {TALK: offered_qos(count)})


class Player:
    """`road_seg play` in a process; with `terminal`, stdin, stdout and stderr are a pseudo-terminal."""

    def __init__(self, domain_id: int, *arguments: object, terminal: bool = False):
        self.terminal, ours = os.openpty() if terminal else (None, None)
        files = (
            {"stdin": ours, "stdout": ours, "stderr": ours}
            if terminal
            else {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        )
        program = ("import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" if terminal else "") + PROGRAM
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments), "--wait", str(TIMEOUT)],
            env=isolated_ros_environment(domain_id),
            start_new_session=terminal,
            **files,
        )
        self.screen = b""
        if terminal:
            os.close(ours)
            threading.Thread(target=self._read_screen, daemon=True).start()

    def _read_screen(self) -> None:
        with suppress(OSError):  # the other end is closed
            while data := os.read(self.terminal, 4096):
                self.screen += data

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self.terminal is not None:
            os.close(self.terminal)

    def press(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> tuple[int, str]:
        """Exit code and output."""
        out, error = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out + error


@pytest.fixture
def client(domain_id):
    client = Client(domain_id)
    yield client
    client.close()


def listen(client: Client, topic: str, kind: type = String, raw: bool = False, **qos) -> list:
    """Subscribe; returns a list to which (publication time in seconds, message or its CDR) is appended."""
    received: list = []

    def append(message, info) -> None:
        received.append((info["source_timestamp"] / 1e9, message))

    client.node.create_subscription(kind, topic, append, QoSProfile(**({"depth": 1000} | qos)), raw=raw)
    return received


def texts(received: list) -> list[str]:
    return [message.data for _, message in received]


def times(received: list) -> list[float]:
    return [time for time, _ in received]


def max_lateness(figures: dict) -> float:
    """Seconds by which the player published a message late at most, with a margin for the publish call."""
    return figures["lateness_ms"]["max"] / 1000 + 0.01


def wait_for(client: Client, player: Player, condition: Callable[[], object], what: str) -> None:
    """Spin the client until `condition`; fail if the player exits before."""

    def fulfilled() -> bool:
        done = bool(condition())
        assert done or not player.ended(), f"the player exited before {what}: {player.screen or player.end()}"
        return done

    client.spin_until(fulfilled, what)


def test_bytes_qos_latched_topics_remaps_and_missing_types(client, domain_id, tmp_path):
    pictures = [os.urandom(400_000 + i) for i in range(10)]
    frames = [b"\0\1\0\0" + struct.pack("<I", len(p) + 1) + p.replace(b"\0", b"x") + b"\0" for p in pictures]
    notes = [text(f"note {i}") for i in range(3)]
    bag = write_bag(
        tmp_path / "bag",
        [(0.1 * i, CAMERA, frame) for i, frame in enumerate(frames)]
        + [(0.01 * i, NOTE, note) for i, note in enumerate(notes)]
        + [(0.0, "/tf_static", text("left")), (0.3, "/tf_static", text("right")), (0.5, "/strange", text("?"))]
        + [(600.0, TALK, text("end"))],
        {
            CAMERA: offered_qos(5, reliable=False),
            NOTE: offered_qos(1, latched=True),
            "/tf_static": offered_qos(1),
            "/strange": offered_qos(),
            TALK: offered_qos(),
        },
        missing="/strange",
    )
    seen = listen(client, "/front/image", raw=True, reliability=ReliabilityPolicy.BEST_EFFORT)
    figures = tmp_path / "figures.json"
    with Player(domain_id, bag, "--remap", "camera:=/front/image", "--json", figures) as player:
        wait_for(client, player, lambda: len(seen) == len(frames), "every frame")
        (offer,) = client.node.get_publishers_info_by_topic("/front/image")
        assert offer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        assert client.node.count_publishers(CAMERA) == 0
        late = {
            topic: listen(
                client, topic, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
            )
            for topic in (NOTE, "/tf_static")
        }
        wait_for(client, player, lambda: len(late[NOTE]) == 3 and len(late["/tf_static"]) == 2, "the latched messages")
        player.process.send_signal(signal.SIGINT)
        client.spin_until(player.ended, "the end")
        code, output = player.end()
    assert code == 0, output
    assert [data for _, data in seen] == frames
    assert texts(late[NOTE]) == ["note 0", "note 1", "note 2"]
    assert texts(late["/tf_static"]) == ["left", "right"]
    assert "/strange is left out" in output and "nobody_msgs" in output
    result = json.loads(figures.read_text())
    assert result["messages"] == {CAMERA: 10, NOTE: 3, "/tf_static": 2}
    assert list(result["left_out"]) == ["/strange"]
    assert result["interrupted"] and result["laps"] == 1 and result["slips"] == 0


def test_rate_start_duration_topics(client, domain_id, tmp_path):
    bag = write_bag(
        tmp_path / "bag",
        [(i / 10, TALK, text(str(i))) for i in range(100)]
        + [(i / 10, NOTE, text(str(i))) for i in range(100)]
        + [(0.0, "/tf_static", text("from before the start"))],
        {TALK: offered_qos(1000), NOTE: offered_qos(1000), "/tf_static": offered_qos()},
    )
    received, other, static = listen(client, TALK), listen(client, NOTE), listen(client, "/tf_static")
    figures = tmp_path / "figures.json"
    options = ("--rate", 4, "--start", 2, "--duration", 6, "--topics", "talk", "/tf_static", "--json", figures)
    with Player(domain_id, bag, *options) as player:
        client.spin_until(player.ended, "the end")
        assert player.end()[0] == 0
    client.spin_for(0.2)
    assert texts(received) == [str(i) for i in range(20, 80)]
    assert (texts(static), other) == (["from before the start"], [])
    result = json.loads(figures.read_text())
    duration = times(received)[-1] - times(received)[0]  # 5.9 s of the bag in 1.475 s, and what a busy machine adds
    assert -max_lateness(result) < duration - 1.475 < (1 + result["slips"]) * max_lateness(result)
    assert result["messages"] == {TALK: 60, "/tf_static": 1} and not result["interrupted"]
    late = result["lateness_ms"]
    assert 0 <= late["p50"] <= late["p99"] <= late["max"]


def test_the_first_message_waits_for_the_nodes_that_must_get_it(client, domain_id, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    received, notices = listen(client, TALK), []
    bag = talk(tmp_path / "bag", count=2)
    play(bag, PlayOptions(wait=TIMEOUT, wait_for=["client"]), notices.append)
    client.spin_until(lambda: len(received) == 2, "both messages")
    play(bag, PlayOptions(wait=0.5, wait_for=["late"]), notices.append)
    assert notices == ["no subscription of late within 0.5 s; playing anyway"]


def test_loop_and_clock_until_interrupted(client, domain_id, tmp_path):
    bag = talk(tmp_path / "bag", 10)
    received, ticks = listen(client, TALK), listen(client, "/clock", Clock)
    figures = tmp_path / "figures.json"
    for _ in range(3):  # /clock is KEEP_LAST 1: a busy machine loses ticks
        received.clear()
        ticks.clear()
        with Player(domain_id, bag, "--loop", "--clock", 100, "--json", figures) as player:
            wait_for(client, player, lambda: len(received) > 25, "the third lap")
            player.process.send_signal(signal.SIGINT)
            client.spin_until(player.ended, "the end")
            code, output = player.end()
        assert code == 0, output
        assert "Traceback" not in output
        if len(ticks) > 60:
            break
    assert len(ticks) > 60  # 100 per second, for at least 1.1 s
    result = json.loads(figures.read_text())
    laps, late = result["laps"], max_lateness(result)
    assert result["interrupted"] and laps >= 3
    assert texts(received)[:25] == [f"message {i % 10}" for i in range(25)]
    duration = times(received)[24] - times(received)[0]  # two laps of 0.45 s and four messages
    assert -late < duration - 1.1 < (laps + result["slips"]) * late
    clock = [tick.clock.sec * SECOND + tick.clock.nanosec for _, tick in ticks]
    assert START <= min(clock) < max(clock) <= START + 0.45 * SECOND
    assert 2 <= sum(after < before for before, after in zip(clock, clock[1:], strict=False)) <= laps


def test_keys_of_a_terminal(client, domain_id, tmp_path):
    """Start paused, step, resume, pause again, resume, Ctrl-C; the terminal's settings are restored."""
    bag, figures = talk(tmp_path / "bag", 400), tmp_path / "figures.json"
    received, ticks = listen(client, TALK), listen(client, "/clock", Clock)

    def clock_stands_still() -> bool:
        return len(ticks) >= 10 and all(tick == ticks[-1][1] for _, tick in ticks[-10:])

    with Player(domain_id, bag, "--paused", "--clock", "--json", figures, terminal=True) as player:
        before = termios.tcgetattr(player.terminal)
        wait_for(client, player, clock_stands_still, "the clock during the pause")
        assert termios.tcgetattr(player.terminal) != before
        assert received == []
        assert {(t.clock.sec, t.clock.nanosec) for _, t in ticks} == {divmod(START, SECOND)}
        player.press(b"s\x1b[Cx")
        wait_for(client, player, lambda: len(received) == 2, "two steps")
        client.spin_for(0.3)
        assert len(received) == 2
        player.press(b" ")
        wait_for(client, player, lambda: len(received) > 10, "playing")
        ticks.clear()
        player.press(b" ")
        wait_for(client, player, clock_stands_still, "the second pause")
        client.spin_for(0.2)
        paused_at = len(received)
        client.spin_for(0.5)
        assert len(received) == paused_at
        player.press(b" ")
        wait_for(client, player, lambda: len(received) > paused_at + 3, "playing again")
        player.press(b"\x03")
        client.spin_until(player.ended, "the end")
        assert player.process.returncode == 0
        assert termios.tcgetattr(player.terminal) == before
    assert texts(received) == [f"message {i}" for i in range(len(received))]
    published, late = times(received), max_lateness(json.loads(figures.read_text()))
    pause = published[paused_at] - published[paused_at - 1]
    assert late < pause  # a pause does not count as lateness, so no messages are rushed after it
    assert all(b - a > 0.05 - late for a, b in zip(published[paused_at:], published[paused_at + 1 :], strict=False))


def test_sigterm_restores_the_terminal(domain_id, tmp_path):
    with Player(domain_id, talk(tmp_path / "bag"), "--loop", terminal=True) as player:
        before = termios.tcgetattr(player.terminal)
        deadline = time.monotonic() + TIMEOUT
        while termios.tcgetattr(player.terminal) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        player.process.terminate()
        assert player.process.wait(TIMEOUT) == 0
        assert termios.tcgetattr(player.terminal) == before


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"topics": ["/nothing"]}, "the bag has no topic /nothing; it has /talk"),
        ({"remap": {"/nothing": "/a"}}, "the bag has no topic /nothing"),
        ({"remap": {"/talk": "/a b"}}, "/a b is not a valid topic name"),
        ({"start": 60.0}, "no message 60 s after its start; it is 1.95 s long"),
        ({"paused": True}, "needs a terminal"),
        ({"clock": 40.0, "remap": {"/talk": "/clock"}}, "/clock would have two types, String and Clock"),
    ],
)
def test_options_that_do_not_fit_the_bag(tmp_path, monkeypatch, domain_id, options, sentence):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    with pytest.raises(UserError, match=sentence):
        play(talk(tmp_path / "bag"), PlayOptions(**options), [].append)


def test_missing_invalid_and_truncated_bags(tmp_path, monkeypatch, domain_id):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    notices: list[str] = []
    with pytest.raises(UserError, match="there is no bag"):
        play(tmp_path / "nothing", PlayOptions(), notices.append)
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(UserError, match="is not a bag"):
        play(tmp_path / "notes.txt", PlayOptions(), notices.append)
    with pytest.raises(UserError, match="nothing to play"):
        play(write_bag(tmp_path / "empty", [], {}), PlayOptions(), notices.append)
    with pytest.raises(UserError, match="nothing to play"):
        play(write_bag(tmp_path / "silent", [], {TALK: offered_qos()}), PlayOptions(), notices.append)
    assert notices == []
    cut = tmp_path / "cut.mcap"
    whole = (talk(tmp_path / "whole") / "whole.mcap").read_bytes()
    cut.write_bytes(whole[: whole.index(b"message 20")])
    played = play(cut, PlayOptions(rate=100, wait=0), notices.append)
    assert played["messages"] == {TALK: 20}
    assert len(notices) == 1 and "recorder was interrupted" in notices.pop()
    strange = write_bag(tmp_path / "strange", [(0, TALK, text("?"))], {TALK: offered_qos()}, missing=TALK)
    with pytest.raises(UserError, match="nothing to play: all topics are left out"):
        play(strange, PlayOptions(), notices.append)
    reason = "its type nobody_msgs/msg/Text is not installed; it is part of the package nobody_msgs"
    assert notices == [f"/talk is left out: {reason}"]


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "0"], ["--rate", "nan"], ["--start", "-1"], ["--duration", "0"], ["--clock", "0"], ["--remap", "a"]],
)
def test_options_out_of_range(tmp_path, arguments):
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    with pytest.raises(UserError, match=arguments[0]):
        verb.run(parser.parse_args(["play", str(tmp_path), *arguments]))


def connection(*offers, topic: str = TALK, count: int = 7) -> Connection:
    return Connection(topic, "std_msgs/msg/String", [offer for profiles in offers for offer in profiles], count)


class SleepLateness:
    """Measures, in another process, how late sleeps of 10 ms end on this machine; a context manager."""

    PROGRAM = """
import sys, threading, time
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
latest = 0.0
while not stop.is_set():
    due = time.monotonic() + 0.01
    time.sleep(0.01)
    latest = max(latest, time.monotonic() - due)
print(1000 * latest)
"""

    def __enter__(self) -> "SleepLateness":
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        output, _ = self._process.communicate(timeout=TIMEOUT)
        self.max_ms = float(output)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["noise", "KITTI"])
def test_camera_frames_keep_their_schedule(client, domain_id, tmp_path, repository, source):
    """1242x375 bgr8 frames at 10 Hz are at most 5 ms later than the sleeps of an idle process at the same time."""
    folder = repository.parent / "shared/data/kitti_raw/2011_09_26/2011_09_26_drive_0000_sync/image_02/data"
    if source == "KITTI":
        files = sorted(folder.glob("*.png"))[:15]
        if not files:
            pytest.skip(f"no frames in {folder}")
        frames = [cv2.imread(str(file)) for file in files]
    else:
        frames = list(np.random.default_rng(0).integers(0, 256, (15, 375, 1242, 3), np.uint8))
    stamps = [START + index * SECOND // 10 for index in range(len(frames))]
    with new_bag(tmp_path / "bag") as writer:
        camera = writer.add_connection(
            CAMERA,
            "sensor_msgs/msg/Image",
            typestore=get_typestore(Stores.LATEST),
            offered_qos_profiles=offered_qos(len(frames)),
        )
        for stamp, frame in zip(stamps, frames, strict=True):
            message = fill_image(Image(), frame, "bgr8")
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, SECOND)
            writer.write(camera, stamp, serialize_message(message))
    seen = listen(client, CAMERA, Image)
    excess: list[float] = []
    while not excess or (excess[-1] >= 5 and len(excess) < 3):  # three tries, since load comes in bursts
        seen.clear()
        with (
            SleepLateness() as sleeps,
            Player(domain_id, tmp_path / "bag", "--json", tmp_path / "figures.json") as player,
        ):
            client.spin_until(player.ended, "the end")
        p99 = json.loads((tmp_path / "figures.json").read_text())["lateness_ms"]["p99"]
        excess.append(p99 - sleeps.max_ms)
        client.spin_until(lambda: len(seen) >= len(stamps), "all frames")
        arrived = [m.header.stamp.sec * SECOND + m.header.stamp.nanosec for _, m in seen]
        assert arrived == stamps
        assert all(bytes(m.data) == frame.tobytes() for (_, m), frame in zip(seen, frames, strict=True))
    assert min(excess) < 5, excess


def test_bags_from_before_the_clock_was_set(tmp_path, monkeypatch, domain_id):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    early = -(START // SECOND)
    talks = [(seconds, TALK, text("t")) for seconds in (0, 0.1, 3600, 3600.1)]
    bag = write_bag(tmp_path / "bag", [(early, NOTE, text("0")), *talks], {NOTE: offered_qos(), TALK: offered_qos()})
    notices: list[str] = []
    played = play(bag, PlayOptions(topics=[TALK], skip_gaps=True, wait=0), notices.append)
    assert played["messages"] == {TALK: 4} and played["seconds"] < 60
    assert notices == ["skipped 60 minutes without messages, 0.1 s after the start"]

    options = PlayOptions(start=-early - 0.5, duration=1.0, wait=0)  # from the first message of all topics, as given
    assert play(bag, options, notices.append)["messages"] == {TALK: 2}

    notices.clear()
    played = play(bag, PlayOptions(rate=10_000_000_000, wait=0), notices.append)
    assert played["messages"] == {NOTE: 1, TALK: 4}
    assert notices == [
        "the bag has 41.7 years without messages, 0.0 s after the start: --skip-gaps skips such gaps",
        f"the bag has 60 minutes without messages, {-early + 0.1:.1f} s after the start: --skip-gaps skips such gaps",
    ]


def test_the_exit_code_tells_that_messages_are_lost(domain_id, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    bag = talk(tmp_path / "bag", 10)
    (file,) = bag.glob("*.mcap")
    content = bytearray(file.read_bytes())
    content[content.index(b"message 5")] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="nothing to play: .* Chunk checksum mismatch; 10 messages are lost"):
        play(bag, PlayOptions(wait=0), [].append)

    chunk = 17 + int.from_bytes(content[9:17], "little")  # after the magic and the header
    content[chunk + 33 : chunk + 37] = bytes(4)  # no checksum
    record = content.index(b"essage 5") - 9 - 31
    assert content[record] == 5
    content[record] = 0x45  # a kind that readers must skip
    file.write_bytes(content)
    notices: list[str] = []
    played = play(bag, PlayOptions(wait=0), notices.append)
    assert played["messages"] == {TALK: 9} and played["lost"] == 1
    assert notices == [f"{bag} is damaged; 1 message is lost"]
    figures = played | {"left_out": {}}
    monkeypatch.setattr("fcn_road_seg.bags.play.play", lambda *_: figures)
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    assert verb.run(parser.parse_args(["play", str(bag)])) == 1


def test_recorded_qos():
    reliable, best_effort, latched = offered_qos(5), offered_qos(3, reliable=False), offered_qos(1, latched=True)
    profile = recorded_qos([connection(best_effort)])
    assert (profile.reliability, profile.depth) == (ReliabilityPolicy.BEST_EFFORT, 3)
    assert profile.durability == DurabilityPolicy.VOLATILE
    profile = recorded_qos([connection(best_effort), connection(reliable)])
    assert (profile.reliability, profile.depth) == (ReliabilityPolicy.RELIABLE, 5)
    profile = recorded_qos([connection(latched), connection(reliable)])
    assert (profile.durability, profile.depth) == (DurabilityPolicy.TRANSIENT_LOCAL, 14)
    assert recorded_qos([connection(topic="/tf_static")]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert recorded_qos([connection(latched, count=10**6)]).depth == 1000
    (offer,) = reliable
    assert recorded_qos([connection([offer._replace(depth=0)])]).depth == 10
    hurried = recorded_qos([connection([offer._replace(deadline=offer.deadline._replace(sec=0, nsec=5))])])
    assert hurried.deadline.nanoseconds == 5
    unlimited = recorded_qos([connection(reliable)])
    assert unlimited.deadline == unlimited.liveliness_lease_duration == QoSProfile(depth=1).deadline


def test_qos_overrides_for_ros2_bag_play(repository):
    overrides = yaml.safe_load((repository / "config" / "tf_static_qos_overrides.yaml").read_text())
    policies = overrides["/tf_static"]
    assert DurabilityPolicy.get_from_short_key(policies["durability"]) == DurabilityPolicy.TRANSIENT_LOCAL
    assert ReliabilityPolicy.get_from_short_key(policies["reliability"]) == ReliabilityPolicy.RELIABLE
    assert policies["history"] == "keep_last" and policies["depth"] > 1
