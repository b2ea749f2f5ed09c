"""Training recipes: all settings of a training run, as data."""

import math
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_origin

import yaml

from fcn_road_seg.errors import UserError

FOLDER = Path(__file__).parent / "recipes"


class RecipeError(UserError):
    """A recipe that does not exist or has an invalid field; the message names it."""


def within(default: float | int, low: float, high: float = math.inf, step: int = 1) -> Any:
    """A field with a number from `low` to `high`; an integer is a multiple of `step`."""
    return field(default=default, metadata={"range": (low, high, step)})


def one_of(*choices: str) -> Any:
    """A field with one of a few words, by default the first."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run. Each field is a key of the YAML file and an option of `road_seg train`."""

    name: str
    samples: dict[str, int]  # frames per epoch drawn from each data set
    fc: str = one_of("atrous", "full")  # form of fc6/fc7
    fc_width: int = within(0, 0, 4096)  # channels of fc6/fc7; 0 = 4096 (full) or 1024 (atrous)
    network_width: int = within(576, 32, 4096, 32)  # pixels; of KITTI's frames, see `preprocess.network_size`
    network_height: int = within(160, 32, 4096, 32)  # pixels; of frames that are network_width wide
    epochs: int = within(25, 1)
    batch_size: int = within(16, 1)  # frames per step, over all processes
    accumulate: int = within(1, 1)  # micro-batches per step in each process, to save memory
    lr: float = within(1e-4, 0, 1)  # Adam's learning rate of fc6, fc7 and the head
    upscore_lr: float = within(0.0, 0, 1)  # of the transposed convolutions, which start as interpolation; 0 = lr
    encoder_lr: float = within(1e-4, 0, 1)  # Adam's learning rate of the VGG-16 stages that are not frozen
    frozen_stages: int = within(0, 0, 5)  # this many of VGG-16's five stages keep their ImageNet weights
    lr_batch_size: int = within(0, 0)  # the rates are scaled by batch_size / lr_batch_size; 0 = not scaled
    weight_decay: float = within(0.0, 0, 1)  # decoupled (AdamW)
    schedule: str = one_of("constant", "cosine")  # cosine: to zero over the run after the warm-up
    warmup_steps: int = within(0, 0)  # the learning rate rises linearly over these
    keep_prob: float = within(0.25, 0.01, 1)  # share of fc6/fc7 activations that dropout keeps
    std_init: float = within(0.01, 0, 1)  # of the score layers
    autocast: bool = False  # BF16 arithmetic (FP16 on a GPU without it) with FP32 weights
    ema: float = within(0.0, 0, 0.99999)  # decay per step of the averaged weights that are validated and saved; 0 = off
    auxiliary_weight: float = within(0.0, 0, 100)  # of the loss on Cityscapes' classes, by a head that is not shipped
    flops: float = within(1.0, 0.01, 1)  # the pruned network's share of the teacher's work; 1 = not pruned
    distillation: float = within(0.0, 0, 100)  # weight of the loss against the teacher's answer
    confidence: float = within(0.9, 0.5, 1)  # least confidence of a teacher to label a pixel
    augment: bool = False
    scale_min: float = within(1.0, 0.1, 10)  # scale and crop: the frame is resized to scale_min..scale_max times
    scale_max: float = within(1.0, 0.1, 10)  # its network size
    colour: float = within(0.0, 0, 1)  # strength of brightness, contrast and saturation changes
    blur: float = within(0.0, 0, 1)  # probability of a Gaussian blur
    jpeg: float = within(0.0, 0, 1)  # probability of JPEG compression
    cast: float = within(0.0, 0, 0.9)  # each channel is multiplied by 1 - cast .. 1 + cast
    night: float = within(0.0, 0, 1)  # probability that day is turned into night
    own_vehicle: float = within(0.0, 0, 1)  # probability of a bonnet or dashboard where the road reaches the lower edge
    free_crops: float = within(0.0, 0, 1)  # share of crops at any height, of frames narrower than KITTI's
    ignore_bottom: float = within(0.0, 0, 0.5)  # share of the height, see `mixture.Mixture`
    seed: int = within(0, 0, 2**31)

    @property
    def lr_scale(self) -> float:
        """Factor on the learning rates: linear scaling (Goyal et al., "Accurate, Large Minibatch SGD", 2017)."""
        return self.batch_size / (self.lr_batch_size or self.batch_size)

    @property
    def needs_teacher(self) -> bool:
        """Whether the recipe needs trained weights to learn from."""
        return self.flops < 1 or self.distillation > 0 or "unlabelled" in self.samples


def load_recipe(name: str) -> Recipe:
    """Load a recipe by its name in `training/recipes/`, or from a YAML file."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise RecipeError(f"there is no recipe {name!r}; there are {known}, or give a YAML file")
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is not a recipe: it must hold lines of `field: value`")
    return check(Recipe, {"name": path.stem, **values})


def check(recipe: type[Recipe] | Recipe, values: dict) -> Recipe:
    """Make a recipe of `values`, or change them in one; each value is checked.

    Raises:
        RecipeError: a field is unknown or missing, or its value has the wrong type or is out of range.
    """
    known = {f.name: f for f in fields(Recipe)}
    for key in values:
        if key not in known:
            raise RecipeError(f"a recipe has no field {key!r}; it has {', '.join(known)}")
    values = {key: _checked(known[key], value) for key, value in values.items()}
    try:
        recipe = recipe(**values) if isinstance(recipe, type) else replace(recipe, **values)
    except TypeError as error:
        raise RecipeError(f"the recipe is incomplete: {error}") from None
    if not recipe.samples or not all(type(n) is int and n > 0 for n in recipe.samples.values()):
        raise RecipeError("samples must name data sets, each with a number of frames above 0")
    if recipe.scale_min > recipe.scale_max:
        raise RecipeError(f"scale_min is {recipe.scale_min}, but scale_max is only {recipe.scale_max}")
    return recipe


def _checked(known: Field, value: object) -> object:
    wanted = cast(type, get_origin(known.type) or known.type)
    # YAML reads 1e-4, without a point, as a string.
    if wanted is float and isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError):
            value = float(value)
    if type(value) is not wanted:
        raise RecipeError(f"{known.name} is {value!r}, but must be of type {wanted.__name__}")
    choices = known.metadata.get("choices", (value,))
    if value not in choices:
        raise RecipeError(f"{known.name} is {value!r}, but must be one of {', '.join(choices)}")
    if "range" in known.metadata:
        low, high, step = known.metadata["range"]
        if not (low <= value <= high) or value % step and step > 1:
            steps = f", in steps of {step}" if step > 1 else ""
            raise RecipeError(f"{known.name} is {value!r}, but must be within {low} and {high}{steps}")
    return value
