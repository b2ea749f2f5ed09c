"""A KITTI drive as a rosbag2: topics like kitti2bag's, all in order of time, header stamp == bag timestamp."""

from collections.abc import Callable
from pathlib import Path

from fcn_road_seg.bags.kitti import Drive
from fcn_road_seg.bags.kitti_messages import CAMERAS, KittiMessages
from fcn_road_seg.bags.writer import new_bag, offered_qos

CLOUD, FIX, IMU, TF_STATIC = "/kitti/velo/pointcloud", "/kitti/oxts/gps/fix", "/kitti/oxts/imu", "/tf_static"


def write_bag(
    drive: Drive,
    out: str | Path,
    *,
    compressed: bool = False,
    storage: str = "mcap",
    force: bool = False,
    on_message: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Write a drive to the bag `out`, whole or not at all.

    Args:
        drive: see `kitti.open_drive`.
        out: the folder to make.
        compressed: write the image files' own bytes as `.../image_raw/compressed` instead of pixels as `.../image_raw`.
        storage: "mcap" or "sqlite3".
        force: replace a bag that is there already.
        on_message: called after each of `count(drive)` readings; an exception of it ends the writing.

    Returns:
        The number of messages by topic.

    Raises:
        UserError: `out` exists, or a file of the drive cannot be read; nothing is left behind.
    """
    messages = KittiMessages(drive.calibration, sorted(drive.images))
    with new_bag(out, storage, force) as writer:

        def add(topic: str, msgtype: str, latched: bool = False):
            qos = offered_qos(1 if latched else 10, latched=latched)
            return writer.add_connection(topic, msgtype, typestore=messages.typestore, offered_qos_profiles=qos)

        tf_static = add(TF_STATIC, "tf2_msgs/msg/TFMessage", latched=True)
        todo = []  # stamp, connections, what makes a message for each
        for camera, readings in sorted(drive.images.items()):
            prefix = f"/kitti/{CAMERAS[camera]}"
            image = (
                add(f"{prefix}/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
                if compressed
                else add(f"{prefix}/image_raw", "sensor_msgs/msg/Image")
            )
            pair = image, add(f"{prefix}/camera_info", "sensor_msgs/msg/CameraInfo")
            todo += [
                (r.stamp, pair, lambda r=r, camera=camera: messages.image(camera, r, compressed)) for r in readings
            ]
        if drive.velodyne:
            cloud = (add(CLOUD, "sensor_msgs/msg/PointCloud2"),)
            todo += [(r.stamp, cloud, lambda r=r: (messages.cloud(r),)) for r in drive.velodyne]
        if drive.oxts:
            pair = add(FIX, "sensor_msgs/msg/NavSatFix"), add(IMU, "sensor_msgs/msg/Imu")
            todo += [(r.stamp, pair, lambda r=r: messages.fix_and_imu(r)) for r in drive.oxts]

        todo.sort(key=lambda item: item[0])
        writer.write(tf_static, todo[0][0], messages.transforms(todo[0][0]))
        for stamp, connections, make in todo:
            for connection, message in zip(connections, make(), strict=True):
                writer.write(connection, stamp, message)
            on_message()
        return {connection.topic: writer.counts[connection.id] for connection in writer.connections}


def count(drive: Drive) -> int:
    """How many readings a drive has, for a progress bar."""
    return sum(map(len, drive.images.values())) + len(drive.velodyne) + len(drive.oxts)
