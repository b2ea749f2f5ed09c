"""The instance network's layers in FP16, for GPUs; what is decoded of their answers stays in FP32.

torchvision decodes boxes, and makes anchors, in the type of the feature maps and under autocast in its own, in which
FP16 moves the edges of a box by up to a pixel. So each part that has weights takes and returns FP32.
"""

from typing import Any

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN


def use_half(network: GeneralizedRCNN) -> None:
    """Run every part of a network that has weights in FP16, in place."""
    heads = network.roi_heads
    parts = [network.backbone, network.rpn.head, heads.box_head, heads.box_predictor, heads.mask_head]
    for part in (*parts, heads.mask_predictor):
        part.half()
        part.register_forward_pre_hook(lambda _, inputs: _as(torch.float16, inputs))
        part.register_forward_hook(lambda _, inputs, outputs: _as(torch.float32, outputs))


def _as(dtype: torch.dtype, values: Any) -> Any:
    """Tensors, alone or in sequences and dictionaries, in another type."""
    if isinstance(values, torch.Tensor):
        return values.to(dtype)
    if isinstance(values, dict):
        return type(values)((name, _as(dtype, value)) for name, value in values.items())
    return type(values)(_as(dtype, value) for value in values)
