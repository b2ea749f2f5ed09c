"""The outputs of every command: what cannot be written is refused before the work, and what is written is whole."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bad_disk import NO_FILES, NOT_UTF8, small_disk
from tiny_kitti import draw, write_folder

from fcn_road_seg.cli import options
from fcn_road_seg.cli.main import main, make_parser
from fcn_road_seg.frames.image_file import read_rgb, write_image

NONE = str(NO_FILES / "out")


@pytest.fixture
def weights(small_weights) -> str:
    return str(small_weights)


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(2):
        write_image(folder / f"frame{seed}.png", draw(seed)[0])
    return folder


def outcome(capsys, *words: str) -> tuple[int, str]:
    """The exit code of a command, and the last line on stderr."""
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(str(stop.code))
    return code, capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        ("segment", "IMAGES", "--out", NONE),
        ("evaluate", "--root", "ROOT", "--json", f"{NONE}.json"),
        ("evaluate", "--root", "ROOT", "--report", NONE),
        ("evaluate", "--root", "ROOT", "--submission", NONE),
        ("evaluate", "--root", "ROOT", "--compare", "WEIGHTS", "WEIGHTS", "--report", NONE),
        ("calibrate", "--root", "ROOT", "--out", f"{NONE}.safetensors"),
        ("calibrate", "--root", "ROOT", "--out", "OUT.safetensors", "--json", f"{NONE}.json"),
        ("quantize", "--calibration", "IMAGES", "--out", f"{NONE}.onnx"),
        ("export", "--out", f"{NONE}.onnx"),
        ("export", "--out", "OUT.onnx", "--json", f"{NONE}.json"),
        ("benchmark", "--json", f"{NONE}.json"),
        ("benchmark", "--details", f"{NONE}.json"),
        ("benchmark", "--markdown", f"{NONE}.md"),
        ("benchmark", "--plot", f"{NONE}.png"),
        ("synthesize", NONE),
        ("pseudo-label", "IMAGES", "--weights", "WEIGHTS", "--out", NONE),
        ("train", "--recipe", "seed", "--data", "kitti_road:ROOT", "--out", NONE),
        ("train", "--recipe", "seed", "--data", "kitti_road:ROOT", "--json", f"{NONE}.json"),
        ("own-vehicle-mask", "IMAGES", "--out", f"{NONE}.png"),
        ("own-vehicle-mask", "IMAGES", "--out", "OUT.png", "--preview", f"{NONE}.png"),
        ("segment-bag", "IMAGES", "--out", "OUT", "--video", f"{NONE}.mp4"),
        ("demo", "--out", NONE),
        ("play", "IMAGES", "--json", f"{NONE}.json"),
        ("doctor", "--json", f"{NONE}.json"),
        ("kitti-to-bag", "ROOT", "--out", "OUT", "--json", f"{NONE}.json"),
    ],
    ids=" ".join,
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(words, images, tmp_path, weights, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    if "--submission" in words:
        (root / "training").rename(root / "testing")
    for name, path in (("IMAGES", images), ("ROOT", root), ("WEIGHTS", weights), ("OUT", tmp_path / "new")):
        words = tuple(word.replace(name, str(path)) for word in words)
    takes_weights = {"segment", "evaluate", "calibrate", "quantize", "export"}
    if words[0] in takes_weights and "--compare" not in words:
        words += ("--weights", weights)
    code, sentence = outcome(capsys, *words)
    assert code == 2 and sentence.startswith(f"road_seg {words[0]}: ") and "Errno" not in sentence
    assert f"cannot write {NONE}" in sentence or f"cannot write to {NONE}" in sentence
    assert not list(tmp_path.glob("new*"))


def outputs_with_a_suffix() -> list[tuple[str, str, str]]:
    """Verb, option and suffix of every option whose help names a file of a format, such as FILE.onnx."""
    (verbs,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return sorted(
        (verb, action.option_strings[0], Path(action.metavar).suffix)
        for verb, parser in verbs.choices.items()
        for action in parser._actions
        if action.option_strings and re.fullmatch(r"\w+\.\w+", str(action.metavar))
    )


@pytest.mark.parametrize(
    "verb, option, suffix", [*outputs_with_a_suffix(), ("demo", "--animation", ".webp"), ("segment", "--sheet", ".png")]
)
def test_an_output_of_another_format_is_refused_at_once(verb, option, suffix, tmp_path, capsys):
    for name in f"x.{suffix[1:]}.txt", "x":
        code, sentence = outcome(capsys, verb, option, str(tmp_path / name))
        assert code == 2 and f"argument {option}: {tmp_path / name} does not end in {suffix}" in sentence


def test_outputs_have_the_suffix_of_their_format():
    found = {(verb, option): suffix for verb, option, suffix in outputs_with_a_suffix()}
    assert found["export", "--out"] == found["quantize", "--out"] == ".onnx"
    assert found["calibrate", "--out"] == ".safetensors" and found["segment-bag", "--video"] == ".mp4"
    assert found["benchmark", "--markdown"] == ".md" and found["own-vehicle-mask", "--out"] == ".png"
    assert len(found) >= 20


def test_a_device_needs_no_suffix(tmp_path):
    parse = options.output_path(".json")
    assert parse("/dev/stdout") == Path("/dev/stdout") and parse(str(tmp_path / "A.JSON")).name == "A.JSON"


def test_figures_that_cannot_be_written_are_printed(tmp_path, capsys):
    with small_disk(10), pytest.raises(OSError, match="cannot write .*a.json: File too large"):
        options.write_json(tmp_path / "a.json", {"max_f": 0.9375})
    assert json.loads(capsys.readouterr().out) == {"max_f": 0.9375}
    assert not list(tmp_path.iterdir())


def test_segment_on_a_full_disk_leaves_no_half_picture(images, tmp_path, weights, capsys):
    write_image(images / "frame0.png", np.full((60, 192, 3), 90, np.uint8))
    write_image(images / "frame1.png", np.random.default_rng(0).integers(0, 256, (60, 192, 3), np.uint8))
    out = tmp_path / "out"
    with small_disk(20_000):
        code, sentence = outcome(capsys, "segment", str(images), "--out", str(out), "--weights", weights)
    assert (code, sentence) == (2, f"road_seg segment: cannot write {out}/frame1_overlay.png: File too large")
    assert sorted(os.listdir(out)) == ["frame0_mask.png", "frame0_overlay.png", "frame1_mask.png"]
    assert read_rgb(out / "frame1_mask.png").shape == (60, 192, 3)


def test_export_on_a_full_disk_leaves_no_file(tmp_path, weights, capsys):
    pytest.importorskip("onnxruntime")
    with small_disk(20_000):
        code, sentence = outcome(
            capsys, "export", "--out", str(tmp_path / "x.onnx"), "--weights", weights, "--size", "96x32"
        )
    assert (code, sentence) == (2, f"road_seg export: cannot write {tmp_path}/x.onnx: File too large")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_synthesize_can_be_repeated(tmp_path, monkeypatch, capsys):
    from fcn_road_seg.frames import image_file

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_file, "write_image", interrupt)
        assert main(["synthesize", str(tmp_path / "out"), "--frames", "1"]) == 130
    assert not list((tmp_path / "out").iterdir())
    assert main(["synthesize", str(tmp_path / "out"), "--frames", "1"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"images", "labels", "train.txt"}


PRINT_NAMES = "import sys; from fcn_road_seg.cli.main import main; sys.exit(main())"


def test_names_that_are_no_text_can_be_printed(images, tmp_path, weights):
    out = tmp_path / NOT_UTF8
    (images / "frame0.png").rename(images / f"{NOT_UTF8}.png")
    (images / "frame1.png").write_bytes(b"")
    words = [sys.executable, "-c", PRINT_NAMES, "segment", images, "--out", out, "--weights", weights]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    result = subprocess.run(words, capture_output=True, env=environment, timeout=120)
    assert result.returncode == 1 and b"Traceback" not in result.stderr and b"internal error" not in result.stderr
    assert rb"1 of 2 files segmented into" in result.stdout and rb"stra\udcdfe" in result.stdout
    assert sorted(os.listdir(out)) == [f"{NOT_UTF8}_mask.png", f"{NOT_UTF8}_overlay.png"]


def test_a_run_folder_that_tensorboard_cannot_open_is_refused(tmp_path, capsys):
    root = f"kitti_road:{write_folder(tmp_path, ['um_000000'])}"
    code, sentence = outcome(capsys, "train", "--recipe", "seed", "--data", root, "--out", str(tmp_path / NOT_UTF8))
    assert code == 2 and "is not UTF-8: choose another" in sentence


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_what_cannot_be_read_is_told_as_it_is(images, tmp_path, weights, capsys, kind):
    if kind == "folder":
        (images / "other.png").mkdir()
        why = "Is a directory"
    else:
        (images / "other.png").symlink_to(tmp_path / "none")
        why = "No such file or directory"
    code = main(["segment", str(images), "--out", str(tmp_path / "out"), "--weights", weights])
    assert code == 1 and f"other.png cannot be read: {why}" in capsys.readouterr().err


def test_a_folder_of_12_bit_pictures(images, tmp_path, weights, capsys):
    import cv2

    dark = tmp_path / "dark"
    dark.mkdir()
    for name in ("frame0", "frame1"):
        picture = read_rgb(images / f"{name}.png")
        picture[0, 0] = 255
        write_image(images / f"{name}.png", picture)
        cv2.imwrite(str(dark / f"{name}.png"), picture[..., ::-1].astype(np.uint16) << 4 | 5)
    for folder in (images, dark):
        assert main(["segment", str(folder), "--out", str(tmp_path / f"{folder.name}_out"), "--weights", weights]) == 0
    assert capsys.readouterr().err.count(f"{dark}/frame0.png: 16-bit images with values of 12 bits") == 1
    for file in (tmp_path / "images_out").iterdir():
        np.testing.assert_array_equal(read_rgb(file), read_rgb(tmp_path / "dark_out" / file.name))
