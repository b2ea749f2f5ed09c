"""`road_seg own-vehicle-mask` on a folder, a video and a bag: the files that it writes, what it prints, exit codes."""

import json

import cv2
import numpy as np
import pytest
import tiny_bag
from painted_vehicle import HEIGHT, WIDTH, drive, iou, paint, vehicle

from fcn_road_seg.cli.main import main
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.video import VideoWriter

pytestmark = pytest.mark.slow  # because of the rendering


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return drive(seed=2)


@pytest.fixture(scope="module")
def painted(frames) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [paint(frame, vehicle("bonnet"), rng) for frame in frames]


def test_a_folder_gives_a_mask_that_the_node_takes(painted, tmp_path, capsys):
    (tmp_path / "drive").mkdir()
    for i, frame in enumerate(painted):
        write_image(tmp_path / "drive" / f"{i:06d}.png", frame)
    out, file = tmp_path / "own.png", tmp_path / "figures.json"
    assert main(["own-vehicle-mask", str(tmp_path / "drive"), "--out", str(out), "--json", str(file)]) == 0
    own, truth = OwnVehicle(out), vehicle("bonnet")
    assert iou(own.hidden(HEIGHT, WIDTH), truth) > 0.9
    figures = json.loads(file.read_text())
    assert figures == {"share": pytest.approx(own.share), "frames": 110, "moving": figures["moving"], "mask": str(out)}
    assert figures["moving"] >= 100
    text = capsys.readouterr().out
    assert text == (
        f"{out}: {100 * own.share:.1f} % of the image is the vehicle itself (the picture moves in {figures['moving']} "
        f"of 110 frames); check {tmp_path}/own_preview.png\n"
    )
    preview, hidden = read_rgb(tmp_path / "own_preview.png"), own.hidden(HEIGHT, WIDTH) != 0
    assert (preview[hidden][:, 0] >= 89).all() and any((preview[~hidden] == f[~hidden]).all() for f in painted)


def test_a_video_without_a_vehicle_needs_no_mask(frames, tmp_path, capsys):
    with VideoWriter(tmp_path / "drive.mp4", 4) as video:
        for frame in frames:
            video.write(frame)
    out, file = tmp_path / "own.png", tmp_path / "figures.json"
    assert main(["own-vehicle-mask", str(tmp_path / "drive.mp4"), "--out", str(out), "--json", str(file)]) == 0
    assert capsys.readouterr().out.startswith("no part of the vehicle is in view (the picture moves in 1")
    assert {path.name for path in tmp_path.iterdir()} == {"drive.mp4", "figures.json"}
    figures = json.loads(file.read_text())
    assert figures["share"] == 0 and figures["mask"] is None


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bag(painted, tmp_path, compressed):
    kind = tiny_bag.COMPRESSED if compressed else tiny_bag.IMAGE
    messages = []
    for i, frame in enumerate(painted):
        message = tiny_bag.image(tiny_bag.ROS2, frame, i)
        if compressed:
            png = cv2.imencode(".png", frame[:, :, ::-1])[1].ravel()
            message = tiny_bag.ROS2.types[kind](message.header, "bgr8; png compressed bgr8", png)
        messages.append(("/camera/image_raw", kind, tiny_bag.START + i * tiny_bag.STEP, message))
    bag = tiny_bag.write_ros2(tmp_path / "drive", messages=messages)
    out = tmp_path / "own.png"
    options = ["--out", str(out), "--image", "/camera/image_raw", "--preview", str(tmp_path / "shown.jpg")]
    assert main(["own-vehicle-mask", str(bag), *options]) == 0
    assert iou(OwnVehicle(out).hidden(HEIGHT, WIDTH), vehicle("bonnet")) > 0.9
    assert read_rgb(tmp_path / "shown.jpg").shape == (HEIGHT, WIDTH, 3)


def test_bad_input_is_a_sentence(painted, tmp_path, capsys):
    def fails(*argv: str) -> str:
        assert main(["own-vehicle-mask", *argv]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    out = ("--out", str(tmp_path / "own.png"))
    folder = tmp_path / "drive"
    folder.mkdir()
    assert "has neither images" in fails(str(folder), *out)
    for i, frame in enumerate(painted[:12]):
        write_image(folder / f"{i:06d}.png", frame)
    assert "the picture moves in 12 of 12 frames, but at least 100 are needed" in fails(str(folder), *out)
    assert "moves in 5 of 5 frames" in fails(str(folder), *out, "--frames", "5")
    assert "there is no drive" in fails(str(tmp_path / "none"), *out)
    assert "there is no bag" in fails(str(tmp_path / "none.mcap"), *out)
    assert "--frames is 0" in fails(str(folder), *out, "--frames", "0")
    assert "names a topic of a bag, but" in fails(str(folder), *out, "--image", "/camera")
    bag = tiny_bag.write_ros2(tmp_path / "bag")
    assert "has no images on /front; its image topics are /camera/image_raw" in fails(
        str(bag), *out, "--image", "/front"
    )
    assert not (tmp_path / "own.png").exists()
