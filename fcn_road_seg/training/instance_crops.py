"""Training crops of frames with instances, and what Mask R-CNN learns from them."""

import math

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from fcn_road_seg.frames.instance_sample import InstanceSample, InstanceSamples
from fcn_road_seg.instances.network import IGNORED
from fcn_road_seg.training.augmentation import appearance, uniform
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.mixture import address_seed

Target = dict[str, torch.Tensor]


class InstanceCrops(Dataset):
    """Augmented crops, addressed by (data set's name, frame, epoch), as in `mixture.Mixture`."""

    def __init__(self, sources: dict[str, InstanceSamples], recipe: InstanceRecipe):
        self.sources = sources
        self.recipe = recipe

    def __getitem__(self, address: tuple[str, int, int]) -> tuple[torch.Tensor, Target]:
        """An image, uint8 3 x h x w RGB, and its target, see `target`."""
        name, index, _ = address
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(address_seed(self.recipe.seed, *address))
            sample = crop(self.sources[name][index], self.recipe)
            image = tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1))
            unused = tv_tensors.Mask(torch.zeros(image.shape[-2:], dtype=torch.uint8))
            image, _ = v2.Compose([v2.Identity(), *appearance(self.recipe)])(image, unused)
        return image.as_subclass(torch.Tensor).contiguous(), target(sample, self.recipe.smallest)


def crop(sample: InstanceSample, recipe: InstanceRecipe) -> InstanceSample:
    """A random crop at a random scale, mirrored or not; what lies outside the frame is grey.

    Half of the crops that are smaller than their frame show a random instance, each class as likely as the others.
    """
    rows, columns = sample.image.shape[:2]
    scale = recipe.short_side / min(rows, columns)
    scale *= math.exp(uniform(math.log(recipe.scale_min), math.log(recipe.scale_max)))
    width, height = recipe.crop_width / scale, recipe.crop_height / scale  # in the frame's pixels
    left, top = uniform(0, columns - width), uniform(0, rows - height)
    if len(sample.labels) and uniform(0, 1) < 0.5:
        kinds = np.unique(sample.labels)
        members = np.flatnonzero(sample.labels == kinds[int(uniform(0, len(kinds) - 1e-6))])
        y, x = np.nonzero(sample.masks[members[int(uniform(0, len(members) - 1e-6))]])
        left = _around(x.mean(), width, columns)
        top = _around(y.mean(), height, rows)
    mirror = uniform(0, 1) < 0.5
    matrix = np.array([[scale, 0, scale * (0.5 - left) - 0.5], [0, scale, scale * (0.5 - top) - 0.5]])
    if mirror:
        matrix[0] = [-scale, 0, recipe.crop_width - 1 - matrix[0, 2]]
    size = recipe.crop_width, recipe.crop_height
    image = cv2.GaussianBlur(sample.image, (0, 0), 0.4 / scale) if scale < 0.7 else sample.image
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(127, 127, 127))

    def shown(masks: np.ndarray) -> np.ndarray:
        warped = [cv2.warpAffine(mask.view(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) for mask in masks]
        return np.stack(warped).astype(bool) if warped else np.zeros((0, *size[::-1]), bool)

    masks, ignored = shown(sample.masks), shown(sample.ignored)
    kept, left_over = masks.any((1, 2)), ignored.any((1, 2))
    return InstanceSample(
        image, masks[kept], sample.labels[kept], ignored[left_over], sample.ignored_labels[left_over], sample.name
    )


def _around(centre: float, length: float, limit: int) -> float:
    """Where a window of this length begins that shows `centre`, and nothing beyond 0 .. limit if it can."""
    start = centre - length * uniform(0.2, 0.8)
    return min(max(start, 0.0), limit - length) if length < limit else uniform(0, limit - length)


def target(sample: InstanceSample, smallest: int = 1) -> Target:
    """What torchvision's Mask R-CNN learns from a frame.

    Ignored regions, and instances with fewer than `smallest` pixels, are targets with the label `network.IGNORED`.

    Returns:
        boxes: float32 N x 4, left, top, right, bottom. labels: int64 N. masks: uint8 N x H x W.
    """
    masks = torch.from_numpy(np.concatenate([sample.masks, sample.ignored]))
    labels = torch.full((len(masks),), IGNORED)
    counted = torch.from_numpy(sample.labels) + 1
    large = masks[: len(counted)].sum((1, 2)) >= smallest
    labels[: len(counted)][large] = counted[large]
    return {"boxes": boxes_of(masks), "labels": labels, "masks": masks.to(torch.uint8)}


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """The boxes, float32 N x 4 (left, top, right, bottom), of masks, bool N x H x W, of which none is empty."""

    def ends(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = line.int().argmax(1)
        return first, line.shape[1] - line.flip(1).int().argmax(1)

    left, right = ends(masks.any(1))
    top, bottom = ends(masks.any(2))
    return torch.stack([left, top, right, bottom], 1).float()


def collate(frames: list[tuple[torch.Tensor, Target]]) -> tuple[list[torch.Tensor], list[Target]]:
    """Images and targets of a batch, as torchvision's detectors take them; the images are 0..1."""
    return [image.float().div(255) for image, _ in frames], [target for _, target in frames]
