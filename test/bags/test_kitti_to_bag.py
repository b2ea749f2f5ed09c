"""`road_seg kitti-to-bag`: a small drive in KITTI's exact layout, all message fields, all invalid inputs."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from fcn_road_seg.bags.kitti import KittiError, open_drive, read_points, read_stamps
from fcn_road_seg.bags.kitti_to_bag import count, write_bag
from fcn_road_seg.cli import main
from fcn_road_seg.datasets.drive import open_drive as frames_of

SHARED = Path(__file__).parents[3] / "shared" / "data"
CLIP = SHARED / "kitti_raw" / "2011_09_26" / "2011_09_26_drive_0000_sync"
WIDTH, HEIGHT = 64, 32
SECOND = 1317042145  # 2011-09-26 13:02:25 UTC
STAMPS = {  # nanoseconds after SECOND; uneven, with a gap of 2 s
    "image_00": (964389445, 1067806444, 3067806401),
    "image_02": (964400001, 1067806444, 3067806402),
    "image_03": (964400001, 1067806445, 3067806403),
    "velodyne_points": (951199337, 1054549866, 3054549867),
    "oxts": (968970612, 1067806444, 3067806404),
}
INTRINSICS = [[50, 0, 31], [0, 50, 15], [0, 0, 1]]
P_RECT = {  # K [I | t] with t = (0, 0, 0), (0.06, -0.0003, 0.0027) and (-0.47, 0.0024, 0.0027)
    0: [[50, 0, 31, 0], [0, 50, 15, 0], [0, 0, 1, 0]],
    2: [[50, 0, 31, 3.0837], [0, 50, 15, 0.0255], [0, 0, 1, 0.0027]],
    3: [[50, 0, 31, -23.4163], [0, 50, 15, 0.1605], [0, 0, 1, 0.0027]],
}
R_RECT = cv2.Rodrigues(np.array([0.0043, -0.0074, -0.0099]))[0]
R_VELO = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]) @ cv2.Rodrigues(np.array([0.0148, 0.0075, -0.0006]))[0]
T_VELO = [-0.004, -0.076, -0.27]
R_IMU = cv2.Rodrigues(np.array([0.0148, -0.002, -0.0008]))[0]
T_IMU = [-0.81, 0.32, -0.8]
POINTS = np.array([[10, 2, -1, 0.5], [6, -3, 0.25, 0], [20, 0, -1.7, 1], [5, 1, 1, 0.25]], np.float32)
FIX = [49.015003823272, 8.4342971002335, 116.43032836914]


def line(name: str, values) -> str:
    return f"{name}: " + " ".join(f"{value:.6e}" for value in np.ravel(values)) + "\n"


def time_text(nanoseconds: int) -> str:
    seconds, nanoseconds = divmod(nanoseconds, 10**9)
    return f"2011-09-26 13:02:{25 + seconds:02d}.{nanoseconds:09d}"


def picture(camera: int, number: int) -> np.ndarray:
    random = np.random.default_rng(10 * camera + number)
    return random.integers(0, 256, (HEIGHT, WIDTH) if camera < 2 else (HEIGHT, WIDTH, 3), np.uint8)


def oxts_values(number: int) -> list[float]:
    attitude = [(0, 0, np.pi / 2), (np.pi / 2, 0, np.pi / 2), (0, np.pi / 2, np.pi / 2)][number]
    rest = [1, 2, 3, 4, 5, 0.25, -0.5, 9.75, 81, 82, 83, 0.01, -0.02, 0.03, 91, 92, 93, 0.5, 0.02, 4, 11, 6, 6, 6]
    return [*FIX, *attitude, *rest]


@pytest.fixture
def drive(tmp_path) -> Path:
    """A KITTI raw drive of three frames: cameras 0, 2 (PNG) and 3 (JPEG), Velodyne, GPS/IMU, all calibrations."""
    date = tmp_path / "2011_09_26"
    path = date / "2011_09_26_drive_0001_sync"
    for sensor, stamps in STAMPS.items():
        (path / sensor / "data").mkdir(parents=True)
        (path / sensor / "timestamps.txt").write_text("".join(time_text(stamp) + "\n" for stamp in stamps))
    for n in range(3):
        for camera, suffix in ((0, "png"), (2, "png"), (3, "jpg")):
            cv2.imwrite(str(path / f"image_0{camera}" / "data" / f"{n:010d}.{suffix}"), picture(camera, n))
        (path / "velodyne_points" / "data" / f"{n:010d}.bin").write_bytes((POINTS + np.float32(n)).tobytes())
        (path / "oxts" / "data" / f"{n:010d}.txt").write_text(" ".join(map(repr, map(float, oxts_values(n)))) + "\n")
    text = "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.950000e-02\n"
    for camera, projection in P_RECT.items():
        text += line(f"S_0{camera}", (1392, 512)) + line(f"K_0{camera}", np.eye(3)) + line(f"D_0{camera}", [0.1] * 5)
        text += line(f"S_rect_0{camera}", (WIDTH, HEIGHT)) + line(
            f"R_rect_0{camera}", R_RECT if camera == 0 else np.eye(3)
        )
        text += line(f"P_rect_0{camera}", projection)
    (date / "calib_cam_to_cam.txt").write_text(text)
    text = "calib_time: 15-Mar-2012 11:37:16\n" + line("R", R_VELO) + line("T", T_VELO) + line("delta_f", (0, 0))
    (date / "calib_velo_to_cam.txt").write_text(text)
    (date / "calib_imu_to_velo.txt").write_text(
        "calib_time: 25-May-2012 16:47:16\n" + line("R", R_IMU) + line("T", T_IMU)
    )
    return path


@pytest.fixture
def road(tmp_path) -> Path:
    """A KITTI Road folder of two frames."""
    root = tmp_path / "kitti_road"
    (root / "training" / "image_2").mkdir(parents=True)
    (root / "training" / "calib").mkdir()
    velo_to_cam = np.column_stack([R_VELO, T_VELO])
    for n, name in enumerate(("um_000000", "uu_000007")):
        cv2.imwrite(str(root / "training" / "image_2" / f"{name}.png"), picture(2, n))
        text = line("P2", np.add(P_RECT[2], [[n, 0, 0, 0], [0, n, 0, 0], [0, 0, 0, 0]])) + line("R0_rect", R_RECT)
        text += line("Tr_velo_to_cam", velo_to_cam) + line("Tr_imu_to_velo", np.column_stack([R_IMU, T_IMU]))
        (root / "training" / "calib" / f"{name}.txt").write_text(text)
    return root


def read(bag: Path) -> list[tuple]:
    """Topic, bag timestamp and message of all messages of a bag, in file order."""
    with AnyReader([bag]) as reader:
        return [(c.topic, t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages()]


def of(messages: list[tuple], topic: str) -> list:
    return [message for name, _, message in messages if name == topic]


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def pose(transform) -> np.ndarray:
    """Convert a geometry_msgs/Transform to 4 x 4, using the textbook formula for quaternions."""
    q, t = transform.rotation, transform.translation
    x, y, z, w = q.x, q.y, q.z, q.w
    assert np.isclose(x * x + y * y + z * z + w * w, 1)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0, 0, 0, 1],
        ]
    )


def poses_in_base_link(messages: list[tuple]) -> dict[str, np.ndarray]:
    (tf,) = of(messages, "/tf_static")
    found = {"base_link": np.eye(4)}
    for transform in tf.transforms:  # parents come first
        found[transform.child_frame_id] = found[transform.header.frame_id] @ pose(transform.transform)
    return found


def rigid(rotation, translation=(0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def road_seg(monkeypatch, *argv) -> int:
    monkeypatch.setattr(main, "VERBS", ("kitti_to_bag",))
    return main.main(["kitti-to-bag", *map(str, argv)])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_messages_are_ordered_by_time_with_exact_stamps(drive, tmp_path, monkeypatch, capsys, storage):
    bag, figures = tmp_path / "bag", tmp_path / "figures.json"
    assert road_seg(monkeypatch, drive, "--out", bag, "--storage", storage, "--json", figures) == 0
    messages = read(bag)
    cameras = {"camera_gray_left": "image_00", "camera_color_left": "image_02", "camera_color_right": "image_03"}
    sensors = {f"/kitti/{c}/{kind}": s for c, s in cameras.items() for kind in ("image_raw", "camera_info")}
    sensors |= {"/kitti/velo/pointcloud": "velodyne_points"} | dict.fromkeys(
        ("/kitti/oxts/gps/fix", "/kitti/oxts/imu"), "oxts"
    )
    for topic, sensor in sensors.items():
        expected = [SECOND * 10**9 + stamp for stamp in STAMPS[sensor]]
        assert [t for name, t, _ in messages if name == topic] == expected, topic
        assert [stamp_of(message) for message in of(messages, topic)] == expected, topic
    stamps = [t for _, t, _ in messages]
    assert stamps == sorted(stamps) and messages[0][0] == "/tf_static"
    assert stamps[0] == SECOND * 10**9 + 951199337 and len(messages) == 3 * 9 + 1

    (found,) = json.loads(figures.read_text())
    assert found["messages"] == {"/tf_static": 1} | dict.fromkeys(sensors, 3)
    assert found["bytes"] == sum(file.stat().st_size for file in bag.iterdir())
    assert "3 /kitti/velo/pointcloud" in capsys.readouterr().out


def test_the_file_itself_is_ordered_by_time(drive, tmp_path):
    write_bag(open_drive(drive), tmp_path / "bag", storage="sqlite3")
    rows = (
        sqlite3.connect(tmp_path / "bag" / "bag.db3").execute("SELECT timestamp FROM messages ORDER BY id").fetchall()
    )
    assert rows == sorted(rows) and len(rows) == 28


def test_a_bag_for_humble(drive, tmp_path, monkeypatch):
    bag = tmp_path / "bag"
    assert road_seg(monkeypatch, drive, "--out", bag, "--rosbag2-version", 8) == 0
    info = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"]) == (8, "sqlite3")
    humble = get_typestore(Stores.ROS2_HUMBLE)
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            message = humble.deserialize_cdr(data, connection.msgtype)
            assert bytes(humble.serialize_cdr(message, connection.msgtype)) == data


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata(drive, tmp_path, storage):
    bag = tmp_path / "bag"
    write_bag(open_drive(drive), bag, storage=storage)
    info = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"]) == (9, storage)
    assert info["message_count"] == 28 and info["compression_mode"] == info["compression_format"] == ""
    assert info["starting_time"] == {"nanoseconds_since_epoch": SECOND * 10**9 + 951199337}
    assert info["duration"] == {"nanoseconds": 3067806404 - 951199337}
    assert info["relative_file_paths"] == [file["path"] for file in info["files"]]
    assert {p.name for p in bag.iterdir()} == {"metadata.yaml", *info["relative_file_paths"]}
    for topic in info["topics_with_message_count"]:
        data = topic["topic_metadata"]
        static = data["name"] == "/tf_static"
        (qos,) = data["offered_qos_profiles"]
        assert qos["reliability"] == "reliable" and qos["history"] == "keep_last"
        assert qos["durability"] == ("transient_local" if static else "volatile")
        assert topic["message_count"] == (1 if static else 3)
        assert data["serialization_format"] == "cdr" and data["type_description_hash"].startswith("RIHS01_")


def test_images_have_the_pixels_of_the_files(drive, tmp_path):
    write_bag(open_drive(drive), tmp_path / "bag")
    messages = read(tmp_path / "bag")
    for camera, name, encoding in ((0, "gray_left", "mono8"), (2, "color_left", "bgr8"), (3, "color_right", "bgr8")):
        for n, image in enumerate(of(messages, f"/kitti/camera_{name}/image_raw")):
            (file,) = (drive / f"image_0{camera}" / "data").glob(f"{n:010d}.*")
            pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert (image.encoding, image.height, image.width) == (encoding, HEIGHT, WIDTH)
            assert (image.step, image.is_bigendian) == (WIDTH * (1 if camera == 0 else 3), 0)
            assert np.array_equal(image.data.reshape(pixels.shape), pixels)
            if camera < 3:  # PNG is lossless
                assert np.array_equal(pixels, picture(camera, n))


def test_compressed_images_are_the_files(drive, tmp_path, monkeypatch):
    bag = tmp_path / "bag"
    assert road_seg(monkeypatch, drive, "--out", bag, "--compressed", "--camera", 3, "--camera", 2) == 0
    messages = read(bag)
    assert {topic for topic, _, _ in messages if "camera" in topic} == {
        f"/kitti/camera_color_{side}/{kind}"
        for side in ("left", "right")
        for kind in ("image_raw/compressed", "camera_info")
    }
    for camera, side, form in ((2, "left", "png"), (3, "right", "jpeg")):
        files = sorted((drive / f"image_0{camera}" / "data").iterdir())
        images = of(messages, f"/kitti/camera_color_{side}/image_raw/compressed")
        assert [image.data.tobytes() for image in images] == [file.read_bytes() for file in files]
        assert {image.format for image in images} == {form}
        assert {image.header.frame_id for image in images} == {"camera_color_left_optical"}


def test_camera_info_of_rectified_images(drive, tmp_path):
    write_bag(open_drive(drive), tmp_path / "all")
    write_bag(open_drive(drive, [3]), tmp_path / "right")
    messages, right = read(tmp_path / "all"), read(tmp_path / "right")
    k = np.ravel(INTRINSICS)
    plain = [50, 0, 31, 0, 0, 50, 15, 0, 0, 0, 1, 0]
    pair = [50, 0, 31, 50 * (-0.47 - 0.06), 0, 50, 15, 50 * (0.0024 + 0.0003), 0, 0, 1, 0]
    for found, name, frame, p in (
        (messages, "gray_left", "gray_left", plain),
        (messages, "color_left", "color_left", plain),
        (messages, "color_right", "color_left", pair),
        (right, "color_right", "color_right", plain),  # its left camera is not in the bag
    ):
        infos = of(found, f"/kitti/camera_{name}/camera_info")
        assert len(infos) == 3
        for info in infos:
            assert (info.width, info.height, info.distortion_model) == (WIDTH, HEIGHT, "plumb_bob")
            assert info.d.tolist() == [0] * 5 and info.r.tolist() == np.eye(3).ravel().tolist()
            assert info.k.tolist() == k.tolist() and np.allclose(info.p, p, atol=1e-9)
            assert (info.binning_x, info.binning_y, info.roi.width, info.roi.do_rectify) == (0, 0, 0, False)
            assert info.header.frame_id == f"camera_{frame}_optical"
        images = of(found, f"/kitti/camera_{name}/image_raw")
        assert [image.header for image in images] == [info.header for info in infos]


@pytest.mark.parametrize("cameras", [None, [2], [3]])
def test_velodyne_points_project_as_specified_by_kitti(drive, tmp_path, cameras):
    write_bag(open_drive(drive, cameras), tmp_path / "bag")
    messages = read(tmp_path / "bag")
    poses = poses_in_base_link(messages)
    points = np.column_stack([POINTS[:, :3], np.ones(len(POINTS))]).T.astype(float)
    names = {0: "gray_left", 2: "color_left", 3: "color_right"}
    for camera in cameras or names:
        u, v, w = np.array(P_RECT[camera]) @ rigid(R_RECT) @ rigid(R_VELO, T_VELO) @ points
        info = of(messages, f"/kitti/camera_{names[camera]}/camera_info")[0]
        in_camera = np.linalg.inv(poses[info.header.frame_id]) @ poses["velo_link"] @ points
        x, y, z = info.p.reshape(3, 4) @ in_camera
        assert np.allclose([x / z, y / z], [u / w, v / w], atol=1e-3), camera
        assert np.allclose(z, w, atol=1e-5)


def test_frames_follow_rep_103_and_105(drive, tmp_path):
    write_bag(open_drive(drive), tmp_path / "bag")
    messages = read(tmp_path / "bag")
    (tf,) = of(messages, "/tf_static")
    assert {(t.header.frame_id, t.child_frame_id) for t in tf.transforms} == {
        ("base_link", "camera_gray_left_optical"),
        ("base_link", "camera_color_left_optical"),
        ("base_link", "camera_color_right_optical"),
        ("base_link", "velo_link"),
        ("velo_link", "imu_link"),
    }
    assert {stamp_of(t) for t in tf.transforms} == {SECOND * 10**9 + 951199337}
    poses = poses_in_base_link(messages)
    grey, left, right = (poses[f"camera_{c}_optical"] for c in ("gray_left", "color_left", "color_right"))
    assert np.allclose(grey[:3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-9)  # x right, y down, z forward
    assert np.isclose(grey[2, 3], 1.65)
    assert np.allclose((left - grey)[:3, 3], [-0.0027, 0.06, -0.0003])  # camera 2 is 6 cm to the left of camera 0
    assert np.allclose((right - grey)[:3, 3], [-0.0027, -0.47, 0.0024])
    velo = poses["velo_link"]
    assert np.allclose(velo[:2, 3], 0) and 1.70 < velo[2, 3] < 1.75  # base_link is below it; KITTI says 1.73
    assert np.allclose(velo[:3, :3], np.eye(3), atol=0.03)
    imu = poses["imu_link"]
    assert np.allclose(imu, velo @ rigid(R_IMU, T_IMU), atol=1e-5) and np.allclose(
        imu[:3, 3], [-0.81, 0.32, 0.93], atol=0.03
    )


def test_without_velodyne_calibration_base_link_is_nominal(drive, tmp_path):
    for name in ("velodyne_points", "oxts"):
        shutil.rmtree(drive / name)
    for name in ("velo_to_cam", "imu_to_velo"):
        (drive.parent / f"calib_{name}.txt").unlink()
    write_bag(open_drive(drive, [2]), tmp_path / "bag")
    poses = poses_in_base_link(read(tmp_path / "bag"))
    assert set(poses) == {"base_link", "camera_color_left_optical"}
    assert np.allclose(poses["camera_color_left_optical"][:3, 3], [0.27 - 0.0027, 0.06, 1.65 - 0.0003])


def test_point_clouds(drive, tmp_path):
    (drive / "velodyne_points" / "data" / f"{2:010d}.bin").write_bytes(b"")
    write_bag(open_drive(drive), tmp_path / "bag")
    clouds = of(read(tmp_path / "bag"), "/kitti/velo/pointcloud")
    for cloud, points in zip(clouds, (POINTS, POINTS + 1, POINTS[:0]), strict=True):
        fields = [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields]
        assert fields == [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1)]
        assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, len(points), 16, 16 * len(points))
        assert cloud.header.frame_id == "velo_link" and cloud.is_dense and not cloud.is_bigendian
        assert cloud.data.tobytes() == points.tobytes()


def test_fix_and_imu(drive, tmp_path):
    write_bag(open_drive(drive), tmp_path / "bag")
    messages = read(tmp_path / "bag")
    for fix in of(messages, "/kitti/oxts/gps/fix"):
        assert [fix.latitude, fix.longitude, fix.altitude] == FIX
        assert fix.position_covariance.tolist() == [0.25, 0, 0, 0, 0.25, 0, 0, 0, 0.25]
        assert (fix.position_covariance_type, fix.status.status, fix.status.service) == (1, 0, 1)
        assert fix.header.frame_id == "imu_link"
    half = np.sqrt(0.5)
    # yaw 90 degrees (north); then rolled 90 degrees to the right side; then pitched 90 degrees, front down
    attitudes = (0, 0, half, half), (0.5, 0.5, 0.5, 0.5), (-0.5, 0.5, 0.5, 0.5)
    for imu, attitude in zip(of(messages, "/kitti/oxts/imu"), attitudes, strict=True):
        q, rate, acceleration = imu.orientation, imu.angular_velocity, imu.linear_acceleration
        assert np.allclose([q.x, q.y, q.z, q.w], attitude)
        assert [rate.x, rate.y, rate.z] == [0.01, -0.02, 0.03]
        assert [acceleration.x, acceleration.y, acceleration.z] == [0.25, -0.5, 9.75]
        for covariance in "orientation", "angular_velocity", "linear_acceleration":
            assert not getattr(imu, f"{covariance}_covariance").any()  # unknown
        assert imu.header.frame_id == "imu_link"


def test_kitti_road_folder(road, tmp_path, monkeypatch, capsys):
    assert road_seg(monkeypatch, road, "--out", tmp_path / "bag") == 0
    assert "no timestamps: the frames get 10 Hz" in capsys.readouterr().out
    messages = read(tmp_path / "bag")
    images = of(messages, "/kitti/camera_color_left/image_raw")
    assert [stamp_of(image) for image in images] == [1317042000000000000, 1317042000100000000]
    assert [np.array_equal(im.data, picture(2, n).ravel()) for n, im in enumerate(images)] == [True, True]
    infos = of(messages, "/kitti/camera_color_left/camera_info")
    assert [info.k[0] for info in infos] == [50, 51]  # each frame has its own calibration
    poses = poses_in_base_link(messages)
    in_camera = np.linalg.inv(poses["camera_color_left_optical"]) @ poses["velo_link"] @ [10, 2, -1, 1]
    u, v, w = np.array(P_RECT[2]) @ rigid(R_RECT) @ rigid(R_VELO, T_VELO) @ [10, 2, -1, 1]
    x, y, z = infos[0].p.reshape(3, 4) @ in_camera
    assert np.allclose([x / z, y / z], [u / w, v / w], atol=1e-3)


def test_calibration_beside_a_link_to_a_drive(drive, tmp_path):
    disk = tmp_path / "disk" / "sync"
    disk.parent.mkdir()
    drive.rename(disk)
    drive.symlink_to(disk)
    found = open_drive(drive)
    assert found.calibration.projections[2].tolist() == P_RECT[2] and len(found.images[2]) == 3
    assert frames_of(drive).kitti == (2, drive)
    for file in drive.parent.glob("calib*"):  # a link from elsewhere: beside the target
        file.rename(disk.parent / file.name)
    assert open_drive(drive).calibration.projections.keys() == {0, 2, 3} and frames_of(drive).kitti == (2, drive)


@pytest.fixture
def sequence(drive) -> Path:
    """A sequence of KITTI odometry with the files of the drive's cameras 0, 2 and 3 and of its Velodyne."""
    path = drive.parent / "sequences" / "00"
    (path / "velodyne").mkdir(parents=True)
    for camera in P_RECT:
        (path / f"image_{camera}").mkdir()
        for file in (drive / f"image_0{camera}" / "data").iterdir():
            shutil.copy(file, path / f"image_{camera}" / f"{file.stem[4:]}{file.suffix.upper()}")
        (path / f"image_{camera}" / "._000000.PNG").write_bytes(b"")
    for file in (drive / "velodyne_points" / "data").iterdir():
        shutil.copy(file, path / "velodyne" / f"{file.stem[4:]}.bin")
    velo_to_rect = rigid(R_RECT) @ rigid(R_VELO, T_VELO)
    text = "".join(line(f"P{camera}", projection) for camera, projection in P_RECT.items())
    (path / "calib.txt").write_text(text + line("Tr", velo_to_rect[:3]))
    (path / "times.txt").write_text("0.000000e+00\n1.036224e-01\n2.5\n")
    return path


def test_a_sequence_of_kitti_odometry(sequence, drive, tmp_path, monkeypatch, capsys):
    assert road_seg(monkeypatch, sequence, "--out", tmp_path / "bag", "--camera", 2, "--camera", 3) == 0
    assert "stamps are those of times.txt after 2011-09-26 13:00:00" in capsys.readouterr().out
    messages = read(tmp_path / "bag")
    write_bag(open_drive(drive, [2, 3]), tmp_path / "raw")
    raw = read(tmp_path / "raw")
    images = of(messages, "/kitti/camera_color_left/image_raw")
    start = 1317042000 * 10**9
    assert [stamp_of(image) for image in images] == [start, start + 103622400, start + 2500000000]
    for topic in ("/kitti/camera_color_left/image_raw", "/kitti/velo/pointcloud"):
        pairs = zip(of(messages, topic), of(raw, topic), strict=True)
        assert all(np.array_equal(mine.data, theirs.data) for mine, theirs in pairs)
    right = "/kitti/camera_color_right/camera_info"
    assert np.array_equal(of(messages, right)[0].p, of(raw, right)[0].p)
    poses, expected = poses_in_base_link(messages), poses_in_base_link(raw)
    assert np.allclose(poses["velo_link"], expected["velo_link"], atol=1e-5) and "imu_link" not in poses
    frames = frames_of(sequence)
    assert frames.kitti == (2, sequence) and frames.count == 3
    assert np.array_equal(next(iter(frames.frames)).image[..., ::-1], picture(2, 0))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("calib.txt", None, "calib.txt is missing"),
        ("times.txt", None, "times.txt is missing"),
        ("times.txt", "0\nnan\n", "times.txt, line 2: 'nan' is not a time such as 1.036224e-01 seconds"),
        ("times.txt", "0\n1\n", "times.txt is too short: it ends with line 2, but 000002.PNG needs line 3"),
        ("times.txt", "0\n1\n2\n3\n", "image_0 has no image 000003, but times.txt has a stamp for it"),
        ("calib.txt", f"P0: {'1 ' * 11}\n", "calib.txt has no P0 of 12 numbers"),
        ("calib.txt", "".join(line(f"P{n}", p) for n, p in P_RECT.items()), "calib.txt has no Tr: .*velodyne needs"),
    ],
)
def test_invalid_sequences_are_refused(sequence, name, content, sentence):
    if content is None:
        (sequence / name).unlink()
    else:
        (sequence / name).write_text(content)
    with pytest.raises(KittiError, match=sentence):
        open_drive(sequence)


def test_hidden_and_other_files_of_a_kitti_road_folder(road, tmp_path):
    images = road / "training" / "image_2"
    (images / "._um_000000.png").write_bytes(b"")
    (images / "um_000000.png").rename(images / "um_000000.PNG")
    assert [reading.path.name for reading in open_drive(road).images[2]] == ["um_000000.PNG", "uu_000007.png"]
    cv2.imwrite(str(images / "uu_000007.bmp"), picture(2, 1))
    (images / "uu_000007.png").unlink()
    with pytest.raises(KittiError, match="uu_000007.bmp is neither PNG nor JPEG: leave out --compressed"):
        write_bag(open_drive(road), tmp_path / "bag", compressed=True)


def test_several_drives(drive, road, tmp_path, monkeypatch, capsys):
    other = drive.parent / "2011_09_26_drive_0002_sync"
    shutil.copytree(drive, other)
    (other / "image_02" / "data" / f"{1:010d}.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert road_seg(monkeypatch, drive, other, road, "--out", out, "--workers", 2) == 2
    assert sorted(p.name for p in out.iterdir()) == ["2011_09_26_drive_0001_sync", "kitti_road"]  # the valid ones
    assert len(read(out / drive.name)) == 28
    assert "drive_0002_sync/image_02/data/0000000001.png" in capsys.readouterr().err
    assert road_seg(monkeypatch, drive, drive, "--out", tmp_path / "two") == 2
    assert "would both be written to " in capsys.readouterr().err


def test_force(drive, tmp_path, monkeypatch, capsys):
    bag = tmp_path / "bag"
    assert road_seg(monkeypatch, drive, "--out", bag, "--camera", 2) == 0
    before = (bag / "bag.mcap").read_bytes()
    assert road_seg(monkeypatch, drive, "--out", bag) == 2
    assert "--force" in capsys.readouterr().err and (bag / "bag.mcap").read_bytes() == before
    image = drive / "image_00" / "data" / f"{2:010d}.png"
    content = image.read_bytes()
    image.write_bytes(content[:-20])
    assert road_seg(monkeypatch, drive, "--out", bag, "--force") == 2
    assert (bag / "bag.mcap").read_bytes() == before  # a bag is replaced only by a complete one
    image.write_bytes(content)
    assert road_seg(monkeypatch, drive, "--out", bag, "--force") == 0
    assert len(read(bag)) == 28


def test_an_interruption_leaves_no_files(drive, tmp_path):
    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bag(open_drive(drive), tmp_path / "out" / "bag", on_message=interrupt)
    assert len(calls) == 5 < count(open_drive(drive)) == 15
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_scans_are_a_gap(drive, tmp_path, monkeypatch, capsys):
    (drive / "velodyne_points" / "data" / f"{1:010d}.bin").unlink()
    assert road_seg(monkeypatch, drive, "--out", tmp_path / "bag") == 0
    assert "no scan 0000000001" in capsys.readouterr().out
    clouds = of(read(tmp_path / "bag"), "/kitti/velo/pointcloud")
    assert [stamp_of(c) - SECOND * 10**9 for c in clouds] == [951199337, 3054549867]
    assert clouds[1].data.tobytes() == (POINTS + 2).tobytes()


def test_stamps(tmp_path):
    path = tmp_path / "timestamps.txt"
    path.write_bytes(b"2011-09-26 13:02:25.000000001\r\n2011-09-26 13:02:25.5\r\n2011-09-26 13:02:26\r\n\r\n")
    assert read_stamps(path) == [SECOND * 10**9 + 1, SECOND * 10**9 + 5 * 10**8, (SECOND + 1) * 10**9]


def replace(path: str, old: str, new: str):
    def change(drive: Path) -> None:
        text = (drive / path).read_text()
        assert old in text
        (drive / path).write_text(text.replace(old, new))

    return change


def write(path: str, content: bytes):
    return lambda drive: (drive / path).write_bytes(content)


def remove(*paths: str):
    def change(drive: Path) -> None:
        for path in paths:
            shutil.rmtree(drive / path) if (drive / path).is_dir() else (drive / path).unlink()

    return change


FILE = "data/0000000001"
INVALID = {
    "no calibration": (remove("../calib_cam_to_cam.txt"), r"2011_09_26/calib_cam_to_cam\.txt is missing"),
    "no velodyne calibration": (
        remove("../calib_velo_to_cam.txt"),
        r"calib_velo_to_cam\.txt is missing: .*points needs",
    ),
    "no imu calibration": (remove("../calib_imu_to_velo.txt"), r"calib_imu_to_velo\.txt is missing: .*oxts needs"),
    "no P_rect": (replace("../calib_cam_to_cam.txt", "P_rect_02", "P_rect_09"), "has no P_rect_02 of 12 numbers"),
    "no focal length": (
        replace("../calib_cam_to_cam.txt", "P_rect_02: 5.0", "P_rect_02: 0.0"),
        "P_rect_02 is not the projection of a rectified camera",
    ),
    "no rotation": (replace("../calib_velo_to_cam.txt", "R: ", "R: 9"), r"velo_to_cam\.txt has a matrix .* rotation"),
    "no translation": (replace("../calib_imu_to_velo.txt", "T: ", "T: x"), r"imu_to_velo\.txt has no T of 3 numbers"),
    "binary calibration": (
        write("../calib_cam_to_cam.txt", b"\xff\xfe\x00"),
        "cannot read .*cam_to_cam.txt: .* not text",
    ),
    "no stamps": (remove("image_02/timestamps.txt"), r"image_02/timestamps\.txt is missing"),
    "short stamps": (
        write("image_02/timestamps.txt", b"2011-09-26 13:02:25.9\n2011-09-26 13:02:26.0\n"),
        r"image_02/timestamps\.txt is too short: it ends with line 2, but 0000000002\.png needs line 3",
    ),
    "truncated stamps": (
        replace("oxts/timestamps.txt", "13:02:28.067806404", "13:02:"),
        r"oxts/timestamps\.txt, line 3: ",
    ),
    "no such hour": (
        replace("image_02/timestamps.txt", "13:02:26", "25:02:26"),
        r"timestamps\.txt, line 2: .*25:02:26",
    ),
    "empty line": (replace("image_02/timestamps.txt", "2011-09-26 13:02:26.067806444", ""), "line 2: '' is not a time"),
    "no data folder": (remove("image_02/data"), "image_02/data is missing"),
    "missing image": (remove(f"image_02/{FILE}.png"), "image_02/data has no image 0000000001"),
    "no image at all": (
        remove(*(f"image_02/data/{n:010d}.png" for n in range(3))),
        "image_02/data has no numbered file",
    ),
    "two of a number": (write(f"image_02/{FILE}.jpg", b""), "have the same number"),
    "unreadable image": (
        write(f"image_02/{FILE}.png", b"no image"),
        rf"image_02/{FILE}\.png is not an image",
    ),
    "image of another size": (
        lambda drive: cv2.imwrite(str(drive / f"image_02/{FILE}.png"), np.zeros((40, 80, 3), np.uint8)),
        rf"{FILE}\.png is 80x40, but the rectified images of camera 2 are 64x32",
    ),
    "truncated scan": (write(f"velodyne_points/{FILE}.bin", bytes(35)), rf"{FILE}\.bin is truncated: 35 bytes"),
    "missing packet": (remove(f"oxts/{FILE}.txt"), "oxts/data has no packet 0000000001"),
    "short packet": (write(f"oxts/{FILE}.txt", b"49.0 8.4 116.4"), rf"oxts/{FILE}\.txt is not a GPS/IMU packet of 30"),
    "packet with words": (
        replace(f"oxts/{FILE}.txt", "9.75", "nan"),
        rf"oxts/{FILE}\.txt is not a GPS/IMU packet of 30",
    ),
    "no drive": (
        remove("image_00", "image_02", "image_03"),
        "has neither image_00 to image_03 .* nor training/image_2",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_input_is_one_sentence_and_leaves_no_files(drive, tmp_path, monkeypatch, capsys, case):
    corrupt, sentence = INVALID[case]
    corrupt(drive)
    assert road_seg(monkeypatch, drive, "--out", tmp_path / "out" / "bag") == 2
    (text,) = (text for text in capsys.readouterr().err.splitlines() if text.startswith("road_seg"))
    assert re.search(sentence, text), text
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_wrong_arguments(drive, road, tmp_path, monkeypatch, capsys):
    for argv, sentence in (
        ((tmp_path / "nowhere",), "has neither"),
        ((drive.parent,), "is the folder of a date: give one of its drives, such as "),
        ((drive, "--camera", 1), "has no camera 1; it has 0, 2, 3"),
        ((road, "--camera", 0), "has no camera 0; it has 2"),
    ):
        assert road_seg(monkeypatch, *argv, "--out", tmp_path / "bag") == 2
        assert sentence in capsys.readouterr().err
    (road / "training" / "calib" / "uu_000007.txt").unlink()
    assert road_seg(monkeypatch, road, "--out", tmp_path / "bag") == 2
    assert "uu_000007.txt is missing" in capsys.readouterr().err
    shutil.rmtree(road / "training" / "image_2")
    (road / "training" / "image_2").mkdir()
    assert road_seg(monkeypatch, road, "--out", tmp_path / "bag") == 2
    assert "has no image" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()
    with pytest.raises(SystemExit, match="2"):
        road_seg(monkeypatch, drive, "--out", tmp_path / "bag", "--workers", 0)


def test_an_empty_scan_has_no_points(tmp_path):
    (tmp_path / "scan.bin").write_bytes(b"")
    assert read_points(tmp_path / "scan.bin").shape == (0, 4)


@pytest.mark.skipif(not CLIP.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize("compressed", [False, True])
def test_the_real_clip(tmp_path, compressed):
    write_bag(open_drive(CLIP), tmp_path / "bag", compressed=compressed)
    messages = read(tmp_path / "bag")
    images = of(messages, "/kitti/camera_color_left/image_raw" + ("/compressed" if compressed else ""))
    files = sorted((CLIP / "image_02" / "data").iterdir())
    assert len(images) == len(files) == 51
    assert {b - a for a, b in zip(map(stamp_of, images), map(stamp_of, images[1:]), strict=False)} == {10**8}
    for n in (0, 50):
        data = files[n].read_bytes() if compressed else cv2.imread(str(files[n])).tobytes()
        assert images[n].data.tobytes() == data
    info = of(messages, "/kitti/camera_color_left/camera_info")[0]
    assert (info.width, info.height) == (1242, 375)
    assert info.k.tolist() == [721.5377, 0, 609.5593, 0, 721.5377, 172.854, 0, 0, 1]
    camera = poses_in_base_link(messages)["camera_color_left_optical"]
    assert np.allclose(camera[:3, 3], [0.27, 0.06, 1.65], atol=0.005)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_the_real_kitti_road(tmp_path):
    drive = open_drive(SHARED / "kitti_road")
    assert len(drive.images[2]) == 105 and len(drive.notes) == 1
    drive.images[2] = drive.images[2][:3]
    write_bag(drive, tmp_path / "bag", compressed=True)
    poses = poses_in_base_link(read(tmp_path / "bag"))
    assert np.isclose(poses["velo_link"][2, 3], 1.73, atol=0.01)  # KITTI's sensor setup
    assert np.isclose(poses["imu_link"][2, 3], 0.93, atol=0.05)
