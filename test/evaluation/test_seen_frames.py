"""Which frames the weights were trained on, and their figures apart from the others'."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_kitti import write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.evaluation.seen_frames import count_seen, sentence, trained_names
from fcn_road_seg.inference.checkpoint import Metadata, load, save

NAMES = ["um_000000", "um_000001", "um_000002", "uu_000003"]


def metadata(**data: dict) -> Metadata:
    return Metadata(fc="atrous", fc_width=16, network_width=128, data=data)


def test_names_in_the_metadata():
    known = metadata(
        kitti_road={"frames": 2, "names": ["um_000000", "um_000001"]},
        idd={"frames": 1, "names": ["a"]},
        **{
            "origin/kitti_road": {"frames": 1, "names": ["um_000002"]},
            "origin/origin/idd": {"frames": 1, "names": ["b"]},
            "validation/idd": {"frames": 1, "names": ["c"]},
        },
    )
    assert trained_names(known, "kitti_road") == {"um_000000", "um_000001", "um_000002"}
    assert trained_names(known, "idd") == {"a", "b"}
    assert trained_names(known, "mine") == frozenset()
    assert count_seen(known, "idd", ["a", "c", "d"]) == 1


def test_variants_of_a_set_have_its_frames():
    known = metadata(**{"bdd100k+direct_only": {"frames": 1, "names": ["a"]}})
    assert trained_names(known, "bdd100k") == {"a"}


def test_older_weights_have_no_names():
    older = metadata(kitti_road={"frames": 83, "sha256": ""}, camvid={"frames": 701, "sha256": ""}, validation={})
    assert trained_names(older, "kitti_road") == set(split_names("train"))
    assert trained_names(older, "camvid") is None
    assert trained_names(metadata(kitti_road={"frames": 6}), "kitti_road") is None
    assert trained_names(metadata(), "kitti_road") is None and count_seen(metadata(), "idd", ["a"]) is None


def test_the_shipped_weights_saw_the_training_split(shipped_weights):
    names = trained_names(load(shipped_weights).metadata, "kitti_road")
    assert names == set(split_names("train")) and not names & set(split_names("val"))


def test_what_the_user_is_told():
    assert "trained on 83 of these 105 frames: judge them by the other 22" in sentence(105, 83)
    assert "none of these frames" in sentence(22, 0) and "all of these frames" in sentence(83, 83)
    assert "do not say" in sentence(22, None)


def grey(image: np.ndarray) -> np.ndarray:
    return np.where(np.ptp(image.astype(int), axis=-1) < 45, 220, 30).astype(np.uint8)


def test_seen_and_unseen_frames_have_the_figures_of_those_frames_alone(tmp_path):
    root = write_folder(tmp_path, NAMES)
    figures = evaluate(grey, KittiRoad(root), 0.5, trained_on=frozenset(NAMES[:1]))
    for group, names in (("seen", NAMES[:1]), ("unseen", NAMES[1:])):
        alone = evaluate(grey, KittiRoad(root, names), 0.5)
        assert figures[group] == {"frames": len(names), "perspective": alone["perspective"], "bev": alone["bev"]}
    together = evaluate(grey, KittiRoad(root), 0.5)
    assert {key: figures[key] for key in ("frames", "perspective", "bev")} == {
        key: together[key] for key in ("frames", "perspective", "bev")
    }
    assert [row["seen"] for row in figures["per_frame"]] == [True, False, False, False]
    assert "seen" not in together and "seen" not in together["per_frame"][0]


def test_a_group_without_frames_has_no_figures(tmp_path):
    figures = evaluate(grey, KittiRoad(write_folder(tmp_path, NAMES[:1])), 0.5, trained_on=frozenset())
    assert figures["seen"] == {"frames": 0, "perspective": None, "bev": None} and figures["unseen"]["frames"] == 1


@pytest.fixture
def weights(small_weights, tmp_path) -> Path:
    loaded = load(small_weights)
    path = tmp_path / "named.safetensors"
    save(path, loaded.network(), metadata(kitti_road={"frames": 2, "names": NAMES[:2]}, mine={"frames": 9}))
    return path


def test_evaluate_reports_seen_frames_apart(weights, tmp_path, capsys):
    file, root = tmp_path / "figures.json", write_folder(tmp_path / "kitti", NAMES)
    options = ["--root", str(root), "--weights", str(weights), "--json", str(file)]
    assert main(["evaluate", *options]) == 0
    figures = json.loads(file.read_text())
    assert figures["frames"] == 4 and figures["seen"]["frames"] == 2 and figures["unseen"]["frames"] == 2
    assert figures["unseen"]["bev"]["max_f"] > 0
    printed = capsys.readouterr().out
    assert "trained on 2 of these 4 frames" in printed and "unseen:" in printed
    (tmp_path / "split.txt").write_text("um_000002\n")
    assert main(["evaluate", *options, "--split", str(tmp_path / "split.txt")]) == 0
    printed = capsys.readouterr().out
    assert "trained on none of these frames" in printed and "unseen:" not in printed
