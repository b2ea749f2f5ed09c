"""INT8: the form that TensorRT, OpenVINO and ONNX Runtime accept, how much it changes, and its calibration frames."""

import importlib.util
import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_kitti import draw, write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.cli.options import example_frames
from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.backends.hardware import cpu_supports_vnni
from fcn_road_seg.inference.int8_file import int8_path, read_int8
from fcn_road_seg.inference.network import FCN8s

for package in ("onnx", "onnxruntime", "openvino", "nncf"):
    pytest.importorskip(package, reason="pip install onnx onnxruntime openvino nncf")

import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from fcn_road_seg.evaluation.evaluate import evaluate  # noqa: E402
from fcn_road_seg.inference import onnx_check  # noqa: E402
from fcn_road_seg.inference import onnx_export as export  # noqa: E402
from fcn_road_seg.inference.preprocess import network_frame, resize  # noqa: E402
from fcn_road_seg.quantization import calibration  # noqa: E402
from fcn_road_seg.quantization.calibration import load_calibration, network_input  # noqa: E402
from fcn_road_seg.quantization.post_training import convolutions, with_float_layers  # noqa: E402
from fcn_road_seg.quantization.sensitivity import QuantizationError, keep_sensitive_layers  # noqa: E402

pytestmark = pytest.mark.slow

# Bounds for random weights. Without VNNI, OpenVINO's INT8 differs from FP32 three times as much: the second three are
# for such CPUs alone.
MEAN, SHARE_OF_STD, MAX_CHANGE = (0.01, 0.5, "0.2") if cpu_supports_vnni() else (0.02, 1.0, "0.5")
WIDTHS = (8, 8, 12, 12, 16, 16, 16, 24, 24, 24, 16, 16, 16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    metadata = checkpoint.Metadata(fc="atrous", fc_width=16, conv_widths=WIDTHS, network_width=96, threshold=0.5)
    checkpoint.save(path, FCN8s("atrous", 16, std_init=0.5, conv_widths=WIDTHS), metadata)
    return str(path)


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    """Four frames of the training split and four of the validation split."""
    return write_folder(tmp_path_factory.mktemp("kitti"), [*split_names("train")[:4], *split_names("val")[:4]])


@pytest.fixture(scope="module")
def quantised(weights, kitti) -> bytes:
    """The file that the command writes beside the weights."""
    arguments = ["--weights", weights, "--root", str(kitti), "--frames", "4", "--max-change", MAX_CHANGE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(onnx_check.BOUNDS, "int8", MEAN)
        assert main(["quantize", *arguments]) == 0
    return read_int8(int8_path(Path(weights))).content  # intact


def test_the_graph_meets_tensorrts_requirements(quantised):
    model = onnx.load_from_string(quantised)
    onnx.checker.check_model(model, full_check=True)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 2 * len(WIDTHS)
    for node in pairs:
        scale, zero = (tensors[name] for name in node.input[1:])
        assert zero.dtype == np.int8 and not zero.any() and (scale > 0).all()
    producers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type == "Conv":
            activation, weight = (producers[name] for name in node.input[:2])
            if activation.op_type == "MaxPool":  # commutes with the pair before it
                activation = producers[activation.input[0]]
            assert activation.op_type == weight.op_type == "DequantizeLinear", node.name
            stored = tensors[weight.input[0]]
            assert stored.dtype == np.int8 and stored.min() >= -127
            assert tensors[weight.input[1]].shape == (len(stored),), "a scale per output channel"
            assert tensors[activation.input[1]].size == 1
            assert all(tensors[bias].dtype == np.float32 for bias in node.input[2:])
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim][:3] == ["batch", "height", "width"]


def test_runtimes_answer_almost_like_pytorch(quantised, weights):
    image = np.concatenate([network_input(draw(seed, 300, 400)[0], 160) for seed in (5, 6)])
    expected = onnx_check.run_openvino(export.to_onnx(checkpoint.load(weights)).SerializeToString(), image)
    for run, mean, share_of_std in (
        (onnx_check.run_onnxruntime, onnx_check.BOUNDS["int8"], 0.5),
        (onnx_check.run_openvino, MEAN, SHARE_OF_STD),
    ):
        difference = np.abs(run(quantised, image) - expected)
        assert 0 < difference.mean() < min(mean, share_of_std * expected.std())


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="OpenVINO's plugin for this CPU uses other names"
)
def test_openvino_really_computes_in_int8(quantised):
    graph = onnx_check.openvino_model(quantised, (1, 32, 96, 3)).get_runtime_model().get_ordered_ops()
    facts = [{k: op.get_rt_info()[k].astype(str) for k in ("layerType", "runtimePrecision")} for op in graph]
    precisions = [f["runtimePrecision"] for f in facts if f["layerType"] == "Convolution"]
    assert len(precisions) >= len(WIDTHS) + 2 and set(precisions) <= {"u8", "i8"}, precisions


def test_the_metadata_describes_the_quantisation(quantised, weights, kitti):
    known = export.properties(onnx.load_from_string(quantised))
    assert known["weights_sha256"] == checkpoint.load(weights).sha256 and known["precision"] == "int8"
    assert known["nncf"] and json.loads(known["float_layers"]) == json.loads(known["sensitivity"])["kept"]
    assert len(json.loads(known["sensitivity"])["without"]) == len(WIDTHS) + 5
    frames = json.loads(known["calibration"])
    assert frames["frames"] == {"kitti_road": 4}
    assert frames["sha256"] == load_calibration(4, 96, kitti).sha256


def test_validation_frames_are_not_used_for_calibration(kitti, tmp_path):
    images = load_calibration(100, 96, kitti).images
    assert len(images) == 4
    held_out = [network_input(sample.image, 96) for sample in KittiRoad(kitti, split_names("val")[:4])]
    assert not any(np.array_equal(a, b) for a in images for b in held_out)
    write_image(tmp_path / "a.png", draw(50)[0])
    both = load_calibration(2, 96, kitti, folders=[tmp_path])
    assert both.sources == {"kitti_road": 1, tmp_path.name: 1}


def test_the_training_parts_of_data_sets_are_used(weights, tmp_path, monkeypatch, capsys):
    for kind in ("images", "labels"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    for k in range(5):
        write_image(tmp_path / "mine" / "images" / f"{k}.png", np.full((32, 96, 3), k, np.uint8))
        write_image(tmp_path / "mine" / "labels" / f"{k}.png", np.zeros((32, 96), np.uint8))
    seen = []

    def stop(_):
        raise QuantizationError("stopped here")

    monkeypatch.setattr(calibration, "network_input", lambda image, _: seen.append(image.max()) or image[None])
    monkeypatch.setattr(export, "to_onnx", stop)
    assert main(["quantize", "--weights", weights, "--data", f"farm=folder:{tmp_path / 'mine'}"]) == 2
    output = capsys.readouterr()
    assert output.out == "calibrating with 4 frames of farm\n" and seen == [0, 1, 2, 3]
    assert "mine has no val.txt: the last 1 of 5 frames by name validate" in output.err and "stopped" in output.err


def test_folders_with_the_same_name_are_all_used(tmp_path):
    for i, name in enumerate(("a", "b")):
        (tmp_path / name / "image_2").mkdir(parents=True)
        write_image(tmp_path / name / "image_2" / "0.png", np.full((32, 96, 3), i, np.uint8))
    both = load_calibration(2, 96, folders=[tmp_path / "a" / "image_2", tmp_path / "b" / "image_2"])
    assert both.sources == {"image_2": 2} and [int(image.max()) for image in both.images] == [0, 1]


def test_a_layer_left_in_float_is_exact(quantised, weights):
    model, image = export.to_onnx(checkpoint.load(weights)), network_input(draw(5)[0], 96)
    layers = convolutions(model)
    assert layers[0] == "conv1_1" and layers[-1] == "score_pool3"
    expected = onnx_check.run_onnxruntime(model.SerializeToString(), image)
    restored = with_float_layers(onnx.load_from_string(quantised), model, layers)
    assert not any("Quantize" in node.op_type for node in restored.graph.node)
    assert np.abs(onnx_check.run_onnxruntime(restored.SerializeToString(), image) - expected).max() < 1e-4
    partly = with_float_layers(onnx.load_from_string(quantised), model, ["conv1_1", "fc6"])
    onnx.checker.check_model(partly, full_check=True)
    assert len(partly.SerializeToString()) < len(model.SerializeToString())


def test_the_worst_layer_is_kept_in_float(quantised, weights, kitti):
    """A scale that is a hundred times too coarse breaks one layer, which must be found and returned to float."""
    model, broken = export.to_onnx(checkpoint.load(weights)), onnx.load_from_string(quantised)
    conv3_1 = next(node for node in broken.graph.node if node.name == "conv3_1")
    pair = next(node for node in broken.graph.node if conv3_1.input[1] in node.output)
    scale = next(t for t in broken.graph.initializer if t.name == pair.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(100), scale.name))
    images = load_calibration(4, 96, kitti).images
    threshold = float(np.median(onnx_check.run_openvino(model.SerializeToString(), images[0])))
    result, found = keep_sensitive_layers(broken, model, images, threshold, 0.2)
    assert found.every_layer > 0.2 >= found.result and found.kept[0] == "conv3_1"
    assert min(found.without, key=found.without.get) == "conv3_1"
    with pytest.raises(QuantizationError, match="raise --max-change"):
        keep_sensitive_layers(broken, model, images, threshold, -1.0)
    assert result != broken


def test_export_fixes_its_size(quantised, weights, tmp_path):
    path = tmp_path / "fixed.onnx"
    assert main(["export", "--weights", weights, "--int8", "--size", "96x32", "--out", str(path)]) == 0
    model = onnx.load(path)
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 32, 96, 3]
    assert export.properties(model) == export.properties(onnx.load_from_string(quantised))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "each source needs at least one"),
        (["--root", "nowhere"], "nowhere is not a KITTI Road folder"),
        (["--camvid", "nowhere"], "nowhere is not a CamVid folder"),
        (["--data", "folder:nowhere"], "nowhere is not a folder of labelled frames"),
        (["--data", "unlabelled:nowhere"], "'unlabelled' has no training part"),
        (["--label-map", "map.yaml"], "--label-map is for the folders of --data"),
        (["--calibration", "nowhere"], "there are no images in the folder nowhere"),
        (["--max-change", "0"], "--max-change is 0.0, but must be between 0 and 1"),
        (["--weights", "nowhere"], "there is no weights file nowhere"),
    ],
)
def test_bad_input_is_reported_in_one_sentence(weights, capsys, options, sentence):
    assert main(["quantize", "--weights", weights, *options]) == 2
    assert sentence in capsys.readouterr().err


def test_missing_nncf_is_reported_with_its_pip_command(weights, kitti, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nncf" else find_spec(name))
    assert main(["quantize", "--weights", weights, "--root", str(kitti)]) == 2
    assert "nncf is not installed: pip install nncf" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shipped(shipped_weights):
    """The shipped INT8 file and the float network that it was made from."""
    path = shipped_weights.with_name("road_fcn8s_int8.onnx")
    if not path.is_file():
        pytest.skip("models/road_fcn8s_int8.onnx is not in this checkout")
    network = checkpoint.load(shipped_weights)
    assert path.stat().st_size <= 25e6
    return export.load_int8(path, network).SerializeToString(), export.to_onnx(network).SerializeToString(), network


def test_the_shipped_file_on_synthetic_roads(shipped):
    int8, full, network = shipped
    image = np.concatenate([network_frame(frame, (576, 160)) for frame in example_frames()])
    answers = [onnx_check.run_openvino(content, image) >= network.metadata.threshold for content in (int8, full)]
    assert 0.1 < answers[1].mean() < 0.9
    assert np.mean(answers[0] != answers[1]) < 0.005


def test_the_shipped_file_on_validation_scenes(shipped, repository):
    root = repository.parent / "shared" / "data" / "kitti_road"
    if not root.is_dir():
        pytest.skip("needs KITTI Road in ../shared")
    dataset, metadata = KittiRoad(root, split_names("val")), shipped[2].metadata

    def max_f(content: bytes) -> float:
        compiled = {}

        def segment(frame: np.ndarray) -> np.ndarray:
            image = network_input(frame, metadata.network_width)
            if image.shape not in compiled:
                compiled[image.shape] = onnx_check.openvino_model(content, image.shape)
            road = torch.from_numpy(compiled[image.shape](image)[export.OUTPUT]).unsqueeze(1)
            return resize(road, (frame.shape[1], frame.shape[0]))[0, 0].mul(255).round().to(torch.uint8).numpy()

        return evaluate(segment, dataset, metadata.threshold)["perspective"]["max_f"]

    assert max_f(shipped[1]) - max_f(shipped[0]) <= 0.003
