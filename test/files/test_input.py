"""Files as people have them: hidden ones, byte order marks, capitals in suffixes, pipes with a file's name."""

import codecs
import csv
import os
from pathlib import Path

import numpy as np
import pytest

from fcn_road_seg.bags.kitti import read_stamps, read_times
from fcn_road_seg.bags.kitti_calibration import odometry_calibration
from fcn_road_seg.benchmark.peer_conventions import load_conventions
from fcn_road_seg.datasets.kitti_road import read_calibration, read_names, read_streets
from fcn_road_seg.datasets.label_map import read_label_map
from fcn_road_seg.datasets.labelme import read_json
from fcn_road_seg.files.input import read_bytes, read_text, visible
from fcn_road_seg.frames.image_file import ImageFileError, by_name, images_in, read_rgb, write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.training.recipe import load_recipe

MARKS = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
ROOT = Path(__file__).parents[2]
PROJECTION = "7.2e+02 0 1.6e+02 0 0 7.2e+02 4.8e+01 0 0 0 1 0"
READERS = {
    "split": (read_names, "um_000000 # first\num_000001\n"),
    "streets": (read_streets, "# a street\num_000000\n"),
    "calibration of a frame": (lambda path: read_calibration(path)["P2"].tolist(), f"P2: {PROJECTION}\n"),
    "calibration of a sequence": (
        lambda path: odometry_calibration(path, [0]).projections[0].tolist(),
        f"P0: {PROJECTION}\n",
    ),
    "stamps": (read_stamps, "2011-09-26 13:02:25.964389445\n"),
    "times": (read_times, "0.000000e+00\n1.036224e-01\n"),
    "label map": (lambda path: read_label_map(path).ids, "road: [7, 8]\n"),
    "annotations": (read_json, '{"shapes": []}'),
    "conventions": (load_conventions, (ROOT / "config/peers/road-segmentation-adas-0001.yaml").read_text()),
    "recipe": (lambda path: load_recipe(str(path)), "samples: {kitti_road: 8}\n"),
    "polygons": (lambda path: OwnVehicle(path).share, "polygons:\n  - [[0, 1], [0, 0.5], [1, 0.5], [1, 1]]\n"),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_byte_order_mark_changes_nothing(tmp_path, kind):
    read, text = READERS[kind]
    path = tmp_path / "file.yaml"
    path.write_text(text)
    expected = read(path)
    for encoding, mark in MARKS.items():
        path.write_bytes(mark + text.replace("\n", "\r\n").encode(encoding))
        assert read(path) == expected, encoding


def test_a_table_keeps_its_first_column(tmp_path):
    (tmp_path / "log.csv").write_bytes(codecs.BOM_UTF8 + b"epoch,loss\r\n1,0.5\r\n")
    assert list(csv.DictReader(read_text(tmp_path / "log.csv").splitlines())) == [{"epoch": "1", "loss": "0.5"}]


def test_hidden_files_are_no_data(tmp_path):
    image = np.zeros((4, 6, 3), np.uint8)
    for name in ("b.PNG", "a.jpeg", "._a.jpeg", ".b.png"):
        write_image(tmp_path / name, image)
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in visible(tmp_path)] == ["a.jpeg", "b.PNG", "notes.txt"]
    assert [path.name for path in images_in(tmp_path)] == ["a.jpeg", "b.PNG"]
    assert by_name(tmp_path) == {"a": tmp_path / "a.jpeg", "b": tmp_path / "b.PNG"}
    assert by_name(tmp_path / "missing") == {}
    write_image(tmp_path / "b.jpg", image)
    with pytest.raises(ImageFileError, match="b.PNG and b.jpg have the same name: remove one"):
        by_name(tmp_path)


def test_a_pipe_named_like_a_file_is_refused(tmp_path):
    """Opened without a look, it would wait for a writer that never comes."""
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    for read in (read_bytes, read_text):
        with pytest.raises(OSError, match="pipe or a device, not a file"):
            read(pipe)
    with pytest.raises(ImageFileError, match="a.png"):
        read_rgb(pipe)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_a_shells_pipe_is_read():
    out, into = os.pipe()
    os.write(into, b"um_000000\n")
    os.close(into)
    assert read_names(f"/dev/fd/{out}") == ["um_000000"]
    os.close(out)
