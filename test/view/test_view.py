"""`road_seg view`: with a fake node on one side, and a browser or a Foxglove client on the other."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest
from headless_chromium import TIMEOUT, Chromium, chromium_program, wait_for

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.environment import isolated_ros_environment
from fcn_road_seg.view.figures import STATUS_TIMEOUT, WINDOW, Figures, Status
from fcn_road_seg.view.latest_overlay import LINGER, LatestOverlay, Overlay
from fcn_road_seg.view.page import PageServer

SIZE = 96, 160  # of the pictures, height and width
VERB = """
import sys
from fcn_road_seg.cli.main import main
sys.exit(main(["view", *sys.argv[1:]]))
"""


# Without ROS


class FakeClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_figures_cover_the_last_seconds(clock):
    figures = Figures("/road_seg", clock)
    figures.mask(9.0)
    clock.now += WINDOW + 1  # drops that one
    for latency in range(1, 101):
        clock.now += 0.05
        figures.mask(latency / 1000)
    now = figures.snapshot()
    assert (now["fps"], now["latency_p50_ms"], now["notice"]) == (20.0, 50.5, "")
    assert now["latency_p99_ms"] == pytest.approx(99, abs=0.1)
    json.dumps(now)


def test_memory_is_bounded_without_viewers(clock):
    figures = Figures("/road_seg", clock)
    for _ in range(10_000):
        clock.now += 0.05
        figures.mask(0.1)
    assert len(figures._masks) <= 20 * WINDOW + 1


def test_without_stamps_the_latency_is_unknown(clock):
    figures = Figures("/road_seg", clock)
    figures.mask(None)
    now = figures.snapshot()
    assert (now["latency_p50_ms"], now["mask_age_s"], now["notice"]) == (None, 0.0, "")


def test_a_silent_node_causes_a_notice_and_no_old_figures(clock):
    figures = Figures("/front/road_seg", clock)
    assert figures.snapshot()["notice"].startswith("Waiting for /front/road_seg/mask and /front/road_seg/overlay.")
    figures.mask(0.1)
    figures.statuses([Status("device", 0, "cpu")])
    clock.now += STATUS_TIMEOUT + 1
    now = figures.snapshot()
    assert (
        now["notice"].startswith("The masks on /front/road_seg/mask have stopped.")
        and "road_seg doctor" in now["notice"]
    )
    assert (now["fps"], now["latency_p50_ms"], now["mask_age_s"]) == (0.0, None, 6.0)
    (status,) = now["statuses"]
    assert status["level"] == 3 and status["message"] == "no update on /diagnostics for 6 s; last message: cpu"


def test_latest_overlay_replaces_the_old_one_and_tracks_requests(monkeypatch):
    latest = LatestOverlay()
    assert not latest.requested()
    assert latest.wait_for_other(-1, 0) is None
    assert latest.requested()
    for stamp in 1, 2, 3:
        latest.put(Overlay(stamp, "camera", b""))
    number, overlay = latest.wait_for_other(-1, 0)
    assert overlay.stamp == 3
    assert latest.wait_for_other(number, 0.01) is None
    latest.clear()
    assert latest.wait_for_other(-1, 0) is None
    later = time.monotonic() + LINGER
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not latest.requested()


def test_a_foreign_address_is_a_user_error():
    with pytest.raises(UserError, match="cannot serve the page on port 0 of 192.0.2.1: .+; choose another"):
        PageServer("/road_seg", "192.0.2.1", 0, Figures("/road_seg"), LatestOverlay())


# The command


class View:
    """The command in a process, on free ports."""

    def __init__(self, domain_id: int, log: Path, *arguments: str, prelude: str = ""):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", prelude + VERB, "--port", "0", "--foxglove-port", "0", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=isolated_ros_environment(domain_id),
            )
        self.port = int(self.wait_for_output(r"http://[\d.]+:(\d+)/ shows")[1])

    def wait_for_output(self, pattern: str) -> re.Match:
        def found():
            assert self.process.poll() is None, f"it exited: {self.log.read_text()}"
            return re.search(pattern, self.log.read_text())

        return wait_for(found, f"'{pattern}'")

    def get(self, path: str):
        """Status, headers and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def figures(self) -> dict:
        """The next event."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/events")
            response = connection.getresponse()
            assert response.headers["Content-Type"] == "text/event-stream"
            return json.loads(response.readline().removeprefix(b"data: "))
        finally:
            connection.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.send_signal(signal.SIGINT)  # a launcher doubles Ctrl-C
        try:
            return self.process.wait(TIMEOUT)
        finally:
            self.process.kill()


class Node:
    """A fake node with the topics of the real one."""

    def __init__(self, domain_id: int):
        rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.context import Context
        from sensor_msgs.msg import Image

        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("road_seg", context=self._context)
        self.mask = self.node.create_publisher(Image, "~/mask", 1)
        self.overlay = self.node.create_publisher(Image, "~/overlay", 1)
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def close(self) -> None:
        self.node.destroy_node()
        self._context.shutdown()

    def publish_status(self, name: str, level: int, message: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

        status = DiagnosticStatus(name=f"{name}: state", level=bytes([level]), message=message)
        self.diagnostics.publish(DiagnosticArray(status=[status]))


def message(pixels: np.ndarray, age: float | None = 0.0):
    """An image that is `age` seconds old; None for an image without a stamp."""
    from sensor_msgs.msg import Image

    from fcn_road_seg.frames.image_message import fill_image

    image = fill_image(Image(), pixels, "bgr8" if pixels.ndim == 3 else "mono8")
    image.header.frame_id = "front_camera"
    if age is not None:
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(time.time_ns() - int(age * 1e9), 1_000_000_000)
    return image


MASK = np.zeros(SIZE, np.uint8)
MASK[60:, 30:120] = 255


def picture(number: int) -> np.ndarray:
    """A BGR gradient without symmetries; the brightness of its red channel encodes its number, 0..50."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.dstack((rows, columns, np.full(SIZE, 5 * number))).astype(np.uint8)


def number_of(jpeg: bytes) -> int:
    return round(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, 2].mean() / 5)


@pytest.fixture(scope="module")
def node(domain_id):
    node = Node(domain_id)
    yield node
    node.close()


@pytest.fixture(scope="module")
def view(domain_id, node, tmp_path_factory):
    view = View(domain_id, tmp_path_factory.mktemp("view") / "log")
    wait_for(lambda: node.mask.get_subscription_count(), "a subscription to the mask")
    yield view
    assert view.stop() == 0
    assert "Traceback" not in view.log.read_text()


@contextmanager
def publishing(node: Node, period: float = 0.1):
    """Publish masks and overlays, 50 ms old, during the block."""
    import threading

    done = threading.Event()

    def publish():
        while not done.wait(period):
            node.mask.publish(message(MASK, 0.05))
            node.overlay.publish(message(picture(20), 0.05))
            node.publish_status("/road_seg", 1, "<b>running</b> on the CPU")

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def listening_addresses(port: int) -> set[str]:
    """The hexadecimal addresses on which a TCP port of this machine is open."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == port}


def test_the_page_is_self_contained_and_served_on_localhost_only(view):
    status, headers, body = view.get("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = body.decode()
    assert '<html lang="en">' in text and "<title>/road_seg - road_seg view</title>" in text
    assert not re.search(r"https?://|\{\{", text)  # no external resources, no placeholders
    assert listening_addresses(view.port) == {"0100007F"}
    assert view.get("/../../etc/passwd")[0] == view.get("/nothing")[0] == 404
    assert view.get("/overlay.jpg?after=x")[0] == 400


def first_picture(node: Node, view: View, number: int):
    """The first response to a new viewer, while the node publishes one picture repeatedly."""

    def got():
        node.overlay.publish(message(picture(number)))
        return (answer := view.get("/overlay.jpg"))[0] == 200 and answer

    return wait_for(got, "a picture")


def test_the_overlay_is_subscribed_to_only_while_there_are_viewers(node, view):
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of the subscription")
    view.figures()
    time.sleep(0.5)
    assert not node.overlay.get_subscription_count()  # the figures do not need the overlay
    status, _, body = view.get("/overlay.jpg")
    assert (status, body) == (204, b"")
    status, headers, body = first_picture(node, view, 7)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - picture(7)).mean() < 2
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of the subscription")
    assert view.get("/overlay.jpg")[0] == 204  # the old one is gone


def test_a_slow_browser_gets_the_latest_picture_and_no_backlog(node, view):
    _, headers, _ = first_picture(node, view, 0)
    for number in range(51):
        node.overlay.publish(message(picture(number)))
        time.sleep(0.005)

    def last_arrived() -> bool:  # republishes, since the overlay is unsubscribed if this takes longer than `LINGER`
        node.overlay.publish(message(picture(50)))
        return number_of(view.get("/overlay.jpg")[2] or first_picture(node, view, 50)[2]) == 50

    wait_for(last_arrived, "the last picture")
    status, _, body = view.get(f"/overlay.jpg?after={headers['X-Picture']}")
    assert (status, number_of(body)) == (200, 50)


def test_rate_and_latency_are_those_of_the_masks(node, view):
    wait_for(lambda: view.figures()["fps"] == 0, "the end of the other tests' masks")
    node.publish_status("/other", 2, "not ours")
    sent: list[float] = []

    def as_sent() -> dict | None:  # a busy machine stalls the view, and a stalled subscription of depth 1 loses masks
        sent.append(time.monotonic())
        node.mask.publish(message(MASK, 50))
        node.publish_status("/road_seg", 1, "runs")
        recent = [each for each in sent if each > sent[-1] - WINDOW]
        rate = (len(recent) - 1) / max(recent[-1] - recent[0], 1e-9)
        figures = view.figures()
        complete = len(recent) > 8 and figures["statuses"] and figures["statuses"][0]["level"] == 1
        return figures if complete and figures["fps"] == pytest.approx(rate, rel=0.25) else None

    figures = wait_for(as_sent, "the rate of the masks")
    assert 50_000 <= figures["latency_p50_ms"] <= figures["latency_p99_ms"] < 55_000
    assert figures["mask_age_s"] < 2 and figures["notice"] == ""
    assert figures["statuses"] == [{"subject": "state", "level": 1, "message": "runs"}]
    figures = wait_for(lambda: (now := view.figures())["fps"] == 0 and now, "the end of the masks")
    assert figures["notice"].startswith("The masks on /road_seg/mask have stopped.") and figures["mask_age_s"] > 2


def test_a_stamp_before_time_began_counts_as_none(node, view):
    wait_for(lambda: view.figures()["fps"] == 0, "the end of earlier masks")
    early = message(MASK)
    early.header.stamp.sec = -5

    def received():
        node.mask.publish(early)
        return view.figures()["fps"] > 0

    wait_for(received, "a mask")
    wait_for(lambda: view.figures()["fps"] == 0, "the end of the masks")


def test_best_effort_masks_are_received(node, view):
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    other = node.node.create_publisher(Image, "~/mask", qos)
    try:
        wait_for(lambda: other.get_subscription_count(), "a match")

        def received():
            other.publish(message(MASK))
            return view.figures()["notice"] == ""

        wait_for(received, "a mask")
    finally:
        node.node.destroy_publisher(other)


def test_best_effort_statuses_are_received(node, view):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    other = node.node.create_publisher(DiagnosticArray, "/diagnostics", qos)
    status = DiagnosticStatus(name="/road_seg: state", level=b"\1", message="by best effort")

    def received():
        other.publish(DiagnosticArray(status=[status]))
        return [found["message"] for found in view.figures()["statuses"]] == ["by best effort"]

    try:
        wait_for(received, "the status")
    finally:
        node.node.destroy_publisher(other)


def test_foxglove_receives_mask_overlay_and_latency(node, view):
    pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    from foxglove.messages import CompressedImage, RawImage

    from fcn_road_seg.view.foxglove import timestamp

    port = int(view.wait_for_output(r"ws://127\.0\.0\.1:(\d+) serves Foxglove")[1])
    assert listening_addresses(port) == {"0100007F"}
    with client.connect(f"ws://127.0.0.1:{port}", subprotocols=["foxglove.sdk.v1"], max_size=None) as socket:
        channels = {}
        while len(channels) < 3:
            advertisement = json.loads(socket.recv(TIMEOUT))
            channels |= {channel["topic"]: channel for channel in advertisement.get("channels", ())}
        kinds = {topic: channel["schemaName"] for topic, channel in channels.items()}
        assert kinds == {
            "/road_seg/overlay": "foxglove.CompressedImage",
            "/road_seg/mask": "foxglove.RawImage",
            "/road_seg/latency": "road_seg.Latency",
        }
        topics = list(channels)
        subscriptions = [{"id": n, "channelId": channels[topic]["id"]} for n, topic in enumerate(topics)]
        socket.send(json.dumps({"op": "subscribe", "subscriptions": subscriptions}))
        mask, overlay = message(MASK, 50), message(picture(9), 49)
        got = {}

        def all_received():
            node.mask.publish(mask)
            node.overlay.publish(overlay)
            with suppress(TimeoutError):
                while data := socket.recv(0.2):
                    assert isinstance(data, bytes) and data[0] == 1  # then subscription, log time, message
                    topic = topics[int.from_bytes(data[1:5], "little")]
                    got[topic] = int.from_bytes(data[5:13], "little"), data[13:]
            return len(got) == 3

        wait_for(all_received, "a message of each channel")

    def expected(kind, image, **fields):
        stamp = image.header.stamp.sec * 1_000_000_000 + image.header.stamp.nanosec
        return stamp, kind(timestamp=timestamp(stamp), frame_id="front_camera", **fields).encode()

    fields = {"width": SIZE[1], "height": SIZE[0], "encoding": "mono8", "step": SIZE[1], "data": MASK.tobytes()}
    assert got["/road_seg/mask"] == expected(RawImage, mask, **fields)
    jpeg = got["/road_seg/overlay"][1]
    jpeg = jpeg[jpeg.index(b"\xff\xd8") : jpeg.rindex(b"\xff\xd9") + 2]
    assert got["/road_seg/overlay"] == expected(CompressedImage, overlay, data=jpeg, format="jpeg")
    assert number_of(jpeg) == 9
    assert 50_000 <= json.loads(got["/road_seg/latency"][1])["latency_ms"] < 120_000
    assert got["/road_seg/latency"][0] == got["/road_seg/mask"][0]
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of the subscription")


def view_fails(*arguments: str) -> str:
    """Run the command, expect exit code 2, and return its message."""
    result = subprocess.run([sys.executable, "-c", VERB, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("road_seg view: ")
    return result.stderr.removeprefix("road_seg view: ")


def test_a_port_in_use_is_a_user_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        sentence = f"cannot serve the page on port {port} of 127.0.0.1: Address already in use"
        assert view_fails("--port", port).startswith(sentence)
        pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
        sentence = f"cannot serve Foxglove on port {port} of 127.0.0.1: Address already in use"
        assert view_fails("--port", "0", "--foxglove-port", port).startswith(sentence)


def test_an_invalid_node_name_is_a_user_error():
    message = view_fails("--node", "/front/road seg")
    assert message.startswith("--node is '/front/road seg', which is not a valid node name")


def test_hint_without_foxglove_and_warning_on_a_public_address(domain_id, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    prelude = "import sys; sys.modules['foxglove'] = None"
    view = View(domain_id, tmp_path / "log", "--host", "0.0.0.0", "--node", "/front/road_seg", prelude=prelude)
    try:
        view.wait_for_output("pip install foxglove-sdk")
        view.wait_for_output("Anyone who can reach 0.0.0.0 can watch the camera: there is no password.")
        assert view.figures()["notice"].startswith("Waiting for /front/road_seg/mask")
    finally:
        assert view.stop() == 0
    assert "Traceback" not in view.log.read_text()


# A real browser


@pytest.fixture
def chromium(view, tmp_path):
    program = chromium_program()
    if program is None:
        pytest.skip("no Chromium is on PATH")
    pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    chromium = Chromium(program, tmp_path / "profile", f"http://127.0.0.1:{view.port}/")
    yield chromium
    chromium.close()


def test_a_browser_shows_overlay_and_figures(node, chromium, tmp_path):
    chromium.wait_for("!document.getElementById('notice').hidden")
    assert chromium.value("document.getElementById('overlay').hidden") is True
    with publishing(node):
        chromium.wait_for("document.getElementById('overlay').naturalWidth")
        natural = "[overlay.naturalHeight, overlay.naturalWidth]".replace("overlay", "document.images[0]")
        assert tuple(chromium.value(natural)) == SIZE
        chromium.wait_for("parseFloat(document.getElementById('fps').textContent) > 2")
        chromium.wait_for("document.getElementById('notice').hidden")
        # Waits: the figures of other tests fade in `WINDOW`, and a busy machine delays everything for a while.
        latencies = "['p50', 'p99'].map(id => document.getElementById(id).textContent)"
        chromium.wait_for(f"{latencies}.every(text => /^[0-9]+ ms$/.test(text))")
        chromium.wait_for(f"(([p50, p99]) => 50 <= p50 && p50 <= p99)({latencies}.map(parseFloat))")
        chromium.wait_for("document.getElementById('caption').textContent == 'Live, 160 x 96 pixels'")
        rows = "[...document.querySelectorAll('#statuses tr')].map(row => [row.className, row.innerText])"
        expected = [["level-1", "state\twarning\t<b>running</b> on the CPU"]]  # text, not markup
        wait_for(lambda: chromium.value(rows) == expected, "the status in the table")
        brightness = {}
        for theme in "light", "dark":
            for width in 1280, 390:
                file = tmp_path / f"{theme}_{width}.png"
                chromium.look(theme, width, 800, file)
                brightness[theme, width] = cv2.imread(str(file))[:, :8].mean()
                assert chromium.value("document.documentElement.scrollWidth <= innerWidth"), f"{width} is too narrow"
        assert all(brightness["light", width] > 200 > 60 > brightness["dark", width] for width in (1280, 390))
    chromium.wait_for("document.getElementById('figure').classList.contains('old')")
    chromium.wait_for("!document.getElementById('notice').hidden")
    assert re.fullmatch(r"none for \d+ s", chromium.text("fps"))
    assert re.fullmatch(r"Not live: this image is \d+ s old\.", chromium.text("caption"))
    chromium.look("dark", 1280, 800, tmp_path / "old.png")
    assert chromium.complaints == []


def test_latency_uses_the_simulated_clock_if_published(node, view):
    from builtin_interfaces.msg import Time
    from rosgraph_msgs.msg import Clock

    clock = node.node.create_publisher(Clock, "/clock", 1)
    mask = message(MASK)
    mask.header.stamp = Time(sec=99, nanosec=900_000_000)
    try:

        def plausible():
            clock.publish(Clock(clock=Time(sec=100)))
            node.mask.publish(mask)
            p50 = view.figures()["latency_p50_ms"]
            return p50 is not None and 0 < p50 <= 100

        wait_for(plausible, "a latency of 100 ms")
    finally:
        node.node.destroy_publisher(clock)
