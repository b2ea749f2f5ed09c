"""The limits that the labels set."""

import json

import numpy as np
import pytest
from tiny_kitti import write_folder

from fcn_road_seg.cli.label_limit import main
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation import label_limit
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, Sample

LABEL = np.full((96, 320), NOT_ROAD, np.uint8)
LABEL[40:, 100:200] = ROAD
LABEL[:8] = IGNORE
FRAME = Sample(np.zeros((*LABEL.shape, 3), np.uint8), LABEL, "um_000000")


@pytest.mark.parametrize("pixels", [-5, -1, 1, 5])
def test_the_edge_moves_by_that_many_pixels(pixels):
    road = label_limit.moved_edge(LABEL, pixels)
    assert set(np.unique(road)) == {0, 255}
    rows, columns = np.nonzero(road)
    assert (columns.min(), columns.max()) == (100 - pixels, 199 + pixels) and rows.min() == 40 - pixels


def test_a_smaller_label_is_nearly_the_same():
    road = label_limit.at_network_size(LABEL, 160)
    wrong = (road > 127) != (LABEL == ROAD)
    assert road.shape == LABEL.shape and 0 < (road % 255 > 0).mean() < 0.02 and wrong.mean() < 0.005


def test_ignored_pixels_become_not_road():
    label = label_limit.not_road_where_ignored(FRAME).label
    assert (label[:8] == NOT_ROAD).all() and (label[8:] == LABEL[8:]).all() and (FRAME.label[:8] == IGNORE).all()


def test_a_compressed_frame_differs_but_keeps_its_colours():
    image = np.random.default_rng(0).integers(0, 255, FRAME.image.shape, dtype=np.uint8)
    image[..., 1:] = [40, 200]
    seen = label_limit.after_jpeg(Sample(image, LABEL, "um_000000")).image[..., 2]
    assert (seen != 200).any() and abs(seen.mean() - 200) < 20  # red is still red, blue blue


def test_the_label_itself_is_perfect(tmp_path):
    frames = KittiRoad(write_folder(tmp_path, ["um_000000", "um_000001"]))
    same = label_limit.measure(frames, ((s, np.where(s.label == ROAD, np.uint8(255), np.uint8(0))) for s in frames))
    assert set(same) == {"max_f", "iou", "bev_max_f", "bev_iou"} and min(same.values()) == 1
    moved = label_limit.measure(frames, ((s, label_limit.moved_edge(s.label, 3)) for s in frames))
    assert 0.5 < moved["iou"] < moved["max_f"] < 1


def test_the_table(tmp_path, small_weights, capsys):
    root = write_folder(tmp_path, ["um_000000", "um_000001"])
    file = tmp_path / "limit.json"
    options = ["--split", "all", "--weights", str(small_weights), "--json", str(file)]
    assert main([str(root), *options]) == 0
    rows = json.loads(file.read_text())
    assert capsys.readouterr().out.count("\n|") >= len(rows) + 1 and "the label, its edge 2 px inwards" in rows
    assert main([str(tmp_path / "missing")]) == 2
    assert "is not a KITTI Road folder" in capsys.readouterr().err
