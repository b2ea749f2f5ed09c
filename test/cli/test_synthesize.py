"""`road_seg synthesize` writes a folder that trains and validates."""

import numpy as np
from test_cli import fails

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets.folder import Folder
from fcn_road_seg.synthetic import CAMERAS, SyntheticDrive


def test_it_writes_frames_and_labels_of_two_streets(tmp_path, capsys):
    mine = tmp_path / "mine"
    options = ["--camera", "robot", "--scene", "brick", "--weather", "sun", "--seed", "3"]
    assert main(["synthesize", str(mine), "--frames", "2", "--val-frames", "1", *options]) == 0
    assert capsys.readouterr().out == f"{mine}: 2 frames in train.txt, 1 frames in val.txt\n"
    train, held_out = Folder(mine), Folder(mine, "val")
    assert train.names == ["street_a_000", "street_a_001"] and held_out.names == ["street_b_000"]
    drive = SyntheticDrive(3, 2, CAMERAS["robot"], rate=1.0, speed=40.0, weather="sun", scene="brick")
    for sample, frame in zip(train, drive, strict=True):
        assert np.array_equal(sample.label, frame.road)
        assert np.abs(sample.image.astype(int) - frame.image).mean() < 4  # JPEG
    assert not np.array_equal(train[0].label, train[1].label)
    assert not np.array_equal(train[0].label, held_out[0].label) and held_out[0].label.mean() > 0.1
    assert "already has images/" in fails(capsys, "synthesize", str(mine))


def test_it_refuses_what_does_not_exist(tmp_path, capsys):
    out = str(tmp_path / "mine")
    assert "there is no camera 'phone': --camera takes kitti, " in fails(capsys, "synthesize", out, "--camera", "phone")
    assert "there is no scene 'moon'" in fails(capsys, "synthesize", out, "--scene", "moon")
    assert "there is no weather 'hail'" in fails(capsys, "synthesize", out, "--weather", "hail")
    assert "--frames must be 1 or more" in fails(capsys, "synthesize", out, "--frames", "0")
    assert not (tmp_path / "mine").exists()
