"""Structured pruning: a smaller FCN-8s made of the most important channels of a trained one.

Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017, and "Importance
Estimation for Neural Network Pruning", CVPR 2019: a channel's importance is the first-order change of the loss when its
weights are set to zero, |sum of weight x gradient|.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from fcn_road_seg.inference.network import CONV_NAMES, VGG16_STAGES, FCN8s
from fcn_road_seg.training.model import TrainingModel

PRUNED = (*CONV_NAMES, "fc6", "fc7")
MULTIPLE = 16  # layers keep a multiple of this number of channels, which suits vector units
LEAST = 4  # a layer keeps at least one in this many channels


def channel_importance(model: TrainingModel, batches: Iterable[tuple], device: str) -> dict[str, torch.Tensor]:
    """The importance of each channel in each layer of `PRUNED`: root mean square over training batches of `Mixture`."""
    model.to(device).eval()  # without dropout
    total: dict[str, torch.Tensor] = {}
    count = 0
    for batch in batches:
        model.zero_grad()
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            model(*(part.to(device) for part in batch)).backward()
        for name in PRUNED:
            layer = getattr(model.network, name)
            change = (layer.weight * layer.weight.grad).sum((1, 2, 3)) + layer.bias * layer.bias.grad
            total[name] = total.get(name, 0) + change.detach().square().cpu()
        count += 1
    return {name: (value / count).sqrt() for name, value in total.items()}


def choose_channels(importance: Mapping[str, torch.Tensor], flops: float) -> dict[str, torch.Tensor]:
    """Choose the channels to keep, so that the pruned layers need at most this share of the work.

    Each channel has a price: its work in its own layer and in the next. Channels with the least importance per price
    are removed first, over all layers; fc6 and fc7 keep equally many. A quarter of each layer's channels always stays,
    so shares below about 0.07 cannot be reached.

    Returns:
        For each layer the indices of its channels, ascending.
    """
    widths = {name: len(values) for name, values in importance.items()}
    price = channel_price(widths)
    worth = torch.cat([importance[name] / price[name] for name in PRUNED]).sort().values
    low, high = 0, len(worth) - 1
    while low < high:  # the lowest cut that is deep enough
        middle = (low + high) // 2
        if work(_widths_above(importance, price, worth[middle].item())) <= flops * work(widths):
            high = middle
        else:
            low = middle + 1
    kept = _widths_above(importance, price, worth[low].item())
    return {name: values.topk(kept[name]).indices.sort().values for name, values in importance.items()}


def _widths_above(importance: Mapping[str, torch.Tensor], price: Mapping[str, float], cut: float) -> dict[str, int]:
    kept = {}
    for name, values in importance.items():
        most, step = len(values), min(MULTIPLE, len(values))
        wanted = max(int((values / price[name] > cut).sum()), most // LEAST, 1)
        kept[name] = min(-(-wanted // step) * step, most)
    kept["fc6"] = kept["fc7"] = max(kept["fc6"], kept["fc7"])
    return kept


def layer_work(widths: Mapping[str, int]) -> dict[str, float]:
    """Multiplications per pixel of the network's input in each layer of `PRUNED` (atrous fc6, 3x3)."""
    result, channels, area = {}, 3, 1.0
    for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
        for i in range(1, convolutions + 1):
            name = f"conv{stage}_{i}"
            result[name] = 9 * channels * widths[name] * area
            channels = widths[name]
        area /= 4
    result["fc6"] = 9 * channels * widths["fc6"] * area
    result["fc7"] = widths["fc6"] * widths["fc7"] * area
    return result


def work(widths: Mapping[str, int]) -> float:
    """Multiplications per pixel of the network's input, over all pruned layers."""
    return sum(layer_work(widths).values())


def channel_price(widths: Mapping[str, int]) -> dict[str, float]:
    """The work of one channel of each layer: in its own layer, and as an input of the next."""
    layers = layer_work(widths)
    following = dict(zip(PRUNED, (*PRUNED[1:], "none"), strict=True))
    return {name: (layers[name] + layers.get(following[name], 0.0)) / widths[name] for name in PRUNED}


@torch.no_grad()
def prune(network: FCN8s, channels: Mapping[str, torch.Tensor]) -> FCN8s:
    """A new network with only these channels of each layer of `PRUNED`, and the weights between them."""
    conv_widths = [len(channels[name]) for name in CONV_NAMES]
    small = FCN8s(network.fc, len(channels["fc7"]), network.classes, 1 - network.dropout.p, conv_widths=conv_widths)
    inputs = torch.arange(3)
    for name in PRUNED:
        _copy(getattr(network, name), getattr(small, name), inputs, channels[name])
        inputs = channels[name]
    every_class = torch.arange(network.classes)
    for score, source in (("score_pool3", "conv3_3"), ("score_pool4", "conv4_3"), ("score_fr", "fc7")):
        _copy(getattr(network.head, score), getattr(small.head, score), channels[source], every_class)
    for name in ("upscore2", "upscore_pool4", "upscore8"):
        getattr(small.head, name).weight.copy_(getattr(network.head, name).weight)
    return small


def _copy(source: nn.Conv2d, target: nn.Conv2d, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
    target.weight.copy_(source.weight[outputs][:, inputs])
    if target.bias is not None and source.bias is not None:
        target.bias.copy_(source.bias[outputs])
