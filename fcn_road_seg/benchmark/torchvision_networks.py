"""torchvision's segmentation networks beside ours, to compare speed; network only, PyTorch eager mode."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.checkpoint import Checkpoint

PEERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")


def peer_networks(
    checkpoint: Checkpoint, size: tuple[int, int]
) -> tuple[dict[str, Callable[[], nn.Module]], torch.Tensor]:
    """Factories of our network ("fcn8s") and of the peers, and a random input of `size` (width, height).

    The peers have random weights and two classes. See `interleave.time_networks`.

    Raises:
        UserError: torchvision is not installed.
    """
    try:
        from torchvision.models import segmentation
    except ImportError:
        raise UserError("the peers are torchvision's networks: pip install torchvision") from None
    factories: dict[str, Callable[[], nn.Module]] = {"fcn8s": checkpoint.network}
    for name in PEERS:
        factories[name] = partial(getattr(segmentation, name), weights=None, weights_backbone=None, num_classes=2)
    return factories, torch.randn(1, 3, size[1], size[0])
