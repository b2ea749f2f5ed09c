"""Augmentation of training frames: scale and crop, flip, colour, blur, JPEG (torchvision v2)."""

import math
from collections.abc import Callable

import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as TF

from fcn_road_seg.frames.sample import IGNORE
from fcn_road_seg.inference.preprocess import MEAN, network_size
from fcn_road_seg.training.recipe import Recipe


def build(recipe: Recipe, width: int, height: int) -> Callable[..., tuple]:
    """The transform of an image (uint8 3 x H x W) and its masks (uint8 H x W) to their training size.

    See `training_size`.
    """
    size = training_size(recipe, width, height)
    if not recipe.augment:
        return ScaleAndCrop(size, size)
    full = network_size(width, height, recipe.network_width)[::-1]
    steps: list[Callable] = [
        ScaleAndCrop(size, full, recipe.scale_min, recipe.scale_max, stretch=1.15),
        v2.RandomHorizontalFlip(),
    ]
    if recipe.colour:
        c = recipe.colour
        steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c, hue=c / 10))
    if recipe.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], p=recipe.blur))
    if recipe.jpeg:
        steps.append(v2.RandomApply([v2.JPEG((25, 90))], p=recipe.jpeg))
    return v2.Compose(steps)


def training_size(recipe: Recipe, width: int, height: int) -> tuple[int, int]:
    """Height and width, multiples of 32, at which frames of `width` x `height` are trained.

    That is the size at which they are segmented, except that frames as wide as the recipe's `network_width` are cut or
    padded to its `network_height`.
    """
    columns, rows = network_size(width, height, recipe.network_width)
    return (recipe.network_height if columns == recipe.network_width else rows), columns


class ScaleAndCrop:
    """Resize the frame to a random scale of its network size, and crop or pad it to `size`.

    At scale 1 a frame has the size at which the node runs the network. The frame's lower edge stays the lower edge, so
    a crop cuts off sky, not road. Padding has the mean colour and is ignored by the loss.

    Args:
        size: height and width of the result, pixels.
        full: height and width at scale 1.
        scale_min, scale_max: range of the scale, whose logarithm is uniform.
        stretch: the width is multiplied or divided by up to this factor.
    """

    def __init__(self, size: tuple, full: tuple, scale_min: float = 1.0, scale_max: float = 1.0, stretch: float = 1.0):
        self.size, self.full = size, full
        self.scale_min, self.scale_max, self.stretch = scale_min, scale_max, stretch

    def __call__(self, image: tv_tensors.Image, *masks: tv_tensors.Mask) -> tuple:
        height, width = self.size
        scale = math.exp(uniform(math.log(self.scale_min), math.log(self.scale_max)))
        rows = round(self.full[0] * scale)
        columns = round(self.full[1] * scale * self.stretch ** uniform(-1, 1))
        top = rows - height  # negative where the frame is smaller than the result
        left = round(uniform(0, columns - width))

        def show(picture: torch.Tensor, mode: InterpolationMode, fill: int | list[int]) -> torch.Tensor:
            plain = picture.as_subclass(torch.Tensor).reshape(-1, *picture.shape[-2:])
            plain = TF.resize(plain, [rows, columns], mode, antialias=mode == InterpolationMode.BILINEAR)
            plain = TF.crop(plain, max(top, 0), max(left, 0), min(height, rows), min(width, columns))
            above, before = max(-top, 0), max(-left, 0)
            below, behind = height - plain.shape[-2] - above, width - plain.shape[-1] - before
            plain = TF.pad(plain, [before, above, behind, below], fill)
            return tv_tensors.wrap(plain.reshape(*picture.shape[:-2], height, width), like=picture)

        # NEAREST_EXACT samples where BILINEAR does; NEAREST is off by half a pixel of the result. Some versions of
        # torchvision have only NEAREST for a Mask, so the resize gets plain tensors.
        return (
            show(image, InterpolationMode.BILINEAR, [round(m) for m in MEAN]),
            *(show(mask, InterpolationMode.NEAREST_EXACT, IGNORE) for mask in masks),
        )


def uniform(low: float, high: float) -> float:
    """A random number between `low` and `high`, from torch's generator."""
    return low + (high - low) * torch.rand(()).item()
