"""Two weights side by side: figures worked by hand, the page, and the command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_kitti import write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.evaluation.comparison import Contestant, compare, verdict
from fcn_road_seg.evaluation.comparison_page import write_comparison
from fcn_road_seg.evaluation.error_picture import COLOURS, OPACITY
from fcn_road_seg.evaluation.html_page import prepare
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.inference.checkpoint import Metadata, save
from fcn_road_seg.inference.network import FCN8s


def small_frame(name: str, shade: int, label: list[int]) -> Sample:
    return Sample(np.full((1, len(label), 3), shade, np.uint8), np.array([label], np.uint8), name)


FRAMES = [
    small_frame("first", 1, [1, 1, 1, 1, 0, 0, 0, 0]),
    small_frame("second", 2, [1, 1, 0, 0, 0, 0, 255, 0]),
]
ANSWERS = {
    "a": {1: [200, 200, 200, 50, 200, 10, 10, 10], 2: [200, 200, 10, 10, 10, 10, 255, 10]},
    "b": {1: [200, 200, 200, 200, 10, 10, 10, 10], 2: [200, 50, 10, 10, 10, 10, 255, 10]},
}


def contestant(name: str, threshold: float = 0.5) -> Contestant:
    return Contestant(lambda image: np.array([ANSWERS[name][int(image[0, 0, 0])]], np.uint8), threshold)


def test_two_frames_worked_by_hand():
    figures = compare(contestant("a"), contestant("b"), {"street": FRAMES})["street"]
    assert figures["frames"] == 2
    assert figures["a"]["iou"] == pytest.approx(5 / 7) and figures["b"]["iou"] == pytest.approx(5 / 6)
    assert figures["a"]["precision"] == pytest.approx(5 / 6) and figures["a"]["recall"] == pytest.approx(5 / 6)
    assert figures["a"]["max_f"] == pytest.approx(12 / 13) and figures["b"]["max_f"] == 1
    assert figures["difference"]["iou"] == {
        "value": pytest.approx(5 / 42),
        "low": pytest.approx(-0.5),
        "high": pytest.approx(0.4),
        "includes_zero": True,
    }
    first, second = figures["per_frame"]
    assert (first["name"], second["name"]) == ("first", "second")
    assert first["a"]["iou"] == pytest.approx(3 / 5) and first["b"]["iou"] == 1
    assert first["iou_difference"] == pytest.approx(0.4) and second["iou_difference"] == pytest.approx(-0.5)
    assert first["a"]["max_f"] == pytest.approx(8 / 9) and second["b"]["max_f"] == 1


def test_each_has_its_own_threshold():
    figures = compare(contestant("b"), contestant("b", 0.1), {"street": FRAMES})["street"]
    assert figures["a"]["recall"] == pytest.approx(5 / 6) and figures["b"]["recall"] == 1
    assert (figures["a"]["threshold"], figures["b"]["threshold"]) == (0.5, 0.1)
    assert figures["difference"]["max_f"]["value"] == 0


def test_frames_without_road_differ_by_what_was_called_road():
    empty = [small_frame("a", 1, [0] * 8), small_frame("b", 3, [0] * 8)]
    silent = Contestant(lambda image: np.zeros((1, 8), np.uint8), 0.5)
    figures = compare(silent, contestant("a"), {"wood": [empty[0]]})["wood"]
    assert figures["per_frame"][0]["a"]["iou"] is None and figures["per_frame"][0]["iou_difference"] == -1
    assert figures["difference"]["max_f"] is None and verdict(figures["difference"]["max_f"], 1) == "undefined"


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.02, -0.01, 0.05, "includes 0: not told apart"),
        (0.0, 0.0, 0.0, "includes 0: not told apart"),
        (0.02, 0.01, 0.05, "B is higher"),
        (-0.02, -0.05, -0.01, "A is higher"),
        (0.3, None, None, "1 frame: no interval"),
    ],
)
def test_the_verdict(value, low, high, words):
    includes = low is None or low <= 0 <= high
    assert verdict({"value": value, "low": low, "high": high, "includes_zero": includes}, 1) == words


@pytest.fixture
def page(tmp_path) -> Path:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    large = [
        Sample(np.repeat(np.repeat(f.image, 16, 0), 8, 1), np.repeat(np.repeat(f.label, 16, 0), 8, 1), f.name)
        for f in FRAMES
    ]

    def blow_up(name: str) -> Contestant:
        small = contestant(name)
        return Contestant(lambda image: np.repeat(np.repeat(small.segment(image), 16, 0), 8, 1), 0.5)

    pair, sets = (blow_up("a"), blow_up("b")), {"street": large}
    facts = [{"weights": f"{name}.safetensors", "SHA-256": name * 8} for name in "ab"]
    prepare(tmp_path / "page")
    figures = compare(*pair, sets)
    write_comparison(tmp_path / "page", pair, facts, "road_seg <x>", sets, figures, ["B saw <all>."])
    return tmp_path / "page"


def test_the_page_shows_the_frames_that_differ_most_first(page):
    text = (page / "index.html").read_text()
    assert re.findall(r"<figcaption>(\w+)", text) == ["second", "first"]
    for part in ("a.safetensors", "bbbbbbbb", "road_seg &lt;x&gt;", "B saw &lt;all&gt;.", "street: 2 frames"):
        assert part in text, part
    for part in (
        "<td>iou<td>71.43<td>83.33<td>+11.90<td>-50.00 to +40.00<td>includes 0: not told apart",
        "95 % of 4000",
    ):
        assert part in text, part
    assert "IoU of A 60.00, of B 100.00, B − A +40.00" in text


def test_the_page_needs_nothing_but_its_folder(page):
    text = (page / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(sources) == 1 + 2 * 4 and all((page / source).stat().st_size > 200 for source in sources)
    assert "http" not in text and "script" not in text


def test_the_pictures_show_what_each_got_wrong(page):
    def colour(picture: str, column: int) -> np.ndarray:
        return read_rgb(page / "frames" / f"0_01_{picture}.jpg")[:, 8 * column + 3 : 8 * column + 5].mean((0, 1))

    def tint(name: str) -> np.ndarray:  # of a black frame
        return np.array(COLOURS[name]) * OPACITY[name]

    for picture, column, name in (("A", 0, "found"), ("A", 3, "missed"), ("A", 4, "false"), ("B", 3, "found")):
        assert colour(picture, column) == pytest.approx(tint(name), abs=25), (picture, column)
    assert colour("label", 3) == pytest.approx(tint("found"), abs=25)
    assert colour("label", 4) == pytest.approx([1, 1, 1], abs=25) and colour("frame", 0) == pytest.approx(
        [1] * 3, abs=5
    )


# --- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory) -> Path:
    import torch

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "other.safetensors"
    data = {"kitti_road": {"frames": 1, "names": ["um_000001"]}}
    metadata = Metadata(fc="atrous", fc_width=16, network_width=128, threshold=0.4, data=data)
    save(path, FCN8s("atrous", fc_width=16, std_init=1.0), metadata)
    return path


@pytest.fixture(scope="module")
def kitti(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("kitti"), ["um_000000", "um_000001", "um_000002"])


def test_compare_on_root_writes_figures_and_a_page(kitti, small_weights, other_weights, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    file, weights = tmp_path / "figures.json", [str(small_weights), str(other_weights)]
    options = ["--root", str(kitti), "--precision", "fp32", "--backend", "torch", "--json", str(file)]
    assert main(["evaluate", "--compare", *weights, *options, "--report", str(tmp_path / "page")]) == 0
    figures = json.loads(file.read_text())
    assert [figures[side]["weights"] for side in "ab"] == weights
    assert figures["a"]["threshold"] == 0.5 and figures["b"]["threshold"] == 0.4
    assert figures["b"]["trained_on"] == {"kitti_road": 1} and figures["a"]["trained_on"] == {"kitti_road": None}
    assert len(figures["a"]["weights_sha256"]) == 64 and figures["a"]["precision"] == "fp32"
    assert figures["draws"] >= 2000 and figures["split"] == "all"
    found = figures["sets"]["kitti_road"]
    assert found["frames"] == 3 and len(found["per_frame"]) == 3
    iou = found["difference"]["iou"]
    assert iou["value"] == pytest.approx(found["b"]["iou"] - found["a"]["iou"]) and iou["low"] <= iou["high"]

    alone = tmp_path / "alone.json"
    for side, name in zip("ab", weights, strict=True):
        rest = ["--precision", "fp32", "--backend", "torch", "--json", str(alone)]
        assert main(["evaluate", "--root", str(kitti), "--weights", name, *rest]) == 0
        single = json.loads(alone.read_text())["perspective"]
        assert found[side]["iou"] == pytest.approx(single["iou"])
        assert found[side]["max_f"] == pytest.approx(single["max_f"])
    assert (tmp_path / "page" / "index.html").is_file()
    assert "B was trained on 1 of these frames of kitti_road." in capsys.readouterr().out


def test_compare_on_data_with_itself_tells_nothing_apart(kitti, small_weights, tmp_path, capsys):
    file = tmp_path / "figures.json"
    pair = ["--compare", str(small_weights), str(small_weights), "--precision", "fp32", "--backend", "torch"]
    for part in ("images", "labels"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    for name, folder in (("image_2", "images"), ("gt_image_2", "labels")):
        for path in sorted((kitti / "training" / name).iterdir()):
            pixels = read_rgb(path)
            if folder == "labels":
                pixels = np.where(pixels[..., 2] > 127, 1, np.where(pixels[..., 0] > 127, 0, 255)).astype(np.uint8)
            write_image(tmp_path / "mine" / folder / path.name.replace("_road", ""), pixels)
    data = ["--data", f"mine=folder:{tmp_path / 'mine'}", "--part", "all", "--json", str(file)]
    assert main(["evaluate", *pair, *data]) == 0
    figures = json.loads(file.read_text())
    assert figures["part"] == "all" and figures["sets"]["mine"]["frames"] == 3
    for difference in figures["sets"]["mine"]["difference"].values():
        assert difference == {"value": 0, "low": 0, "high": 0, "includes_zero": True}
    assert "includes 0" in " ".join(capsys.readouterr().out.split())
