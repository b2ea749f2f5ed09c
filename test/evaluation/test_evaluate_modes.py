"""`road_seg evaluate`: which options exclude, need or complement each other; paths are checked before work begins."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tiny_kitti import draw, write_folder

from fcn_road_seg.cli import compare, evaluate_modes
from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation import flicker, ground_errors
from fcn_road_seg.frames.image_file import write_image

MODES = {"--metres": [], "--report": ["report"], "--flicker": [], "--corruptions": [], "--data": ["camvid:camvid"]}


@pytest.fixture(scope="module")
def kitti(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("kitti"), ["um_000000", "um_000001"])


@pytest.fixture
def refuses(tmp_path, monkeypatch, capsys):
    """The sentence with which the command ends before it loads a network or writes a file."""

    def refused(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        for module in (evaluate_modes, compare):
            monkeypatch.setattr(module, "load_segmenter", lambda args: pytest.fail("work began"))
        assert main(["evaluate", *arguments]) == 2
        captured = capsys.readouterr()
        assert not captured.out and captured.err.count("\n") == 1 and not list(tmp_path.iterdir())
        return captured.err

    return refused


@pytest.mark.parametrize(("first", "second"), list(combinations(MODES, 2)))
def test_two_modes_exclude_each_other(refuses, kitti, first, second):
    sentence = refuses(first, *MODES[first], second, *MODES[second], "--root", str(kitti))
    assert f"{first} and {second} exclude each other" in sentence


def test_all_modes_at_once_are_refused(refuses):
    arguments = [part for mode, values in MODES.items() for part in (mode, *values)]
    sentence = refuses(*arguments, "--camvid", "/no/such/folder")
    assert all(mode in sentence for mode in MODES) and "exclude each other" in sentence


@pytest.mark.parametrize("mode", [[mode, *values] for mode, values in MODES.items() if mode != "--report"] + [[]])
def test_camvid_needs_report(refuses, kitti, mode):
    assert "--camvid needs --report" in refuses(*mode, "--root", str(kitti), "--camvid", "camvid")


@pytest.mark.parametrize("mode", [[mode, *values] for mode, values in MODES.items()] + [[]])
def test_split_needs_root(refuses, mode):
    camvid = ["--camvid", "camvid"] if "--report" in mode else []
    assert "--split needs a KITTI Road folder" in refuses(*mode, *camvid, "--split", "val")


@pytest.mark.parametrize("mode", [["--report", "report"], ["--corruptions"], []])
def test_a_mode_without_frames_is_refused(refuses, mode):
    assert "--root" in refuses(*mode)


@pytest.mark.parametrize("mode", [[mode, *values] for mode, values in MODES.items() if mode != "--data"] + [[]])
def test_missing_kitti_folders_and_splits_are_found_before_work_begins(refuses, kitti, mode):
    assert "nowhere is not a KITTI Road folder" in refuses(*mode, "--root", "nowhere")
    assert "cannot read none.txt" in refuses(*mode, "--root", str(kitti), "--split", "none.txt")


def test_data_excludes_root_and_names_each_set_once(refuses, kitti):
    assert "--data kitti_road:DIR" in refuses("--data", f"kitti_road:{kitti}", "--root", str(kitti))
    assert "camvid is given 2 times" in refuses("--data", "camvid:a", "--data", "camvid:b")
    assert "'unlabelled' has no validation part" in refuses("--data", "unlabelled:a")


def test_compare_takes_labelled_frames_and_two_weights(refuses, kitti):
    pair, root = ["--compare", "full", "lite"], ["--root", str(kitti)]
    for mode in (["--metres"], ["--flicker"], ["--corruptions"], ["--submission", "out"]):
        assert f"--compare and {mode[0]} exclude each other" in refuses(*pair, *mode, *root)
    assert "--compare needs labelled frames" in refuses(*pair)
    assert "--compare needs labelled frames" in refuses(*pair, "--report", "page")
    assert "leave out --weights" in refuses(*pair, *root, "--weights", "lite")
    assert "--data camvid:DIR" in refuses(*pair, *root, "--report", "page", "--camvid", "camvid")
    assert "nowhere is not a KITTI Road folder" in refuses(*pair, "--root", "nowhere", "--report", "page")
    assert "--data and --root exclude each other" in refuses(*pair, *root, "--data", "camvid:camvid")


def test_the_gallery_takes_frames_and_no_other_mode(refuses, kitti):
    gallery, root = ["--gallery", "page"], ["--root", str(kitti)]
    for mode in (["--metres"], ["--report", "page"], ["--flicker"], ["--corruptions"], ["--submission", "out"]):
        assert f"--gallery and {mode[0]} exclude each other" in refuses(*gallery, *mode, *root)
    assert "--gallery needs frames" in refuses(*gallery)
    assert "--gallery needs frames" in refuses(*gallery, "--compare", "full", "lite")
    assert "--unlabelled needs --gallery" in refuses(*root, "--unlabelled", "film.mp4")
    assert "there is no drive film.mp4" in refuses(*gallery, "--unlabelled", "film.mp4")
    assert "nowhere is not a KITTI Road folder" in refuses(*gallery, "--root", "nowhere")
    assert "--bev belongs to KITTI Road's metrics" in refuses(*gallery, *root, "--bev", "exact")
    assert "leave out --weights" in refuses(*gallery, *root, "--compare", "full", "lite", "--weights", "lite")


def test_options_of_one_mode_are_refused_elsewhere(refuses, kitti):
    root = ["--root", str(kitti)]
    assert "--part needs data sets" in refuses(*root, "--part", "all")
    assert "--label-map is for the folders of --data" in refuses(*root, "--label-map", "map.yaml")
    assert "--bev belongs to KITTI Road's metrics" in refuses("--data", "camvid:camvid", "--bev", "exact")
    for mode in (["--metres"], ["--flicker"], ["--corruptions"], ["--compare", "full", "lite"]):
        assert "--bev belongs to KITTI Road's metrics" in refuses(*mode, *root, "--bev", "exact")
    assert "--submission takes the test frames" in refuses("--submission", "out")
    assert "--submission takes the test frames" in refuses("--submission", "out", *root, "--split", "val")
    assert "--submission and" not in refuses("--submission", "out", *root)
    assert "has no testing/image_2" in refuses("--submission", "out", *root)
    assert "--data and --submission exclude each other" in refuses("--data", "camvid:a", "--submission", "out")


def test_data_measures_other_parts_and_states_its_facts(kitti, small_weights, tmp_path, capsys, monkeypatch):
    file, options = tmp_path / "figures.json", ["--weights", str(small_weights)]
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["evaluate", "--data", f"kitti_road:{kitti}", "--part", "all", "--json", str(file), *options]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert figures["part"] == "all" and figures["threshold"] == 0.5 and len(figures["weights_sha256"]) == 64
    assert {"device", "precision"} < set(figures)
    row = figures["sets"]["kitti_road"]
    assert row["frames"] == 2 and row["trained_on"] is None
    assert "average_precision" in printed and f" {row['max_f']:.4f} " in printed
    assert main(["evaluate", "--root", str(kitti), "--json", str(file), *options]) == 0
    perspective = json.loads(file.read_text())
    assert perspective["weights_sha256"] == figures["weights_sha256"] and perspective["bev_sampling"] == "devkit"
    perspective = perspective["perspective"]
    for metric in ("max_f", "average_precision", "iou", "threshold"):
        assert row[metric] == pytest.approx(perspective[metric])


def test_the_exact_view_differs_from_the_kits(kitti, small_weights, tmp_path):
    found = []
    for sampling in ("devkit", "exact"):
        options = ["--weights", str(small_weights), "--bev", sampling, "--json", str(tmp_path / "figures.json")]
        assert main(["evaluate", "--root", str(kitti), *options]) == 0
        found.append(json.loads((tmp_path / "figures.json").read_text()))
    assert [figures["bev_sampling"] for figures in found] == ["devkit", "exact"]
    assert found[0]["perspective"] == found[1]["perspective"] and found[0]["bev"] != found[1]["bev"]


def test_missing_camvid_folders_and_drives_are_found_before_work_begins(refuses, kitti):
    assert "nowhere is not a CamVid folder" in refuses("--report", "report", "--camvid", "nowhere")
    assert "nowhere is not a CamVid" in refuses("--report", "report", "--camvid", "nowhere", "--root", str(kitti))
    assert "there is no drive nowhere" in refuses("--flicker", "nowhere")
    assert "nowhere is not a CamVid folder" in refuses("--data", "camvid:nowhere")


def test_frames_without_calibration_have_no_ground_errors(small_weights, tmp_path, capsys, monkeypatch):
    root = write_folder(tmp_path, ["um_000000", "um_000001"])
    (root / "training" / "calib" / "um_000001.txt").unlink()
    monkeypatch.setattr(ground_errors, "segmented", lambda *_: pytest.fail("work began"))
    assert main(["evaluate", "--metres", "--root", str(root), "--weights", str(small_weights)]) == 2
    assert "lacks the calibration of um_000001" in capsys.readouterr().err


# --- what composes -----------------------------------------------------------------------------


def test_flicker_with_root_measures_the_labelled_frames(kitti, small_weights, tmp_path, capsys):
    file, images = tmp_path / "figures.json", str(kitti / "training" / "image_2")
    options = ["--weights", str(small_weights), "--json", str(file)]
    assert main(["evaluate", "--flicker", images, "--root", str(kitti), *options]) == 0
    assert json.loads(file.read_text())["smoothing"][0]["max_f"] > 0
    assert main(["evaluate", "--flicker", images, *options]) == 0
    assert json.loads(file.read_text())["smoothing"][0]["max_f"] is None


def test_metres_with_root_and_split_measures_kitti_too(kitti, small_weights, tmp_path, monkeypatch):
    seen = []
    measure = ground_errors.measure_ground_errors

    def measure_two(segment, threshold, own_vehicle, dataset, track):
        seen.append((dataset and dataset.names, own_vehicle and own_vehicle.path))
        return measure(segment, threshold, own_vehicle, 2, dataset, track)

    monkeypatch.setattr(ground_errors, "measure_ground_errors", measure_two)
    (tmp_path / "split.txt").write_text("um_000001\n")
    file, options = tmp_path / "figures.json", ["--metres", "--weights", str(small_weights)]
    split = ["--root", str(kitti), "--split", str(tmp_path / "split.txt"), "--json", str(file)]
    assert main(["evaluate", *options, *split]) == 0
    assert json.loads(file.read_text())["kitti"]["frames"] == 1
    (mask := tmp_path / "mask.yaml").write_text("polygons: [[[0, 1], [0.5, 0.9], [1, 1]]]")
    assert main(["evaluate", *options, "--own-vehicle-mask", str(mask)]) == 0
    assert seen == [(["um_000001"], None), (None, mask)]


def test_flicker_leaves_the_own_vehicle_out_after_smoothing_too(small_weights, tmp_path, monkeypatch):
    def measure(segmenter, frames, threshold, period, clean, own_vehicle):
        assert own_vehicle is segmenter.own_vehicle is not None
        assert not clean(np.full((60, 80), 255, np.uint8))[59].any()
        raise UserError("measured")

    monkeypatch.setattr(flicker, "measure_flicker", measure)
    (tmp_path / "mask.yaml").write_text("polygons: [[[0, 1], [0, 0.9], [1, 0.9], [1, 1]]]")
    options = ["--weights", str(small_weights), "--own-vehicle-mask", str(tmp_path / "mask.yaml")]
    assert main(["evaluate", "--flicker", *options]) == 2


def test_report_shows_the_masks_that_min_region_cleans(kitti, small_weights, tmp_path):
    file, found = tmp_path / "figures.json", []
    for mode in ([], ["--min-region", "0.1"], ["--min-region", "0.1", "--report", str(tmp_path / "page")]):
        options = ["--root", str(kitti), "--weights", str(small_weights), "--json", str(file)]
        assert main(["evaluate", *mode, *options]) == 0
        figures = json.loads(file.read_text())
        figures = figures["sets"]["KITTI Road, all"] if "--report" in mode else figures
        found.append(figures["perspective"]["iou"])
    assert found[0] != found[1] and found[1] == pytest.approx(found[2])


def test_report_with_root_and_camvid_has_both(kitti, small_weights, tmp_path):
    for folder in ("test", "testannot"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
    image, label = draw(5)
    write_image(tmp_path / "camvid" / "test" / "0001TP_008550.png", image)
    write_image(tmp_path / "camvid" / "testannot" / "0001TP_008550.png", np.where(label == 1, 3, 0).astype(np.uint8))
    file = tmp_path / "figures.json"
    options = ["--camvid", str(tmp_path / "camvid"), "--weights", str(small_weights), "--json", str(file)]
    assert main(["evaluate", "--report", str(tmp_path / "both"), "--root", str(kitti), *options]) == 0
    assert list(json.loads(file.read_text())["sets"]) == ["KITTI Road, all", "CamVid, test part"]
    assert main(["evaluate", "--report", str(tmp_path / "one"), *options]) == 0
    assert list(json.loads(file.read_text())["sets"]) == ["CamVid, test part"]
    assert (tmp_path / "both" / "index.html").is_file() and (tmp_path / "one" / "index.html").is_file()
