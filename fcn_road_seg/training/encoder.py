"""VGG-16's ImageNet weights, from which training of the encoder starts."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torchvision.models import VGG16_Weights

from fcn_road_seg.errors import first_line
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.network import FCN8s, torchvision_names


def load_encoder(network: FCN8s, weights: str | Path | None = None) -> None:
    """Fill conv1_1 ... conv5_3 with ImageNet weights.

    Args:
        weights: a safetensors file with torchvision's names (`features.N.weight`, `features.N.bias`);
            None downloads torchvision's `VGG16_Weights.IMAGENET1K_FEATURES` (or uses its cache).

    Raises:
        CheckpointError: the weights cannot be read or downloaded; one sentence with what to do.
    """
    try:
        source = load_file(weights) if weights else VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(check_hash=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        what = f"cannot read {weights}" if weights else "cannot download torchvision's VGG-16"
        raise CheckpointError(
            f"{what} ({first_line(error)}); give VGG-16's ImageNet weights with --encoder-weights FILE"
        ) from None
    state = network.state_dict()
    for theirs, ours in torchvision_names().items():
        if theirs not in source or source[theirs].shape != state[ours].shape:
            raise CheckpointError(f"{weights or 'the download'} has no VGG-16 tensor {theirs}")
        with torch.no_grad():
            state[ours].copy_(source[theirs])
