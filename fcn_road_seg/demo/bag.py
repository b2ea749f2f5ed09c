"""Writes a drive to a bag for `road_seg play`, and reads the frames back."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from fcn_road_seg.bags import kitti, kitti_messages, kitti_to_bag
from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.writer import new_bag, offered_qos
from fcn_road_seg.datasets.drive import Drive, DriveFrame
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_message import image_to_rgb
from fcn_road_seg.ros.scope import unmapped
from fcn_road_seg.synthetic import Camera

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"


class DriveInBag(NamedTuple):
    """A camera's drive, rendered and decoded in advance so that only player and node use the CPU during the demo."""

    name: str
    path: Path
    topic: str
    """Topic of the camera's images."""
    stamps: list[int]
    """Nanoseconds, one per frame."""
    roads: list[np.ndarray | None]
    """Ground truth per frame, bool H x W, or None."""
    camera_info: str = ""
    """Topic of the camera's calibration; empty if unknown."""
    camera: str = ""
    """Name of the camera, if there are several; their drives are in one bag."""

    @property
    def remapped(self) -> dict[str, str]:
        """The names under which the node gets the camera's topics."""
        topics = {self.topic: "image"} | ({self.camera_info: "camera_info"} if self.camera_info else {})
        return {topic: unmapped(self.camera, name) for topic, name in topics.items()}

    @property
    def rate(self) -> float:
        """Frames per second, as recorded."""
        return 1e9 * (len(self.stamps) - 1) / (self.stamps[-1] - self.stamps[0]) if len(self.stamps) > 1 else 1.0

    def frames(self) -> Iterator[np.ndarray]:
        """The frames, uint8 H x W x 3 RGB, in the order of the stamps."""
        with open_bag(self.path) as bag:
            for connection, _, data in bag.messages([self.topic]):
                yield image_to_rgb(bag.deserialize(data, connection.msgtype))


def camera_height(drive: Drive) -> float:
    """Metres of a drive's camera above the road; 0 if its calibration is unknown."""
    if drive.kitti is not None:
        return kitti_messages.CAMERA_HEIGHT
    return drive.camera.camera_height if drive.camera is not None else 0.0


def write_drive(drive: Drive, out: Path, rate: float, progress: Callable[[Iterable], Iterable]) -> list[DriveInBag]:
    """Write a drive's frames to a bag: KITTI raw drives like `road_seg kitti-to-bag`, others to the cameras' topics.

    Args:
        rate: frames per second, of each camera, of a drive without stamps; several cameras' are evenly spread in time.
        progress: wraps the frames, for a progress bar.

    Returns:
        The drive of each camera.

    Raises:
        UserError: the drive has no frames, or one of its files cannot be read.
    """
    if drive.kitti is not None:
        camera, folder = drive.kitti
        recorded = kitti.open_drive(folder, [camera])
        recorded = replace(recorded, images={camera: recorded.images[camera][: drive.count]}, velodyne=[], oxts=[])
        kitti_to_bag.write_bag(recorded, out)
        topic = f"/kitti/{kitti_to_bag.CAMERAS[camera]}"
        stamps = [reading.stamp for reading in recorded.images[camera]]
        unknown: list[np.ndarray | None] = [None] * len(stamps)
        return [DriveInBag(drive.name, out, f"{topic}/image_raw", stamps, unknown, f"{topic}/camera_info")]
    store = get_typestore(Stores.LATEST)
    message_type, header_type = store.types[IMAGE], store.types["std_msgs/msg/Header"]
    written = []
    for name in drive.cameras:
        camera_info = unmapped(name, "camera_info") if drive.camera is not None else ""
        written.append(DriveInBag(drive.name, out, unmapped(name, "image"), [], [], camera_info, name))
    frame: DriveFrame
    with new_bag(out) as writer:

        def connection(topic: str, kind: str) -> Connection:
            return writer.add_connection(topic, kind, typestore=store, offered_qos_profiles=offered_qos())

        images = [connection(of_camera.topic, IMAGE) for of_camera in written]
        infos = [connection(of_camera.camera_info, INFO) for of_camera in written if of_camera.camera_info]
        for index, frame in enumerate(progress(drive.frames)):
            turn = index % len(written)
            of_camera = written[turn]
            stamp = 10**9 + round(index * 1e9 / (rate * len(written)))
            time = store.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
            header = header_type(time, of_camera.camera or "camera")
            height, width = frame.image.shape[:2]
            pixels = np.ascontiguousarray(frame.image[:, :, ::-1]).reshape(-1)
            message = message_type(header, height, width, "bgr8", 0, 3 * width, pixels)
            if drive.camera is not None:
                writer.write(infos[turn], stamp, store.serialize_cdr(_camera_info(store, header, drive.camera), INFO))
            writer.write(images[turn], stamp, store.serialize_cdr(message, IMAGE))
            of_camera.stamps.append(stamp)
            of_camera.roads.append(frame.road)
        if not written[0].stamps:
            raise UserError(f"{drive.name} has no frames")
    return written


def _camera_info(store: Typestore, header: Any, camera: Camera) -> Any:
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    p = np.column_stack([k, np.zeros(3)])
    roi = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    size, model = (camera.height, camera.width), ("plumb_bob", np.zeros(5))
    return store.types[INFO](header, *size, *model, k.reshape(-1), np.eye(3).reshape(-1), p.reshape(-1), 0, 0, roi)
