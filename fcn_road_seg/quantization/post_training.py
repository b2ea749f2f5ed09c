"""NNCF's post-training quantisation of the exported network, in the one form that every runtime accepts.

QuantizeLinear/DequantizeLinear pairs (ONNX "QDQ"): weights are int8 with a scale per output channel, activations
int8 with a scale per tensor, and all zero points are 0, because TensorRT accepts nothing else. Biases and the
transposed convolutions, which interpolate, stay FP32. OpenVINO and ONNX Runtime accept the same file.
"""

import copy
import logging
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.onnx_export import INPUT

if TYPE_CHECKING:
    import onnx


class QuantizationError(UserError):
    """A network that cannot be quantised; the message is one sentence."""


def quantize(model: "onnx.ModelProto", images: Sequence[np.ndarray]) -> "onnx.ModelProto":
    """Quantise every convolution of a float `model` from `onnx_export.to_onnx` to INT8.

    Args:
        images: calibration inputs, uint8 1 x h x w x 3 RGB.
    """
    os.environ.setdefault("NNCF_CI", "1")  # no telemetry
    for name in ("flop_counter", "cpp_extension"):  # which warn of a missing Triton and CUDA
        logging.getLogger(f"torch.utils.{name}").setLevel(logging.ERROR)
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    nncf.set_log_level(logging.ERROR)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(images, lambda image: {INPUT: image}),
        subset_size=len(images),
        preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric
        ignored_scope=nncf.IgnoredScope(types=["Sub", "Add", "ConvTranspose", "Sigmoid"], validate=False),
        # CPUs without VNNI add two 8-bit products in 16 bits: conv1_1, whose input is signed, would overflow. Inputs of
        # the other layers follow a ReLU and are only 0..127 here.
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.FIRST_LAYER),
    )
    quantised.graph.ClearField("value_info")
    return signed(quantised)


def signed(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Change uint8 to int8 with the same ranges: NNCF quantises the output of a ReLU to 0..255."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero_point = (tensors[name] for name in node.input[1:3])
        zero = numpy_helper.to_array(zero_point)
        if zero.any():
            raise QuantizationError(f"NNCF gave {node.name} a zero point: the quantisation is not symmetric")
        if zero.dtype == np.uint8:
            step = numpy_helper.to_array(scale) * np.float32(255 / 127)
            scale.CopyFrom(numpy_helper.from_array(step.astype(np.float32), scale.name))
            zero_point.CopyFrom(numpy_helper.from_array(zero.astype(np.int8), zero_point.name))
    return model


def convolutions(model: "onnx.ModelProto") -> list[str]:
    """Names of the layers that are quantised, in the graph's order."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def with_float_layers(
    quantised: "onnx.ModelProto", model: "onnx.ModelProto", layers: Collection[str]
) -> "onnx.ModelProto":
    """A copy of `quantised` in which `layers` take their input and weights from the float `model`.

    Their weights are stored in FP16, which is exact for a checkpoint's.
    """
    import onnx
    from onnx import numpy_helper

    result = copy.deepcopy(quantised)
    graph = result.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    originals = {node.name: node for node in model.graph.node if node.name in layers}
    nodes = []
    for node in graph.node:
        if node.name in originals:
            activation, weight, *bias = originals[node.name].input  # the exporter omits a bias of zeros
            if producers[activation].op_type == "MaxPool":  # the one in `quantised` pools INT8 values
                pool = copy.deepcopy(producers[activation])
                pool.name, pool.output[:] = f"{node.name}_pool", [f"{node.name}.input"]
                activation = pool.output[0]
                nodes.append(pool)
            half, full = f"{node.name}.weight_fp16", f"{node.name}.weight_fp32"
            nodes.append(
                onnx.helper.make_node("Cast", [half], [full], f"{node.name}_weight", to=onnx.TensorProto.FLOAT)
            )
            graph.initializer.append(numpy_helper.from_array(tensors[weight].astype(np.float16), half))
            shifts = [f"{node.name}.bias_fp32" for _ in bias]
            graph.initializer.extend(numpy_helper.from_array(tensors[b], s) for b, s in zip(bias, shifts, strict=True))
            node.input[:] = [activation, full, *shifts]
        nodes.append(copy.deepcopy(node))
    del graph.node[:]
    graph.node.extend(nodes)
    return without_unused(result)


def without_unused(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Remove the nodes and tensors that nothing reads."""
    graph = model.graph
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)
    return model
