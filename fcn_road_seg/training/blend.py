"""Weights between two trainings: `python -m fcn_road_seg.training.blend OUT FIRST SECOND SHARE`.

Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022: on the line between weights and their fine-tuned
form lie weights that keep what the first knew and have what the second learned.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.segmenter import weights_path


def blend(first: checkpoint.Checkpoint, second: checkpoint.Checkpoint, share: float, out: str | Path) -> None:
    """Save weights that lie `share` (0..1) of the way from the first to the second, with the second's metadata.

    Raises:
        CheckpointError: their layers have different shapes.
        UserError: the share is not within 0 and 1, or the folder of `out` is missing.
    """
    if not Path(out).parent.is_dir():
        raise UserError(f"cannot write {out}: its folder does not exist")
    if not 0 <= share <= 1:
        raise UserError(f"the share is {share}, but must be within 0 (the first weights) and 1 (the second)")
    start, end = first.network(), second.network()
    if [p.shape for p in start.parameters()] != [p.shape for p in end.parameters()]:
        raise CheckpointError("the layers of these weights have different shapes, so nothing lies between them")
    with torch.no_grad():
        for ours, theirs in zip(start.parameters(), end.parameters(), strict=True):
            ours.lerp_(theirs, share)
    known = {f"origin/{name}": frames for name, frames in first.metadata.trained_on.items()} | second.metadata.data
    # The network's last layer includes its temperature, so that of the blend is 1.
    metadata = replace(second.metadata, temperature=1.0, origin=first.sha256, figures={}, data=known)
    checkpoint.save(out, start, metadata)


def main(argv: Sequence[str] | None = None) -> int:
    """Run this module's command; exit code 2 and one sentence for bad input."""
    parser = argparse.ArgumentParser(prog="python -m fcn_road_seg.training.blend", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("first", help="weights file, or road, lite or permissive")
    parser.add_argument("second", help="weights file, or road, lite or permissive")
    parser.add_argument("share", type=float, help="0 gives the first, 1 the second")
    given = parser.parse_args(argv)
    try:
        first, second = (checkpoint.load(weights_path(name)) for name in (given.first, given.second))
        blend(first, second, given.share, given.out)
    except (UserError, OSError) as error:
        print(f"{parser.prog}: {first_line(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
