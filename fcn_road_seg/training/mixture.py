"""Several data sets as one stream of batches."""

import hashlib
from collections.abc import Iterator, Mapping, Sized
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, default_collate
from torchvision import tv_tensors

from fcn_road_seg.datasets import camvid, cityscapes
from fcn_road_seg.frames.sample import IGNORE, Samples
from fcn_road_seg.inference.network import STRIDE
from fcn_road_seg.training import augmentation
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.recipe import Recipe

CAMVID_TO_CITYSCAPES = np.full(256, IGNORE, np.uint8)
for _ours, _theirs in camvid.CITYSCAPES_CLASSES.items():
    CAMVID_TO_CITYSCAPES[camvid.CLASSES.index(_ours)] = cityscapes.CLASSES.index(_theirs)


class Mixture(Dataset):
    """Augmented training frames, addressed by (data set's name, frame, epoch).

    The augmentation of a frame depends only on its address and the recipe's seed, not on the number of loader processes
    or on whether the run was resumed.

    KITTI's annotators omitted the lowest rows of nearly every frame (1 to 6 of 375 are "not road"); others did not. The
    recipe's `ignore_bottom` removes those rows from the other data sets' labels, so that they do not contradict
    KITTI's.
    """

    def __init__(self, sources: dict[str, Samples], recipe: Recipe):
        self.sources = sources
        self.recipe = recipe

    def __getitem__(self, address: tuple[str, int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image, uint8 3 x h x w RGB; label, uint8 h x w; classes, uint8 h x w, of `cityscapes.CLASSES` or 255."""
        name, index, _ = address
        sample = self.sources[name][index]
        classes = np.full_like(sample.label, IGNORE) if sample.classes is None else sample.classes
        if name == "camvid":
            classes = CAMVID_TO_CITYSCAPES[classes]
        label = sample.label.copy()
        height, width = label.shape
        if name != "kitti_road":
            label[height - round(self.recipe.ignore_bottom * height) :] = IGNORE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(address_seed(self.recipe.seed, *address))
            image, label, classes = augmentation.build(self.recipe, width, height)(
                tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1)),
                tv_tensors.Mask(torch.from_numpy(label)),
                tv_tensors.Mask(torch.from_numpy(classes)),
            )
        return image.as_subclass(torch.Tensor), label.as_subclass(torch.Tensor), classes.as_subclass(torch.Tensor)


class Drawn(Protocol):
    """Data sets from which batches are drawn."""

    @property
    def sources(self) -> Mapping[str, Sized]: ...

    @property
    def recipe(self) -> Recipe | InstanceRecipe: ...


class MixtureBatches(Sampler):
    """One epoch's batches of addresses, each from a single data set, in a seeded random order."""

    def __init__(self, mixture: Drawn, epoch: int):
        self.mixture, self.epoch = mixture, epoch

    def __len__(self) -> int:
        recipe = self.mixture.recipe
        return sum(-(-count // recipe.batch_size) for count in recipe.samples.values())

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        recipe = self.mixture.recipe
        generator = np.random.default_rng(address_seed(recipe.seed, "order", self.epoch))
        batches = []
        for name, count in recipe.samples.items():
            frames = len(self.mixture.sources[name])
            order = np.concatenate([generator.permutation(frames) for _ in range(-(-count // frames))])[:count]
            # The repeat is part of the address: a frame drawn twice in an epoch is augmented twice.
            addresses = [(name, int(i), self.epoch * count + k) for k, i in enumerate(order)]
            batches += [addresses[i : i + recipe.batch_size] for i in range(0, count, recipe.batch_size)]
        generator.shuffle(batches)
        return iter(batches)


class MicroBatches(Sampler):
    """One process's part of every batch: `accumulate` micro-batches, one after the other.

    The batches are the same for any number of processes. If a batch has too few frames, as the last of a data set may
    have, some micro-batches are empty.
    """

    def __init__(self, batches: MixtureBatches, accumulate: int = 1, rank: int = 0, world_size: int = 1):
        self.batches, self.accumulate, self.rank, self.world_size = batches, accumulate, rank, world_size

    def __len__(self) -> int:
        return len(self.batches) * self.accumulate

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        parts = self.accumulate * self.world_size
        for batch in self.batches:
            for part in range(self.rank, parts, self.world_size):
                yield batch[part::parts]


def collate(frames: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    """Stack image, label and classes of `Mixture`'s frames along a new first axis; its size is 0 without frames."""
    if frames:
        return default_collate(frames)
    return [torch.zeros(shape, dtype=torch.uint8) for shape in ((0, 3, STRIDE, STRIDE), *[(0, STRIDE, STRIDE)] * 2)]


def address_seed(*parts: object) -> int:
    """A seed that depends on all of these values."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1
