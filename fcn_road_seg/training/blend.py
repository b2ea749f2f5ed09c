"""Weights between two trainings: `python -m fcn_road_seg.training.blend OUT A B SHARE`.

Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022: between weights and what they were fine-tuned into
lie some that keep what the first knew and have what the second learned.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from fcn_road_seg import checkpoint
from fcn_road_seg.checkpoint import CheckpointError


def blend(first: checkpoint.Checkpoint, second: checkpoint.Checkpoint, share: float, out: str | Path) -> None:
    """Save weights, `share` (0..1) of the way from the first to the second, with the second's metadata.

    Raises:
        CheckpointError: they are of two forms.
    """
    start, end = first.network(), second.network()
    if [p.shape for p in start.parameters()] != [p.shape for p in end.parameters()]:
        raise CheckpointError("these weights are of two forms, so there is nothing between them")
    with torch.no_grad():
        for ours, theirs in zip(start.parameters(), end.parameters(), strict=True):
            ours.lerp_(theirs, share)
    # A network's last layer holds its temperature, so the blend's is 1.
    checkpoint.save(out, start, replace(second.metadata, temperature=1.0, origin=first.sha256, figures={}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, of in (("out", Path), ("first", Path), ("second", Path), ("share", float)):
        parser.add_argument(name, type=of)
    given = parser.parse_args()
    blend(checkpoint.load(given.first), checkpoint.load(given.second), given.share, given.out)
