"""Small bags of drawn frames, in every bag format, for tests."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from rosbags.interfaces import Qos
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from tiny_kitti import draw

from fcn_road_seg.bags.writer import offered_qos

IMAGE, STRING, TF = "sensor_msgs/msg/Image", "std_msgs/msg/String", "tf2_msgs/msg/TFMessage"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
START = 1_317_000_000_123_456_789
STEP = 100_000_007
ROS2 = get_typestore(Stores.LATEST)
ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TF))
QOS: dict[str, list[Qos]] = {
    "/camera/image_raw": offered_qos(5, reliable=False),
    "/camera/image_raw/compressed": offered_qos(5),
    "/chatter": offered_qos(7),
    "/tf_static": offered_qos(1, latched=True),
}


def frames(count: int = 6) -> list[np.ndarray]:
    """The frames in the bags, uint8 60 x 192 x 3 RGB."""
    return [draw(i)[0] for i in range(count)]


def image(store, frame: np.ndarray, i: int):
    """Make a sensor_msgs/Image, bgr8."""
    height, width = frame.shape[:2]
    return store.types[IMAGE](header(store, i), height, width, "bgr8", 0, 3 * width, frame[:, :, ::-1].ravel())


def header(store, i: int):
    """Make a header whose stamp is 5 ms before the recording time."""
    stamp = START + i * STEP - 5_000_000
    sequence = {"seq": i} if store is ROS1 else {}
    time = store.types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id="camera", **sequence)


def content(store=ROS2, count: int = 6, compressed: bool = False) -> list[tuple[str, str, int, object]]:
    """Topic, type, recording time and message, in order."""
    messages = [("/tf_static", TF, START, store.types[TF]([]))]
    for i, frame in enumerate(frames(count)):
        if compressed:
            png = cv2.imencode(".png", frame[:, :, ::-1])[1].ravel()
            message = store.types[COMPRESSED](header(store, i), "bgr8; png compressed bgr8", png)
            messages.append(("/camera/image_raw/compressed", COMPRESSED, START + i * STEP, message))
        else:
            messages.append(("/camera/image_raw", IMAGE, START + i * STEP, image(store, frame, i)))
        messages.append(("/chatter", STRING, START + i * STEP + 1, store.types[STRING](f"frame {i}")))
    return messages


def serialized(messages: list) -> list[tuple[str, int, bytes]]:
    """Topic, time and CDR bytes of ROS 2 messages."""
    return [(topic, time, bytes(ROS2.serialize_cdr(message, kind))) for topic, kind, time, message in messages]


def write_ros2(path: Path, storage: str = "mcap", mode: str = "", messages: list | None = None, broken=()) -> Path:
    """Write a rosbag2.

    Args:
        mode: zstd compression mode: "", "file", "message" or "storage".
        broken: indices of messages whose bytes are cut in half.
    """
    shutil.rmtree(path, ignore_errors=True)
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if mode:
        writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for i, (topic, kind, time, message) in enumerate(content() if messages is None else messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=ROS2, offered_qos_profiles=QOS.get(topic, [])
                )
            data = bytes(ROS2.serialize_cdr(message, kind))
            writer.write(connections[topic], time, data[: len(data) // 2] if i in broken else data)
    return path


def write_ros1(path: Path, compression: str = "", count: int = 6) -> Path:
    """Write a ROS 1 bag."""
    path.unlink(missing_ok=True)
    writer = Ros1Writer(path)
    if compression:
        writer.set_compression(Ros1Writer.CompressionFormat[compression.upper()])
    with writer:
        connections = {}
        for topic, kind, time, message in content(ROS1, count):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=ROS1, latching=int(topic == "/tf_static")
                )
            writer.write(connections[topic], time, ROS1.serialize_ros1(message, kind))
    return path


def data_file(bag: Path) -> Path:
    """The one data file of a rosbag2 folder."""
    (file,) = (file for file in bag.iterdir() if file.name != "metadata.yaml")
    return file
