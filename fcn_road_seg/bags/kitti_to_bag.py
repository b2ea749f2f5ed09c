"""Converts a KITTI drive to a rosbag2: kitti2bag's topics, ordered by time, header stamp == bag timestamp."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection

from fcn_road_seg.bags.kitti import Drive
from fcn_road_seg.bags.kitti_messages import CAMERAS, KittiMessages
from fcn_road_seg.bags.writer import new_bag, offered_qos

CLOUD, FIX, IMU, TF_STATIC = "/kitti/velo/pointcloud", "/kitti/oxts/gps/fix", "/kitti/oxts/imu", "/tf_static"


def write_bag(
    drive: Drive,
    out: str | Path,
    *,
    compressed: bool = False,
    storage: str = "",
    version: Literal[8, 9] | None = None,
    force: bool = False,
    on_message: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Write a drive to the bag `out`, which appears only when it is complete.

    Args:
        drive: see `kitti.open_drive`.
        out: the folder to create.
        compressed: write the image files unchanged to `.../image_raw/compressed` instead of pixels to `.../image_raw`.
        storage, version: see `new_bag`.
        force: replace an existing bag.
        on_message: called after each of `count(drive)` readings; it may raise to abort.

    Returns:
        The number of messages by topic.

    Raises:
        UserError: `out` exists, or a file of the drive cannot be read; no files are left behind.
    """
    messages = KittiMessages(drive.calibration, sorted(drive.images))
    with new_bag(out, storage, force, version) as writer:

        def add(topic: str, msgtype: str, latched: bool = False) -> Connection:
            qos = offered_qos(1 if latched else 10, latched=latched)
            return writer.add_connection(topic, msgtype, typestore=messages.typestore, offered_qos_profiles=qos)

        tf_static = add(TF_STATIC, "tf2_msgs/msg/TFMessage", latched=True)
        todo: list[tuple[int, tuple[Connection, ...], Callable[[], tuple[bytes, ...]]]] = []
        for camera, readings in sorted(drive.images.items()):
            prefix = f"/kitti/{CAMERAS[camera]}"
            image = (
                add(f"{prefix}/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
                if compressed
                else add(f"{prefix}/image_raw", "sensor_msgs/msg/Image")
            )
            pair = image, add(f"{prefix}/camera_info", "sensor_msgs/msg/CameraInfo")
            todo += [(r.stamp, pair, partial(messages.image, camera, r, compressed)) for r in readings]
        if drive.velodyne:
            cloud = (add(CLOUD, "sensor_msgs/msg/PointCloud2"),)
            todo += [(r.stamp, cloud, partial(messages.cloud, r)) for r in drive.velodyne]
        if drive.oxts:
            pair = add(FIX, "sensor_msgs/msg/NavSatFix"), add(IMU, "sensor_msgs/msg/Imu")
            todo += [(r.stamp, pair, partial(messages.fix_and_imu, r)) for r in drive.oxts]

        todo.sort(key=lambda item: item[0])
        writer.write(tf_static, todo[0][0], messages.transforms(todo[0][0]))
        for stamp, connections, create in todo:
            for connection, message in zip(connections, create(), strict=True):
                writer.write(connection, stamp, message)
            on_message()
        return {connection.topic: writer.counts[connection.id] for connection in writer.connections}


def count(drive: Drive) -> int:
    """The number of readings in a drive, for a progress bar."""
    return sum(map(len, drive.images.values())) + len(drive.velodyne) + len(drive.oxts)
