"""ONNX files of the network: export and metadata; `onnx_check` compares them with PyTorch.

Input `image`: uint8 N x h x w x 3, RGB, already of network size; the graph subtracts the mean. Output
`probability`: float32 N x h x w, P(road). TensorRT, OpenVINO and ONNX Runtime support all its operators: Cast,
Transpose, Sub, Conv, Relu, MaxPool, ConvTranspose, Add, Squeeze, Sigmoid, and in an INT8 file QuantizeLinear and
DequantizeLinear with zero points 0.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.files.output import write_whole
from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.int8_file import read_int8
from fcn_road_seg.inference.network import STRIDE, VGG16_STAGES
from fcn_road_seg.inference.preprocess import MAX_NETWORK_WIDTH, MEAN

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "probability"
# None of these operators has changed since opset 13, and TensorRT 8.6 reads up to 17.
OPSET, IR_VERSION = 17, 8
PACKAGES = "onnx", "onnxruntime", "openvino"


class ExportError(UserError):
    """An ONNX file that cannot be written or used; the message is one sentence."""


def require(*packages: str) -> None:
    """Check that packages are installed.

    Raises:
        ExportError: one of them is not; the sentence has the pip command.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{', '.join(missing)} is not installed: pip install {' '.join(missing)}")


def to_onnx(checkpoint: Checkpoint, size: tuple[int, int] | None = None, fp16: bool = False) -> "onnx.ModelProto":
    """The network as an ONNX graph that contains the weights, built from its tensors: torch's exporter takes 10 s.

    Args:
        size: fixed input size (width, height) in pixels, in batches of one; None makes batch, height and width
            dynamic, the latter two in multiples of 32.
        fp16: use FP16 for weights and arithmetic; input and output do not change.
    """
    from onnx import TensorProto, helper

    network = InferenceNetwork(checkpoint.network()).network
    graph = Graph(np.float16 if fp16 else np.float32)
    x = graph.add("Cast", INPUT, to=TensorProto.FLOAT)  # in TensorRT only a cast can take uint8
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Sub", x, graph.constant("mean", np.array(MEAN, np.float32).reshape(3, 1, 1)))
    if fp16:
        x = graph.add("Cast", x, to=TensorProto.FLOAT16)
    pools = []
    for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
        for i in range(1, convolutions + 1):
            name = f"conv{stage}_{i}"
            x = graph.add("Relu", graph.convolution(name, getattr(network, name), x))
        x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        pools.append(x)
    for name in ("fc6", "fc7"):
        x = graph.add("Relu", graph.convolution(name, getattr(network, name), x))
    x = graph.convolution("score_fr", network.head.score_fr, x)
    for upscore, score, pool in (("upscore2", "score_pool4", pools[3]), ("upscore_pool4", "score_pool3", pools[2])):
        x = graph.convolution(upscore, getattr(network.head, upscore), x)
        x = graph.add("Add", x, graph.convolution(score, getattr(network.head, score), pool))
    x = graph.convolution("upscore8", network.head.upscore8, x)
    if fp16:
        x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Squeeze", x, graph.constant("channel", np.array([1], np.int64)))
    graph.add("Sigmoid", x, output=OUTPUT)
    image = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", "height", "width", 3])
    road = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "height", "width"])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "fcn8s", [image], [road], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    describe(model, checkpoint, precision="fp16" if fp16 else "fp32")
    set_size(model, size)
    return model


class Graph:
    """The nodes and constants of an ONNX graph under construction; every value has its node's name.

    Args:
        dtype: of the convolutions' weights.
    """

    def __init__(self, dtype: type[np.floating]):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._dtype = dtype

    def add(self, operator: str, *inputs: str, name: str = "", output: str = "", **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        from onnx import helper

        name = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output or name], name, **attributes))
        return output or name

    def constant(self, name: str, values: np.ndarray) -> str:
        """Append a constant; returns its name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(self, name: str, layer: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
        """Append a convolution or transposed convolution, named after its layer; returns the name of its output."""
        tensors = [
            self.constant(f"{name}.{kind}", tensor.detach().numpy().astype(self._dtype))
            for kind, tensor in (("weight", layer.weight), ("bias", layer.bias))
            if tensor is not None
        ]
        return self.add(
            "ConvTranspose" if isinstance(layer, nn.ConvTranspose2d) else "Conv",
            x,
            *tensors,
            name=name,
            kernel_shape=layer.kernel_size,
            strides=layer.stride,
            pads=[*layer.padding, *layer.padding],
            dilations=layer.dilation,
        )


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
