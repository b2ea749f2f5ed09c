"""The commands as a user types them: files they write, exit codes, one sentence for bad input."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from tiny_instances import write_detector
from tiny_kitti import CALIBRATION, draw, write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.video import VideoWriter
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.instances.detector import InstanceDetector
from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_mask

THRESHOLD = 0.2


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A random network that classifies about half of a frame as road."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    metadata = checkpoint.Metadata(fc="atrous", fc_width=16, network_width=96, threshold=THRESHOLD)
    checkpoint.save(path, FCN8s("atrous", 16, std_init=1.0), metadata)
    return str(path)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        write_image(folder / f"frame{seed}.png", draw(seed, 61, 193)[0])
    return folder


def fails(capsys, *argv: str) -> str:
    """Run a command that must fail; returns the sentence that it prints after any progress output."""
    assert main(argv) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"road_seg {argv[0]}: ")
    return message


def test_segment_writes_mask_and_overlay_of_every_image(images, tmp_path, weights):
    out = tmp_path / "out"
    assert main(["segment", str(images), "--out", str(out), "--weights", weights, "--alpha", "0.25"]) == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"frame{i}_{kind}.png" for i in range(3) for kind in ("mask", "overlay")
    )
    frame = read_rgb(images / "frame1.png")
    mask = cv2.imread(str(out / "frame1_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (61, 193) and mask.dtype == np.uint8
    assert np.array_equal(mask, threshold_mask(RoadSegmenter.load(weights)(frame), THRESHOLD))
    assert 0.1 < (mask == 255).mean() < 0.9
    overlay = read_rgb(out / "frame1_overlay.png")
    assert np.array_equal(overlay[mask == 0], frame[mask == 0])
    inside = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))) == 255
    for where, opacity in ((inside, 0.25), ((mask == 255) & ~inside, 0.5)):
        tint = frame[where] * (1 - opacity) + np.array(AZURE) * opacity
        assert np.abs(overlay[where] - tint).max() <= 1


def test_segment_threshold(images, tmp_path, weights):
    for threshold, value in (("0.001", 255), ("1.0", 0)):
        arguments = ["--out", str(tmp_path), "--weights", weights, "--threshold", threshold]
        assert main(["segment", str(images / "frame0.png"), *arguments]) == 0
        assert (cv2.imread(str(tmp_path / "frame0_mask.png"), cv2.IMREAD_UNCHANGED) == value).all()


def test_segment_skips_and_names_unreadable_files(images, tmp_path, weights, capsys):
    (images / "broken.png").write_bytes(b"not an image")
    (images / "empty.png").write_bytes(b"")
    write_image(images / "half.jpg", draw(0)[0])
    (images / "half.jpg").write_bytes((images / "half.jpg").read_bytes()[:-800])
    (images / "notes.txt").write_text("not looked at")
    assert main(["segment", str(images), "--out", str(tmp_path / "out"), "--weights", weights]) == 1
    captured = capsys.readouterr()
    assert all(name in captured.err for name in ("broken.png", "empty.png", "half.jpg is a JPEG that was cut off"))
    assert "notes.txt" not in captured.err
    assert "3 of 6 files" in captured.out
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_segment_reads_video(images, tmp_path, weights):
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (192, 60))
    for seed in range(4):
        writer.write(cv2.cvtColor(draw(seed)[0], cv2.COLOR_RGB2BGR))
    writer.release()
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "drive.avi"), "--out", str(out), "--weights", weights]) == 0
    masks = sorted(out.glob("*_mask.png"))
    assert [m.name for m in masks] == [f"drive_{i:06d}_mask.png" for i in range(4)]
    assert cv2.imread(str(masks[0]), cv2.IMREAD_UNCHANGED).shape == (60, 192)
    video = cv2.VideoCapture(str(out / "drive_overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 4 and video.get(cv2.CAP_PROP_FPS) == 5


def test_segment_bad_input(images, tmp_path, weights, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert "does not exist" in fails(capsys, "segment", str(tmp_path / "none"), *out)
    (tmp_path / "empty").mkdir()
    assert "contains no images" in fails(capsys, "segment", str(tmp_path / "empty"), *out)
    assert "--threshold" in fails(capsys, "segment", str(images), *out, "--threshold", "2")
    assert "--alpha" in fails(capsys, "segment", str(images), *out, "--alpha", "-1")
    assert "no weights file" in fails(capsys, "segment", str(images), *out, "--weights", "missing.safetensors")
    write_image(images / "frame0.bmp", draw(0)[0])
    message = (
        f"road_seg segment: {images}/frame0.bmp and {images}/frame0.png would both write frame0_mask.png: "
        "rename one of them, or choose another --out for it"
    )
    assert fails(capsys, "segment", str(images), *out) == message
    sheet = str(tmp_path / "sheet.png")
    assert main(["segment", str(images), "--sheet", sheet, "--weights", weights]) == 0


@pytest.mark.parametrize("verb", ["segment", "segment-bag", "own-vehicle-mask", "pseudo-label", "play", "kitti-to-bag"])
def test_no_progress_bar_stands_above_the_error_of_a_bad_input(verb, tmp_path, weights, capfd):
    if verb == "play":
        pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    (bad := tmp_path / "bad").mkdir()
    (bad / "bad.png").touch()
    outputs = [] if verb == "play" else ["--out", str(tmp_path / "out.png")]
    options = ["--weights", weights] if verb in ("segment", "pseudo-label") else []
    code = main([verb, str(bad), *outputs, *options])
    out, err = capfd.readouterr()
    assert len(err.splitlines()) == 1 and str(tmp_path) in err
    assert (code, out) == ((1, "0 of 1 file segmented\n") if verb == "segment" else (2, ""))


def test_evaluate_writes_the_documented_figures(tmp_path, weights, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000", "uu_000001"])
    file = tmp_path / "figures.json"
    assert main(["evaluate", "--root", str(root), "--json", str(file), "--weights", weights]) == 0
    figures = json.loads(file.read_text())
    assert figures["frames"] == 2
    keys = {"max_f", "average_precision", "precision", "recall", "fpr", "fnr", "iou", "threshold"}
    for view in ("perspective", "bev"):
        assert set(figures[view]) == keys
        assert all(0 <= value <= 1 for value in figures[view].values())
    assert {frame["name"] for frame in figures["per_frame"]} == {"um_000000", "uu_000001"}
    assert "perspective" in capsys.readouterr().out


def test_evaluate_takes_a_split_file(tmp_path, weights):
    root = write_folder(tmp_path / "kitti", ["um_000000", "uu_000001"])
    (tmp_path / "split.txt").write_text("# one\nuu_000001\n")
    file = tmp_path / "figures.json"
    options = ["--split", str(tmp_path / "split.txt"), "--json", str(file), "--weights", weights]
    assert main(["evaluate", "--root", str(root), *options]) == 0
    assert json.loads(file.read_text())["frames"] == 1


def test_evaluate_without_calibration_has_no_birds_eye_view(tmp_path, weights, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    (root / "training" / "calib" / "um_000000.txt").unlink()
    file = tmp_path / "figures.json"
    assert main(["evaluate", "--root", str(root), "--json", str(file), "--weights", weights]) == 0
    assert json.loads(file.read_text())["bev"] is None
    assert "There is no bird's-eye view: the frames have no calibration in" in capsys.readouterr().out


def test_evaluate_bad_input(tmp_path, weights, capsys):
    assert "training/image_2" in fails(capsys, "evaluate", "--root", str(tmp_path), "--weights", weights)
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    assert "lacks the image or the ground truth" in fails(capsys, "evaluate", "--root", str(root), "--split", "val")
    assert "cannot read none.txt" in fails(capsys, "evaluate", "--root", str(root), "--split", "none.txt")
    assert "must be auto, cpu, cuda" in fails(
        capsys, "evaluate", "--root", str(root), "--weights", weights, "--device", "fpga"
    )


def test_train_bad_input(tmp_path, weights, capsys):
    assert "there is no recipe 'fast'" in fails(capsys, "train", "--recipe", "fast")
    assert "give --data kitti_road:DIR" in fails(capsys, "train", "--recipe", "road")
    assert "epochs is 'few'" in fails(capsys, "train", "--recipe", "road", "--epochs", "few")
    assert "training/image_2" in fails(capsys, "train", "--recipe", "seed", "--data", f"kitti_road:{tmp_path}")
    assert "does not train on 'kiti'" in fails(capsys, "train", "--recipe", "seed", "--data", "kiti:/data")
    root = f"kitti_road:{write_folder(tmp_path, ['um_000000'])}"
    assert "lacks the image" in fails(capsys, "train", "--recipe", "seed", "--data", root)
    assert "no data set 'mars'" in fails(
        capsys, "train", "--recipe", "seed", "--data", root, "--data", "mars:x", "--samples", "{mars: 3}"
    )
    assert "is given 2 times" in fails(capsys, "train", "--recipe", "seed", "--data", root, "--data", root)
    assert "leave out --teacher" in fails(capsys, "train", "--recipe", "seed", "--data", root, "--teacher", "x")
    unlabelled = ["train", "--recipe", "road", "--samples", "{unlabelled: 3}", "--data", root]
    assert "give --teacher FILE" in fails(capsys, *unlabelled)
    unlabelled += ["--teacher", weights]
    assert "give --data unlabelled:DIR" in fails(capsys, *unlabelled)
    assert "is not a folder of images" in fails(capsys, *unlabelled, "--data", f"unlabelled:{tmp_path}")
    cut_out = ["train", "--recipe", "lite", "--samples", "{kitti_road: 3}", "--data", root, "--teacher", weights]
    assert "a teacher with full fc6 and fc7" in fails(capsys, *cut_out, "--fc", "full")
    fine_tuning = ["train", "--recipe", "seed", "--data", root, "--weights", weights]
    assert "give --fc atrous" in fails(capsys, *fine_tuning)
    assert "leave out --encoder-weights" in fails(capsys, *fine_tuning, "--encoder-weights", "vgg16.safetensors")


def test_an_unknown_verb_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fly"])
    assert stop.value.code == 2
    capsys.readouterr()


WITHOUT_ROSBAGS = """
import sys
sys.modules["rosbags"] = None
from fcn_road_seg.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("words", [("kitti-to-bag", "drive", "--out", "bag"), ("play", "bag")])
def test_a_missing_package_is_named(words, tmp_path):
    command = [sys.executable, "-c", WITHOUT_ROSBAGS, *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert result.returncode == 2
    assert "pip install rosbags" in result.stderr
    assert result.stderr.count("\n") == 1


def test_segment_does_not_write_over_its_inputs(images, tmp_path, weights, capsys):
    assert "choose another --out" in fails(capsys, "segment", str(images), "--out", str(images))
    (tmp_path / "drive.mp4").write_bytes(b"")
    write_image(tmp_path / "drive_000000.png", draw(0)[0])
    inputs = str(tmp_path / "drive.mp4"), str(tmp_path / "drive_000000.png")
    assert "would both write " in fails(capsys, "segment", *inputs, "--out", str(tmp_path / "out"))
    twice = str(images), str(images / "frame0.png")
    assert main(["segment", *twice, "--out", str(tmp_path / "out"), "--weights", weights]) == 0
    assert "3 files segmented" in capsys.readouterr().out


def test_segment_reports_a_truncated_video(images, tmp_path, weights, capsys):
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (192, 60))
    for seed in range(8):
        writer.write(cv2.cvtColor(draw(seed)[0], cv2.COLOR_RGB2BGR))
    writer.release()
    content = (tmp_path / "drive.avi").read_bytes()
    (tmp_path / "drive.avi").write_bytes(content[: len(content) // 2])
    arguments = ["segment", str(tmp_path / "drive.avi"), "--out", str(tmp_path / "out"), "--weights", weights]
    assert main(arguments) == 1
    assert "drive.avi claims 8 frames" in capsys.readouterr().err


def test_segment_names_results_after_links(images, tmp_path, weights, capsys):
    folder = tmp_path / "links"
    folder.mkdir()
    blob = tmp_path / "5f3a9c"
    (images / "frame0.png").rename(blob)
    for name in ("a", "b"):
        (folder / f"{name}.png").symlink_to(blob)
    assert main(["segment", str(folder), "--out", str(tmp_path / "out"), "--weights", weights]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*_mask.png")} == {"a_mask.png", "b_mask.png"}
    (folder / "loop.png").symlink_to(folder / "loop.png")
    assert "loop.png" in fails(capsys, "segment", str(folder / "loop.png"), "--out", str(tmp_path / "out"))


def test_a_video_that_lost_a_frame_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot be written completely"), VideoWriter(tmp_path / "a.mp4", 10) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer._count += 1
    assert not list(tmp_path.iterdir())


def test_segment_ends_when_it_cannot_write(images, tmp_path, weights, capsys):
    (tmp_path / "out" / "frame1_mask.png").mkdir(parents=True)
    arguments = ["segment", str(images), "--out", str(tmp_path / "out"), "--weights", weights]
    assert main(arguments) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_rotated_photo_keeps_its_stored_size(tmp_path, weights):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees to show
    Image.fromarray(draw(0)[0]).save(tmp_path / "photo.jpg", exif=exif)
    assert main(["segment", str(tmp_path / "photo.jpg"), "--out", str(tmp_path / "out"), "--weights", weights]) == 0
    assert Image.open(tmp_path / "out" / "photo_mask.png").size == (192, 60)


def test_resume_refuses_options_and_corrupted_states(tmp_path, capsys):
    assert "there is no run to resume" in fails(capsys, "train", "--resume", str(tmp_path))
    (tmp_path / "recipe.yaml").write_text("samples: {kitti_road: 1}\nfc_width: 16\n")
    assert "leave out" in fails(capsys, "train", "--resume", str(tmp_path), "--lr", "1e-3")
    root = write_folder(tmp_path / "kitti", split_names("train") + split_names("val"))
    for content in (b"", b"junk" * 100):
        (tmp_path / "state.safetensors").write_bytes(content)
        arguments = "--resume", str(tmp_path), "--data", f"kitti_road:{root}"
        assert "no run of this recipe" in fails(capsys, "train", *arguments)


def test_an_unwritable_json_file_is_refused_before_the_work(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--root", str(tmp_path), "--json", str(tmp_path / "none" / "x.json")])
    assert stop.value.code == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("calibration", [b"\xff\xfe", b"P2: 1 2 3\n", CALIBRATION.replace("1", "0").encode()])
def test_evaluate_names_a_broken_calibration(tmp_path, weights, capsys, calibration):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    (root / "training" / "calib" / "um_000000.txt").write_bytes(calibration)
    assert "calib" in fails(capsys, "evaluate", "--root", str(root), "--weights", weights)


def test_evaluate_refuses_labels_without_road(tmp_path, weights, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    label = np.zeros((60, 192, 3), np.uint8)
    label[..., 0] = 255
    write_image(root / "training" / "gt_image_2" / "um_road_000000.png", label)
    assert "no label of these frames has road" in fails(capsys, "evaluate", "--root", str(root), "--weights", weights)


def test_segment_leaves_out_the_own_vehicle_and_crumbs(images, tmp_path, weights, capsys):
    own = np.zeros((61, 193), np.uint8)
    own[45:] = 255
    write_image(tmp_path / "own.png", own)
    options = ["--weights", weights, "--own-vehicle-mask", str(tmp_path / "own.png"), "--min-region", "0.02"]
    assert main(["segment", str(images), "--out", str(tmp_path / "out"), *options]) == 0
    frame = read_rgb(images / "frame1.png")
    plain = RoadSegmenter.load(weights)(frame)
    expected = without_small_regions(plain & ~own, THRESHOLD, 0.02, own)
    mask = cv2.imread(str(tmp_path / "out" / "frame1_mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, threshold_mask(expected, THRESHOLD))
    assert (threshold_mask(plain, THRESHOLD)[45:] != 0).any() and not mask[45:].any()
    assert (mask != threshold_mask(plain & ~own, THRESHOLD)).any()
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "frame1_overlay.png")[45:], frame[45:])
    write_image(images / "wide.png", np.zeros((30, 200, 3), np.uint8))
    assert "but the frame 200x30 has another aspect ratio" in fails(
        capsys, "segment", str(images / "wide.png"), "--out", str(tmp_path / "out"), *options
    )
    assert "there is no own-vehicle mask" in fails(
        capsys, "segment", str(images), "--out", str(tmp_path), "--own-vehicle-mask", "none.png", "--weights", weights
    )
    with pytest.raises(SystemExit) as stop:
        main(["segment", str(images), "--out", str(tmp_path / "out"), "--min-region", "0.2"])
    assert stop.value.code == 2 and "not a share of the image from 0 to 0.1" in capsys.readouterr().err


def test_evaluate_leaves_out_crumbs(tmp_path, weights):
    root = write_folder(tmp_path / "kitti", ["um_000000"])

    def iou(*options: str) -> float:
        file = tmp_path / "figures.json"
        assert main(["evaluate", "--root", str(root), "--json", str(file), "--weights", weights, *options]) == 0
        return json.loads(file.read_text())["perspective"]["iou"]

    sample = KittiRoad(root, ["um_000000"])[0]
    mask = threshold_mask(without_small_regions(RoadSegmenter.load(weights)(sample.image), THRESHOLD, 0.05), THRESHOLD)
    counted = sample.label != 255
    both = ((mask != 0) & (sample.label == 1))[counted].sum()
    either = ((mask != 0) | (sample.label == 1))[counted].sum()
    assert iou("--min-region", "0.05") == pytest.approx(both / either) != iou()


def test_evaluate_cuts_out_the_instances(tmp_path, weights):
    root, instances = write_folder(tmp_path / "kitti", ["um_000000"]), write_detector(tmp_path / "i.safetensors")

    def iou(*options: str) -> float:
        file = tmp_path / "figures.json"
        assert main(["evaluate", "--root", str(root), "--json", str(file), "--weights", weights, *options]) == 0
        return json.loads(file.read_text())["perspective"]["iou"]

    sample = KittiRoad(root, ["um_000000"])[0]
    found = InstanceDetector.load(instances).detect(sample.image)
    mask = threshold_mask(found.cut_out(RoadSegmenter.load(weights)(sample.image)), THRESHOLD)
    counted = sample.label != 255
    both = ((mask != 0) & (sample.label == 1))[counted].sum()
    either = ((mask != 0) | (sample.label == 1))[counted].sum()
    cut_out = iou("--subtract-instances", "--instance-weights", str(instances))
    assert cut_out == pytest.approx(both / either, abs=5e-3) != iou()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--instance-weights", "a.safetensors"], "--instance-weights belongs to --subtract-instances: give both"),
        (["--instance-score", "0.3"], "--instance-score belongs to --subtract-instances: give both"),
        (["--subtract-instances", "--instance-score", "2"], "--instance-score is 2.0, but must be in 0..1"),
        (["--subtract-instances", "--flicker"], "--subtract-instances and --flicker exclude each other"),
    ],
)
def test_options_of_instances_that_do_not_fit(capsys, options, sentence):
    assert main(["evaluate", "--root", "none", *options]) == 2
    assert sentence in capsys.readouterr().err
