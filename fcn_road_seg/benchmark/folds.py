"""What each exact fold of `InferenceNetwork` gains, network alone, PyTorch layer by layer."""

from collections.abc import Callable, Iterable
from functools import partial

import torch

from fcn_road_seg.benchmark.interleave import time_networks
from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork

FOLDS = {
    "no fold": {"folded_normalisation": False, "folded_classes": False},
    "classes": {"folded_normalisation": False, "folded_classes": True},
    "normalisation": {"folded_normalisation": True, "folded_classes": False},
    "both": {"folded_normalisation": True, "folded_classes": True},
}


def time_folds(
    checkpoint: Checkpoint,
    device: str,
    precisions: Iterable[str],
    size: tuple[int, int],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[tuple[str, str], list[float]]:
    """Run the network with and without its folds, interleaved, from uint8 frame of network size to P(road).

    Args:
        device: "cpu", "cuda" or "cuda:N".
        size: width and height of the input in pixels.

    Returns:
        Seconds per call by (key of `FOLDS`, precision).
    """
    frame = torch.randint(0, 256, (1, size[1], size[0], 3), dtype=torch.uint8)
    makers = {name: partial(InferenceNetwork, checkpoint.network(), **folds) for name, folds in FOLDS.items()}
    return time_networks(makers, frame, device, precisions, iterations, warm_up, track)
