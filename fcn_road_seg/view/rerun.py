"""Logs the node's outputs and state to rerun: its viewer, or a file to open later. Does not import ROS.

Needs rerun-sdk (the extra ``rerun``): https://rerun.io/docs.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable, whole_file
from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.view.birds_eye import UNSEEN
from fcn_road_seg.view.boxes import boxes
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.ground_arrays import (
    EDGES,
    boundary_points,
    cell_colours,
    grid_cells,
    road_points,
    scan_points,
)
from fcn_road_seg.view.ground_arrays import (
    SCAN as SCAN_COLOUR,
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

APPLICATION = "road_seg view"
ADDRESS = re.compile(r"(?:rerun\+https?://)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+):(?P<port>\d{1,5})(?:/proxy)?")
CONNECT_TIMEOUT = 3.0
"""Seconds."""
MOST_POINTS = 50_000
"""Of the points, every n-th row and column is logged, so that a frame has at most about as many."""
PLOTS = {"latency_ms": "Latency in milliseconds", "fps": "Masks per second"}
"""Titles of the plots, by entity."""
LEVELS = "ok", "**warning**", "**error**", "*stale*"
BOXES = f"{CAMERA}/{INSTANCES}"
"""The entity of the instances, in the camera's picture."""
GROUND_FRAME = "base_link"
"""The frame of the scene until the first output in a ground frame."""


@contextmanager
def rerun_log(node: str, target: str) -> Iterator["RerunLog"]:
    """A RerunLog that is closed at the end of the block; a file is written whole or not at all.

    Args:
        node: fully qualified name.
        target: "" opens rerun's viewer; a name that ends in .rrd is written; anything else is the address, HOST:PORT
            or rerun+http://HOST:PORT/proxy, on which a rerun listens.

    Raises:
        ModuleNotFoundError: rerun-sdk is not installed.
        UserError: the viewer does not start, the address is wrong or does not answer, or the file cannot be written.
    """
    import rerun

    recording = rerun.RecordingStream(APPLICATION)
    if not target:
        try:
            recording.spawn()
        except (OSError, RuntimeError) as error:
            raise UserError(f"rerun's viewer does not start: {str(error).splitlines()[0]}") from None
    elif target.endswith(".rrd"):
        check_writable(target)
        with whole_file(target) as partial:
            recording.save(partial)
            try:
                yield RerunLog(node, recording)
            finally:
                recording.disconnect()
        return
    else:
        recording.connect_grpc(checked_address(target))
    try:
        yield RerunLog(node, recording)
    finally:
        recording.flush(timeout_sec=CONNECT_TIMEOUT)
        recording.disconnect()


def checked_address(target: str) -> str:
    """The URL of a rerun that listens on an address.

    Raises:
        UserError: it is not an address, or nothing listens there.
    """
    match = ADDRESS.fullmatch(target)
    if not match or not 0 < int(match["port"]) < 65536:
        raise UserError(
            f"--rerun is '{target}': give HOST:PORT of a running rerun, such as 127.0.0.1:9876, or FILE.rrd"
        )
    try:
        socket.create_connection((match["host"].strip("[]"), int(match["port"])), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise UserError(f"no rerun answers at {target}: {error.strerror or error}; start rerun there first") from None
    scheme = "rerun+https" if target.startswith("rerun+https") else "rerun+http"
    return f"{scheme}://{match['host']}:{match['port']}/proxy"


class RerunLog:
    """Logs everything; a `Viewer` that wants all outputs.

    Entities: ``camera``, ``camera/instances`` (boxes), ``overlay``, ``mask``; in named frames, ``grid``, ``scan``,
    ``boundary``, ``points``, ``camera_info`` (a pinhole) and ``transforms/<child>``; ``latency_ms``, ``fps``;
    ``status``, a text. What stays visible although no masks arrive is cleared. The timeline ``stamp`` has the frames'
    stamps, ``log_time`` the time of arrival.

    Args:
        node: fully qualified name, which the recording is named after.
        recording: a rerun.RecordingStream.
    """

    def __init__(self, node: str, recording: Any):
        import rerun

        self._rerun, self._recording = rerun, recording
        self._live = False
        self._ground_frame = ""
        recording.send_recording_name(f"{APPLICATION} {node}")
        self._place(GROUND_FRAME)
        classes = [(0, "not road", UNSEEN), (255, "road", AZURE)]
        recording.log(MASK, rerun.AnnotationContext(classes), static=True)
        for name, title in PLOTS.items():
            recording.log(name, rerun.SeriesLines(colors=[AZURE], names=[title]), static=True)
        self._show = {
            CAMERA: self._show_picture,
            OVERLAY: self._show_picture,
            MASK: self._show_mask,
            GRID: self._show_grid,
            SCAN: self._show_scan,
            BOUNDARY: self._show_boundary,
            POINTS: self._show_points,
            INSTANCES: self._show_instances,
            CAMERA_INFO: self._show_camera_info,
            TRANSFORMS: self._show_transforms,
        }

    def _place(self, ground_frame: str) -> None:
        """Put every view in its place, with the scene in a ground frame."""
        if ground_frame == self._ground_frame:
            return
        import rerun.blueprint as rrb

        self._ground_frame = ground_frame
        pictures = [rrb.Spatial2DView(origin=name, name=name.capitalize()) for name in (OVERLAY, CAMERA, MASK)]
        scene = [GRID, SCAN, BOUNDARY, POINTS, CAMERA_INFO, f"{TRANSFORMS}/**"]
        above = rrb.Spatial3DView(
            origin="/",
            contents=scene,
            name="Road",
            background=UNSEEN,
            spatial_information=rrb.SpatialInformation(target_frame=ground_frame),
            eye_controls=rrb.EyeControls3D(position=(-8, 0, 9), look_target=(12, 0, 0), eye_up=(0, 0, 1)),
        )
        plots = [rrb.TimeSeriesView(origin=name, name=title) for name, title in PLOTS.items()]
        self._recording.send_blueprint(
            rrb.Blueprint(
                rrb.Horizontal(
                    rrb.Vertical(pictures[0], rrb.Tabs(pictures[2], pictures[1]), rrb.Horizontal(*plots)),
                    rrb.Vertical(above, rrb.TextDocumentView(origin="status", name="Status"), row_shares=[3, 1]),
                ),
                rrb.TimePanel(timeline="log_time", state="collapsed"),
                rrb.SelectionPanel(state="collapsed"),
                rrb.BlueprintPanel(state="collapsed"),
            )
        )

    def wants(self, output: str) -> bool:
        """See `Viewer`."""
        return output in OUTPUTS

    def show(self, sample: Sample) -> None:
        """See `Viewer`."""
        self._at(sample.stamp)
        self._show[sample.output](sample)

    def _at(self, stamp: int) -> None:
        """Set the time of what follows: a frame's stamp; with 0 only the time of arrival."""
        self._recording.reset_time()
        if stamp:
            self._recording.set_time("stamp", timestamp=np.datetime64(stamp, "ns"))

    def _frame(self, name: str) -> Any:
        return self._rerun.CoordinateFrame(name)

    def _show_picture(self, sample: Sample) -> None:
        self._recording.log(sample.output, self._rerun.EncodedImage(contents=sample.jpeg, media_type="image/jpeg"))

    def _show_mask(self, sample: Sample) -> None:
        self._recording.log(MASK, self._rerun.SegmentationImage(sample.rgb[..., 0]))

    def _show_grid(self, sample: Sample) -> None:
        self._place(sample.frame_id)
        cells, info = grid_cells(sample.message), sample.message.info
        origin = info.origin.position
        colours = cell_colours(cells)[..., :3]
        colours[cells < 0] = UNSEEN  # rerun draws no transparency
        map_format = self._rerun.components.ImageFormat(
            width=info.width, height=info.height, color_model="RGB", channel_datatype="U8"
        )
        grid = self._rerun.GridMap(
            data=colours[::-1].tobytes(),  # an image's first row is the upper one
            format=map_format,
            cell_size=info.resolution,
            translation=[origin.x, origin.y, origin.z],
        )
        self._recording.log(GRID, grid, self._frame(sample.frame_id))

    def _show_scan(self, sample: Sample) -> None:
        points = self._rerun.Points3D(scan_points(sample.message), colors=[SCAN_COLOUR], radii=0.06)
        self._recording.log(SCAN, points, self._frame(sample.frame_id))

    def _show_boundary(self, sample: Sample) -> None:
        corners = boundary_points(sample.message)
        strips = [np.vstack([corners, corners[:1]])] if len(corners) else []
        lines = self._rerun.LineStrips3D(strips, colors=[EDGES], radii=0.04)
        self._recording.log(BOUNDARY, lines, self._frame(sample.frame_id))

    def _show_points(self, sample: Sample) -> None:
        step = 1 + int((sample.message.width * sample.message.height / MOST_POINTS) ** 0.5)
        points, colours = road_points(sample.message, step)
        positions = np.stack([points[axis] for axis in "xyz"], -1)
        cloud = self._rerun.Points3D(positions, colors=colours, radii=0.02)
        self._recording.log(POINTS, cloud, self._frame(sample.frame_id))

    def _show_instances(self, sample: Sample) -> None:
        found = boxes(sample.message)
        drawn = self._rerun.Boxes2D(
            mins=np.reshape([box[:2] for box in found], (-1, 2)),
            sizes=np.reshape([box[2:4] for box in found], (-1, 2)),
            labels=[box.text for box in found],
            colors=[box.colour for box in found],
        )
        self._recording.log(BOXES, drawn)

    def _show_camera_info(self, sample: Sample) -> None:
        info = sample.message
        matrix = np.reshape(info.p, (3, 4))[:, :3] if any(info.p) else np.reshape(info.k, (3, 3))
        pinhole = self._rerun.Pinhole(
            image_from_camera=matrix,
            resolution=[info.width, info.height],
            parent_frame=sample.frame_id,
            child_frame=f"{sample.frame_id} (image)",
        )
        self._recording.log(CAMERA_INFO, pinhole)

    def _show_transforms(self, sample: Sample) -> None:
        for each in sample.message:
            shift, turn = each.transform.translation, each.transform.rotation
            transform = self._rerun.Transform3D(
                translation=[shift.x, shift.y, shift.z],
                quaternion=[turn.x, turn.y, turn.z, turn.w],
                parent_frame=each.header.frame_id,
                child_frame=each.child_frame_id,
            )
            self._recording.log(f"{TRANSFORMS}/{each.child_frame_id}", transform)

    def show_latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """See `Viewer`."""
        self._at(stamp)
        if latency is not None:
            self._recording.log("latency_ms", self._rerun.Scalars(1000 * latency))
        self._recording.log("fps", self._rerun.Scalars(figures.snapshot()["fps"]))

    def show_status(self, now: int, figures: Figures) -> None:
        """See `Viewer`."""
        state = figures.snapshot()
        self._at(0)
        rows = [f"| {s['subject']} | {LEVELS[s['level']]} | {s['message']} |" for s in state["statuses"]]
        table = "\n".join(["| | | |", "|---|---|---|", *rows]) if rows else ""
        text = f"{'live' if state['live'] else '**not live**'}: {state['notice'] or 'masks arrive'}\n\n{table}"
        self._recording.log("status", self._rerun.TextDocument(text, media_type="text/markdown"))
        if not state["live"]:
            self._recording.log("fps", self._rerun.Scalars(0.0))
            if self._live:
                for output in (CAMERA, MASK, OVERLAY, GRID, SCAN, BOUNDARY, POINTS, BOXES, "latency_ms"):
                    self._recording.log(output, self._rerun.Clear(recursive=False))
        self._live = state["live"]
