"""A camera with a calibration, and a subscriber to the node's outputs in metres."""

import itertools
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from node_harness import TIMEOUT, Client, frame_message, qos
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from fcn_road_seg.ros.camera_topics import camera_info
from fcn_road_seg.synthetic import Camera

CAMERA = Camera.of_size(311, 94)
FRAME = np.random.default_rng(3).integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
FRAME_ID = "front_camera"
KINDS = {
    "points": PointCloud2,
    "grid": OccupancyGrid,
    "scan": LaserScan,
    "labels": Image,
    "confidence": Image,
    "probability": Image,
}
"""Message types of outputs by topic."""
POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("label", "u1"), ("confidence", "u1"), ("_", "<u2")])
"""A point of ~/points."""


class GroundClient:
    """Sends frames with their camera_info, and receives outputs by stamp.

    Args:
        client: the node's client.
        kinds: message types by topic, without the node's name.
        reliability: of the subscriptions.
    """

    def __init__(self, client: Client, kinds: dict[str, type], reliability=ReliabilityPolicy.RELIABLE):
        self.client = client
        self.received: dict[str, dict[int, object]] = {topic: {} for topic in kinds}
        self.sent: dict[str, dict[int, int]] = {topic: {} for topic in kinds}
        """Source timestamps in nanoseconds."""
        self._seconds = itertools.count(int(time.time()))
        self._images = client.camera()
        self._infos = client.node.create_publisher(CameraInfo, "camera_info", qos())
        self._subscriptions = [
            client.node.create_subscription(kind, f"road_seg/{topic}", self._receive(topic), qos(reliability))
            for topic, kind in kinds.items()
        ]
        for topic in kinds:
            client.spin_until(lambda topic=topic: client.node.count_publishers(f"road_seg/{topic}"), topic)
        client.spin_for(0.5)

    def _receive(self, topic: str):
        def receive(message, info: dict) -> None:
            self.received[topic][message.header.stamp.sec] = message
            self.sent[topic][message.header.stamp.sec] = info["source_timestamp"]

        return receive

    def close(self) -> None:
        for subscription in self._subscriptions:
            self.client.node.destroy_subscription(subscription)
        self.client.node.destroy_publisher(self._infos)
        self.client.node.destroy_publisher(self._images)

    def send(self, info: CameraInfo | None, frame: np.ndarray = FRAME, same_stamp: bool = True) -> Image:
        """Send a frame with its camera_info; return its mask."""
        message = frame_message(frame, "rgb8", next(self._seconds), FRAME_ID)
        if info is not None:
            info.header.frame_id = FRAME_ID
            info.header.stamp = message.header.stamp
            if not same_stamp:
                info.header.stamp.nanosec += 1
                message.header.stamp = type(info.header.stamp)(sec=info.header.stamp.sec, nanosec=123_456_789)
            self._infos.publish(info)
            self.client.spin_for(0.05)
        return self.client.answer(self._images, message)

    def until_received(self, info: CameraInfo | None, *topics: str, **how) -> dict[str, object]:
        """Send frames until one has an output on every topic; return these messages, and the mask as "mask"."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            mask = self.send(info, **how)
            stamp = mask.header.stamp.sec
            self.client.spin_for(0.2)
            if all(stamp in self.received[topic] for topic in topics):
                return {topic: self.received[topic][stamp] for topic in topics} | {"mask": mask}
            assert time.monotonic() < deadline, f"{topics} did not come in {TIMEOUT} s"

    def until_reported(self, text: str, info: CameraInfo | None, **how) -> DiagnosticStatus:
        """Send frames until the node's status "ground" has this text; return the status."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.send(info, **how)
            ground = self.client.diagnostics()["ground"]
            if text in ground.message:
                return ground
            assert time.monotonic() < deadline, f"'{text}' was not reported in {TIMEOUT} s: {ground.message}"

    def silent(self, info: CameraInfo | None, frames: int = 3, **how) -> None:
        """Send frames, and check that masks are the only output."""
        for _ in range(frames):
            stamp = self.send(info, **how).header.stamp.sec
            self.client.spin_for(0.2)
            for topic, messages in self.received.items():
                assert stamp not in messages, f"{topic} came"


def calibration(**changes) -> CameraInfo:
    """The camera_info of CAMERA, with changes to its fields."""
    info = camera_info(CAMERA)
    for name, value in changes.items():
        setattr(info, name, value)
    return info
