"""The network as an OpenVINO model, built from its tensors.

OpenVINO could trace the module itself (`openvino.convert_model`), but that takes seconds at every start and sends
telemetry.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.network import VGG16_STAGES
from fcn_road_seg.inference.preprocess import MEAN

if TYPE_CHECKING:
    from openvino import Core, Model, Node


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Hide the package openvino_telemetry, which OpenVINO does without, while OpenVINO is imported.

    Otherwise the import forks a process that sends an event to an analytics server.
    """
    hide = "openvino_telemetry" not in sys.modules
    if hide:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None makes its import fail
    try:
        yield
    finally:
        if hide:
            del sys.modules["openvino_telemetry"]


with no_telemetry():
    import openvino
    from openvino import opset13 as ops


@cache
def core() -> "Core":
    """The OpenVINO core of this process, the only one.

    The CPU plugin of each core gives the main thread a stack for signals, unmaps it at its end, and puts back the one
    before. Of two cores that end in the order in which they began, an unmapped one is left: the next signal, such as
    Ctrl-C, is then a segmentation fault.
    """
    return openvino.Core()


def openvino_model(inference: InferenceNetwork) -> "Model":
    """The same function as the module's: uint8 1 x h x w x 3 -> P(road), float32 1 x h x w; h and w are dynamic.

    Args:
        inference: float32, with folded classes and without folded normalisation.
    """
    network, head = inference.network, inference.network.head
    frame = ops.parameter(openvino.PartialShape([1, -1, -1, 3]), openvino.Type.u8, name="frame")
    x = ops.convert(ops.transpose(frame, np.array([0, 3, 1, 2])), "f32")
    x = ops.subtract(x, np.array(MEAN, np.float32).reshape(1, 3, 1, 1))
    pools = []
    for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
        for i in range(1, convolutions + 1):
            x = ops.relu(convolution(x, getattr(network, f"conv{stage}_{i}")))
        x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
        pools.append(x)
    for layer in (network.fc6, network.fc7):
        x = ops.relu(convolution(x, layer))
    x = ops.add(transposed(convolution(x, head.score_fr), head.upscore2), convolution(pools[3], head.score_pool4))
    x = ops.add(transposed(x, head.upscore_pool4), convolution(pools[2], head.score_pool3))
    x = ops.sigmoid(transposed(x, head.upscore8))
    road = ops.result(ops.squeeze(x, np.array([1])), name="road")
    return openvino.Model([road], [frame], "fcn8s")


def convolution(x: "Node", layer: nn.Conv2d) -> "Node":
    assert layer.bias is not None  # every convolution of the network has one
    y = ops.convolution(x, constant(layer.weight), layer.stride, layer.padding, layer.padding, layer.dilation)
    return ops.add(y, constant(layer.bias.view(1, -1, 1, 1)))


def transposed(x: "Node", layer: nn.ConvTranspose2d) -> "Node":
    return ops.convolution_backprop_data(
        x, constant(layer.weight), layer.stride, pads_begin=layer.padding, pads_end=layer.padding
    )


def constant(tensor: torch.Tensor) -> "Node":
    """A float32 constant, stored as FP16 if that is exact: checkpoints are FP16, so this halves the memory."""
    values = tensor.detach().to(torch.float32)
    half = values.to(torch.float16)
    if torch.equal(half.to(torch.float32), values):
        return ops.convert(ops.constant(half.contiguous().numpy()), "f32")
    return ops.constant(values.contiguous().numpy())
