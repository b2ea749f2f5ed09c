"""ONNX files: ONNX Runtime and OpenVINO answer like PyTorch, and TensorRT supports every operator."""

import functools
import importlib.util
import json

import numpy as np
import pytest
import torch

from fcn_road_seg.cli.main import main
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.int8_file import write_int8
from fcn_road_seg.inference.network import CONV_NAMES, FCN8s
from fcn_road_seg.inference.preprocess import normalise

for package in ("onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason="pip install onnx onnxruntime openvino")

import onnx  # noqa: E402

from fcn_road_seg.inference import onnx_check  # noqa: E402
from fcn_road_seg.inference import onnx_export as export  # noqa: E402

OPERATORS = {"Cast", "Transpose", "Sub", "Conv", "Relu", "MaxPool", "ConvTranspose", "Add", "Squeeze", "Sigmoid"}
WIDTHS = (8, 8, 12, 12, 16, 16, 20, 24, 24, 24, 16, 16, 16)  # of a pruned network with a different width in each stage


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "pruned.safetensors"
    metadata = checkpoint.Metadata(fc="atrous", fc_width=16, conv_widths=WIDTHS, network_width=96, threshold=0.4)
    checkpoint.save(path, FCN8s("atrous", 16, std_init=0.5, conv_widths=WIDTHS), metadata)
    return str(path)


def reference(weights: str, image: np.ndarray) -> np.ndarray:
    """P(road) of the network before any rewriting."""
    with torch.inference_mode():
        logits = checkpoint.load(weights).network()(normalise(torch.from_numpy(image).permute(0, 3, 1, 2)))
    return logits.softmax(1)[:, 1].numpy()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, weights):
    """The bytes that the command writes with given options."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def written(*options: str) -> bytes:
        path = folder / "network.onnx"
        figures = folder / "figures.json"
        assert main(["export", "--weights", weights, "--out", str(path), "--json", str(figures), *options]) == 0
        agreement = json.loads(figures.read_text())["agreement"]
        assert {row["runtime"] for row in agreement} == {"ONNX Runtime", "OpenVINO"}
        return path.read_bytes()

    return written


@pytest.mark.parametrize(("option", "bound"), [((), 0.001), (("--fp16",), 0.01)])
@pytest.mark.parametrize(("size", "shapes"), [("96x64", [(1, 64, 96)]), ("dynamic", [(1, 32, 32), (3, 96, 160)])])
def test_runtimes_answer_like_pytorch(exported, weights, option, bound, size, shapes):
    content = exported("--size", size, *option)
    for shape in shapes:
        image = noise(*shape)
        expected = reference(weights, image)
        assert expected.std() > 0.02, "a constant answer would make the comparison meaningless"
        for run in (onnx_check.run_onnxruntime, onnx_check.run_openvino):
            answer = run(content, image)
            assert answer.shape == shape and answer.dtype == np.float32
            assert np.abs(answer - expected).max() <= bound


def test_the_graph_meets_tensorrts_requirements(exported):
    content = exported("--size", "dynamic")
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == OPERATORS
    assert [o.version for o in model.opset_import] == [17]
    image, answer = model.graph.input[0], model.graph.output[0]
    assert (image.name, answer.name) == ("image", "probability")
    assert model.graph.node[0].op_type == "Cast" and model.graph.node[0].input[0] == "image"
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", "height", "width", 3]
    assert [d.dim_param for d in answer.type.tensor_type.shape.dim] == ["batch", "height", "width"]
    layers = {node.name for node in model.graph.node if "Conv" in node.op_type}
    assert layers >= {*CONV_NAMES, "fc6", "fc7", "score_fr", "upscore8"}


def test_the_metadata_names_the_weights_but_not_the_machine(exported, weights):
    content = exported("--size", "96x64", "--fp16")
    known = export.properties(onnx.load_from_string(content))
    assert known["weights_sha256"] == checkpoint.load(weights).sha256
    assert (known["threshold"], known["network_width"], known["precision"]) == ("0.4", "96", "fp16")
    assert "git_revision" in known
    assert b"site-packages" not in content and b".py" not in content


def test_fp16_halves_the_file_and_a_fixed_size_rejects_others(exported):
    half, full = exported("--size", "96x64", "--fp16"), exported("--size", "96x64")
    assert len(half) < 0.75 * len(full)
    with pytest.raises(Exception, match="[Gg]ot invalid dimensions"):
        onnx_check.run_onnxruntime(full, noise(1, 64, 128))


def test_a_file_that_differs_from_pytorch_is_not_written(tmp_path, weights, monkeypatch, capsys):
    def wrong(model, *_):
        tensor = next(t for t in model.graph.initializer if t.name == "mean")
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 50, tensor.name))

    monkeypatch.setattr(export, "set_size", wrong)
    path = tmp_path / "network.onnx"
    assert main(["export", "--weights", weights, "--out", str(path), "--size", "96x64"]) == 2
    assert "differs from PyTorch by up to" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "100x32"], "--size is '100x32', but must be dynamic or WIDTHxHEIGHT in multiples of 32"),
        (["--size", "576"], "--size is '576'"),
        (["--size", "0x32"], "--size is '0x32'"),
        (["--weights", "nowhere.safetensors"], "there is no weights file nowhere.safetensors"),
        (["--int8"], "pruned_int8.onnx for int8: make it with road_seg quantize"),
    ],
)
def test_bad_input_is_reported_in_one_sentence(tmp_path, weights, capsys, options, sentence):
    assert main(["export", "--weights", weights, "--out", str(tmp_path / "network.onnx"), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_int8_file_must_be_valid_and_match_the_weights(exported, weights, tmp_path):
    network = checkpoint.load(weights)
    path = tmp_path / "int8.onnx"
    model = onnx.load_from_string(exported("--size", "96x64"))
    write_int8(path, model.SerializeToString())
    with pytest.raises(export.ExportError, match="is not an INT8 file of this program"):
        export.load_int8(path, network)
    onnx.helper.set_model_props(model, {"precision": "int8", "weights_sha256": "0" * 64})
    write_int8(path, model.SerializeToString())
    with pytest.raises(export.ExportError, match="was not made from"):
        export.load_int8(path, network)
    write_int8(path, path.read_bytes()[:1000])
    with pytest.raises(export.ExportError, match="is not an ONNX file"):
        export.load_int8(path, network)
    path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(checkpoint.CheckpointError, match="was damaged or altered"):
        export.load_int8(path, network)


def test_a_missing_package_is_reported_with_its_pip_command(tmp_path, weights, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find_spec(name))
    assert main(["export", "--weights", weights, "--out", str(tmp_path / "network.onnx")]) == 2
    assert "onnx is not installed: pip install onnx" in capsys.readouterr().err
