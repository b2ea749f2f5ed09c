"""Creates the ROS messages of a KITTI drive in CDR, using rosbags' types, without ROS.

Frames (REP-103, REP-105), all fixed to the vehicle:

    base_link                 on the road below the Velodyne (nominal position without a calibration), x forward,
                              y left, z up; parallel to the rectified cameras, which are 1.65 m above it
    camera_*_*_optical        optical centre of a rectified camera, x right, y down, z forward
    velo_link, imu_link       KITTI's own frames of the Velodyne and the GPS/IMU: x forward, y left, z up

A camera_info's P projects points in the frame of its header. Left cameras, and right cameras without their left one,
have their own frame and P = [K | 0]. The right camera of a pair uses the left camera's frame, with
Tx = -fx * baseline in P, following sensor_msgs/CameraInfo and stereo_image_proc.
"""

from typing import Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from fcn_road_seg.bags.kitti import Reading, read_oxts, read_points
from fcn_road_seg.bags.kitti_calibration import Calibration, KittiError
from fcn_road_seg.files.input import read_bytes
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_file import ImageFileError, decode_rgb
from fcn_road_seg.ground.plausibility import fault_of_intrinsics

CAMERAS = ("camera_gray_left", "camera_gray_right", "camera_color_left", "camera_color_right")
"""kitti2bag's names of cameras 0 to 3."""
LEFT_OF = {1: 0, 3: 2}
FORMATS = {b"\x89PNG": "png", b"\xff\xd8": "jpeg"}
"""The formats of a CompressedImage by the first bytes of a file."""
CAMERA_HEIGHT = 1.65
"""Metres above the road, for every camera; from KITTI's sensor setup."""
CAMERA_AHEAD = 0.27
"""Metres from the Velodyne forward to camera 0; from KITTI's sensor setup, used only without a calibration."""
_OPTICAL_TO_BASE = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class KittiMessages:
    """Creates the messages of one drive.

    Args:
        calibration: of the drive.
        cameras: the cameras in the bag.
    """

    def __init__(self, calibration: Calibration, cameras: list[int]):
        self.calibration = calibration
        self.cameras = cameras
        self.typestore = get_typestore(Stores.LATEST)
        self._types: dict[str, Any] = {**self.typestore.types}
        self._bit_depths = {camera: BitDepth() for camera in cameras}

    def frame_camera(self, camera: int) -> int:
        """The camera whose optical frame this camera's messages use: itself, or the left one of its pair."""
        left = LEFT_OF.get(camera, camera)
        return left if left in self.cameras else camera

    def image(self, camera: int, reading: Reading, compressed: bool) -> tuple[bytes, bytes]:
        """The Image (bgr8, or mono8 for cameras 0 and 1) or CompressedImage (the file's bytes), and its CameraInfo.

        Raises:
            KittiError: the file is not an image, or not of the rectified images' size, or the projection is impossible.
        """
        content = read_bytes(reading.path)
        try:
            pixels = decode_rgb(content, self._bit_depths[camera])
        except ImageFileError as error:
            raise KittiError(f"{reading.path} is {error}") from None
        height, width = pixels.shape[:2]
        rectified = self.calibration.sizes.get(camera, (width, height))
        if (width, height) != rectified:
            raise KittiError(
                f"{reading.path} is {width}x{height}, but the rectified images of camera {camera} are "
                f"{rectified[0]}x{rectified[1]}: use a ..._sync drive, since ..._extract drives are not rectified"
            )
        info = self._camera_info(camera, reading, width, height)
        if compressed:
            form = next((form for start, form in FORMATS.items() if content.startswith(start)), None)
            if form is None:
                raise KittiError(f"{reading.path} is neither PNG nor JPEG: leave out --compressed")
            data = np.frombuffer(content, np.uint8)
            return self._message(
                "sensor_msgs/msg/CompressedImage", self._camera_header(camera, reading), form, data
            ), info
        encoding, pixels = ("mono8", pixels[..., 0]) if camera < 2 else ("bgr8", pixels[..., ::-1])
        step = pixels[0].size
        data = np.ascontiguousarray(pixels).reshape(-1)
        header = self._camera_header(camera, reading)
        return self._message("sensor_msgs/msg/Image", header, height, width, encoding, 0, step, data), info

    def transforms(self, stamp: int) -> bytes:
        """/tf_static: a tf2_msgs/TFMessage with all frames of the drive."""
        calibration, base = self.calibration, np.eye(4)
        base[:3, :3] = _OPTICAL_TO_BASE
        base[:3, 3] = CAMERA_AHEAD, 0, CAMERA_HEIGHT
        if calibration.velo_to_rect is not None:
            base[:2, 3] = -(_OPTICAL_TO_BASE @ calibration.velo_to_rect[:3, 3])[:2]
        frames = []
        for camera in self.cameras:
            optical = base.copy()
            optical[:3, 3] -= _OPTICAL_TO_BASE @ _shift(calibration.projections[camera])
            frames.append(("base_link", f"{CAMERAS[camera]}_optical", optical))
        if calibration.velo_to_rect is not None:
            frames.append(("base_link", "velo_link", base @ calibration.velo_to_rect))
            if calibration.imu_to_velo is not None:
                frames.append(("velo_link", "imu_link", calibration.imu_to_velo))
        return self._message("tf2_msgs/msg/TFMessage", [self._transform(stamp, *frame) for frame in frames])

    def cloud(self, reading: Reading) -> tuple[bytes]:
        """A sensor_msgs/PointCloud2 in velo_link: x, y, z in metres and intensity 0 to 1, float32."""
        points = read_points(reading.path)
        field = self._types["sensor_msgs/msg/PointField"]
        fields = [field(name, 4 * i, field.FLOAT32, 1) for i, name in enumerate(("x", "y", "z", "intensity"))]
        header, data = self._header(reading.stamp, "velo_link"), points.reshape(-1).view(np.uint8)
        n = len(points)
        return (self._message("sensor_msgs/msg/PointCloud2", header, 1, n, fields, False, 16, 16 * n, data, True),)

    def fix_and_imu(self, reading: Reading) -> tuple[bytes, bytes]:
        """A sensor_msgs/NavSatFix and a sensor_msgs/Imu in imu_link.

        The Imu has accelerations (including gravity, REP-145) and rates in the body frame, and the attitude in ENU.
        KITTI states only the accuracy of the position, as one figure, which is used for all three axes.
        """
        values = read_oxts(reading.path)
        latitude, longitude, altitude, roll, pitch, yaw = values[:6]
        status = self._types["sensor_msgs/msg/NavSatStatus"]
        fix = self._types["sensor_msgs/msg/NavSatFix"]
        header = self._header(reading.stamp, "imu_link")
        fix_bytes = self._message(
            "sensor_msgs/msg/NavSatFix",
            header,
            status(status.STATUS_FIX, status.SERVICE_GPS),
            latitude,
            longitude,
            altitude,
            (np.eye(3) * values[23] ** 2).reshape(-1),
            fix.COVARIANCE_TYPE_APPROXIMATED,
        )
        (rx, ry, rz), vector, unknown = np.eye(3), self._types["geometry_msgs/msg/Vector3"], np.zeros(9)
        attitude = cv2.Rodrigues(rz * yaw)[0] @ cv2.Rodrigues(ry * pitch)[0] @ cv2.Rodrigues(rx * roll)[0]
        orientation = self._quaternion(attitude)
        rates, accelerations = vector(*values[17:20]), vector(*values[11:14])
        return fix_bytes, self._message(
            "sensor_msgs/msg/Imu", header, orientation, unknown, rates, unknown, accelerations, unknown
        )

    def _camera_info(self, camera: int, reading: Reading, width: int, height: int) -> bytes:
        if reading.projection is None:
            raise ValueError(f"{reading.path} has no projection")
        intrinsics = reading.projection[:, :3]
        if fault := fault_of_intrinsics(
            "the calibration", f"projection of camera {camera}", intrinsics, (width, height)
        ):
            raise KittiError(f"{reading.path}: {fault}")
        projection = np.column_stack([intrinsics, np.zeros(3)])
        if (left := self.frame_camera(camera)) != camera:
            baseline = _shift(self.calibration.projections[camera]) - _shift(self.calibration.projections[left])
            projection[:2, 3] = intrinsics[0, 0] * baseline[0], intrinsics[1, 1] * baseline[1]  # the message has Tz = 0
        return self._message(
            "sensor_msgs/msg/CameraInfo",
            self._camera_header(camera, reading),
            height,
            width,
            "plumb_bob",
            np.zeros(5),
            intrinsics.reshape(-1),
            np.eye(3).reshape(-1),
            projection.reshape(-1),
            0,
            0,
            self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )

    def _camera_header(self, camera: int, reading: Reading) -> Any:
        return self._header(reading.stamp, f"{CAMERAS[self.frame_camera(camera)]}_optical")

    def _header(self, stamp: int, frame_id: str) -> Any:
        time = self._types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
        return self._types["std_msgs/msg/Header"](time, frame_id)

    def _transform(self, stamp: int, parent: str, child: str, pose: np.ndarray) -> Any:
        translation = self._types["geometry_msgs/msg/Vector3"](*pose[:3, 3])
        transform = self._types["geometry_msgs/msg/Transform"](translation, self._quaternion(pose[:3, :3]))
        return self._types["geometry_msgs/msg/TransformStamped"](self._header(stamp, parent), child, transform)

    def _quaternion(self, rotation: np.ndarray) -> Any:
        vector = cv2.Rodrigues(rotation)[0].reshape(3)
        angle = np.linalg.norm(vector)
        xyz = vector * (0.5 if angle < 1e-9 else np.sin(angle / 2) / angle)
        return self._types["geometry_msgs/msg/Quaternion"](*xyz, np.cos(angle / 2))

    def _message(self, name: str, *fields: Any) -> bytes:
        return bytes(self.typestore.serialize_cdr(self._types[name](*fields), name))


def _shift(projection: np.ndarray) -> np.ndarray:
    """The translation, in metres, from rectified camera 0 to this camera's own frame."""
    return np.linalg.solve(projection[:, :3], projection[:, 3])
