"""torchvision's segmentation networks beside ours: a yardstick of speed, network alone, PyTorch layer by layer."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn

from fcn_road_seg.benchmark.interleave import time_networks
from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.checkpoint import Checkpoint

PEERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")


def time_peers(
    checkpoint: Checkpoint,
    device: str,
    precisions: Iterable[str],
    size: tuple[int, int],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[tuple[str, str], list[float]]:
    """Run ours and the peers, with random weights and two classes, interleaved on a random input.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        size: width and height of the input in pixels.

    Returns:
        Seconds per call by (network, precision), ours as "fcn8s".

    Raises:
        UserError: torchvision is not installed.
    """
    try:
        from torchvision.models import segmentation
    except ImportError:
        raise UserError("the peers are torchvision's networks: pip install torchvision") from None
    makers: dict[str, Callable[[], nn.Module]] = {"fcn8s": checkpoint.network}
    for name in PEERS:
        makers[name] = partial(getattr(segmentation, name), weights=None, weights_backbone=None, num_classes=2)
    batch = torch.randn(1, 3, size[1], size[0])
    return time_networks(makers, batch, device, precisions, iterations, warm_up, track)
