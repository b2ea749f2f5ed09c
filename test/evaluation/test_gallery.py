"""The gallery: problems worked by hand, which frames it shows, the page, its width on a phone, and the command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from headless_chromium import Chromium, chromium_program
from test_html_report import Segmenter
from tiny_cityscapes import write_frames
from tiny_kitti import write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.datasets.open_dataset import open_dataset
from fcn_road_seg.evaluation import gallery
from fcn_road_seg.evaluation.comparison import Contestant, compare
from fcn_road_seg.evaluation.comparison_page import write_comparison
from fcn_road_seg.evaluation.gallery import Unlabelled, choose, choose_unlabelled, measure, measure_unlabelled, problems
from fcn_road_seg.evaluation.gallery_page import probability_picture, write_gallery
from fcn_road_seg.evaluation.html_page import prepare
from fcn_road_seg.evaluation.html_report import kitti_set, write_report
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.sample import Sample

NAMES = ["um_000000", "umm_000003", "umm_000004", "umm_000005", "uu_000001"]


class Street(list):
    """Frames with classes: 0 is road, 1 a car."""

    class_names = ("road", "car")


def street(name: str, shade: int, car: int, width: int = 60) -> Sample:
    """One row of road with a pixel of a car; the last ten are ignored."""
    label, classes = np.ones((1, width), np.uint8), np.zeros((1, width), np.uint8)
    label[0, car], classes[0, car] = 0, 1
    label[0, -10:] = 255
    return Sample(np.full((1, width, 3), shade, np.uint8), label, name, classes)


def misses(*pixels: int) -> Contestant:
    """Misses these pixels of road in every frame, and calls the car road in none."""

    def segment(image: np.ndarray) -> np.ndarray:
        answer = np.full(image.shape[:2], 255, np.uint8)
        answer[0, [*pixels, int(image[0, 0, 0])]] = 0
        return answer

    return Contestant(segment, 0.5)


def test_errors_near_vehicles_worked_by_hand():
    frames = Street([street("a", 5, 5), street("b", 10, 10)])
    figures = measure([misses(30), misses(25, 26, 49, 55)], frames)
    (problem,) = figures["problems"]
    assert problem == {
        "title": "near vehicles",
        "definition": "on or within 20 pixels of what is labelled car",
        "frames": 2,
        "share": pytest.approx((26 + 31) / 100),
        "errors": [pytest.approx(1 / 2), pytest.approx(3 / 6)],  # 30 is near 10; 25 is near both, 26 near 10
        "error_rate": [pytest.approx(1 / 57), pytest.approx(3 / 57)],
    }
    assert figures["frames"] == 2 and [round(w["recall"], 4) for w in figures["weights"]] == [0.9796, 0.9388]
    assert [frame["wrong"] for frame in figures["per_frame"]] == [{"near vehicles": 1}, {"near vehicles": 2}]
    assert [w["error_rate"] for w in figures["per_frame"][0]["weights"]] == [0.02, 0.06]


def test_frames_without_a_named_problem():
    sample = street("a", 5, 5)
    figures = measure([misses(30)], [Sample(sample.image, sample.label, "a")])
    assert figures["problems"] == [] and figures["per_frame"][0]["wrong"] == {}
    assert figures["weights"][0]["precision"] == 1


def test_typical_and_worst_frames_and_those_of_each_problem():
    rates = [0.05, 0.01, 0.5, 0.02, 0.03, 0.04, 0.06]
    per_frame = [
        {"weights": [{"error_rate": 0}, {"error_rate": r}], "wrong": {"p": i % 3, "q": 0}} for i, r in enumerate(rates)
    ]
    figures = {"per_frame": per_frame, "problems": [{"title": "p"}, {"title": "q"}]}
    assert choose(figures) == {
        "Typical frames": [0, 5, 4],
        "The worst frames": [2, 6, 0],
        "Most errors: p": [2, 5, 1],
    }
    one = {"per_frame": per_frame[:1], "problems": []}
    assert choose(one) == {"Typical frames": [0], "The worst frames": [0]}


def test_what_can_be_measured_on_each_data_set(tmp_path):
    write_frames(write_frames(tmp_path / "city", "train", "zurich", 1), "val", "ulm", 1)
    for part in ("train", "all"):
        city = open_dataset("cityscapes", tmp_path / "city", part)
        vehicles, rails = problems(city)
        assert vehicles.definition.endswith("labelled car, truck, bus, train, motorcycle, bicycle")
        sample = city[0]
        assert (sample.classes == 19).sum() > 50 and not (sample.classes == 20).any()
        near = rails.where(sample)[62]
        assert near[200:240].all() and near[180] and not near[150]
        assert vehicles.where(sample)[53, 103 - 20] and not vehicles.where(sample)[53, 103 - 30]
    kitti = KittiRoad(write_folder(tmp_path / "kitti", NAMES))
    (crossing,) = problems(kitti)
    assert [bool(crossing.where(sample).all()) for sample in kitti] == [False, True, True, True, False]
    assert problems(KittiRoad(tmp_path / "kitti", NAMES[:1])) == problems([kitti[0]]) == []
    assert tuple(NAMES[1:4]) == gallery.RAIL_CROSSING


# --- pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Every page of `road_seg evaluate`, with long names and wide frames."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    root = tmp_path_factory.mktemp("pages")
    kitti = KittiRoad(write_folder(root / "kitti", NAMES))
    (root / "own").mkdir()
    for number in range(8):
        write_image(root / "own" / f"{number}.png", kitti[0].image)
    segmenter = Segmenter()
    one, two = Contestant(segmenter, 0.5), Contestant(Segmenter(blind=kitti[2].image), 0.5)
    facts = [{"weights": f"{name}_with_a_long_name.safetensors", "SHA-256": name * 64} for name in "ab"]
    command = "road_seg evaluate <" + "x" * 200 + ">"
    folders = {name: root / name for name in ("report", "comparison", "gallery", "before_and_now")}
    for name, folder in folders.items():
        prepare(folder, "--gallery" if "gallery" in name else "--report")
    named = kitti_set(kitti, "a data set with a very long name " * 3)
    write_report(folders["report"], segmenter, segmenter, [named], command)
    sets = {"kitti_road": kitti}
    write_comparison(folders["comparison"], (one, two), facts, command, sets, compare(one, two, sets), ["A note."])
    own = Unlabelled(root / "own")
    mixed = {"kitti_road": kitti, own.name: own}
    for folder, contestants in ((folders["gallery"], [one]), (folders["before_and_now"], [one, two])):
        figures = {"kitti_road": measure(contestants, kitti), own.name: measure_unlabelled(contestants, own)}
        write_gallery(folder, contestants, facts[: len(contestants)], command, mixed, figures, ["A <note>."])
    return folders


def test_the_gallery_shows_camera_errors_and_overlay(pages):
    text = (pages["gallery"] / "index.html").read_text()
    assert re.findall("<h3>(.*)</h3>", text) == [
        "Typical frames",
        "The worst frames",
        "Most errors: rail crossing",
        "Evenly spaced",
        "Where the network is least sure",
    ]
    assert "A &lt;note&gt;." in text and "rail crossing: the whole frames umm_000003, umm_000004, umm_000005." in text
    assert re.findall(r"<br>([^<]+)</div>", text)[:3] == ["camera", "errors", "overlay"]
    assert text.count("<br>P(road)</div>") == 6 + 3 and text.count("<br>camera</div>") == 3 + 3 + 2 + 6 + 3
    assert "road, missed" in text and "rgb(255, 225, 0)" in text
    frame = pages["gallery"] / "frames" / "0_00000_0.jpg"
    assert read_rgb(frame).shape == (60, 192, 3)


def test_before_and_now_stand_side_by_side(pages):
    text = (pages["before_and_now"] / "index.html").read_text()
    assert re.findall(r"<br>([^<]+)</div>", text)[:4] == ["camera", "errors before", "errors now", "overlay now"]
    assert "<th>of all errors before<th>of all errors now<th>wrong there before<th>wrong there now" in text
    assert re.search(r"umm_000004: before \d+\.\d\d % wrong, .*; now \d+\.\d\d % wrong", text)
    worst = text.index("The worst frames")
    assert text.index("umm_000004", worst) < text.index("um_000000", worst)  # where the second is blind
    assert "Where the two differ most" in text and ", different in 0.00 %" in text


@pytest.mark.parametrize("name", ["gallery", "before_and_now"])
def test_the_gallery_needs_nothing_but_its_folder(pages, name):
    text = (pages[name] / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all((pages[name] / source).stat().st_size > 500 for source in sources)
    assert "http" not in text and "script" not in text


def test_probabilities_become_brighter():
    shown = probability_picture(np.array([[0, 128, 255]], np.uint8))[0].astype(int)
    assert shown.sum(1).tolist() == sorted(shown.sum(1)) and shown[0, 2] > shown[0, 0] and shown[2, 0] > shown[2, 2]


def test_frames_without_labels_are_chosen_by_doubt():
    per_frame = [{"unsure": share, "different": None} for share in (0.1, 0.4, 0.2, 0.3)]
    assert choose_unlabelled({"per_frame": per_frame}) == {
        "Evenly spaced": [0, 1, 2, 3],
        "Where the network is least sure": [1, 3, 2],
    }
    many = [{"unsure": 0.0, "different": i / 100} for i in range(100)]
    assert choose_unlabelled({"per_frame": many}) == {
        "Evenly spaced": [0, 20, 40, 59, 79, 99],
        "Where the two differ most": [99, 98, 97],
    }


def test_no_page_is_wider_than_a_phone(pages, tmp_path):
    program = chromium_program()
    if program is None:
        pytest.skip("no Chromium is on PATH")
    pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    chromium = Chromium(program, tmp_path / "profile", "about:blank")
    try:
        for name, folder in pages.items():
            chromium.call("Page.navigate", url=(folder / "index.html").as_uri())
            chromium.wait_for(f"location.pathname.endsWith('/{name}/index.html') && document.readyState == 'complete'")
            for width in (390, 1280):
                size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
                chromium.call("Emulation.setDeviceMetricsOverride", **size)
                assert chromium.value("innerWidth") == width
                assert chromium.value("document.documentElement.scrollWidth <= innerWidth"), (name, width)
    finally:
        chromium.close()


# --- the command -------------------------------------------------------------------------------


def test_the_command_writes_page_and_figures(small_weights, tmp_path, capsys):
    pytest.importorskip("jinja2")
    root, file, page = write_folder(tmp_path / "kitti", NAMES[:2]), tmp_path / "figures.json", tmp_path / "page"
    options = ["--precision", "fp32", "--backend", "torch", "--json", str(file), "--gallery", str(page)]
    own = ["--unlabelled", str(root / "training" / "image_2")]
    pair = ["--compare", str(small_weights), str(small_weights)]
    assert main(["evaluate", "--data", f"kitti_road:{root}", "--part", "all", *own, *pair, *options]) == 0
    printed = capsys.readouterr().out
    assert "rail crossing before" in printed and printed.endswith(f"{page / 'index.html'}\n")
    figures = json.loads(file.read_text())
    assert figures["part"] == "all" and len(figures["weights"]) == 2
    assert list(figures["sets"]) == ["kitti_road", "image_2"]
    (problem,) = figures["sets"]["kitti_road"]["problems"]
    assert problem["frames"] == 1 and problem["share"] == pytest.approx(0.5)
    own = figures["sets"]["image_2"]["per_frame"]
    assert [(frame["name"], frame["different"]) for frame in own] == [("frame 0", 0), ("frame 1", 0)]
    assert len(list((page / "frames").iterdir())) == 2 * 4 * 2
