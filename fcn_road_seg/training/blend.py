"""Weights between two trainings: `python -m fcn_road_seg.training.blend OUT FIRST SECOND SHARE`.

Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022: on the line between weights and their fine-tuned
form lie weights that keep what the first knew and have what the second learned.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError


def blend(first: checkpoint.Checkpoint, second: checkpoint.Checkpoint, share: float, out: str | Path) -> None:
    """Save weights that lie `share` (0..1) of the way from the first to the second, with the second's metadata.

    Raises:
        CheckpointError: their layers have different shapes.
    """
    start, end = first.network(), second.network()
    if [p.shape for p in start.parameters()] != [p.shape for p in end.parameters()]:
        raise CheckpointError("the layers of these weights have different shapes, so nothing lies between them")
    with torch.no_grad():
        for ours, theirs in zip(start.parameters(), end.parameters(), strict=True):
            ours.lerp_(theirs, share)
    # The network's last layer includes its temperature, so that of the blend is 1.
    checkpoint.save(out, start, replace(second.metadata, temperature=1.0, origin=first.sha256, figures={}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("share", type=float)
    given = parser.parse_args()
    blend(checkpoint.load(given.first), checkpoint.load(given.second), given.share, given.out)
