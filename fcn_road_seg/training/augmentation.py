"""Augmentation of training frames: own vehicle, scale and crop, flip, colour, night, blur, JPEG (torchvision v2)."""

import math
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as TF

from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD
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
    tall = size[0] * recipe.network_width > size[1] * recipe.network_height
    free = recipe.free_crops if tall else 0.0
    steps: list[Callable] = [
        ScaleAndCrop(size, full, recipe.scale_min, recipe.scale_max, stretch=1.15, free=free),
        v2.RandomHorizontalFlip(),
    ]
    if recipe.own_vehicle:
        steps.insert(0, OwnVehicle(recipe.own_vehicle))
    return v2.Compose([*steps, *appearance(recipe)])


class Appearance(Protocol):
    """The fields of a recipe that change how its frames look."""

    @property
    def colour(self) -> float: ...
    @property
    def cast(self) -> float: ...
    @property
    def night(self) -> float: ...
    @property
    def blur(self) -> float: ...
    @property
    def jpeg(self) -> float: ...


def appearance(recipe: Appearance) -> list[Callable]:
    """The transforms of an image and its masks that change only colours and sharpness."""
    steps: list[Callable] = []
    if recipe.colour:
        c = recipe.colour
        steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c, hue=c / 10))
    if recipe.cast:
        steps.append(Cast(recipe.cast))
    if recipe.night:
        steps.append(Night(recipe.night))
    if recipe.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], p=recipe.blur))
    if recipe.jpeg:
        steps.append(v2.RandomApply([v2.JPEG((25, 90))], p=recipe.jpeg))
    return steps


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
    a crop cuts off sky, not road, except in the share `free` of the crops, without which the network would see the sky
    of tall frames at small scales only. Padding has the mean colour and is ignored by the loss.

    Args:
        size: height and width of the result, pixels.
        full: height and width at scale 1.
        scale_min, scale_max: range of the scale, whose logarithm is uniform.
        stretch: the width is multiplied or divided by up to this factor.
        free: share of the crops at any height, 0..1.
    """

    def __init__(
        self,
        size: tuple[int, int],
        full: tuple[int, int],
        scale_min: float = 1.0,
        scale_max: float = 1.0,
        stretch: float = 1.0,
        free: float = 0.0,
    ):
        self.size, self.full = size, full
        self.scale_min, self.scale_max, self.stretch, self.free = scale_min, scale_max, stretch, free

    def __call__(self, image: tv_tensors.Image, *masks: tv_tensors.Mask) -> tuple:
        height, width = self.size
        scale = math.exp(uniform(math.log(self.scale_min), math.log(self.scale_max)))
        rows = round(self.full[0] * scale)
        columns = round(self.full[1] * scale * self.stretch ** uniform(-1, 1))
        top = rows - height  # negative where the frame is smaller than the result
        if top > 0 and self.free and uniform(0, 1) < self.free:
            top = round(uniform(0, top))
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


class OwnVehicle:
    """Paint a bonnet or a dashboard, which is not road, over the lower edge of some frames.

    Only frames whose road reaches the lower edge are painted; others already show their own vehicle. The shape has a
    curved upper edge, a random colour (dark in half of the cases), a gradient from top to bottom, and reflects what is
    above it.

    Args:
        probability: 0..1, for each frame.
    """

    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, image: tv_tensors.Image, label: tv_tensors.Mask, classes: tv_tensors.Mask) -> tuple:
        height, width = label.shape
        before = label[round(0.9 * height), width // 3 : -(width // 3) or None]
        if uniform(0, 1) >= self.probability or (before == ROAD).float().mean() < 0.3:
            return image, label, classes
        picture = image.permute(1, 2, 0).numpy().astype(np.float32)
        high = uniform(0.06, 0.28) * height
        x = np.linspace(-1, 1, width, dtype=np.float32) - uniform(-0.3, 0.3)
        fall = np.abs(x / uniform(0.9, 1.8)) ** uniform(1.5, 4)
        edge = height - high * (1 - fall) + x * uniform(-0.03, 0.03) * height
        depth = np.arange(height, dtype=np.float32)[:, None] - edge  # pixels below the upper edge, H x W
        colour = [uniform(5, 60)] * 3 if uniform(0, 1) < 0.5 else [uniform(0, 255) for _ in range(3)]
        paint = np.array(colour, np.float32) * (1 + uniform(-0.7, 0.7) * (depth / high).clip(0, 1))[..., None]
        mirrored = cv2.remap(
            picture,
            np.broadcast_to(np.arange(width, dtype=np.float32), depth.shape).copy(),
            (edge - uniform(1, 3) * depth).clip(0, height - 1).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        mirrored = cv2.GaussianBlur(mirrored, (0, 0), uniform(1, 8))
        paint += uniform(0, 0.5) * (mirrored - paint)
        cover = (depth / uniform(0.5, 4) + 0.5).clip(0, 1)[..., None]
        picture += cover * (paint - picture)
        inside = torch.from_numpy(depth > 0)
        return (
            tv_tensors.wrap(torch.from_numpy(picture.clip(0, 255).astype(np.uint8)).permute(2, 0, 1), like=image),
            tv_tensors.wrap(label.masked_fill(inside, NOT_ROAD), like=label),
            tv_tensors.wrap(classes.masked_fill(inside, IGNORE), like=classes),
        )


class Cast:
    """Give the frame a wrong white balance: multiply each channel by a random factor.

    Args:
        strength: the factors lie within 1 - strength and 1 + strength.
    """

    def __init__(self, strength: float):
        self.strength = strength

    def __call__(self, image: tv_tensors.Image, *masks: tv_tensors.Mask) -> tuple:
        gains = torch.tensor([uniform(1 - self.strength, 1 + self.strength) for _ in range(3)])
        cast = (image.as_subclass(torch.Tensor) * gains[:, None, None]).clamp(0, 255).to(torch.uint8)
        return tv_tensors.wrap(cast, like=image), *masks


class Night:
    """Turn day into night in some frames: dark, darkest at the top, with headlights ahead, lamps and noise.

    Args:
        probability: 0..1, for each frame.
    """

    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, image: tv_tensors.Image, *masks: tv_tensors.Mask) -> tuple:
        if uniform(0, 1) >= self.probability:
            return image, *masks
        height, width = image.shape[-2:]
        light = image.as_subclass(torch.Tensor).float().div(255) ** uniform(1.0, 1.6) * uniform(0.5, 1.0)
        y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
        far = ((x - uniform(-0.3, 0.3)) / uniform(0.5, 1.2)) ** 2 + ((y - uniform(0.7, 1.0)) / uniform(0.2, 0.5)) ** 2
        ambient = uniform(0.3, 0.8)
        sky = torch.sigmoid((y - uniform(0.25, 0.5)) * uniform(8, 30))
        above = uniform(0.02, 0.5)
        light = light * (ambient + (1 - ambient) * torch.exp(-far)) * (above + (1 - above) * sky)
        light = light * torch.tensor([uniform(0.8, 1.3), uniform(0.8, 1.1), uniform(0.6, 1.2)])[:, None, None]
        for _ in range(round(uniform(0, 8))):
            size = uniform(0.005, 0.03)
            away = ((x - uniform(-1, 1)) / 2 * width / height) ** 2 + (y - uniform(0.05, 0.55)) ** 2
            colour = torch.tensor([1.0, uniform(0.5, 1), uniform(0.2, 1)])[:, None, None]
            light = light + colour * torch.exp(-away / size**2) * uniform(0.4, 1.2)
        light = light + torch.randn(light.shape) * uniform(0.0, 0.04)
        return tv_tensors.wrap(light.mul(255).clamp(0, 255).to(torch.uint8), like=image), *masks


def uniform(low: float, high: float) -> float:
    """A random number between `low` and `high`, from torch's generator."""
    return low + (high - low) * torch.rand(()).item()
