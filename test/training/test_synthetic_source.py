"""Synthetic scenes as training frames: each variant has one size, so its frames make batches."""

from argparse import Namespace

import pytest
import torch

from fcn_road_seg.cli.training_inputs import open_source
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.training.augmentation import training_size
from fcn_road_seg.training.mixture import Mixture, MixtureBatches, collate
from fcn_road_seg.training.recipe import check, load_recipe

SAMPLES = {"synthetic": 2, "synthetic+16x9": 3, "synthetic+4x3": 2, "synthetic+5x4": 2}


def test_every_variant_makes_batches_of_its_own_size():
    recipe = check(load_recipe("world"), {"samples": SAMPLES, "batch_size": 3})
    sources = {name: open_source(name, name, [], recipe, Namespace(), None) for name in SAMPLES}
    assert {name: len(frames) for name, frames in sources.items()} == SAMPLES
    mixture = Mixture(sources, recipe)
    sizes = {}
    for batch in MixtureBatches(mixture, 0):
        name = batch[0][0]
        images, labels, _ = collate([mixture[address] for address in batch])
        assert images.shape == (SAMPLES[name], 3, *labels.shape[1:])
        assert set(torch.unique(labels).tolist()) <= {0, 1, 255}
        sizes[name] = tuple(labels.shape[1:])
    shapes = {"synthetic": (1242, 375), "synthetic+16x9": (16, 9), "synthetic+4x3": (4, 3), "synthetic+5x4": (5, 4)}
    assert sizes == {name: training_size(recipe, 100 * width, 100 * height) for name, (width, height) in shapes.items()}


@pytest.mark.parametrize("name", ["synthetic+3x2", "synthetic+world", "synthetic+16x9+4x3"])
def test_an_unknown_variant_is_one_sentence(name):
    recipe = check(load_recipe("world"), {"samples": {name: 2}})
    with pytest.raises(DatasetError) as failure:
        open_source(name, name, [], recipe, Namespace(), None)
    known = "there are synthetic, synthetic+16x9, synthetic+4x3, synthetic+5x4"
    assert str(failure.value) == f"there is no data set {name!r}; {known}"
