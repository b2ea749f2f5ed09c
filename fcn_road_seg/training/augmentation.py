"""What a training frame goes through: scale and crop, flip, colour, blur, JPEG (torchvision v2)."""

import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as TF

from fcn_road_seg.datasets.sample import IGNORE
from fcn_road_seg.network import STRIDE
from fcn_road_seg.preprocess import MEAN, network_size
from fcn_road_seg.training.recipe import Recipe


def build(recipe: Recipe, width: int, height: int) -> v2.Transform:
    """Image (uint8 3 x H x W) and masks (uint8 H x W) -> the same at their training size, see `training_size`."""
    size = training_size(recipe, width, height)
    if not recipe.augment:
        return v2.Resize(size, antialias=True)
    steps = [ScaleAndCrop(size, recipe.scale_min, recipe.scale_max), v2.RandomHorizontalFlip()]
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

    KITTI's wide frames are shown at the recipe's network size; others have their own aspect ratio and
    about as many pixels.
    """
    pixels = recipe.network_width * recipe.network_height
    columns = max(round((pixels * width / height) ** 0.5 / STRIDE), 1) * STRIDE
    if abs(columns - recipe.network_width) <= STRIDE:
        return recipe.network_height, recipe.network_width
    return network_size(width, height, columns)[1], columns


class ScaleAndCrop(v2.Transform):
    """Show the frame at a random scale of its network size, and cut or pad it to `size`.

    At scale 1 a frame has the size at which the node's network would see it. What lies outside the
    frame is the mean colour and is ignored by the loss.

    Args:
        size: height and width of the result, pixels.
        scale_min, scale_max: the scale's range; its logarithm is uniform.
        stretch: the width is multiplied by up to this factor, or divided by it.
    """

    def __init__(self, size: tuple[int, int], scale_min: float, scale_max: float, stretch: float = 1.15):
        super().__init__()
        self.size, self.stretch = size, stretch
        self.scales = torch.tensor([scale_min, scale_max]).log()

    def make_params(self, flat_inputs: list) -> dict:
        height, width = v2.query_size(flat_inputs)
        low, high = self.scales
        scale = torch.empty(1).uniform_(low, high).exp().item()
        stretch = self.stretch ** torch.empty(1).uniform_(-1, 1).item()
        columns, rows = network_size(width, height, self.size[1])
        rows, columns = round(rows * scale), round(columns * scale * stretch)
        top = torch.empty(1).uniform_(*sorted((0, rows - self.size[0]))).round().int().item()
        left = torch.empty(1).uniform_(*sorted((0, columns - self.size[1]))).round().int().item()
        return {"rows": rows, "columns": columns, "top": top, "left": left}

    def transform(self, inpt, params: dict):
        mask = isinstance(inpt, tv_tensors.Mask)
        mode = InterpolationMode.NEAREST if mask else InterpolationMode.BILINEAR
        resized = TF.resize(inpt, [params["rows"], params["columns"]], mode, antialias=not mask)
        height, width = self.size
        top, left = params["top"], params["left"]
        cut = TF.crop(resized, max(top, 0), max(left, 0), min(height, params["rows"]), min(width, params["columns"]))
        above, before = max(-top, 0), max(-left, 0)
        below, behind = height - cut.shape[-2] - above, width - cut.shape[-1] - before
        fill = IGNORE if mask else [round(m) for m in MEAN]
        return TF.pad(cut, [before, above, behind, below], fill)
