"""`road_seg benchmark`: measurements, output files, and failure when masks are out of bounds."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from tiny_instances import write_detector
from tiny_kitti import draw, write_folder

from fcn_road_seg.benchmark import busy_cores
from fcn_road_seg.benchmark import measure as measure_module
from fcn_road_seg.benchmark.configurations import NETWORKS, REFERENCE, Configuration, default_configurations, parse
from fcn_road_seg.benchmark.ground_cost import time_outputs
from fcn_road_seg.benchmark.interleave import interleaved, time_networks, time_openvino
from fcn_road_seg.benchmark.measure import Settings, measure
from fcn_road_seg.benchmark.node_latency import _figures, _highest_rate, _keeps_up
from fcn_road_seg.benchmark.peak_memory import peak_memory
from fcn_road_seg.benchmark.results import configuration_figures, markdown, network_figures
from fcn_road_seg.benchmark.roofline import Machine, Work, count_work
from fcn_road_seg.benchmark.torchvision_networks import PEERS, peer_networks
from fcn_road_seg.benchmark.weight_folding import FOLDED, folding_variants
from fcn_road_seg.cli import benchmark as command
from fcn_road_seg.cli.main import main
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.errors import DeviceLostError, UserError
from fcn_road_seg.evaluation.ground_errors import view
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import STRIDE
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.synthetic import Camera, SyntheticDrive

pytestmark = pytest.mark.slow

BF16 = Configuration("full", "torch", "bf16")
FRAMES = [draw(seed, 61, 193)[0] for seed in range(2)]


@pytest.fixture
def settings(small_weights) -> Settings:
    return Settings(str(small_weights), "cpu")


@pytest.fixture
def one_wrong_pixel_in_a_hundred(monkeypatch):
    """Make BF16 wrong on 1 % of the pixels."""
    original = RoadSegmenter.__call__

    def call(self, frame):
        probability = original(self, frame).copy()
        if self.precision == "bf16":
            wrong = probability.reshape(-1)[: probability.size // 100]
            wrong[:] = 255 * (wrong < 128)
        return probability

    monkeypatch.setattr(RoadSegmenter, "__call__", call)


def test_parse_puts_the_reference_first():
    assert parse("lite/openvino:bf16, torch:fp32,openvino:int8,openvino:int8") == [
        REFERENCE,
        Configuration("lite", "openvino", "bf16"),
        Configuration("full", "openvino", "int8"),
    ]
    assert [str(configuration) for configuration in parse("graph:fp16")] == ["torch:fp32", "graph:fp16"]
    at_832 = Configuration("lite", "openvino", "int8", 832)
    assert parse(str(at_832)) == [REFERENCE, at_832] and str(at_832) == "lite/openvino:int8@832"
    for text in ("torch", "torch:fp64", "tflite:fp16", "big/torch:fp32", ":", "torch:fp32@", "torch:fp32@wide"):
        with pytest.raises(UserError, match="is not a valid rung"):
            parse(text)


def test_default_configurations_depend_on_the_device():
    assert {configuration.network for configuration in default_configurations("cpu", ["full"])} == {"full"}
    assert Configuration("lite", "openvino", "bf16") in default_configurations("cpu", NETWORKS)
    assert {configuration.backend for configuration in default_configurations("cuda:1", NETWORKS)} == {
        "torch",
        "compile",
        "graph",
        "onnxruntime",
        "onnxruntime_tensorrt",
        "tensorrt",
    }


def test_bounds_are_tighter_for_higher_precision():
    def equal(precision, device="cpu"):
        return Configuration("full", "torch", precision).bound(device).equal

    assert [equal(p) for p in ("fp32", "fp16", "bf16", "int8")] == [0.9999, 0.998, 0.995, 0.985]
    assert equal("fp32", "cuda") == 0.998 and equal("bf16", "cuda") == 0.995
    assert (
        Configuration("lite", "torch", "bf16").bound("cpu")
        == Configuration("full", "torch", "bf16", 832).bound("cpu")
        == (0, 0.01)
    )


def test_calls_are_interleaved_and_the_warm_up_is_dropped():
    order = []
    calls = [lambda number, name=name: order.append(f"{name}{number}") for name in "ABC"]
    seconds = interleaved(calls, iterations=2, warm_up=1)
    assert order == ["A0", "B0", "C0", "A1", "B1", "C1", "A2", "B2", "C2"]
    assert [len(taken) for taken in seconds] == [2, 2, 2]
    assert all(s >= 0 for taken in seconds for s in taken)


def test_count_work_matches_a_manual_count():
    """Counts the FLOPs of a narrow atrous network layer by layer."""
    metadata = checkpoint.Metadata(fc="atrous", fc_width=8, conv_widths=(4,) * 13)
    size = width, height = 64, 32
    flops, channels, area = 0, 3, width * height
    for _, convolutions in ((0, 2), (1, 2), (2, 3), (3, 3), (4, 3)):
        for _ in range(convolutions):
            flops, channels = flops + 2 * 9 * channels * 4 * area, 4
        area //= 4
    flops += 2 * area * (9 * 4 * 8 + 8 * 8 + 8 * 2)  # fc6, fc7, score_fr
    flops += 2 * (4 * area + 16 * area) * 4 * 2  # score_pool4, score_pool3
    flops += 2 * (area * 16 + 4 * area * 16 + 16 * area * 256) * 2 * 2  # the transposed convolutions, per input pixel
    work = count_work(metadata, size)
    assert work.flops == flops
    assert work.parameters == sum(p.numel() for p in checkpoint.empty_network(metadata).parameters())
    assert work.bytes("bf16", (10, 5)) == 2 * work.parameters + 4 * 50


def test_lower_bound_is_the_larger_of_compute_and_transfer_time(monkeypatch):
    machine = Machine("cpu")
    monkeypatch.setattr(machine, "gemm_peak", {"fp32": 100.0, "int8": None}.get)
    monkeypatch.setattr(machine, "bandwidth", lambda: 1000.0)
    assert machine.lower_bound(Work(500, 10), "fp32", (1, 1)) == 5.0
    assert machine.lower_bound(Work(500, 10_000), "fp32", (1, 1)) == pytest.approx(40.004)
    assert machine.lower_bound(Work(500, 10), "int8", (1, 1)) is None


def test_peaks_are_measured(monkeypatch):
    monkeypatch.setattr("fcn_road_seg.benchmark.roofline.GEMM_SIZES", {"cpu": (64, 128)})
    monkeypatch.setattr("fcn_road_seg.benchmark.roofline.COPY_BYTES", {"cpu": 1 << 20})
    machine = Machine("cpu")
    assert machine.gemm_peak("fp32") > 1e6 and machine.bandwidth() > 1e6
    assert machine.gemm_peak("fp32") == machine.gemm_peak("fp32")  # cached
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (_ for _ in ()).throw(RuntimeError("not on this CPU")))
    assert machine.gemm_peak("int8") is None


def test_peak_memory_of_a_fresh_process(settings, tmp_path):
    taken = peak_memory(settings.options(REFERENCE), (193, 61))
    if not os.path.exists("/proc/self/status"):
        pytest.skip("peak memory comes from /proc/self/status")
    weights = 4 * sum(tensor.numel() for tensor in checkpoint.load(settings.weights).tensors.values())
    assert weights < taken < 20 * weights
    assert peak_memory(replace(settings.options(REFERENCE), weights=tmp_path / "none"), (193, 61)) is None


def test_stages_and_total_are_timed(settings):
    benchmark = measure([REFERENCE, BF16], settings, FRAMES, iterations=3, warm_up=2, only_masks=True)
    assert [m.configuration for m in benchmark.measurements] == [REFERENCE, BF16]
    for m in benchmark.measurements:
        assert {"preprocess", "network", "postprocess", "threshold"} <= set(m.stages)
        assert all(len(taken) == 3 for taken in m.stages.values()) and len(m.seconds) == 3
        for i, total in enumerate(m.seconds):
            assert 0 < sum(taken[i] for taken in m.stages.values()) <= total
        assert (m.network_size, m.frame_size) == ((128, 32), (193, 61))
    assert benchmark.measurements[0].equal == 1
    assert benchmark.measurements[1].equal > 0.9


def test_json_fields(settings):
    benchmark = measure([REFERENCE, BF16], settings, FRAMES, iterations=4, warm_up=0, only_masks=True)
    benchmark.measurements[0].seconds = [0.2, 0.2, 0.2, 0.6]
    benchmark.measurements[1].seconds = [0.05] * 4
    benchmark.measurements[1].lower_bound, benchmark.measurements[1].peak_memory = 0.01, 30_000_000
    reference, half = json.loads(json.dumps(configuration_figures(benchmark)))
    expected = {"backend": "torch", "device": "cpu", "precision": "fp32", "network_size": [128, 32]}
    expected |= {"frame_size": [193, 61], "p50_ms": 200, "fps": 5, "speedup": 1, "equal_to_fp32": 1}
    assert reference.items() >= expected.items()
    assert 580 < reference["p99_ms"] <= 600 and reference["times_floor"] is None and reference["max_f"] is None
    assert (half["precision"], half["p50_ms"], half["speedup"], half["times_floor"]) == ("bf16", 50, 4, 5)
    assert half["peak_memory_mb"] == 30


def test_labelled_frames_add_accuracy_metrics(settings, tmp_path):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000", "uu_000001"]))
    benchmark = measure([REFERENCE, BF16], settings, FRAMES, 1, 0, dataset, only_masks=True)
    for figures in configuration_figures(benchmark):
        assert 0 < figures["max_f"] < 1 and 0 < figures["iou"] < 1 and 0 < figures["bev_max_f"] < 1
    assert benchmark.measurements[0].accuracy["frames"] == 2


def test_too_few_equal_pixels_are_reported(settings, one_wrong_pixel_in_a_hundred):
    benchmark = measure([REFERENCE, BF16], settings, FRAMES, 1, 0, only_masks=True)
    (sentence,) = benchmark.broken_bounds()
    assert sentence.startswith("torch:bf16 is out of bounds") and "at least 99.5 % must" in sentence


def test_a_loss_of_max_f_is_reported(settings, tmp_path):
    dataset = KittiRoad(write_folder(tmp_path, ["um_000000"]))
    benchmark = measure([REFERENCE, BF16], settings, FRAMES, 1, 0, dataset, only_masks=True)
    reference, half = benchmark.measurements
    half.equal, half.accuracy = 1.0, {"perspective": {"max_f": reference.max_f - 0.0029}}
    assert benchmark.broken_bounds() == []
    half.accuracy = {"perspective": {"max_f": reference.max_f - 0.0031}}
    assert "may lose at most 0.3 points" in benchmark.broken_bounds()[0]
    half.configuration, half.equal = Configuration("lite", "torch", "bf16"), 0.5
    assert benchmark.broken_bounds() == []


def test_a_configuration_that_cannot_run_is_listed_with_its_reason(settings, monkeypatch):
    load = RoadSegmenter.load.__func__

    def lost(cls, options):
        if options.precision == "bf16":
            raise DeviceLostError("the device no longer works")
        return load(cls, options)

    monkeypatch.setattr(RoadSegmenter, "load", classmethod(lost))
    graph = Configuration("full", "graph", "fp16")
    benchmark = measure([REFERENCE, graph, BF16], settings, FRAMES, 1, 0, only_masks=True)
    assert [m.configuration for m in benchmark.measurements] == [REFERENCE]
    assert set(benchmark.absent) == {graph, BF16} and all(benchmark.absent.values())
    absent = {str(configuration): why for configuration, why in benchmark.absent.items()}
    text = markdown({"machine": {}, "rungs": configuration_figures(benchmark), "absent": absent})
    assert "- torch:bf16 did not run: the device no longer works" in text


def test_frames_of_several_network_sizes_are_refused(settings):
    with pytest.raises(UserError, match="several network sizes"):
        measure([REFERENCE], settings, [*FRAMES, np.zeros((100, 100, 3), np.uint8)], 1, 0)


def test_on_another_device_masks_are_compared_with_those_of_the_cpu(settings, monkeypatch):
    loaded = []
    load = RoadSegmenter.load.__func__

    def watched(cls, options):
        loaded.append(options.device)
        segmenter = load(cls, replace(options, device="cpu"))
        segmenter.device = options.device
        return segmenter

    monkeypatch.setattr(RoadSegmenter, "load", classmethod(watched))
    monkeypatch.setattr(measure_module, "Machine", lambda device: device)
    benchmark = measure([REFERENCE], Settings(settings.weights, "cuda"), FRAMES, 1, 0, only_masks=True)
    assert loaded == ["cuda", "cpu"] and benchmark.machine == "cuda"


def test_peers_and_folding_variants_are_timed(small_weights):
    weights = checkpoint.load(small_weights)
    networks, batch = peer_networks(weights, (2 * STRIDE, 2 * STRIDE))
    times = time_networks(networks, batch, "cpu", ["bf16"], iterations=1, warm_up=0)
    assert list(times) == [(name, "bf16") for name in ("fcn8s", *PEERS)]
    assert [f["speedup"] for f in network_figures(times, "fcn8s")][0] == 1
    networks, batch = folding_variants(weights, (2 * STRIDE, STRIDE))
    times = time_networks(networks, batch, "cpu", ["fp32"], iterations=2, warm_up=0)
    assert list(times) == [(fold, "fp32") for fold in FOLDED]
    assert all(len(seconds) == 2 for seconds in times.values())


def test_ground_outputs_are_timed():
    times = time_outputs(view(Camera.of_size(124, 38)).tables, iterations=2, warm_up=1)
    assert list(times) == ["min_region", "points", "grid", "scan", "boundary"]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())


def test_the_instance_network_is_timed_in_each_precision_of_the_cpu(small_weights, tmp_path, capsys):
    weights = write_detector(tmp_path / "instances.safetensors")
    details = tmp_path / "details.json"
    report = ["--details", str(details), "--weights", str(small_weights), "--rungs", "torch:fp32", "--smoke"]
    assert main(["benchmark", "--instances", str(weights), *report]) == 0
    rungs = json.loads(details.read_text())["instances"]
    assert list(rungs)[0] == "torch:fp32" and set(rungs) <= {"torch:fp32", "openvino:fp32", "openvino:bf16"}
    assert all(figures["p50"] > 0 for figures in rungs.values())
    assert "Vehicles and people, Mask R-CNN" in capsys.readouterr().out
    assert main(["benchmark", "--instances", str(tmp_path / "none.safetensors"), *report]) == 2
    assert "none.safetensors" in capsys.readouterr().err


def test_the_plot_has_a_mark_and_a_label_per_configuration(settings, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib.figure import Figure

    figures = configuration_figures(measure([REFERENCE, BF16], settings, FRAMES, 1, 0, only_masks=True))
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    from fcn_road_seg.benchmark.plot import plot

    plot(figures, tmp_path / "plot.png")
    (axes,) = drawn[0].axes
    assert [line.get_xdata()[0] for line in axes.lines] == [f["p50_ms"] for f in figures]
    assert [text.get_text().split(":")[1] for text in axes.get_legend().get_texts()] == ["fp32", "bf16"]
    assert len({line.get_marker() for line in axes.lines}) == 2
    assert np.ptp(axes.get_ylim()) >= 1  # percent: negligible differences must not fill the axis
    assert cv2.imread(str(tmp_path / "plot.png")).shape[1] > 800


@pytest.mark.parametrize(
    "times",
    [
        [12.3],
        [10.0, 10.001],
        [9.2, 95.0],
        [10.2, 16.3, 33.5, 140],
        [0.001, 99999.0],
    ],
    ids=str,
)
def test_no_text_of_the_plot_touches_another(times, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib.figure import Figure

    from fcn_road_seg.benchmark.plot import plot_side_by_side

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), Path(path).touch()))
    name = "road-segmentation-adas-0001, letterboxed"
    entries = [
        {"system": name, "precision": "bf16", "p50_ms": ms, "sets": {f"set_{i}": {"max_f": 0.9} for i in range(9)}}
        for ms in times
    ]
    plot_side_by_side(entries, "a processor with a long name, " * 4, tmp_path / "plot.png")
    (figure,) = drawn
    figure.draw_without_rendering()
    (axes,) = figure.axes
    across, up = (
        [
            tick.label1
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            if axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1] and tick.label1.get_text()
        ]
        for axis in (axes.xaxis, axes.yaxis)
    )
    assert len(across) >= 2 and len(up) >= 2
    texts = [*across, *up, axes.xaxis.label, axes.yaxis.label, *figure.texts, *axes.get_legend().get_texts()]
    boxes = [text.get_window_extent() for text in texts]
    assert not [
        (texts[i].get_text(), texts[j].get_text())
        for i, box in enumerate(boxes)
        for j in range(i)
        if box.overlaps(boxes[j])
    ]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_highest_rate_by_bisection():
    tried = []
    assert _highest_rate(lambda rate: tried.append(rate) or rate <= 23, 60) == 23
    assert len(tried) <= 6
    assert _highest_rate(lambda rate: False, 60) is None
    assert _keeps_up({"max_ms": 100, "rate_hz": 10, "answered": 99, "sent": 100})
    assert not _keeps_up({"max_ms": 101, "rate_hz": 10, "answered": 100, "sent": 100})
    assert not _keeps_up({"max_ms": 50, "rate_hz": 10, "answered": 50, "sent": 100})


def test_the_way_of_a_mask_is_measured_and_not_the_difference_of_two_medians():
    stages = {"network": 50.0, "age at publish": 70.0}
    arrivals = [SimpleNamespace(age=age, way=0.002) for age in (0.060, 0.062, 0.120)]
    figures = _figures(arrivals, 3, stages)
    assert figures["p50_ms"] == 62.0 and figures["stages_p50_ms"] == stages | {"mask's way": 2.0}
    unknown = [SimpleNamespace(age=0.062, way=None)]  # ROS 2 Humble
    assert _figures(unknown, 3, stages)["stages_p50_ms"] == stages


def printed_figures(program: str, weights: Path) -> dict:
    """The JSON that a program prints when it gets the weights."""
    command = [sys.executable, "-c", program, str(weights)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_node_is_measured_end_to_end(small_weights):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    program = (
        "import json, sys; from fcn_road_seg.benchmark.node_latency import measure_node;"
        "print(json.dumps(measure_node({'weights': sys.argv[1], 'device': 'cpu'}, (5.0,), 3.0, 0, iterations=3)))"
    )
    figures = printed_figures(program, small_weights)
    assert figures["device"] == "cpu" and figures["highest_rate_hz"] is None
    (rate,) = figures["rates"]
    assert 1 <= rate["answered"] <= rate["sent"] and rate["sent"] >= 15  # more on a machine that overruns the 3 s
    assert 0 < rate["p50_ms"] <= rate["p90_ms"] <= rate["p99_ms"] <= rate["max_ms"]
    stages = rate["stages_p50_ms"]
    assert {"decode", "network", "publish", "age at arrival", "age at publish", "mask's way"} <= set(stages)
    parts = sum(stages[stage] for stage in ("preprocess", "network", "postprocess", "threshold"))
    assert rate["segmenter_p50_ms"] == pytest.approx(parts, abs=0.02)
    assert rate["rest_p50_ms"] == pytest.approx(rate["p50_ms"] - parts, abs=0.03)
    text = markdown({"machine": {}, "rungs": [], "absent": {}, "node": figures})
    assert f"| 5 | {rate['answered']} of {rate['sent']} |" in text
    assert list(figures["copies"]) == ["1242x375", "1920x1080"] and text.count("| publish mask |") == 1
    for copies in figures["copies"].values():
        assert list(copies) == ["publish image", "take image", "decode", "fill mask", "publish mask"]
        assert min(copies.values()) > 0


def test_the_node_is_measured_with_several_cameras(small_weights):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    program = (
        "import json, sys; from fcn_road_seg.benchmark.node_latency import measure_node;"
        "parameters = {'weights': sys.argv[1], 'device': 'cpu'};"
        "print(json.dumps(measure_node(parameters, (5.0,), 2.0, 0, iterations=1, cameras=('front', 'left'))))"
    )
    figures = printed_figures(program, small_weights)
    front, left = figures["rates"]
    assert (front["camera"], left["camera"], front["rate_hz"], left["rate_hz"]) == ("front", "left", 5, 5)
    for camera in (front, left):
        assert 1 <= camera["answered"] <= camera["sent"] and camera["sent"] >= 10
        assert {"network", "age at publish", "mask's way"} <= set(camera["stages_p50_ms"])
    p50s = sorted(camera["p50_ms"] for camera in (front, left))
    (spread,) = figures["spreads"]
    assert spread == {"rate_hz": 5, "p50_spread": pytest.approx(p50s[1] / p50s[0], abs=0.006)}
    text = markdown({"machine": {}, "rungs": [], "absent": {}, "node": figures})
    assert f"| left | 5 | {left['answered']} of {left['sent']} |" in text
    assert f"divided by the smallest: {spread['p50_spread']:g} at 5 Hz." in text


def test_a_node_that_cannot_start_is_a_user_error(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    program = (
        "import sys; from fcn_road_seg.benchmark.node_latency import measure_node; from fcn_road_seg.errors import *\n"
        "try: measure_node({'weights': sys.argv[1], 'device': 'cpu'})\nexcept UserError as error: print(error)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "none.safetensors")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert "the node does not start: Not configured: there is no weights file" in result.stdout, result.stderr


@pytest.fixture
def camera_of_a_small_drive(monkeypatch):
    """Make the synthetic drive small, because rendering takes a while."""
    small = Camera.of_size(320, 96)
    monkeypatch.setattr(
        "fcn_road_seg.synthetic.SyntheticDrive", lambda **options: SyntheticDrive(camera=small, **options)
    )


def test_smoke_run_writes_all_files(small_weights, tmp_path, capsys, camera_of_a_small_drive):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    names = {"json": "out.json", "details": "details.json", "markdown": "out.md", "png": "out.png"}
    files = {name: tmp_path / file for name, file in names.items()}
    code = main(
        ["benchmark", "--smoke", "--rungs", "torch:fp32,graph:fp16", "--device", "cpu", "--folds"]
        + ["--sizes", "--batches", "--profile"]
        + ["--weights", str(small_weights), "--json", str(files["json"]), "--details", str(files["details"])]
        + ["--markdown", str(files["markdown"]), "--plot", str(files["png"])]
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    (configuration,) = json.loads(files["json"].read_text())
    keys = {"backend", "device", "precision", "network_size", "frame_size", "p50_ms", "p99_ms", "fps"}
    assert keys <= set(configuration) and all(configuration[key] for key in keys)
    assert configuration["frame_size"] == [320, 96] and configuration["network_size"] == [128, 32]
    details = json.loads(files["details"].read_text())
    assert details["rungs"] == [configuration] and list(details["absent"]) == ["graph:fp16"]
    assert {entry["network"] for entry in details["folds"]} == set(FOLDED)
    assert [*details["sizes"]["times"]][-1] == "3840x2160"
    assert [batch["frames"] for batch in details["batches"]] == [1, 2, 4, 6]
    shares = [kernel["share"] for kernel in details["profile"]["kernels"]]
    assert 1 <= len(shares) <= 10 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.001
    assert files["markdown"].read_text().strip() == captured.out.strip()
    assert (
        "| torch:fp32 |" in captured.out
        and "| 3840x2160 |" in captured.out
        and "graph:fp16 did not run" in captured.out
    )
    assert cv2.imread(str(files["png"])) is not None


def test_openvino_is_timed_on_several_frames_at_once(small_weights):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    segmenter = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32", "openvino"))
    times = time_openvino(SimpleNamespace(segmenter=segmenter, network_size=(128, 32)), (1, 3), 2, 1)
    assert [(count, len(seconds)) for count, seconds in times.items()] == [(1, 2), (3, 2)]
    assert all(taken > 0 for seconds in times.values() for taken in seconds)


def test_results_are_kept_when_a_later_part_fails(
    small_weights, tmp_path, capsys, monkeypatch, camera_of_a_small_drive
):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.delitem(sys.modules, "fcn_road_seg.benchmark.mask_listener", raising=False)
    options = ["--smoke", "--rungs", "torch:fp32", "--device", "cpu", "--weights", str(small_weights)]
    assert main(["benchmark", *options, "--node", "--json", str(tmp_path / "rungs.json")]) == 2
    captured = capsys.readouterr()
    assert "--node needs ROS 2" in captured.err.splitlines()[-1]
    assert "| torch:fp32 |" in captured.out
    assert [configuration["rung"] for configuration in json.loads((tmp_path / "rungs.json").read_text())] == [
        "torch:fp32"
    ]


def test_a_plot_without_matplotlib_is_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "fcn_road_seg.benchmark.plot", raising=False)
    assert main(["benchmark", "--smoke", "--plot", str(tmp_path / "plot.png")]) == 2
    assert "the Python package matplotlib is not installed: pip install" in capsys.readouterr().err


BEFORE = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 100 0 50 800 50 0 0 0 0 0
cpu1 0 0 0 1000 0 0 0 0 0 0
cpu7000 0 0 0 0 0 0 0 0 0 0
intr 1 2
"""
AFTER = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 160 5 60 815 55 2 1 2 60 0
cpu1 10 0 0 1090 0 0 0 0 0 0
cpu7000 99 0 0 0 0 0 0 0 0 0
intr 3 4
"""


def test_busy_cores_are_counted(tmp_path, monkeypatch):
    """Of 100 ticks, core 0 spends 80 on work (60 user, 5 nice, 10 system, 2 + 1 interrupts, 2 stolen), core 1 ten."""
    monkeypatch.setattr(busy_cores.os, "sched_getaffinity", lambda pid: {0, 1})
    stat = tmp_path / "stat"
    stat.write_text(BEFORE)
    monkeypatch.setattr(busy_cores.time, "sleep", lambda seconds: stat.write_text(AFTER))
    assert busy_cores.busy_cores(1.0, stat) == pytest.approx(0.9)
    assert busy_cores.busy_cores(1.0, tmp_path / "none") is None


@pytest.mark.parametrize("busy, cores, warned", [(1.9, 2, True), (0.1, 2, False), (1.0, 16, False), (None, 2, False)])
def test_a_busy_machine_is_told_before_the_figures(busy, cores, warned, monkeypatch, capsys):
    monkeypatch.setattr(busy_cores, "busy_cores", lambda: busy)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    in_words = command.watch_machine()
    assert in_words == ("unknown" if busy is None else f"{busy} of {cores} cores, before the measurement")
    sentence = f"Other processes keep {busy} of {cores} cores busy: the times will be too long; repeat this when"
    assert capsys.readouterr().err.startswith(sentence) == warned


def test_a_configuration_out_of_bounds_gives_exit_code_1(small_weights, tmp_path, capsys, one_wrong_pixel_in_a_hundred):
    root = write_folder(tmp_path, ["um_000000", "uu_000001"])
    options = ["--smoke", "--device", "cpu", "--weights", str(small_weights), "--rungs", "torch:bf16"]
    assert main(["benchmark", *options, "--root", str(root), "--split", "all"]) == 1
    assert "torch:bf16 is out of bounds" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--rungs", "fast"], "is not a valid rung"),
        (["--iterations", "0"], "--iterations is 0"),
        (["--frames", "0"], "--frames is 0"),
        (["nowhere"], "there is no drive"),
        (["--root", "nowhere"], "not a KITTI Road folder"),
        (["--node", "fast"], "--node is 'fast'"),
        (["--cameras", "2"], "--cameras is for --node"),
        (["--device", "fpga"], "must be auto, cpu"),
    ],
)
def test_bad_options_are_a_user_error(options, message, capsys):
    assert main(["benchmark", *options]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_shipped_weights_are_within_their_bounds(shipped_weights, capsys):
    """All configurations that this machine can run, on the synthetic drive; runs on every change."""
    assert main(["benchmark", "--smoke", "--device", "cpu"]) == 0, capsys.readouterr().err
    assert "| torch:bf16 |" in capsys.readouterr().out
