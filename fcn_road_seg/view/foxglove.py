"""Serves the node's outputs and state over the Foxglove WebSocket protocol. Does not import ROS.

Needs foxglove-sdk (the extra ``view``). The messages use Foxglove's own schemas, which its panels support:
https://docs.foxglove.dev/docs/sdk/schemas. config/foxglove_layout.json places them.
"""

from typing import Any

import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.view.boxes import Box, boxes
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.ground_arrays import (
    EDGES,
    boundary_points,
    cell_colours,
    grid_cells,
    road_points,
)
from fcn_road_seg.view.outputs import (
    BOUNDARY,
    CAMERA,
    CAMERA_INFO,
    GRID,
    INSTANCES,
    MASK,
    OUTPUTS,
    OVERLAY,
    POINTS,
    SCAN,
    TRANSFORMS,
    Sample,
)

BACKLOG = 8
"""Maximum number of messages queued for a slow client; the oldest is dropped first."""
LATENCY_SCHEMA = {
    "type": "object",
    "title": "road_seg.Latency",
    "properties": {
        "latency_ms": {"type": ["number", "null"], "description": "from the frame's stamp to the mask's arrival"},
        "p50_ms": {"type": ["number", "null"], "description": "over the last 10 seconds"},
        "p99_ms": {"type": ["number", "null"], "description": "over the last 10 seconds"},
        "fps": {"type": "number", "description": "masks per second; 0 if none arrive"},
    },
}
STATUS_SCHEMA = {
    "type": "object",
    "title": "road_seg.Status",
    "properties": {
        "live": {"type": "boolean", "description": "whether masks arrive"},
        "notice": {"type": "string", "description": "why none arrive, else empty"},
        "statuses": {
            "type": "array",
            "description": "the node's /diagnostics",
            "items": {
                "type": "object",
                "properties": {
                    "subject": {"type": "string"},
                    "level": {"type": "string", "description": "ok, warning, error or stale"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
LEVELS = "ok", "warning", "error", "stale"
SCENE_NOTICE = "notice"
NOTICE_COLOUR = (255, 214, 70)


class FoxgloveServer:
    """A server whose channels are the outputs, named ``<node>/<output>`` and ``/tf``; a `Viewer`.

    Camera and overlay are foxglove.CompressedImage (JPEG), the mask foxglove.RawImage (mono8), and grid, points, scan,
    camera_info and transforms the schemas of their kind; the boundary is a foxglove.SceneUpdate, the instances are
    foxglove.ImageAnnotations. Log times are the
    frames' stamps. ``<node>/latency`` (JSON) comes with every mask, and once a second without values while none come;
    ``<node>/status`` (JSON) once a second. While nothing is live, ``<node>/notice`` (foxglove.ImageAnnotations) says so
    on the images, which Foxglove keeps, and the boundary's channel in the scene.

    Args:
        node: fully qualified name.
        host: address to listen on.
        port: 0 for any free port.

    Raises:
        ImportError: foxglove-sdk is not installed.
        UserError: the port is in use, or the address does not belong to this machine.
    """

    def __init__(self, node: str, host: str, port: int):
        import foxglove
        from foxglove import channels

        self._context = context = foxglove.Context()  # keeps the channels alive
        try:
            self._server = foxglove.start_server(
                name=f"road_seg view {node}", host=host, port=port, context=context, message_backlog_size=BACKLOG
            )
        except RuntimeError as error:
            reason = str(error).rpartition(": ")[2]
            raise UserError(
                f"cannot serve Foxglove on port {port} of {host}: {reason}; choose another port with --foxglove-port"
            ) from None
        self.port: int = self._server.port
        kinds: dict[str, Any] = {
            CAMERA: channels.CompressedImageChannel,
            MASK: channels.RawImageChannel,
            OVERLAY: channels.CompressedImageChannel,
            GRID: channels.GridChannel,
            SCAN: channels.LaserScanChannel,
            BOUNDARY: channels.SceneUpdateChannel,
            POINTS: channels.PointCloudChannel,
            INSTANCES: channels.ImageAnnotationsChannel,
            CAMERA_INFO: channels.CameraCalibrationChannel,
            TRANSFORMS: channels.FrameTransformsChannel,
        }
        topics = {output: "/tf" if output == TRANSFORMS else f"{node}/{output}" for output in OUTPUTS}
        self._channels = {output: kinds[output](topics[output], context=context) for output in OUTPUTS}
        self._latency = foxglove.Channel(f"{node}/latency", schema=LATENCY_SCHEMA, context=context)
        self._status = foxglove.Channel(f"{node}/status", schema=STATUS_SCHEMA, context=context)
        self._notice = channels.ImageAnnotationsChannel(f"{node}/notice", context=context)
        self._ground_frame = ""

    def wants(self, output: str) -> bool:
        """See `Viewer`."""
        return bool(self._channels[output].has_sinks())

    def show(self, sample: Sample) -> None:
        """See `Viewer`."""
        if not self.wants(sample.output):
            return
        if sample.output == BOUNDARY:
            self._ground_frame = sample.frame_id
        self._channels[sample.output].log(CONVERTERS[sample.output](sample), log_time=sample.stamp)

    def show_latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """See `Viewer`."""
        if not self._latency.has_sinks():
            return
        now = figures.snapshot()
        message = {
            "latency_ms": latency and 1000 * latency,
            "p50_ms": now["latency_p50_ms"],
            "p99_ms": now["latency_p99_ms"],
            "fps": now["fps"],
        }
        self._latency.log(message, log_time=stamp)

    def show_status(self, now: int, figures: Figures) -> None:
        """See `Viewer`."""
        state = figures.snapshot()
        statuses = [status | {"level": LEVELS[status["level"]]} for status in state["statuses"]]
        self._status.log({"live": state["live"], "notice": state["notice"], "statuses": statuses}, log_time=now)
        if self._notice.has_sinks():
            self._notice.log(image_notice(now, state["notice"]), log_time=now)
        if self.wants(BOUNDARY):
            self._channels[BOUNDARY].log(scene_notice(now, self._ground_frame, state["notice"]), log_time=now)
        if not state["live"]:
            if self.wants(INSTANCES):
                self._channels[INSTANCES].log(image_boxes(now, []), log_time=now)
            self.show_latency(now, None, figures)

    def close(self) -> None:
        """Disconnect all clients and stop."""
        self._server.stop()


def timestamp(stamp: int) -> Any:
    """Nanoseconds as a Foxglove timestamp."""
    from foxglove.messages import Timestamp

    return Timestamp(*divmod(stamp, 1_000_000_000))


def colour(rgb: tuple[int, ...], opacity: float = 1.0) -> Any:
    """A Foxglove colour."""
    from foxglove.messages import Color

    return Color(**dict(zip("rgb", (value / 255 for value in rgb), strict=True)), a=opacity)


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, orientation: Any = None) -> Any:
    """A pose; `orientation` is a geometry_msgs/Quaternion, None for the frame's own axes."""
    from foxglove.messages import Pose, Vector3

    return Pose(position=Vector3(x=x, y=y, z=z), orientation=quaternion(orientation))


def quaternion(q: Any = None) -> Any:
    """A geometry_msgs/Quaternion; None for no rotation."""
    from foxglove.messages import Quaternion

    return Quaternion(w=1.0) if q is None else Quaternion(x=q.x, y=q.y, z=q.z, w=q.w)


def compressed_image(sample: Sample) -> Any:
    """foxglove.CompressedImage."""
    from foxglove.messages import CompressedImage

    return CompressedImage(timestamp=timestamp(sample.stamp), frame_id=sample.frame_id, data=sample.jpeg, format="jpeg")


def raw_image(sample: Sample) -> Any:
    """foxglove.RawImage."""
    from foxglove.messages import RawImage

    image = sample.message
    return RawImage(
        timestamp=timestamp(sample.stamp),
        frame_id=sample.frame_id,
        width=image.width,
        height=image.height,
        encoding=image.encoding,
        step=image.step,
        data=bytes(image.data),
    )


def packed(dtype: np.dtype) -> list[Any]:
    """The foxglove.PackedElementFields of a structured array without its bytes of padding."""
    from foxglove.messages import PackedElementField
    from foxglove.messages import PackedElementFieldNumericType as Kind

    kinds = {"f4": Kind.Float32, "u1": Kind.Uint8, "i1": Kind.Int8}
    return [
        PackedElementField(name=name, offset=offset, type=kinds[field.str[1:]])
        for name, (field, offset, *_) in (dtype.fields or {}).items()
    ]


def with_colours(array: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """A structured array with the fields red, green, blue and alpha as well; `colours` are uint8 ... x 4 RGBA."""
    names = array.dtype.names or ()
    rgba = "red", "green", "blue", "alpha"
    result = np.empty(array.shape, [*((name, array.dtype[name]) for name in names), *((name, "u1") for name in rgba)])
    for name in names:
        result[name] = array[name]
    for index, name in enumerate(rgba):
        result[name] = colours[..., index]
    return result


def grid(sample: Sample) -> Any:
    """foxglove.Grid: the field ``occupancy`` of the message, -1..100, and colours."""
    from foxglove.messages import Grid, Vector2

    info, cells = sample.message.info, grid_cells(sample.message)
    at = info.origin.position
    data = with_colours(cells.view([("occupancy", "i1")]).reshape(cells.shape), cell_colours(cells))
    return Grid(
        timestamp=timestamp(sample.stamp),
        frame_id=sample.frame_id,
        pose=pose(at.x, at.y, at.z, info.origin.orientation),
        column_count=info.width,
        cell_size=Vector2(x=info.resolution, y=info.resolution),
        row_stride=info.width * data.itemsize,
        cell_stride=data.itemsize,
        fields=packed(data.dtype),
        data=data.tobytes(),
    )


def laser_scan(sample: Sample) -> Any:
    """foxglove.LaserScan."""
    from foxglove.messages import LaserScan

    scan = sample.message
    return LaserScan(
        timestamp=timestamp(sample.stamp),
        frame_id=sample.frame_id,
        pose=pose(),
        start_angle=scan.angle_min,
        end_angle=scan.angle_max,
        ranges=list(scan.ranges),
        intensities=list(scan.intensities),
    )


def point_cloud(sample: Sample) -> Any:
    """foxglove.PointCloud of the points on the road plane, with label, confidence and colours."""
    from foxglove.messages import PointCloud

    data = with_colours(*road_points(sample.message))
    return PointCloud(
        timestamp=timestamp(sample.stamp),
        frame_id=sample.frame_id,
        pose=pose(),
        point_stride=data.itemsize,
        fields=packed(data.dtype),
        data=data.tobytes(),
    )


def boundary(sample: Sample) -> Any:
    """foxglove.SceneUpdate with the boundary as a closed line."""
    from foxglove.messages import LinePrimitive, LinePrimitiveLineType, Point3, SceneEntity, SceneUpdate

    line = LinePrimitive(
        type=LinePrimitiveLineType.LineLoop,
        pose=pose(),
        thickness=3.0,
        scale_invariant=True,
        points=[Point3(x=x, y=y, z=z) for x, y, z in boundary_points(sample.message).tolist()],
        color=colour(EDGES),
    )
    entity = SceneEntity(timestamp=timestamp(sample.stamp), frame_id=sample.frame_id, id=BOUNDARY, lines=[line])
    return SceneUpdate(entities=[entity])


def image_boxes(stamp: int, found: list[Box]) -> Any:
    """foxglove.ImageAnnotations with boxes and what they show; they replace those before."""
    from foxglove.messages import ImageAnnotations, Point2, PointsAnnotation, PointsAnnotationType, TextAnnotation

    time, lines, texts = timestamp(stamp), [], []
    for left, top, width, height, text, rgb in found:
        right, bottom = left + width, top + height
        corners = [Point2(x=x, y=y) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
        kind = PointsAnnotationType.LineLoop
        lines.append(
            PointsAnnotation(timestamp=time, type=kind, points=corners, outline_color=colour(rgb), thickness=2)
        )
        where, black = Point2(x=left, y=top), colour((0, 0, 0))
        texts.append(
            TextAnnotation(
                timestamp=time, position=where, text=text, font_size=12, text_color=black, background_color=colour(rgb)
            )
        )
    return ImageAnnotations(timestamp=time, points=lines, texts=texts)


def instances(sample: Sample) -> Any:
    """foxglove.ImageAnnotations of the instances."""
    return image_boxes(sample.stamp, boxes(sample.message))


def camera_calibration(sample: Sample) -> Any:
    """foxglove.CameraCalibration."""
    from foxglove.messages import CameraCalibration

    info = sample.message
    matrices = {name.upper(): [float(value) for value in getattr(info, name)] for name in "dkrp"}
    return CameraCalibration(
        timestamp=timestamp(sample.stamp),
        frame_id=sample.frame_id,
        width=info.width,
        height=info.height,
        distortion_model=info.distortion_model,
        **matrices,
    )


def frame_transforms(sample: Sample) -> Any:
    """foxglove.FrameTransforms of a list of geometry_msgs/TransformStamped."""
    from foxglove.messages import FrameTransform, FrameTransforms, Vector3

    return FrameTransforms(
        transforms=[
            FrameTransform(
                timestamp=timestamp(max(each.header.stamp.sec * 10**9 + each.header.stamp.nanosec, 0)),
                parent_frame_id=each.header.frame_id,
                child_frame_id=each.child_frame_id,
                translation=Vector3(**{axis: getattr(each.transform.translation, axis) for axis in "xyz"}),
                rotation=quaternion(each.transform.rotation),
            )
            for each in sample.message
        ]
    )


def image_notice(now: int, notice: str) -> Any:
    """foxglove.ImageAnnotations with the notice; without one, an empty message, which removes the last."""
    from foxglove.messages import ImageAnnotations, Point2, TextAnnotation

    text = TextAnnotation(
        timestamp=timestamp(now),
        position=Point2(x=8, y=32),
        text=f"NOT LIVE. {notice}",
        font_size=20,
        text_color=colour(NOTICE_COLOUR),
        background_color=colour((0, 0, 0), 0.7),
    )
    return ImageAnnotations(timestamp=timestamp(now), texts=[text] if notice else [])


def scene_notice(now: int, frame_id: str, notice: str) -> Any:
    """foxglove.SceneUpdate that removes the boundary and shows the notice in its place, or removes the notice."""
    from foxglove.messages import (
        SceneEntity,
        SceneEntityDeletion,
        SceneEntityDeletionType,
        SceneUpdate,
        TextPrimitive,
    )

    gone = SceneEntityDeletion(
        timestamp=timestamp(now), type=SceneEntityDeletionType.MatchingId, id=BOUNDARY if notice else SCENE_NOTICE
    )
    text = TextPrimitive(
        pose=pose(x=8.0, z=1.0),
        billboard=True,
        font_size=16,
        scale_invariant=True,
        color=colour(NOTICE_COLOUR),
        text=f"NOT LIVE. {notice}",
    )
    entity = SceneEntity(timestamp=timestamp(now), frame_id=frame_id, id=SCENE_NOTICE, texts=[text])
    return SceneUpdate(deletions=[gone], entities=[entity] if notice and frame_id else [])


CONVERTERS = {
    CAMERA: compressed_image,
    MASK: raw_image,
    OVERLAY: compressed_image,
    GRID: grid,
    SCAN: laser_scan,
    BOUNDARY: boundary,
    POINTS: point_cloud,
    INSTANCES: instances,
    CAMERA_INFO: camera_calibration,
    TRANSFORMS: frame_transforms,
}
"""The message of a sample, by output."""
