"""The error analysis against cases worked by hand, and the report: complete, self-contained and correct."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_kitti import write_folder

from fcn_road_seg.datasets.camvid import CLASSES, CamVid
from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.error_analysis import ErrorAnalysis
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.evaluation.html_report import (
    camvid_set,
    kitti_scenes,
    kitti_set,
    write_report,
)
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.inference.checkpoint import Metadata

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

NAMES = ["um_000004", "um_000044", "umm_000022", "uu_000001"]


class Segmenter:
    """Grey is road; in the frame `blind` it finds none."""

    threshold = 0.5
    device, device_name, backend, precision, network_width = "cpu", "a <CPU>", "torch", "fp32", 576
    checkpoint = SimpleNamespace(
        path=SimpleNamespace(name="tiny.safetensors"),
        sha256="0123abcd" * 8,
        metadata=Metadata(fc="atrous", fc_width=16, data={"kitti_road": {"frames": 3}, "validation": {"frames": 1}}),
    )

    def __init__(self, blind: np.ndarray | None = None):
        self.blind = blind

    def __call__(self, image: np.ndarray) -> np.ndarray:
        spread = np.ptp(image.astype(int), axis=-1)
        road = np.where(spread < 45, 220, 30).astype(np.uint8)
        return road // 8 if self.blind is not None and np.array_equal(image, self.blind) else road


@pytest.fixture(scope="module")
def kitti(tmp_path_factory) -> KittiRoad:
    return KittiRoad(write_folder(tmp_path_factory.mktemp("kitti"), NAMES))


@pytest.fixture(scope="module")
def camvid(tmp_path_factory) -> CamVid:
    """Two frames: road below, a pavement beside it, a car on it, sky above, a void corner."""
    root = tmp_path_factory.mktemp("camvid")
    for folder in ("test", "testannot"):
        (root / folder).mkdir()
    ids = np.full((60, 80), CLASSES.index("sky"), np.uint8)
    ids[30:] = CLASSES.index("road")
    ids[30:, 60:] = CLASSES.index("pavement")
    ids[40:50, 10:20] = CLASSES.index("car")
    ids[:5, :5] = len(CLASSES)
    colours = np.zeros((len(CLASSES) + 1, 3), np.uint8)
    colours[CLASSES.index("road")] = colours[CLASSES.index("pavement")] = 110
    colours[CLASSES.index("sky")], colours[CLASSES.index("car")] = (120, 160, 230), (200, 20, 20)
    for name in ("0001TP_000001", "Seq05VD_f00001"):
        write_image(root / "test" / f"{name}.png", colours[ids])
        write_image(root / "testannot" / f"{name}.png", ids)
    return CamVid(root, ("test",))


@pytest.fixture(scope="module")
def report(kitti, camvid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "new" / "report"
    segmenter = Segmenter(blind=kitti[2].image)
    return folder, write_report(
        folder,
        segmenter,
        segmenter,
        [kitti_set(kitti), camvid_set(camvid)],
        "road_seg evaluate --report <DIR>",
        worst=3,
    )


def test_errors_by_distance_from_the_edge():
    label = np.zeros((20, 100), np.uint8)
    label[:, 50:] = 1
    label[0] = 255
    probability = np.where(label == 1, 255, 0).astype(np.uint8)
    probability[5, 49] = 255  # 1 pixel beyond the edge
    probability[6:8, 46] = 255  # 4 pixels
    probability[5:15, 53] = 0  # road, 4 pixels inside
    probability[10, 0] = 255  # 50 pixels
    probability[0, :] = 255  # not counted
    analysis = ErrorAnalysis(0.5)
    analysis.add(Sample(np.zeros((20, 100, 3), np.uint8), label, "a"), probability, "street")
    rows = analysis.figures()["borders"]
    assert [row["pixels"] for row in rows] == [[0, 2], [2, 5], [5, 10], [10, 20], [20, None]]
    assert [round(14 * row["false_road"]) for row in rows] == [1, 2, 0, 0, 1]
    assert [round(14 * row["missed_road"]) for row in rows] == [0, 10, 0, 0, 0]
    assert [row["share"] for row in rows] == pytest.approx([0.04, 0.06, 0.1, 0.2, 0.6])
    assert rows[1]["error_rate"] == pytest.approx(12 / (19 * 6))
    assert sum(row["errors"] for row in rows) == pytest.approx(1)


def test_errors_by_class(camvid):
    analysis = ErrorAnalysis(0.5, CLASSES)
    for i in range(2):
        analysis.add(camvid[i], Segmenter()(camvid[i].image), "drive")
    rows = {row["class"]: row for row in analysis.figures()["classes"]}
    assert rows["pavement"]["called_road"] == 1 and rows["pavement"]["false_road"] == 1
    assert rows["road"]["called_road"] == 1 and rows["road"]["false_road"] is None
    assert rows["car"]["called_road"] == 0 and rows["car"]["pixels"] == 200
    assert rows["pavement"]["errors_near"] == 1 and rows["car"]["errors_near"] == 0
    assert 0 < rows["sky"]["errors_near"] < 0.4  # the upper end of the pavement
    assert rows["tree"] == dict.fromkeys(rows["tree"], None) | {
        "class": "tree", "pixels": 0, "false_road": 0, "near": 0, "errors_near": 0,
    }  # fmt: skip


def test_errors_by_distance_ahead():
    """A bird's-eye view with one band wrong."""
    label = np.zeros((800, 400), np.uint8)
    label[:, 100:300] = 1
    probability = np.where(label == 1, 255, 0).astype(np.uint8)
    probability[520:720] = 0  # 10 to 20 m
    analysis = ErrorAnalysis(0.5)
    sample = Sample(np.zeros((800, 400, 3), np.uint8), label, "a")
    analysis.add(sample, probability, "street", lambda image, outside=0: image)
    bands = analysis.figures()["bands"]
    assert [band["metres"] for band in bands] == [[6, 10], [10, 20], [20, 46]]
    assert [band["errors"] for band in bands] == [0, 1, 0]
    assert [band["iou"] for band in bands] == [1, 0, 1]


def test_its_figures_are_those_of_evaluate(kitti, report):
    _, figures = report
    expected = evaluate(Segmenter(blind=kitti[2].image), kitti, 0.5)
    section = figures["sets"]["KITTI Road"]
    for view in ("perspective", "bev"):
        assert section[view]["max_f"] == pytest.approx(expected[view]["max_f"])
        assert section[view]["iou"] == pytest.approx(expected[view]["iou"])
    assert [frame["iou"] for frame in section["per_frame"]] == [frame["iou"] for frame in expected["per_frame"]]
    assert figures["weights_sha256"] == Segmenter.checkpoint.sha256 and 0 < section["ece"] < 1


def test_the_page_states_what_it_shows(report):
    page = (report[0] / "index.html").read_text()
    for text in (
        "0123abcd" * 8,
        "road_seg evaluate --report &lt;DIR&gt;",
        "0.500",
        "a &lt;CPU&gt;",
        "kitti_road (3 frames)",
    ):
        assert text in page, text
    for text in ("side street, parked cars", "turning at bollards", "avenue with works", "uu", "0001TP", "Seq05VD"):
        assert f"<td>{text}<" in page, text
    for text in ("By distance", "By class", "10–20", "pavement", "100.00"):
        assert text in page, text


def test_the_page_needs_nothing_but_its_folder(report):
    folder, _ = report
    page = (folder / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 2 * 2 + 3 + 2  # plots and pictures
    assert all((folder / source).stat().st_size > 1000 for source in sources)
    assert "http" not in page and "script" not in page


def test_the_worst_frame_comes_first_and_in_colour(kitti, report):
    folder, figures = report
    assert min(figures["sets"]["KITTI Road"]["per_frame"], key=lambda f: f["iou"])["name"] == kitti[2].name
    captions = re.findall(r"<figcaption>(\w+)", (folder / "index.html").read_text())
    assert captions[0] == kitti[2].name == "umm_000022"
    assert len(captions) == 5
    picture = read_rgb(folder / "frames" / "0_00.jpg")
    road = kitti[2].label == 1
    yellow = picture[..., 0].astype(int) - picture[..., 2]  # missed
    assert np.median(yellow[road]) > 80 and np.median(yellow[kitti[2].label == 0]) < 10


def test_every_frame_of_the_splits_has_a_street():
    scenes = kitti_scenes()
    assert set(scenes) == {*split_names("train"), *split_names("val")}
    held_out = {scenes[name] for name in split_names("val")}
    assert len(held_out) == 7 and not held_out & {scenes[name] for name in split_names("train")}


def test_a_folder_that_cannot_be_created_is_an_error(kitti, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .* is a file, not a folder"):
        write_report(tmp_path / "file" / "report", Segmenter(), Segmenter(), [kitti_set(kitti)], "")
