"""`road_seg view --rerun`: what is logged, to a stand-in for rerun and, where it is installed, to rerun itself."""

import socket
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.view.birds_eye import UNSEEN
from fcn_road_seg.view.figures import Figures, Status
from fcn_road_seg.view.ground_arrays import NOT_ROAD, POINT
from fcn_road_seg.view.outputs import OUTPUTS, Sample
from fcn_road_seg.view.rerun import checked_address, rerun_log

at = SimpleNamespace
STAMP = 7_000_000_001
CELLS = np.array([[-1, 0, 100], [0, 0, 0]], np.int8)  # the first row is the right one
MASK = np.array([[0, 0, 0, 0], [0, 255, 255, 0]], np.uint8)


def header(frame_id: str) -> SimpleNamespace:
    return at(frame_id=frame_id, stamp=at(sec=7, nanosec=1))


def image(pixels: np.ndarray, encoding: str) -> SimpleNamespace:
    return fill_image(at(header=header("camera")), pixels, encoding)


@pytest.fixture
def samples() -> dict[str, Sample]:
    """A message of each output."""
    cloud = np.zeros((1, 3), POINT)
    cloud["z"], cloud["label"] = [np.nan, 5, 6], [0, 1, 0]
    origin = at(position=at(x=0.5, y=-2.0, z=0.1), orientation=at(x=0.0, y=0.0, z=0.0, w=1.0))
    corners = [at(x=1.0, y=1.0, z=0.0), at(x=3.0, y=1.0, z=0.0), at(x=3.0, y=-1.0, z=0.0)]
    p = [100.0, 0, 2, 0, 0, 100, 1, 0, 0, 0, 1, 0]
    pose = at(translation=at(x=0.0, y=0.0, z=1.5), rotation=at(x=0.0, y=0.0, z=0.0, w=1.0))
    car = at(hypothesis=at(class_id="car", score=0.934))
    box = at(center=at(position=at(x=2.0, y=1.0)), size_x=2.0, size_y=1.0)
    messages = {
        "camera": image(np.zeros((2, 4, 3), np.uint8), "bgr8"),
        "mask": image(MASK, "mono8"),
        "overlay": image(np.zeros((2, 4, 3), np.uint8), "bgr8"),
        "grid": at(
            header=header("ground"), data=CELLS.ravel(), info=at(width=3, height=2, resolution=0.5, origin=origin)
        ),
        "scan": at(header=header("ground"), angle_min=0.0, angle_increment=np.pi / 2, ranges=[3.0, np.inf, 2.0]),
        "boundary": at(header=header("ground"), polygon=at(points=corners)),
        "points": at(header=header("camera"), width=3, height=1, data=cloud.tobytes()),
        "instances": at(header=header("camera"), detections=[at(results=[car], bbox=box)]),
        "camera_info": at(header=header("camera"), width=4, height=2, k=[0.0] * 9, p=p),
        "transforms": [at(header=header("ground"), child_frame_id="camera", transform=pose)],
    }
    assert messages.keys() == set(OUTPUTS)
    return {output: Sample(output, STAMP, message) for output, message in messages.items()}


class Call:
    """What was constructed, or called: a name and its arguments."""

    def __init__(self, name: str, /, *arguments, **keywords):
        self.name, self.arguments, self.keywords = name, arguments, keywords


class StandInRecording:
    """A rerun.RecordingStream that keeps what is logged."""

    def __init__(self, application: str):
        self.logged: list[tuple[str, tuple[Call, ...], bool]] = []
        self.calls: list[Call] = []
        StandInRecording.last = self

    def log(self, path: str, *archetypes: Call, static: bool = False) -> None:
        self.logged.append((path, archetypes, static))

    def save(self, path) -> None:
        self.calls.append(Call("save", path))
        path.write_bytes(b"RRF2")

    def __getattr__(self, name: str):
        return lambda *arguments, **keywords: self.calls.append(Call(name, *arguments, **keywords))

    def called(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    def of(self, path: str) -> list[Call]:
        """The archetypes that were logged at a path after the start."""
        return [
            archetype for at, archetypes, static in self.logged if at == path and not static for archetype in archetypes
        ]


class StandIn(ModuleType):
    """A module whose every name constructs a `Call`."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **keywords: Call(name, *arguments, **keywords)


@pytest.fixture
def stand_in(monkeypatch) -> None:
    module = StandIn("rerun")
    module.RecordingStream, module.blueprint, module.components = StandInRecording, StandIn("blueprint"), StandIn("c")
    monkeypatch.setitem(sys.modules, "rerun", module)
    monkeypatch.setitem(sys.modules, "rerun.blueprint", module.blueprint)


def test_everything_is_logged(stand_in, samples, tmp_path):
    with rerun_log("/road_seg", str(tmp_path / "drive.rrd")) as log:
        assert all(map(log.wants, OUTPUTS))
        for sample in samples.values():
            log.show(sample)
        recording = StandInRecording.last
        figures = Figures("/road_seg")
        figures.mask(0.1)
        log.show_latency(STAMP, 0.1, figures)
    assert [call.keywords["timestamp"].astype(int) for call in recording.called("set_time")] == [STAMP] * 11
    (mask,) = recording.of("mask")
    np.testing.assert_array_equal(mask.arguments[0], MASK)
    for name in "camera", "overlay":
        (picture,) = recording.of(name)
        assert picture.keywords["media_type"] == "image/jpeg" and picture.keywords["contents"].startswith(b"\xff\xd8")
    grid, frame = recording.of("grid")
    rgb = np.frombuffer(grid.keywords["data"], np.uint8).reshape(2, 3, 3)  # the upper row is the left one
    assert rgb[0].tolist() == [list(AZURE)] * 3 and rgb[1].tolist() == [list(UNSEEN), list(AZURE), list(NOT_ROAD)]
    assert (grid.keywords["cell_size"], grid.keywords["translation"]) == (0.5, [0.5, -2.0, 0.1])
    assert frame.name == "CoordinateFrame" and frame.arguments == ("ground",)
    np.testing.assert_allclose(recording.of("scan")[0].arguments[0], [(3, 0, 0), (-2, 0, 0)], atol=1e-6)
    (strip,) = recording.of("boundary")[0].arguments[0]
    assert strip.tolist() == [[1, 1, 0], [3, 1, 0], [3, -1, 0], [1, 1, 0]]
    cloud, frame = recording.of("points")
    assert cloud.arguments[0].tolist() == [[0, 0, 5], [0, 0, 6]] and frame.arguments == ("camera",)
    assert cloud.keywords["colors"].tolist() == [[*AZURE, 255], [*NOT_ROAD, 255]]
    (boxes,) = recording.of("camera/instances")
    assert boxes.keywords["mins"].tolist() == [[1, 0.5]] and boxes.keywords["sizes"].tolist() == [[2, 1]]
    assert boxes.keywords["labels"] == ["car 0.93"]
    (pinhole,) = recording.of("camera_info")
    assert pinhole.keywords["image_from_camera"].tolist() == [[100, 0, 2], [0, 100, 1], [0, 0, 1]]
    (transform,) = recording.of("transforms/camera")
    assert (transform.keywords["parent_frame"], transform.keywords["child_frame"]) == ("ground", "camera")
    assert (transform.keywords["translation"], transform.keywords["quaternion"]) == ([0, 0, 1.5], [0, 0, 0, 1])
    assert recording.of("latency_ms")[0].arguments == (100.0,)


def test_the_scene_is_placed_in_the_frame_of_the_grid(stand_in, samples, tmp_path):
    with rerun_log("/road_seg", str(tmp_path / "drive.rrd")) as log:
        recording = StandInRecording.last
        for _ in range(2):
            log.show(samples["grid"])
        assert len(recording.called("send_blueprint")) == 2  # base_link first, then the grid's


def test_what_no_longer_comes_is_cleared(stand_in, samples, tmp_path):
    now = [100.0]
    figures = Figures("/road_seg", lambda: now[0])
    with rerun_log("/road_seg", str(tmp_path / "drive.rrd")) as log:
        recording = StandInRecording.last
        figures.mask(0.1)
        figures.statuses([Status("frames", 0, "10 frames")])
        log.show(samples["mask"])
        log.show_status(STAMP, figures)
        assert [call.name for call in recording.of("mask")] == ["SegmentationImage"]
        now[0] += 3
        for _ in range(2):
            log.show_status(STAMP, figures)
    assert [call.name for call in recording.of("mask")] == ["SegmentationImage", "Clear"]
    for name in "camera", "overlay", "grid", "scan", "boundary", "points", "camera/instances", "latency_ms":
        assert [call.name for call in recording.of(name)] == ["Clear"]
    assert [call.arguments for call in recording.of("fps")] == [(0.0,)] * 2
    live, stopped, _ = (call.arguments[0] for call in recording.of("status"))
    assert live.startswith("live: masks arrive") and "| frames | ok | 10 frames |" in live
    assert stopped.startswith("**not live**: The masks on /road_seg/mask have stopped.")


def test_a_file_is_whole_or_absent(stand_in, tmp_path):
    target = tmp_path / "drive.rrd"
    with rerun_log("/road_seg", str(target)):
        assert not target.exists()
    assert target.read_bytes() == b"RRF2" and list(tmp_path.iterdir()) == [target]
    assert [call.name for call in StandInRecording.last.calls][-1] == "disconnect"
    with pytest.raises(UserError, match="there is no folder"), rerun_log("/road_seg", str(tmp_path / "no" / "a.rrd")):
        pass


def test_without_a_target_the_viewer_opens(stand_in, monkeypatch):
    with rerun_log("/road_seg", ""):
        assert StandInRecording.last.called("spawn")

    def spawn(self):
        raise RuntimeError("Failed to find Rerun Viewer executable in PATH.\nDetails")

    monkeypatch.setattr(StandInRecording, "spawn", spawn, raising=False)
    with pytest.raises(UserError, match="rerun's viewer does not start: Failed to find .* in PATH.$"):
        rerun_log("/road_seg", "").__enter__()


def test_an_address_is_that_of_a_rerun_that_listens(stand_in):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"rerun+http://127.0.0.1:{port}/proxy"
        assert checked_address(f"127.0.0.1:{port}") == checked_address(url) == url
        with rerun_log("/road_seg", f"127.0.0.1:{port}"):
            (call,) = StandInRecording.last.called("connect_grpc")
            assert call.arguments == (url,)
    with pytest.raises(UserError, match=f"no rerun answers at 127.0.0.1:{port}: Connection refused; start rerun there"):
        checked_address(f"127.0.0.1:{port}")
    for wrong in "drive.mcap", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9876":
        with pytest.raises(UserError, match="give HOST:PORT of a running rerun"):
            checked_address(wrong)


def test_a_missing_package_is_a_sentence(monkeypatch, capsys):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["view", "--port", "0", "--foxglove-port", "0", "--rerun"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "road_seg view: the Python package rerun-sdk is not installed: pip install rerun-sdk (the extra rerun has it)\n"
    )


def test_rerun_reads_the_file(samples, tmp_path):
    rerun = pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    chunk = pytest.importorskip("rerun.chunk", reason="this rerun-sdk has no reader")
    target = tmp_path / "drive.rrd"
    figures = Figures("/road_seg")
    figures.mask(0.1)
    rerun.set_strict_mode(True)  # it would only log what it cannot take
    try:
        with rerun_log("/road_seg", str(target)) as log:
            for sample in samples.values():
                log.show(sample)
            log.show_latency(STAMP, 0.1, figures)
            log.show_status(STAMP, figures)
            figures.present(True)
            figures.present(False)
            log.show_status(STAMP, figures)
    finally:
        rerun.set_strict_mode(False)
    reader = chunk.RrdReader(target)
    assert [each.application_id for each in reader.recordings()] == ["road_seg view"]
    assert len(reader.blueprints()) == 2  # the scene is in base_link, then in the frame of the grid
    chunks = [each for each in reader.stream().to_chunks() if not each.is_static]
    elsewhere = {"transforms": "transforms/camera", "instances": "camera/instances"}
    logged = {f"/{elsewhere.get(output, output)}" for output in OUTPUTS}
    assert logged | {"/latency_ms", "/fps", "/status"} <= {each.entity_path for each in chunks}
    masks = [each for each in chunks if each.entity_path == "/mask" and "stamp" in each.timeline_names]
    batch = masks[0].to_record_batch()
    (name,) = (name for name in batch.schema.names if name.endswith("buffer"))
    assert bytes(batch.column(name)[0].as_py()[0]) == MASK.tobytes()
