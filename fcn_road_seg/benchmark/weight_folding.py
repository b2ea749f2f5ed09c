"""Variants of our network with and without the exact foldings of `InferenceNetwork`, to time each one's gain."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork

FOLDED = {
    "no fold": {"folded_normalisation": False, "folded_classes": False},
    "classes": {"folded_normalisation": False, "folded_classes": True},
    "normalisation": {"folded_normalisation": True, "folded_classes": False},
    "both": {"folded_normalisation": True, "folded_classes": True},
}


def folding_variants(
    checkpoint: Checkpoint, size: tuple[int, int]
) -> tuple[dict[str, Callable[[], nn.Module]], torch.Tensor]:
    """Factories of the variants by key of `FOLDED`, and a random uint8 frame of `size` (width, height) as their input.

    Each variant maps the frame to P(road). See `interleave.time_networks`.
    """
    frame = torch.randint(0, 256, (1, size[1], size[0], 3), dtype=torch.uint8)
    factories: dict[str, Callable[[], nn.Module]] = {
        name: partial(InferenceNetwork, checkpoint.network(), **folds) for name, folds in FOLDED.items()
    }
    return factories, frame
