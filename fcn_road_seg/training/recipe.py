"""Training recipes: every number of a training run, as data."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_origin

import yaml

from fcn_road_seg.errors import UserError

FOLDER = Path(__file__).parent / "recipes"


class RecipeError(UserError):
    """A recipe that does not exist or has a field that is wrong; the message says which."""


@dataclass(frozen=True)
class Recipe:
    """One training run. Each field is a key of the YAML file and an option of `road_seg train`."""

    name: str
    samples: dict[str, int]  # frames per epoch drawn from each data set
    fc: str = "atrous"  # form of fc6/fc7: full or atrous
    fc_width: int = 0  # channels of fc6/fc7; 0 = 4096 (full) or 1024 (atrous)
    network_width: int = 576  # pixels
    network_height: int = 160  # pixels
    epochs: int = 25
    batch_size: int = 16
    lr: float = 1e-4  # Adam's learning rate of fc6, fc7 and the head
    encoder_lr: float = 1e-4  # Adam's learning rate of the VGG-16 stages that are not frozen
    frozen_stages: int = 0  # this many VGG-16 stages keep their ImageNet weights
    weight_decay: float = 0.0  # decoupled (AdamW)
    schedule: str = "constant"  # constant, or cosine: to zero over the run after the warm-up
    warmup_steps: int = 0  # the learning rate rises linearly over these
    keep_prob: float = 0.25  # share of fc6/fc7 activations that dropout keeps
    std_init: float = 0.01  # of the score layers
    autocast: bool = False  # BF16 arithmetic (FP16 with loss scaling is not needed) with FP32 weights
    ema: float = 0.0  # decay per step of the averaged weights that are validated and saved; 0 = off
    auxiliary_weight: float = 0.0  # of the loss on CamVid's eleven classes, by a head that is not shipped
    augment: bool = False
    scale_min: float = 1.0  # scale and crop: the frame is shown at scale_min..scale_max times its network size
    scale_max: float = 1.0
    colour: float = 0.0  # strength of brightness, contrast and saturation changes, 0..1
    blur: float = 0.0  # probability of a Gaussian blur
    jpeg: float = 0.0  # probability of JPEG compression
    seed: int = 0


def load_recipe(name: str) -> Recipe:
    """A recipe by the name of its file in `training/recipes/`, or by a YAML file's path."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise RecipeError(f"there is no recipe {name!r}; there are {known}, or name a YAML file")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds no recipe: it must be a list of `field: value`")
    return check(Recipe, {"name": path.stem, **values})


def check(recipe: type[Recipe] | Recipe, values: dict) -> Recipe:
    """A recipe with `values`, each of them checked.

    Raises:
        RecipeError: a field is unknown, missing, of another type or out of its range.
    """
    types = {f.name: f.type for f in fields(Recipe)}
    for key, value in values.items():
        if key not in types:
            raise RecipeError(f"a recipe has no field {key!r}; it has {', '.join(types)}")
        wanted = get_origin(types[key]) or types[key]
        if not isinstance(value, (int, float) if wanted is float else wanted) or (
            isinstance(value, bool) and wanted is not bool
        ):
            raise RecipeError(f"{key} is {value!r}, but must be of the type {wanted.__name__}")
    try:
        recipe = recipe(**values) if isinstance(recipe, type) else replace(recipe, **values)
    except TypeError as error:
        raise RecipeError(f"the recipe is incomplete: {error}") from None
    rules = {
        "samples must name a data set and a number of frames above 0 for each": recipe.samples
        and all(isinstance(n, int) and n > 0 for n in recipe.samples.values()),
        "network_width and network_height must be multiples of 32": recipe.network_width > 0
        and recipe.network_height > 0
        and recipe.network_width % 32 == recipe.network_height % 32 == 0,
        "epochs and batch_size must be at least 1": recipe.epochs >= 1 and recipe.batch_size >= 1,
        "keep_prob must be above 0 and at most 1": 0 < recipe.keep_prob <= 1,
        "schedule must be constant or cosine": recipe.schedule in ("constant", "cosine"),
        "scale_min and scale_max must be above 0 and in order": 0 < recipe.scale_min <= recipe.scale_max,
        "ema must be in 0..1 (without 1)": 0 <= recipe.ema < 1,
    }
    for sentence, holds in rules.items():
        if not holds:
            raise RecipeError(f"recipe {recipe.name}: {sentence}")
    return recipe
