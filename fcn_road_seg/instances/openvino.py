"""The instance network's dense part in OpenVINO: backbone, feature pyramid and proposal head.

It is what takes most of the time on a CPU. Proposals and what comes after them stay in torch: their number differs from
frame to frame. As for the road network, the model is built from its tensors, because tracing it takes seconds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.inference.backends.openvino import HINTS, SIZES_KEPT, plain_errors
from fcn_road_seg.inference.backends.openvino_model import constant, core, openvino, ops
from fcn_road_seg.instances.efficientnet_lite import Block, Convolution
from fcn_road_seg.instances.network import LEVELS

if TYPE_CHECKING:
    from openvino import InferRequest, Model, Node

OUTPUTS = (*LEVELS, "pool")
"""The levels of the feature pyramid."""


def use_openvino(network: GeneralizedRCNN, precision: str, threads: int = 0) -> None:
    """Run the dense part of a folded network in OpenVINO, in place.

    Args:
        precision: "fp32" or "bf16"; what comes out is float32.
        threads: number of CPU threads; 0 takes OpenVINO's default. One is the thread that calls, whose priority counts.
    """
    dense = DensePart(dense_model(network), precision, threads)
    network.backbone, network.rpn.head = dense, ProposalHead(dense)


class DensePart(nn.Module):
    """Takes the place of the backbone; compiles the model for each size when a frame first needs it.

    Attributes:
        proposals: what the proposal head says of the last frame: scores and offsets, a list of float32 each.
    """

    def __init__(self, model: "Model", precision: str, threads: int):
        super().__init__()
        self.proposals: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        self._model = model
        self._core = core()
        self._config: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        self._config["INFERENCE_PRECISION_HINT"] = HINTS[precision]
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = threads
        self._requests: dict[tuple[int, ...], InferRequest] = {}

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features of a picture, float32 1 x 3 x H x W, by level; H and W are multiples of 32."""
        shape = tuple(pictures.shape)
        request = self._requests.pop(shape, None)
        if request is None:
            while len(self._requests) >= SIZES_KEPT:
                del self._requests[next(iter(self._requests))]
            with plain_errors():
                self._model.reshape(list(shape))
                request = self._core.compile_model(self._model, "CPU", self._config).create_infer_request()
        self._requests[shape] = request
        request.get_input_tensor().data[:] = pictures.numpy()
        with plain_errors():
            request.infer()  # in this thread, unlike start_async
        answers = [torch.from_numpy(output.data.copy()) for output in request.output_tensors]
        number = len(OUTPUTS)
        self.proposals = answers[number : 2 * number], answers[2 * number :]
        return dict(zip(OUTPUTS, answers[:number], strict=True))


class ProposalHead(nn.Module):
    """Takes the place of the proposal head, whose answer came with the features."""

    def __init__(self, dense: DensePart):
        super().__init__()
        self._dense = [dense]  # not as a part of this module

    def forward(self, features: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self._dense[0].proposals


def dense_model(network: GeneralizedRCNN) -> "Model":
    """Float32 1 x 3 x h x w -> features, scores and offsets of every level; h and w are dynamic, multiples of 32.

    Args:
        network: folded, see `efficientnet_lite.fold`.
    """
    backbone: Any = network.backbone
    head: Any = network.rpn.head
    picture = ops.parameter(openvino.PartialShape([1, 3, -1, -1]), openvino.Type.f32, name="picture")
    x, stages = picture, {}
    for name, stage in backbone.body.items():
        for part in stage:
            x = _layer(x, part)
        stages[name] = x
    laterals = [_layer(stages[name], block) for name, block in zip(LEVELS, backbone.fpn.inner_blocks, strict=True)]
    merged = [laterals.pop()]
    while laterals:
        above = ops.interpolate(merged[0], np.array([2, 2], np.float32), "nearest", "scales", axes=np.array([2, 3]))
        merged.insert(0, ops.add(laterals.pop(), above))
    features = [_layer(x, block) for x, block in zip(merged, backbone.fpn.layer_blocks, strict=True)]
    features.append(ops.max_pool(features[-1], [2, 2], [1, 1], [0, 0], [0, 0], [1, 1]).output(0))
    shared = [_layer(x, head.conv) for x in features]
    scores, offsets = ([_layer(x, layer) for x in shared] for layer in (head.cls_logits, head.bbox_pred))
    return openvino.Model([ops.result(x) for x in (*features, *scores, *offsets)], [picture], "instances")


def _layer(x: "Node", layer: nn.Module) -> "Node":
    """The same function as the layer's."""
    if isinstance(layer, nn.Conv2d):
        return _convolution(x, layer)
    if isinstance(layer, nn.ReLU6):
        return ops.clamp(x, 0.0, 6.0)
    if isinstance(layer, nn.ReLU):
        return ops.relu(x)
    if isinstance(layer, Block):
        wide = ops.clamp(_layer(x, layer.expand), 0.0, 6.0) if layer.expand is not None else x
        narrow = _layer(ops.clamp(_layer(wide, layer.depthwise), 0.0, 6.0), layer.project)
        return ops.add(x, narrow) if layer.residual else narrow
    if isinstance(layer, Convolution):
        return _convolution(x, layer[0], layer.padding)
    assert isinstance(layer, nn.Sequential), f"{type(layer).__name__} is not a layer of the network"
    for part in layer:
        x = _layer(x, part)
    return x


def _convolution(x: "Node", layer: Any, padding: Sequence[int] = ()) -> "Node":
    """A convolution; `padding` is left, right, top, bottom, instead of the layer's."""
    left, right, top, bottom = padding or (layer.padding[1],) * 2 + (layer.padding[0],) * 2
    weight, begin, end = layer.weight, [top, left], [bottom, right]
    if layer.groups == 1:
        y = ops.convolution(x, constant(weight), layer.stride, begin, end, layer.dilation)
    else:
        weight = weight.view(layer.groups, -1, *weight.shape[1:])
        y = ops.group_convolution(x, constant(weight), layer.stride, begin, end, layer.dilation)
    return ops.add(y, constant(layer.bias.view(1, -1, 1, 1)))
