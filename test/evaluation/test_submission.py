"""KITTI's submission: names, sizes and values of the files; what is refused."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_kitti import CALIBRATION, draw, write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.submission import SERVER_FRAMES, missing, write_submission
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import DatasetError


@pytest.fixture
def root(tmp_path) -> Path:
    """Three test frames, one of them a JPEG, and a file that is not one."""
    folder = tmp_path / "kitti"
    for part in ("image_2", "calib"):
        (folder / "testing" / part).mkdir(parents=True)
    for name in ("um_000000.png", "umm_000007.jpg", "uu_000099.png", "readme.png"):
        write_image(folder / "testing" / "image_2" / name, draw(0)[0])
        (folder / "testing" / "calib" / name).with_suffix(".txt").write_text(CALIBRATION)
    return folder


def columns(image: np.ndarray) -> np.ndarray:
    """A segmenter whose P(road) is the pixel's column."""
    return np.broadcast_to(np.arange(image.shape[1], dtype=np.uint8), image.shape[:2])


def test_names_sizes_and_values(root, tmp_path):
    files = write_submission(columns, root, tmp_path / "new" / "out")
    names = ["um_road_000000.png", "umm_road_000007.png", "uu_road_000099.png"]
    assert [file.name for file in files] == names == sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    for file in files:
        written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint8 and written.shape == (800, 400)
        # x = -0.025, z = 6.025: u = 95.5 - 100 x 0.025 / 6.025 = 95.09, so the kit takes column 94.
        assert written[799, 199] == 94
        assert written[799, 0] == 0  # x = -9.975 is left of the image
    exact = write_submission(columns, root, tmp_path / "exact", "exact")
    assert cv2.imread(str(exact[0]), cv2.IMREAD_UNCHANGED)[799, 199] == 95


def test_files_of_an_earlier_run_are_overwritten_but_others_are_refused(root, tmp_path):
    write_submission(columns, root, tmp_path / "out")
    write_submission(columns, root, tmp_path / "out")
    (tmp_path / "out" / "um_road_000050.png").write_text("")
    with pytest.raises(UserError, match="holds um_road_000050.png, which is not part of this submission"):
        write_submission(columns, root, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .* is a file, not a folder"):
        write_submission(columns, root, tmp_path / "file" / "out")


def test_calibrations_are_checked_before_the_first_frame(root, tmp_path):
    def fails(image: np.ndarray) -> np.ndarray:
        pytest.fail("work began")

    calibration = root / "testing" / "calib"
    (calibration / "uu_000099.txt").write_bytes(b"\x8f\xfe" * 50)
    with pytest.raises(DatasetError, match="uu_000099.txt: it is not a text file"):
        write_submission(fails, root, tmp_path / "out")
    (calibration / "umm_000007.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(DatasetError, match=r"umm_000007.txt: .*no P2.*2 of 3 frames have no usable calibration"):
        write_submission(fails, root, tmp_path / "out")
    shutil.rmtree(calibration)
    with pytest.raises(DatasetError, match=r"um_000000.txt: No such file.*3 of 3 frames"):
        write_submission(fails, root, tmp_path / "out")
    with pytest.raises(DatasetError, match="has no testing/image_2"):
        write_submission(fails, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_server_wants_all_frames():
    files = [Path(f"{category}_road_{i:06d}.png") for category, count in SERVER_FRAMES.items() for i in range(count)]
    assert len(files) == 290 and missing(files) == ""
    assert missing(files[:-1]) == "The server wants all of KITTI's test frames, but these are 99 of 100 uu."


def test_the_command(root, small_weights, tmp_path, capsys):
    file, out = tmp_path / "figures.json", tmp_path / "out"
    options = ["--weights", str(small_weights), "--json", str(file)]
    assert main(["evaluate", "--root", str(root), "--submission", str(out), *options]) == 0
    figures = json.loads(file.read_text())
    assert figures["frames"] == 3 and figures["files"] == sorted(path.name for path in out.iterdir())
    assert figures["bev_sampling"] == "devkit" and len(figures["weights_sha256"]) == 64
    printed = capsys.readouterr().out
    assert f"zip -j road.zip {out}/*.png" in printed and "1 of 96 um, 1 of 94 umm, 1 of 100 uu" in printed


def test_training_frames_are_not_test_frames(tmp_path, small_weights, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    options = ["--weights", str(small_weights), "--submission", str(tmp_path / "out")]
    assert main(["evaluate", "--root", str(root), *options]) == 2
    assert "has no testing/image_2" in capsys.readouterr().err and not (tmp_path / "out").exists()
