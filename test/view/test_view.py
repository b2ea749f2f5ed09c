"""`road_seg view`: with a fake node on one side, and a browser or a Foxglove client on the other."""

import base64
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
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from headless_chromium import TIMEOUT, Chromium, chromium_program, wait_for

from fcn_road_seg.errors import UserError
from fcn_road_seg.ground import FIELDS, GroundPlane
from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.ros.environment import isolated_ros_environment
from fcn_road_seg.view.birds_eye import ROAD, STRIP, UNSEEN
from fcn_road_seg.view.figures import STATUS_TIMEOUT, WINDOW, Figures, Status
from fcn_road_seg.view.foxglove import LATENCY_SCHEMA, STATUS_SCHEMA
from fcn_road_seg.view.ground_arrays import NOT_ROAD, POINT
from fcn_road_seg.view.page import PageServer
from fcn_road_seg.view.pictures import JPEG, LINGER, LatestPicture, Picture, Pictures

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


def test_masks_are_live_for_as_long_as_max_fps_asks(clock):
    figures = Figures("/road_seg", clock)
    figures.present(True)
    figures.statuses([Status("frames", 0, "10.0 frames arrive per second, 0.2 masks are published (max_fps is 0.2)")])
    figures.mask(0.1)
    clock.now += 4.9
    figures.statuses(figures._statuses)
    assert figures.snapshot()["live"]
    clock.now += 2.2
    figures.statuses(figures._statuses)
    assert figures.snapshot()["notice"].startswith("The masks on /road_seg/mask have stopped.")


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


def test_the_rate_does_not_count_the_time_without_masks(clock):
    figures = Figures("/road_seg", clock)
    for step in (*20 * [0.1], 4.0, *20 * [0.1]):
        clock.now += step
        figures.mask(0.05)
    assert figures.snapshot()["fps"] == 10.0


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
    figures.present(True)
    assert figures.snapshot()["notice"].startswith("Waiting for /front/road_seg/mask. Is the node active")
    figures.mask(0.1)
    figures.statuses([Status("device", 0, "cpu")])
    clock.now += 4
    figures.statuses([Status("device", 0, "cpu")])
    now = figures.snapshot()
    assert now["notice"].startswith("The masks on /front/road_seg/mask have stopped.") and not now["live"]
    assert "road_seg doctor" in now["notice"]
    assert (now["fps"], now["latency_p50_ms"], now["mask_age_s"]) == (0.0, None, 4.0)
    assert [status["level"] for status in now["statuses"]] == [0]


def test_a_paused_node_causes_a_notice_that_says_so(clock):
    figures = Figures("/road_seg", clock)
    figures.present(True)
    figures.statuses([Status("road", 0, "paused: ~/enable was called with false")])
    assert figures.snapshot()["notice"] == "The node /road_seg is paused: ~/enable was called with false."
    figures.mask(0.1)
    assert figures.snapshot()["notice"] == ""


def test_statuses_that_stop_are_stale_although_masks_arrive(clock):
    figures = Figures("/road_seg", clock)
    figures.statuses([Status("device", 0, "cpu")])
    clock.now += STATUS_TIMEOUT + 1
    figures.mask(0.1)
    now = figures.snapshot()
    assert now["live"] and now["notice"] == ""
    (status,) = now["statuses"]
    assert status["level"] == 3 and status["message"] == "no update on /diagnostics for 6 s; last message: cpu"


def test_a_node_that_leaves_the_graph_has_gone_at_once(clock):
    figures = Figures("/road_seg", clock)
    assert figures.snapshot()["notice"].startswith("Waiting for the node /road_seg: no node of this name is running.")
    figures.present(True)
    figures.mask(0.1)
    figures.statuses([Status("device", 0, "cpu")])
    assert figures.snapshot()["live"]
    figures.present(False)
    now = figures.snapshot()
    assert now["notice"] == "The node /road_seg has gone: it has ended, or the connection to it is lost."
    assert (now["live"], now["fps"], now["latency_p50_ms"]) == (False, 0.0, None)
    assert now["statuses"] == [{"subject": "device", "level": 3, "message": "the node has gone; last message: cpu"}]
    figures.present(True)
    assert figures.snapshot()["notice"] == ""


def test_a_node_that_stops_publishing_has_gone_or_hangs(clock):
    figures = Figures("/road_seg", clock)
    figures.present(True)  # DDS announces the end of a killed process only after a while
    figures.mask(0.1)
    figures.statuses([Status("device", 0, "cpu")])
    clock.now += STATUS_TIMEOUT + 1
    now = figures.snapshot()
    assert now["notice"].startswith("The node /road_seg has gone or hangs: it has published nothing, not even on /diag")
    assert now["notice"].endswith("for 6 s.") and not now["live"] and now["statuses"][0]["level"] == 3


def test_masks_without_a_node_are_live(clock):  # from a bag
    figures = Figures("/road_seg", clock)
    figures.present(False)
    figures.mask(0.1)
    assert figures.snapshot()["live"] and figures.snapshot()["notice"] == ""


def test_latest_picture_replaces_the_old_one_and_tracks_requests(monkeypatch):
    latest = LatestPicture()
    assert not latest.requested()
    assert latest.wait_for_other(-1, 0) is None
    assert latest.requested()
    for content in b"1", b"2", b"3":
        latest.put(Picture(JPEG, content))
    number, _, picture = latest.wait_for_other(-1, 0)
    assert picture.content == b"3"
    assert latest.wait_for_other(number, 0.01) is None
    later = time.monotonic() + LINGER - 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert latest.wait_for_other(-1, 0)[1] == pytest.approx(LINGER - 1, abs=0.5)  # its age
    later += LINGER
    assert not latest.requested()
    assert latest.wait_for_other(-1, 0) is None  # it was not kept up to date


def test_a_foreign_address_is_a_user_error():
    with pytest.raises(UserError, match="cannot serve the page on port 0 of 192.0.2.1: .+; choose another"):
        PageServer("/road_seg", "192.0.2.1", 0, Figures("/road_seg"), Pictures().latest)


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
        from geometry_msgs.msg import PolygonStamped
        from nav_msgs.msg import OccupancyGrid
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("road_seg", context=self._context)
        self.mask = self.node.create_publisher(Image, "~/mask", 1)
        self.overlay = self.node.create_publisher(Image, "~/overlay", 1)
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.camera = self.node.create_publisher(Image, "/front/image_raw", 1)
        self.node.create_subscription(Image, "/front/image_raw", lambda _: None, 1)  # "image", remapped
        ground = {"grid": OccupancyGrid, "scan": LaserScan, "boundary": PolygonStamped, "points": PointCloud2}
        ground |= {"camera_info": CameraInfo}
        with suppress(ImportError):
            from vision_msgs.msg import Detection2DArray

            ground["instances"] = Detection2DArray
        self.ground = {name: self.node.create_publisher(kind, f"~/{name}", 1) for name, kind in ground.items()}
        mounting = {"camera_height": 1.5, "camera_pitch": 0.1, "camera_roll": 0.0, "ground_frame": "base_link"}
        self.node.declare_parameters("", list(mounting.items()))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def answer(self) -> None:
        """Answer a service request, if there is one."""
        self._executor.spin_once(timeout_sec=0)

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
CELLS = np.full((20, 40), -1, np.int8)  # 4 m across, 8 m ahead
CELLS[10:, 20:] = 0  # far left
CELLS[:10, 20:] = 100  # far right
RANGES = [3.0, float("nan"), float("inf")]
CORNERS = [(1.0, 1.0, 0.0), (3.0, 1.0, 0.0), (3.0, -1.0, 0.0)]
POINTS = np.zeros((2, 3), POINT)  # one column is off the road plane
POINTS["x"], POINTS["y"], POINTS["z"] = [[-1, 0, 1]], [[np.nan] * 3, [1.5] * 3], [[np.nan] * 3, [5] * 3]
POINTS["label"], POINTS["confidence"] = [0, 1, 255], 200


def ground_messages(header) -> dict:
    """The ground outputs of a frame, by output."""
    from geometry_msgs.msg import Point32, PolygonStamped
    from nav_msgs.msg import OccupancyGrid
    from sensor_msgs.msg import CameraInfo, LaserScan, PointCloud2, PointField
    from std_msgs.msg import Header

    ground = Header(stamp=header.stamp, frame_id="base_link")
    grid = OccupancyGrid(header=ground, data=CELLS.ravel().tolist())
    grid.info.width, grid.info.height, grid.info.resolution = 40, 20, 0.2
    grid.info.origin.position.y = -2.0
    boundary = PolygonStamped(header=ground)
    boundary.polygon.points = [Point32(x=x, y=y, z=z) for x, y, z in CORNERS]
    fields = [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in FIELDS]
    rows, columns = POINTS.shape
    row = {"point_step": POINT.itemsize, "row_step": columns * POINT.itemsize}
    found = {}
    with suppress(ImportError):
        from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = "car", 0.934
        car = Detection2D(results=[result])
        car.bbox.center.position.x, car.bbox.center.position.y, car.bbox.size_x, car.bbox.size_y = 30.0, 20.0, 12.0, 8.0
        found["instances"] = Detection2DArray(header=header, detections=[car, Detection2D()])
    k = [100.0, 0.0, 80.0, 0.0, 100.0, 48.0, 0.0, 0.0, 1.0]
    return {
        "grid": grid,
        "scan": LaserScan(header=ground, angle_min=-0.5, angle_max=0.5, angle_increment=0.5, ranges=RANGES),
        "boundary": boundary,
        "points": PointCloud2(header=header, height=rows, width=columns, fields=fields, data=POINTS.tobytes(), **row),
        "camera_info": CameraInfo(header=header, width=SIZE[1], height=SIZE[0], distortion_model="plumb_bob", k=k),
    } | found


def picture(number: int) -> np.ndarray:
    """A BGR gradient without symmetries; the brightness of its red channel encodes its number, 0..50."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.dstack((rows, columns, np.full(SIZE, 5 * number))).astype(np.uint8)


def number_of(jpeg: bytes) -> int:
    return round(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, 2].mean() / 5)


@pytest.fixture(scope="module")
def vision_msgs(request) -> str:
    """Python code after which another process can import vision_msgs, as this one can; empty if neither can."""
    try:
        return f"import sys\n{request.getfixturevalue('interfaces')}\n"
    except pytest.skip.Exception:
        return ""


@pytest.fixture(scope="module")
def node(domain_id, vision_msgs):
    node = Node(domain_id)
    yield node
    node.close()


@pytest.fixture(scope="module")
def view(domain_id, node, vision_msgs, tmp_path_factory):
    view = View(domain_id, tmp_path_factory.mktemp("view") / "log", prelude=vision_msgs)
    wait_for(lambda: node.mask.get_subscription_count(), "a subscription to the mask")
    yield view
    assert view.stop() == 0
    assert "Traceback" not in view.log.read_text()


@contextmanager
def publishing(node: Node, period: float = 0.1):
    """Publish masks, overlays and more, 50 ms old, during the block."""
    import threading

    done = threading.Event()

    def publish():
        while not done.wait(period):
            node.mask.publish(message(MASK, 0.05))
            node.overlay.publish(message(picture(20), 0.05))
            node.camera.publish(message(picture(40), 0.05))
            for name, each in ground_messages(message(MASK).header).items():
                node.ground[name].publish(each)
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
    assert view.get("/pictures/overlay?after=x")[0] == 400
    assert view.get("/pictures/other")[0] == view.get("/overlay")[0] == 404


def first_picture(node: Node, view: View, number: int):
    """The first response to a new viewer, while the node publishes one picture repeatedly."""

    def got():
        node.overlay.publish(message(picture(number)))
        return (answer := view.get("/pictures/overlay"))[0] == 200 and answer

    return wait_for(got, "a picture")


def test_the_overlay_is_subscribed_to_only_while_there_are_viewers(node, view):
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of the subscription")
    view.figures()
    time.sleep(0.5)
    assert not node.overlay.get_subscription_count()  # the figures do not need the overlay
    status, _, body = view.get("/pictures/overlay")
    assert (status, body) == (204, b"")
    status, headers, body = first_picture(node, view, 7)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - picture(7)).mean() < 2
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of the subscription")
    assert view.get("/pictures/overlay")[0] == 204  # the old one is gone


def test_a_slow_browser_gets_the_latest_picture_and_no_backlog(node, view):
    _, headers, _ = first_picture(node, view, 0)
    for number in range(51):
        node.overlay.publish(message(picture(number)))
        time.sleep(0.005)

    def last_arrived() -> bool:  # republishes, since the overlay is unsubscribed if this takes longer than `LINGER`
        node.overlay.publish(message(picture(50)))
        return number_of(view.get("/pictures/overlay")[2] or first_picture(node, view, 50)[2]) == 50

    wait_for(last_arrived, "the last picture")
    status, _, body = view.get(f"/pictures/overlay?after={headers['X-Picture']}")
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
    assert figures["notice"].startswith("The masks on /road_seg/mask have stopped.") and figures["mask_age_s"] >= 2


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


def test_the_mask_is_drawn_in_the_overlay_s_colour(node, view):
    def got():
        node.mask.publish(message(MASK))
        return (answer := view.get("/pictures/mask"))[0] == 200 and answer

    _, headers, body = wait_for(got, "the mask")
    assert headers["Content-Type"] == "image/png" and 0 <= float(headers["X-Age"]) < 60
    drawn = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (drawn[MASK > 0] == AZURE).all() and drawn[MASK == 0].max() < 50


def test_the_camera_s_images_are_found_through_the_graph(node, view):
    def got():
        node.camera.publish(message(picture(12)))
        return (answer := view.get("/pictures/camera"))[0] == 200 and answer

    status, headers, body = wait_for(got, "a camera image")
    assert headers["Content-Type"] == "image/jpeg" and number_of(body) == 12
    subscribers = [info.node_name for info in node.node.get_subscriptions_info_by_topic("/front/image_raw")]
    assert sorted(subscribers) == ["road_seg", "road_seg_view"]
    wait_for(lambda: node.camera.get_subscription_count() == 1, "the end of the subscription")


def test_the_road_is_drawn_from_above(node, view):
    def got():
        for name, each in ground_messages(message(MASK).header).items():
            node.ground[name].publish(each)
        return (answer := view.get("/pictures/birds_eye"))[0] == 200 and answer

    _, headers, body = wait_for(got, "the picture from above")
    assert headers["Content-Type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert drawn.shape == (800 + STRIP, 440, 3)
    assert tuple(drawn[30, 40]) == ROAD and tuple(drawn[30, 400]) == NOT_ROAD and tuple(drawn[700, 40]) == UNSEEN
    assert node.ground["points"].get_subscription_count() == 0  # not part of it


# Foxglove


class FoxgloveClient:
    """A client that decodes messages with the schemas that the server advertises."""

    def __init__(self, port: int):
        self.connection = websockets_client().connect(
            f"ws://127.0.0.1:{port}", subprotocols=["foxglove.sdk.v1"], max_size=None
        )
        self.channels: dict[str, dict] = {}
        self.received: dict[str, tuple[int, object]] = {}

    def advertised(self, count: int) -> dict[str, str]:
        """The names of the schemas by topic, once there are `count` channels."""
        while len(self.channels) < count:
            advertisement = json.loads(self.connection.recv(TIMEOUT))
            self.channels |= {channel["topic"]: channel for channel in advertisement.get("channels", ())}
        return {topic: channel["schemaName"] for topic, channel in self.channels.items()}

    def subscribe(self) -> None:
        """Subscribe to everything; the number of a subscription is that of the channel."""
        subscriptions = [{"id": channel["id"], "channelId": channel["id"]} for channel in self.channels.values()]
        self.connection.send(json.dumps({"op": "subscribe", "subscriptions": subscriptions}))

    def receive(self) -> None:
        """Receive for a moment: the last log time and message of each topic."""
        topics = {channel["id"]: topic for topic, channel in self.channels.items()}
        with suppress(TimeoutError):
            while data := self.connection.recv(0.2):
                assert isinstance(data, bytes) and data[0] == 1  # then subscription, log time, message
                topic = topics[int.from_bytes(data[1:5], "little")]
                self.received[topic] = int.from_bytes(data[5:13], "little"), self._decoded(topic, data[13:])

    def _decoded(self, topic: str, data: bytes):
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        channel = self.channels[topic]
        if channel["encoding"] == "json":
            return json.loads(data)
        files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(channel["schema"]))
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(channel["schemaName"]))
        return kind.FromString(data)


def websockets_client():
    return pytest.importorskip("websockets.sync.client", reason="websockets is not installed")


@pytest.fixture
def foxglove_client(view):
    pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    port = int(view.wait_for_output(r"ws://127\.0\.0\.1:(\d+) serves Foxglove")[1])
    assert listening_addresses(port) == {"0100007F"}
    client = FoxgloveClient(port)
    with client.connection:
        yield client


CHANNELS = {
    "/road_seg/camera": "foxglove.CompressedImage",
    "/road_seg/mask": "foxglove.RawImage",
    "/road_seg/overlay": "foxglove.CompressedImage",
    "/road_seg/grid": "foxglove.Grid",
    "/road_seg/scan": "foxglove.LaserScan",
    "/road_seg/boundary": "foxglove.SceneUpdate",
    "/road_seg/points": "foxglove.PointCloud",
    "/road_seg/instances": "foxglove.ImageAnnotations",
    "/road_seg/camera_info": "foxglove.CameraCalibration",
    "/tf": "foxglove.FrameTransforms",
    "/road_seg/latency": "road_seg.Latency",
    "/road_seg/status": "road_seg.Status",
    "/road_seg/notice": "foxglove.ImageAnnotations",
}


def fields_of(packed) -> np.dtype:
    """The type of an element that has these foxglove.PackedElementFields."""
    kinds = {1: "u1", 2: "i1", 7: "<f4"}
    return np.dtype([(field.name, kinds[field.type]) for field in packed])


def test_foxglove_receives_everything(node, view, foxglove_client):
    assert foxglove_client.advertised(len(CHANNELS)) == CHANNELS
    foxglove_client.subscribe()
    mask, overlay, camera = message(MASK, 50), message(picture(9), 49), message(picture(14), 48)
    ground = ground_messages(mask.header)
    received = foxglove_client.received

    def all_received():
        node.camera.publish(camera)
        node.mask.publish(mask)
        node.overlay.publish(overlay)
        node.publish_status("/road_seg", 1, "slow")
        for name, each in ground.items():
            node.ground[name].publish(each)
        node.answer()
        foxglove_client.receive()
        scene, status = received.get("/road_seg/boundary"), received.get("/road_seg/status")
        never = set() if "instances" in ground else {"/road_seg/instances"}
        return received.keys() == CHANNELS.keys() - never and status[1]["live"] and scene[1].entities

    wait_for(all_received, "a message of each channel")
    stamp = mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec
    got = {topic: content for topic, (_, content) in received.items()}
    for name in "mask", "grid", "scan", "boundary", "points", "camera_info", "latency":
        assert received[f"/road_seg/{name}"][0] == stamp
    for name, frame in dict(mask="front_camera", grid="base_link", scan="base_link", points="front_camera").items():
        each = got[f"/road_seg/{name}"]
        assert each.frame_id == frame and each.timestamp.ToNanoseconds() == stamp

    image = got["/road_seg/mask"]
    assert (image.width, image.height, image.encoding, image.step) == (SIZE[1], SIZE[0], "mono8", SIZE[1])
    assert image.data == MASK.tobytes()
    for name, number in ("overlay", 9), ("camera", 14):
        assert (got[f"/road_seg/{name}"].format, number_of(got[f"/road_seg/{name}"].data)) == ("jpeg", number)
    assert 50_000 <= got["/road_seg/latency"]["latency_ms"] < 120_000

    grid = got["/road_seg/grid"]
    cells = np.frombuffer(grid.data, fields_of(grid.fields)).reshape(20, grid.column_count)
    np.testing.assert_array_equal(cells["occupancy"], CELLS)
    assert grid.row_stride == 40 * grid.cell_stride and grid.cell_stride == cells.itemsize
    assert (grid.pose.position.y, grid.pose.orientation.w) == (-2, 1) and round(grid.cell_size.x, 6) == 0.2
    colours = np.stack([cells[name] for name in ("red", "green", "blue")], -1)
    assert (colours[CELLS == 0] == AZURE).all() and (colours[CELLS == 100] == NOT_ROAD).all()
    assert not cells["alpha"][CELLS < 0].any() and cells["alpha"][CELLS >= 0].all()

    scan = got["/road_seg/scan"]
    np.testing.assert_array_equal(scan.ranges, RANGES)
    assert (scan.start_angle, scan.end_angle, scan.pose.orientation.w) == (-0.5, 0.5, 1)

    (entity,) = got["/road_seg/boundary"].entities
    assert (entity.frame_id, [(p.x, p.y, p.z) for p in entity.lines[0].points]) == ("base_link", CORNERS)

    points = got["/road_seg/points"]
    cloud = np.frombuffer(points.data, fields_of(points.fields))
    assert points.point_stride == cloud.itemsize and points.pose.orientation.w == 1
    assert cloud[["x", "y", "z", "label", "confidence"]].tolist() == [
        (-1, 1.5, 5, 0, 200),
        (0, 1.5, 5, 1, 200),
        (1, 1.5, 5, 255, 200),
    ]
    assert cloud[["red", "green", "blue", "alpha"]][1].tolist() == (*AZURE, 255)

    if "instances" in ground:
        boxes = got["/road_seg/instances"]
        (box,), (text,) = boxes.points, boxes.texts
        assert [(corner.x, corner.y) for corner in box.points] == [(24, 16), (36, 16), (36, 24), (24, 24)]
        assert (text.text, text.position.x, text.position.y) == ("car 0.93", 24, 16)
        assert received["/road_seg/instances"][0] == stamp

    info = got["/road_seg/camera_info"]
    assert (info.width, info.height, info.distortion_model) == (SIZE[1], SIZE[0], "plumb_bob")
    assert list(info.K) == list(ground["camera_info"].k)

    (transform,) = got["/tf"].transforms  # from the node's camera_height and camera_pitch
    assert (transform.parent_frame_id, transform.child_frame_id) == ("base_link", "front_camera")
    at, turn = transform.translation, transform.rotation
    plane = GroundPlane.from_quaternion((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w))
    expected = GroundPlane.from_mounting(1.5, 0.1)
    np.testing.assert_allclose(plane.rotation, expected.rotation, atol=1e-9)
    np.testing.assert_allclose(plane.translation, expected.translation)

    assert got["/road_seg/status"] == {
        "live": True,
        "notice": "",
        "statuses": [{"subject": "state", "level": "warning", "message": "slow"}],
    }
    assert not got["/road_seg/notice"].texts


def test_foxglove_says_that_nothing_is_live(node, view, foxglove_client):
    foxglove_client.advertised(len(CHANNELS))
    foxglove_client.subscribe()
    received = foxglove_client.received

    def seen():
        node.mask.publish(message(MASK))
        for name, each in ground_messages(message(MASK).header).items():
            node.ground[name].publish(each)
        foxglove_client.receive()
        return "/road_seg/boundary" in received and received["/road_seg/boundary"][1].entities

    wait_for(seen, "the boundary")
    received.clear()

    def told():
        foxglove_client.receive()
        return received.get("/road_seg/status", (0, {"live": True}))[1]["live"] is False and len(received) >= 4

    wait_for(told, "the end of the masks")
    notice = received["/road_seg/status"][1]["notice"]
    assert notice.startswith("The masks on /road_seg/mask have stopped.")
    assert received["/road_seg/latency"][1] == {"latency_ms": None, "p50_ms": None, "p99_ms": None, "fps": 0}
    assert "/road_seg/instances" not in received or not received["/road_seg/instances"][1].points
    assert [text.text for text in received["/road_seg/notice"][1].texts] == [f"NOT LIVE. {notice}"]
    scene = received["/road_seg/boundary"][1]
    assert [deletion.id for deletion in scene.deletions] == ["boundary"]
    assert [entity.texts[0].text for entity in scene.entities] == [f"NOT LIVE. {notice}"]


def test_the_layout_shows_channels_with_settings_that_foxglove_knows(repository):
    layouts = pytest.importorskip("foxglove.layouts", reason="foxglove-sdk is not installed")
    layout = json.loads((repository / "config" / "foxglove_layout.json").read_text())
    panels = {name: config for name, config in layout["configById"].items() if not name.startswith("Tab!")}

    def known(config: dict, *kinds: str) -> None:
        keys = set().union(*(getattr(layouts, kind)()._to_dict() for kind in kinds)) | {"foxglovePanelTitle"}
        assert config.keys() <= keys, config.keys() - keys

    def placed(node) -> list[str]:
        if isinstance(node, str):
            tabs = layout["configById"][node].get("tabs", ())
            return [node, *(panel for tab in tabs for panel in placed(tab["layout"]))]
        assert node.keys() == {"direction", "splitPercentage", "first", "second"}
        return placed(node["first"]) + placed(node["second"])

    assert sorted(placed(layout["layout"])) == sorted(layout["configById"])
    shown = set()
    settings = {
        "grid": "BaseRendererGridTopicSettings",
        "points": "BaseRendererPointCloudTopicSettings",
        "scan": "BaseRendererLaserScanTopicSettings",
        "boundary": "BaseRendererSceneUpdateTopicSettings",
        "camera_info": "BaseRendererCameraTopicSettings",
    }
    for name, config in panels.items():
        kind = name.split("!")[0]
        if kind == "Image":
            known(config, "ImageConfig")
            known(config["imageMode"], "ImageModeConfig")
            shown |= {config["imageMode"]["imageTopic"], *config["imageMode"]["annotations"]}
        elif kind == "3D":
            known(config, "ThreeDeeConfig")
            known(config["cameraState"], "ThreeDeeCameraState")
            assert config["followTf"] == "base_link"
            for topic, each in config["topics"].items():
                known(each, settings[topic.rpartition("/")[2]])
                assert each["visible"] is True
            shown |= config["topics"].keys()
        elif kind == "Plot":
            known(config, "PlotConfig")
            for series in config["paths"]:
                known(series, "PlotSeries")
            values = [series["value"].split(".") for series in config["paths"]]
            assert {field for _, field in values} <= LATENCY_SCHEMA["properties"].keys()
            shown |= {topic for topic, _ in values}
        elif kind == "Indicator":
            known(config, "IndicatorConfig")
            known(config["rules"][0], "IndicatorRule")
            assert config["path"].split(".")[1] in STATUS_SCHEMA["properties"]
            shown.add(config["path"].split(".")[0])
        else:
            assert kind == "Table"
            known(config, "TableConfig")
            shown.add(config["topicPath"].split(".")[0])
    assert shown == CHANNELS.keys() - {"/tf"}  # a 3D panel takes transforms from any topic


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
        assert view.figures()["notice"].startswith("Waiting for the node /front/road_seg: ")
    finally:
        assert view.stop() == 0
    assert "Traceback" not in view.log.read_text()


# A real browser


@pytest.fixture
def chromium(node, view, tmp_path):
    program = chromium_program()
    if program is None:
        pytest.skip("no Chromium is on PATH")
    pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    wait_for(lambda: not node.overlay.get_subscription_count(), "the end of other viewers")
    chromium = Chromium(program, tmp_path / "profile", f"http://127.0.0.1:{view.port}/")
    yield chromium
    chromium.close()


def test_a_browser_shows_overlay_and_figures(node, chromium, tmp_path):
    chromium.wait_for("!document.getElementById('notice').hidden")
    assert chromium.value("document.getElementById('picture').hidden") is True
    with publishing(node):
        chromium.wait_for("document.getElementById('picture').naturalWidth")
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


def test_a_browser_switches_between_the_pictures(node, chromium, tmp_path):
    def shows(name: str, width: int, height: int) -> None:
        size = f"[document.images[0].naturalWidth, document.images[0].naturalHeight] + '' == '{width},{height}'"
        chromium.wait_for(f"location.hash == '#{name}' && !document.images[0].hidden && {size}")
        assert chromium.value("document.querySelector('#choice :checked').value") == name

    def press(key: str) -> None:
        for kind in "keyDown", "keyUp":
            chromium.call("Input.dispatchKeyEvent", type=kind, key=key)

    def drag(start: int, end: int) -> None:
        for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
            chromium.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x in points])

    with publishing(node):
        chromium.wait_for("!document.images[0].hidden")
        above = 440, 800 + STRIP
        for key, name in ("1", "camera"), ("2", "mask"), ("3", "overlay"):
            press(key)
            shows(name, SIZE[1], SIZE[0])
        press("ArrowRight")
        shows("birds_eye", *above)
        press("ArrowRight")  # the first follows the last
        shows("camera", SIZE[1], SIZE[0])
        chromium.look("light", 390, 844, tmp_path / "phone.png")
        assert chromium.value("document.documentElement.scrollWidth <= innerWidth")
        labels = "[...document.querySelectorAll('#choice label')].map(label => label.getBoundingClientRect())"
        assert chromium.value(f"{labels}.every(at => at.height >= 40 && at.width >= 60 && at.right <= innerWidth)")
        middle = "(at => [at.x + at.width / 2, at.y + at.height / 2])(document.images[0].getBoundingClientRect())"
        x, y = chromium.value(middle)
        drag(x + 60, x - 60)
        shows("mask", SIZE[1], SIZE[0])
        drag(x - 60, x + 60)
        shows("camera", SIZE[1], SIZE[0])
        chromium.value("document.querySelectorAll('#choice label')[3].click()")
        shows("birds_eye", *above)
        chromium.call("Page.reload")
        shows("birds_eye", *above)  # it stays chosen
    assert chromium.complaints == []


def test_transforms_come_from_tf_and_stay_only_if_they_are_static():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from geometry_msgs.msg import TransformStamped

    from fcn_road_seg.view.transforms import Transforms

    arrived = []
    transforms = Transforms(None, "/road_seg", arrived.append)
    camera, mast = TransformStamped(child_frame_id="camera"), TransformStamped(child_frame_id="mast")
    transforms._on_static(SimpleNamespace(transforms=[camera]))
    transforms._on_static(SimpleNamespace(transforms=[mast]))
    assert arrived == [[camera], [mast]] and transforms.fixed(None, "") == [camera, mast]
    transforms.stop()
    assert transforms.fixed(None, "") == []


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
