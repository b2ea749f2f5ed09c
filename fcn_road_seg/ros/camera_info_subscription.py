"""The calibration of an image: the camera_info that belongs to it, and the camera that it describes."""

from collections import deque
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from fcn_road_seg.ground import CameraModel, GroundError
from fcn_road_seg.ros.qos import create_overridable_subscription, other_types, seldom, topics_of_type, type_name
from fcn_road_seg.ros.remedies import rename
from fcn_road_seg.ros.scope import scoped, topic_for

TOPIC = "camera_info"
KEPT = 4


class NotYetError(GroundError):
    """Something that is needed has not arrived so far; a fault only once `patience` seconds are over."""

    def __init__(self, text: str, patience: float = 3.0):
        super().__init__(text)
        self.patience = patience


class CameraInfoSubscription:
    """A subscription to a camera's ``camera_info``, KEEP_LAST 1 and BEST_EFFORT, which every camera matches.

    An image's camera_info is the one with its stamp; else the newest whose size is the image's, because messages are
    lost and arrive in any order, and a calibration seldom changes.
    """

    def __init__(self, node: Node, camera: str = ""):
        self._node = node
        self._camera, self._name = camera, scoped(camera, TOPIC)
        self.topic = node.resolve_topic_name(self._name)
        self._subscription: Subscription | None = None
        self._kept: deque[CameraInfo] = deque(maxlen=KEPT)
        self._model: tuple[tuple, CameraModel | GroundError] | None = None
        self._why_none = seldom(self._look)

    def start(self) -> None:
        """Subscribe, unless already subscribed."""
        if self._subscription is None:
            self._subscription = create_overridable_subscription(self._node, CameraInfo, self._name, self._on_info)

    def _on_info(self, message: CameraInfo) -> None:
        self._kept.append(message)

    def stop(self) -> None:
        """Unsubscribe, and forget the messages received."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self._kept.clear()

    def matching(self, header: Any, size: tuple[int, int]) -> CameraInfo:
        """The camera_info that belongs to an image.

        Args:
            header: the image's std_msgs/Header.
            size: its width and height in pixels.

        Raises:
            NotYetError: none has arrived.
            GroundError: those that arrived are for images of another size, or the topic has another type.
        """
        if not self._kept:
            kind, why = self._why_none()
            raise kind(why)
        candidates = [info for info in self._kept if info.header.stamp == header.stamp] or list(self._kept)
        for info in reversed(candidates):
            if _image_size(info) == size:
                return info
        width, height = _image_size(candidates[-1])
        raise GroundError(
            f"{self.topic} is for images of {width}x{height}, but the image has {size[0]}x{size[1]}: remap "
            f"{self._name} to the topic of this image's camera"
        )

    def _look(self) -> tuple[type[GroundError], str]:
        """The kind of the error that no camera_info has arrived, and why, in a sentence."""
        if wrong := self._wrong_type():
            return GroundError, wrong
        remedy = "" if self._node.count_publishers(self.topic) else f": {self._remedy()}"
        return NotYetError, f"no camera_info has arrived on {self.topic}{remedy}"

    def of_another_frame(self, header: Any, info: CameraInfo) -> str:
        """That an image and its calibration do not name the same frame, and what to do; empty if one names none.

        sensor_msgs/Image: if they differ, the behaviour is undefined. Most often it is another camera's calibration.

        Args:
            header: the image's std_msgs/Header.
            info: from `matching`.
        """
        image, calibration = (each.frame_id.removeprefix("/") for each in (header, info.header))
        if not image or not calibration or image == calibration:
            return ""
        return (
            f"{self.topic} is for the frame {calibration}, but the images are of {image}, so the calibration may be "
            f"another camera's: remap {self._name} to that of this camera, or make the camera give both one frame_id"
        )

    def missing(self) -> str:
        """That nobody publishes the calibration, and what to do, in a sentence; empty if somebody does."""
        if wrong := self._wrong_type():
            return wrong
        return "" if self._node.count_publishers(self.topic) else f"nobody publishes {self.topic}: {self._remedy()}"

    def _wrong_type(self) -> str:
        others = other_types(self._node, self.topic, CameraInfo)
        if not others:
            return ""
        return f"{self.topic} is published as {others[0]}, not as {type_name(CameraInfo)}: {self._remedy()}"

    def _remedy(self) -> str:
        if elsewhere := topic_for(self._camera, topics_of_type(self._node, type_name(CameraInfo))):
            return rename(self._name, elsewhere)
        return f"make the camera publish its calibration; if it does so elsewhere, remap {self._name}"

    def model(self, info: CameraInfo, size: tuple[int, int], rectified: bool) -> CameraModel:
        """The camera; the same object as long as nothing changes.

        Args:
            info: from `matching`.
            size: the image's width and height in pixels.
            rectified: whether the image is rectified.

        Raises:
            GroundError: the calibration cannot be used.
        """
        roi = info.roi
        arguments = (info.width, info.height, *(tuple(map(float, x)) for x in (info.k, info.d)), info.distortion_model)
        arguments += tuple(tuple(map(float, x)) for x in (info.r, info.p))
        binning, part = (info.binning_x, info.binning_y), (roi.x_offset, roi.y_offset, roi.width, roi.height)
        key = (arguments, size, rectified, binning, part)
        if self._model is None or self._model[0] != key:
            try:
                model = CameraModel.from_camera_info(
                    *arguments, image_size=size, rectified=rectified, binning=binning, roi=part
                )
                self._model = key, model
            except GroundError as error:
                self._model = key, error
        model_or_error = self._model[1]
        if isinstance(model_or_error, GroundError):
            raise model_or_error.with_traceback(None)  # the tracebacks of all frames so far would keep their images
        return model_or_error


def _image_size(info: CameraInfo) -> tuple[int, int]:
    """Width and height in pixels of the images that a camera_info is for."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(1, info.binning_x), height // max(1, info.binning_y)
