"""Our networks beside other projects': the same rounds, the same frames, the same metrics, one table."""

import json
from argparse import Namespace

import numpy as np
import pytest
import yaml
from tiny_kitti import draw, write_folder
from tiny_peer import CONVENTIONS, green_network

from fcn_road_seg.benchmark.configurations import (
    NETWORKS,
    REFERENCE,
    Bound,
    Configuration,
    default_configurations,
    parse,
)
from fcn_road_seg.benchmark.measure import Settings, measure
from fcn_road_seg.benchmark.peer_conventions import load_conventions
from fcn_road_seg.benchmark.peer_model import PeerModel
from fcn_road_seg.benchmark.plot import plot_side_by_side
from fcn_road_seg.benchmark.side_by_side import side_by_side_figures, side_by_side_tables
from fcn_road_seg.cli import benchmark_inputs
from fcn_road_seg.cli.benchmark_inputs import load_peers, named_weights
from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import IGNORE, Sample
from fcn_road_seg.inference.backends import hardware


@pytest.fixture
def one_arithmetic(monkeypatch):
    """A CPU that multiplies FP32 only."""
    monkeypatch.setattr(hardware, "fast_float_precision", lambda: "fp32")


@pytest.fixture
def peer(tmp_path):
    """The path of a network whose road is the frame's green channel, with its conventions beside it."""
    path = green_network(tmp_path / "green.xml")
    texts = {"output": "mixed", "name": "Green", "licence": "MIT", "source": "https://example.org"}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(CONVENTIONS | texts))
    return path


def samples(count: int) -> list[Sample]:
    """Frames whose green channel is the label, but not where it is ignored."""
    drawn = []
    for seed in range(count):
        image, label = draw(seed, 48, 192)
        image[..., 1] = 255 * (label == 1)
        image[-1, :, 1] = np.where(np.arange(192) % 2, 255, 0)  # ignored
        drawn.append(Sample(image, label, f"um_{seed:06}"))
    assert (drawn[0].label[-1] == IGNORE).all()
    return drawn


def write_set(root, frames):
    """A folder of labelled frames, all of them in its validation part."""
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for frame in frames:
        write_image(root / "images" / f"{frame.name}.png", frame.image)
        write_image(root / "labels" / f"{frame.name}.png", frame.label)
    (root / "val.txt").write_text("".join(f"{frame.name}\n" for frame in frames))
    return root


def test_a_peer_takes_part_in_the_rounds_and_in_every_metric(small_weights, peer):
    conventions = load_conventions(peer.with_suffix(".yaml"))
    models = [PeerModel(peer, conventions, arithmetic, 1) for arithmetic in ("fp32", "bf16")]
    frames = samples(2)
    images = [frame.image for frame in frames]
    settings = Settings(str(small_weights), "cpu")
    benchmark = measure(
        [REFERENCE], settings, images, 3, 1, None, True, peers=models, sets={"a": frames, "b": frames[:1]}
    )
    for m in (*benchmark.measurements, *benchmark.peers):
        assert len(m.seconds) == 3 and min(m.seconds) > 0
        assert list(m.stages) == ["preprocess", "network", "postprocess", "threshold"]
        assert all(len(taken) == 3 for taken in m.stages.values())
        assert {name: metrics["frames"] for name, metrics in m.by_set.items()} == {"a": 2, "b": 1}
    ours, theirs, half = side_by_side_figures(benchmark)
    assert (ours["system"], ours["precision"], ours["network_size"]) == ("full", "fp32", [128, 32])
    assert (theirs["system"], theirs["precision"], theirs["network_size"]) == ("Green", "fp32", [192, 64])
    assert (theirs["parameters"], theirs["licence"], half["precision"]) == (9, "MIT", "bf16")
    assert ours["sets"]["a"]["max_f"] < 0.9
    for metric in ("max_f", "average_precision", "iou", "precision", "recall"):
        assert theirs["sets"]["a"][metric] == 1
    assert theirs["sets"]["a"]["ece"] == 0
    assert theirs["p50_ms"] == pytest.approx(1000 * np.median(benchmark.peers[0].seconds), abs=0.001)


def entry(system, max_f, licence=""):
    metrics = {"frames": 22, "max_f": max_f, "average_precision": 0.5, "iou": 0.25, "ece": 0.0123}
    figures = {"system": system, "parameters": 184_294, "network_size": [896, 512], "backend": "openvino"}
    figures |= {"precision": "fp32", "p50_ms": 12.345, "p90_ms": 13.0, "p99_ms": 14.0, "sets": {"kitti": metrics}}
    return figures | ({"licence": licence, "source": "https://example.org"} if licence else {})


def test_the_table_marks_the_best_of_each_set():
    text = side_by_side_tables(
        [entry("full", 0.97123), entry("A", 0.9), entry("B", 1.0, "MIT"), entry("B", 1.0, "MIT")]
    )
    lines = text.splitlines()
    assert lines[0] == "Side by side, MaxF in percent:"
    assert lines[2] == "| network | parameters | input | run by | precision | p50 ms | kitti (22 frames) |"
    assert lines[4] == "| full | 0.18 M | 896x512 | openvino | fp32 | 12.3 | 97.12 |"
    assert lines[6] == lines[7] == "| B | 0.18 M | 896x512 | openvino | fp32 | 12.3 | **100.00** |"
    assert "| A, openvino fp32 | 50.00 / 25.00 / 1.23 |" in lines
    assert lines[-1] == "- B: MIT; https://example.org" and text.count("- B: ") == 1


def test_without_labelled_frames_the_table_has_times_only():
    figures = entry("full", 0.9) | {"sets": {}}
    text = side_by_side_tables([figures])
    assert text.splitlines()[0] == "Side by side:" and text.splitlines()[-1].endswith("| fp32 | 12.3 |")


def test_the_plot_has_a_mark_per_network(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    figures = [entry("full", 0.9), entry("A", 0.5)]
    for each, far in zip(figures, (0.8, 0.4), strict=True):
        each["sets"]["far"] = {"max_f": far}
    plot_side_by_side(figures, "a CPU", tmp_path / "plot.png")
    (axes,) = drawn[0].axes
    assert [line.get_xdata()[0] for line in axes.lines] == [12.345, 12.345]
    assert [line.get_ydata()[0] for line in axes.lines] == pytest.approx([85, 45])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "full, fp32: 12.3 ms, 85.00 %",
        "A, fp32: 12.3 ms, 45.00 %",
    ]
    assert axes.get_ylabel() == "mean MaxF of kitti, far (%)" and (tmp_path / "plot.png").stat().st_size > 1000


def test_the_command_measures_a_peer_on_the_named_sets(small_weights, peer, tmp_path, capsys, one_arithmetic):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    roots = [write_set(tmp_path / name, samples(number)) for name, number in (("near", 3), ("far", 1))]
    details, table, picture = (tmp_path / name for name in ("details.json", "table.md", "plot.png"))
    options = ["--smoke", "--device", "cpu", "--rungs", "torch:fp32", "--weights", str(small_weights)]
    options += ["--peer", str(peer), "--details", str(details), "--markdown", str(table), "--plot", str(picture)]
    options += ["--data", f"near=folder:{roots[0]}", "--data", f"far=folder:{roots[1]}", "--data-frames", "2"]
    code = main(["benchmark", *options])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert picture.is_file()
    ours, theirs = json.loads(details.read_text())["side_by_side"]
    assert (ours["system"], theirs["system"]) == ("full", "Green")
    assert theirs["sets"]["near"]["frames"] == 2 and theirs["sets"]["far"]["frames"] == 1
    assert theirs["sets"]["near"]["max_f"] == 1
    assert "near (2 frames) | far (1 frames)" in captured.out and table.read_text().strip() == captured.out.strip()
    assert json.loads(details.read_text())["rungs"][0]["frame_size"] == [192, 48]  # of the first set


def test_a_peer_is_also_measured_on_the_frames_of_root(small_weights, peer, tmp_path, capsys, one_arithmetic):
    root = write_folder(tmp_path / "kitti", ["um_000000", "uu_000001"])
    options = ["--smoke", "--device", "cpu", "--rungs", "torch:fp32", "--weights", str(small_weights)]
    assert main(["benchmark", *options, "--peer", str(peer), "--root", str(root), "--split", "all"]) == 0
    assert "kitti_road all (2 frames)" in capsys.readouterr().out


def test_other_weights_have_rungs_of_their_own(small_weights, tmp_path, capsys):
    frames = write_set(tmp_path / "set", samples(2))
    options = ["--smoke", "--device", "cpu", "--rungs", "mine/torch:fp32", "--data", f"set=folder:{frames}"]
    options += ["--weights", str(small_weights), "--weights", f"mine={small_weights}"]
    assert main(["benchmark", *options]) == 0
    out = capsys.readouterr().out
    assert "| mine/torch:fp32 |" in out and "| mine | " in out


def test_weights_are_named(tmp_path):
    odd = tmp_path / "a=b.safetensors"
    odd.touch()
    assert named_weights([]) == named_weights([""]) == {}
    assert named_weights(["a.safetensors", "lite=b", "mine=c=d"]) == {
        "full": "a.safetensors",
        "lite": "b",
        "mine": "c=d",
    }
    assert named_weights([str(odd)]) == {"full": str(odd)}
    for items in (["a b=c"], ["=c"], ["mine="]):
        with pytest.raises(UserError, match="must be FILE or NAME=FILE"):
            named_weights(items)
    with pytest.raises(UserError, match="--weights names full twice"):
        named_weights(["a", "full=b"])


def test_networks_with_names_of_their_own():
    mine = Configuration("mine", "openvino", "int8")
    assert parse("mine/openvino:int8", [*NETWORKS, "mine"]) == [REFERENCE, mine]
    with pytest.raises(UserError, match="networks: full, lite;"):
        parse("mine/openvino:int8")
    defaults = default_configurations("cpu", ["full", "mine"])
    assert mine in defaults and {c.network for c in defaults} == {"full", "mine"}
    assert mine.bound("cpu") == Bound(0, 1)
    settings = Settings("f", others={"lite": "l", "mine": "m"})
    weights = [settings.options(Configuration(name, "torch", "fp32")).weights for name in ("full", "lite", "mine")]
    assert (
        weights == ["f", "l", "m"] and Settings("f").options(Configuration("lite", "torch", "fp32")).weights == "lite"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (["--peer", "none.onnx"], "there is no file none.onnx"),
        (["--peer", "net.pth"], "is neither an ONNX file"),
        (["--label-map", "map.yaml"], "--label-map is for the folders of --data"),
        (["--data", "folder:none"], "none is not a folder of labelled frames"),
        (["--data", "video:none"], "video"),
        (["--data-frames", "-1"], "--data-frames is -1, but must be at least 0"),
        (["--weights", "mine=a", "--rungs", "torch:fp32"], "--rungs has no mine/BACKEND:PRECISION"),
    ],
)
def test_bad_options_are_a_user_error(options, message, capsys):
    assert main(["benchmark", "--device", "cpu", *options]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_folders_have_label_maps(tmp_path):
    frame = Sample(np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 7, np.uint8), "a")
    (tmp_path / "map.yaml").write_text("road: 7\n")
    data, maps = [f"mine=folder:{write_set(tmp_path / 'mine', [frame])}"], [f"mine={tmp_path / 'map.yaml'}"]
    options = Namespace(data=data, label_map=maps, data_frames=0, peer=[])
    assert (benchmark_inputs.labelled_sets(options, None)["mine"][0].label == 1).all()


def test_peers_run_on_the_cpu_and_have_different_names(peer, monkeypatch):
    monkeypatch.setattr(hardware, "fast_float_precision", lambda: "bf16")
    assert [(p.name, p.precision) for p in load_peers([str(peer)], "cpu", 1)] == [("Green", "fp32"), ("Green", "bf16")]
    with pytest.raises(UserError, match="give --device cpu"):
        load_peers([str(peer)], "cuda:0", 1)
    with pytest.raises(UserError, match="two networks are named Green"):
        load_peers([str(peer), str(peer)], "cpu", 1)
    assert benchmark_inputs.load_peers([], "cuda", 0) == []
