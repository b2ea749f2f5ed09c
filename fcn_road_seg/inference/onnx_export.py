"""ONNX files of the network: export and metadata; `onnx_check` compares them with PyTorch.

Input `image`: uint8 N x h x w x 3, RGB, already of network size; the graph subtracts the mean. Output
`probability`: float32 N x h x w, P(road). TensorRT, OpenVINO and ONNX Runtime support all its operators: Cast,
Transpose, Sub, Conv, Relu, MaxPool, ConvTranspose, Add, Squeeze, Sigmoid, and in an INT8 file QuantizeLinear and
DequantizeLinear with zero points 0.
"""

import ast
import contextlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.files.output import write_whole
from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.int8_file import read_int8
from fcn_road_seg.inference.network import STRIDE, FCN8s
from fcn_road_seg.inference.preprocess import MAX_NETWORK_WIDTH, MEAN

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "probability"
# PyTorch writes opset 18; none of these operators has changed since 13, and TensorRT 8.6 reads up to 17.
OPSET, IR_VERSION = 17, 8
PACKAGES = "onnx", "onnxscript", "onnxruntime", "openvino"


class ExportError(UserError):
    """An ONNX file that cannot be written or used; the message is one sentence."""


class OnnxNetwork(InferenceNetwork):
    """InferenceNetwork in operators that every ONNX runtime has; in TensorRT only a cast can take uint8."""

    mean: torch.Tensor

    def __init__(self, network: FCN8s):
        super().__init__(network)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image.to(torch.float32).permute(0, 3, 1, 2) - self.mean
        features = self.network.features(x.to(self.network.conv1_1.weight.dtype))
        return torch.sigmoid(self.network.head(*features).to(torch.float32).squeeze(1))


def require(*packages: str) -> None:
    """Check that packages are installed.

    Raises:
        ExportError: one of them is not; the sentence has the pip command.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{', '.join(missing)} is not installed: pip install {' '.join(missing)}")


def to_onnx(checkpoint: Checkpoint, size: tuple[int, int] | None = None, fp16: bool = False) -> "onnx.ModelProto":
    """The network as an ONNX graph that contains the weights.

    Args:
        size: fixed input size (width, height) in pixels, in batches of one; None makes batch, height and width
            dynamic, the latter two in multiples of 32.
        fp16: use FP16 for weights and arithmetic; input and output do not change.
    """
    network = OnnxNetwork(checkpoint.network()).eval()
    if fp16:
        network.network.half()
    width, height = size or (4 * STRIDE, 2 * STRIDE)
    example = torch.zeros((1 if size else 2, height, width, 3), dtype=torch.uint8)
    any_size = (dict.fromkeys(range(3), torch.export.Dim.DYNAMIC),)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=18,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=None if size else any_size,
            verbose=False,
        )
    assert program is not None  # dynamo=True always returns a program
    model = tidied(program.model_proto)
    describe(model, checkpoint, precision="fp16" if fp16 else "fp32")
    set_size(model, size)
    return model


def tidied(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Remove the exporter's notes (stack traces, paths), and name convolutions after their layers."""
    graph = model.graph
    model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
    graph.name = "fcn8s"
    graph.ClearField("value_info")
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            scopes = {p.key: p.value for p in node.metadata_props}["pkg.torch.onnx.name_scopes"]
            node.name = ast.literal_eval(scopes)[-2].rpartition(".")[2]  # ['', 'network.head.upscore2', 'conv...']
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def describe(model: "onnx.ModelProto", checkpoint: Checkpoint, **properties: str) -> None:
    """Add metadata: which weights the model holds and how to use them."""
    import onnx

    from fcn_road_seg.git_revision import git_revision

    metadata = checkpoint.metadata
    known = {p.key: p.value for p in model.metadata_props} | {
        "weights_sha256": checkpoint.sha256,
        "threshold": repr(metadata.threshold),
        "network_width": str(metadata.network_width),
        "git_revision": git_revision(),
    }
    onnx.helper.set_model_props(model, known | properties)


def properties(model: "onnx.ModelProto") -> dict[str, str]:
    """The metadata of an ONNX file."""
    return {p.key: p.value for p in model.metadata_props}


def set_size(model: "onnx.ModelProto", size: tuple[int, int] | None) -> None:
    """Fix the input at one frame of `size` (width, height); None makes batch, height and width dynamic."""
    values = (1, size[1], size[0]) if size else ("batch", "height", "width")
    for tensor in (model.graph.input[0], model.graph.output[0]):
        for dimension, value in zip(tensor.type.tensor_type.shape.dim, values, strict=False):
            if isinstance(value, str):
                dimension.dim_param = value
            else:
                dimension.dim_value = value


def load_int8(path: Path, checkpoint: Checkpoint) -> "onnx.ModelProto":
    """Load the INT8 file that `road_seg quantize` made from this checkpoint.

    Raises:
        CheckpointError: it is missing, damaged or altered.
        ExportError: it is not such a file, or made from other weights.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(read_int8(path).content)
    except DecodeError as error:
        raise ExportError(f"{path} is not an ONNX file ({first_line(error)})") from None
    known = properties(model)
    if known.get("precision") != "int8":
        raise ExportError(f"{path} is not an INT8 file of this program: make one with `road_seg quantize`")
    if known.get("weights_sha256") != checkpoint.sha256:
        raise ExportError(f"{path} was not made from {checkpoint.path}: run `road_seg quantize` for these")
    return model


def parse_size(text: str) -> tuple[int, int] | None:
    """Parse "576x160" -> (576, 160) or "dynamic" -> None.

    Raises:
        ExportError: it is neither, or not in multiples of 32.
    """
    if text == "dynamic":
        return None
    width, _, height = text.partition("x")
    allowed = range(STRIDE, MAX_NETWORK_WIDTH + 1, STRIDE)
    if not (width.isdecimal() and height.isdecimal() and int(width) in allowed and int(height) in allowed):
        raise ExportError(
            f"--size is {text!r}, but must be dynamic or WIDTHxHEIGHT in multiples of {STRIDE}, such as 576x160"
        )
    return int(width), int(height)


def save(model: "onnx.ModelProto", path: str | Path) -> None:
    """Write the file, whole or not at all."""
    write_whole(path, model.SerializeToString())
