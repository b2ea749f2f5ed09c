"""Training recipes: all settings of a training run, as data.

``python -m fcn_road_seg.training.recipe`` prints the table of a recipe's fields in Markdown.
"""

from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TypeVar, overload

from fcn_road_seg.files.input import read_text
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.recipe_field import RecipeError, RecipeField, recipe_field, setting

ALL = "all"
"""In `samples`, stands for all data sets that the command line names; they share the frames evenly."""
FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run. Each field is a key of the YAML file and an option of `road_seg train`."""

    name: str = field(metadata={"text": "Of the recipe: its file's name."})
    samples: dict[str, int] = field(
        metadata={
            "text": "Frames per epoch from each data set: how much it weighs. {kitti_road: 83, mine: 200}; "
            "or {all: 160}, shared evenly by all sets in --data."
        }
    )
    fc: str = setting(
        "atrous",
        "Form of fc6 and fc7: atrous is 3x3 with dilation 6 (DeepLab-LargeFOV), full is the FCN paper's 7x7.",
        choices=("atrous", "full"),
    )
    fc_width: int = setting(0, "Channels of fc6 and fc7. 0: 4096 (full) or 1024 (atrous).", 0, 4096)
    network_width: int = setting(
        576,
        "Width in pixels at which frames of KITTI's shape (1242x375), and wider ones, are trained. Narrower frames get "
        "as many pixels.",
        32,
        4096,
        32,
    )
    network_height: int = setting(
        160, "Height in pixels to which frames that are network_width wide are cut or padded.", 32, 4096, 32
    )
    epochs: int = setting(25, "Passes over `samples`. Each ends with a validation and a checkpoint.", 1)
    batch_size: int = setting(16, "Frames per step, over all processes.", 1)
    accumulate: int = setting(1, "Pieces in which each process computes its part of a batch, to save memory.", 1)
    lr: float = setting(1e-4, "Adam's learning rate of fc6, fc7 and the score layers.", 0, 1)
    upscore_lr: float = setting(
        0.0, "Learning rate of the transposed convolutions, which start as interpolation. 0: lr.", 0, 1
    )
    encoder_lr: float = setting(1e-4, "Learning rate of the VGG-16 stages that are not frozen.", 0, 1)
    frozen_stages: int = setting(0, "How many of VGG-16's five stages keep the weights that they start with.", 0, 5)
    lr_batch_size: int = setting(
        0,
        "Batch size for which the learning rates are meant: they are multiplied by batch_size / lr_batch_size. "
        "0: not scaled.",
        0,
    )
    weight_decay: float = setting(0.0, "Decoupled weight decay (AdamW).", 0, 1)
    schedule: str = setting(
        "constant",
        "Learning rates after the warm-up: constant, or falling to 0 over the run as a cosine.",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = setting(0, "Steps over which the learning rates rise linearly.", 0)
    keep_prob: float = setting(0.25, "Share of the activations of fc6 and fc7 that dropout keeps.", 0.01, 1)
    std_init: float = setting(0.01, "Standard deviation of the score layers' random start.", 0, 1)
    autocast: bool = setting(False, "BF16 arithmetic (FP16 on a GPU without it) with FP32 weights.")
    ema: float = setting(
        0.0, "Decay per step of the averaged weights that are validated and saved. 0: no average.", 0, 0.99999
    )
    auxiliary_weight: float = setting(
        0.0, "Weight of the loss on Cityscapes' classes, which a second head learns that is not shipped.", 0, 100
    )
    flops: float = setting(1.0, "Share of the teacher's work that remains after it is pruned. 1: not pruned.", 0.01, 1)
    distillation: float = setting(0.0, "Weight of the loss against the teacher's answers.", 0, 100)
    confidence: float = setting(0.9, "Least confidence at which a teacher labels a pixel of `unlabelled`.", 0.5, 1)
    augment: bool = setting(
        False, "Vary the training frames: scale, crop, mirror, and the changes of the fields below."
    )
    scale_min: float = setting(
        1.0, "Smallest scale: frames are resized to scale_min .. scale_max times their network size.", 0.1, 10
    )
    scale_max: float = setting(1.0, "Largest scale, see scale_min.", 0.1, 10)
    colour: float = setting(0.0, "Strength of changes of brightness, contrast and saturation.", 0, 1)
    blur: float = setting(0.0, "Share of the frames that are blurred.", 0, 1)
    jpeg: float = setting(0.0, "Share of the frames that are compressed as JPEG.", 0, 1)
    cast: float = setting(
        0.0, "Strength of wrong white balance: channels are multiplied by 1 - cast .. 1 + cast.", 0, 0.9
    )
    night: float = setting(0.0, "Share of the frames that are turned into night.", 0, 1)
    own_vehicle: float = setting(
        0.0,
        "Share of the frames whose road reaches the lower edge that get a bonnet or a dashboard, which is not road.",
        0,
        1,
    )
    free_crops: float = setting(
        0.0,
        "Share of the crops that lie at any height, of frames narrower than KITTI's; others keep the lower edge.",
        0,
        1,
    )
    ignore_bottom: float = setting(
        0.0, "Share of the height at the lower edge that is ignored, except in kitti_road.", 0, 0.5
    )
    validation_frames: int = setting(
        100, "Most frames, evenly spaced, of each data set on which an epoch is validated; all of kitti_road.", 1
    )
    seed: int = setting(0, "Seed of all random numbers.", 0, 2**31)

    @property
    def lr_scale(self) -> float:
        """Factor on the learning rates: linear scaling (Goyal et al., "Accurate, Large Minibatch SGD", 2017)."""
        return self.batch_size / (self.lr_batch_size or self.batch_size)

    @property
    def needs_teacher(self) -> bool:
        """Whether the recipe needs trained weights to learn from."""
        return self.flops < 1 or self.distillation > 0 or "unlabelled" in self.samples


AnyRecipe = TypeVar("AnyRecipe", Recipe, InstanceRecipe)


@cache
def fields_of(kind: type) -> dict[str, RecipeField]:
    """The fields of a kind of recipe by their names."""
    return {known.name: recipe_field(known) for known in fields(kind)}


FIELDS = fields_of(Recipe)


def recipe_names(folder: Path = FOLDER) -> list[str]:
    """The recipes in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


@overload
def load_recipe(name: str) -> Recipe: ...
@overload
def load_recipe(name: str, kind: type[AnyRecipe], folder: Path) -> AnyRecipe: ...
def load_recipe(name: str, kind: type = Recipe, folder: Path = FOLDER) -> Recipe | InstanceRecipe:
    """Load a recipe of a kind by its name in a folder, or from a YAML file."""
    import yaml

    path = folder / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(recipe_names(folder))
        raise RecipeError(f"there is no recipe {name!r}; there are {known}, or give a YAML file")
    try:
        values = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is not a recipe: it must hold lines of `field: value`")
    return check(kind, {"name": path.stem, **values})


def check(recipe: type[AnyRecipe] | AnyRecipe, values: dict) -> AnyRecipe:
    """Make a recipe of `values`, or change them in one; each value is checked.

    Raises:
        RecipeError: a field is unknown or missing, or its value has the wrong type or is out of range.
    """
    kind: type = recipe if isinstance(recipe, type) else type(recipe)
    known = fields_of(kind)
    for key in values:
        if key not in known:
            raise RecipeError(f"a recipe has no field {key!r}; it has {', '.join(known)}")
    values = {key: known[key].check(value) for key, value in values.items()}
    try:
        made = recipe(**values) if isinstance(recipe, type) else replace(recipe, **values)
    except TypeError as error:
        raise RecipeError(f"the recipe is incomplete: {error}") from None
    wrong = [name for name, frames in made.samples.items() if not (type(frames) is int and frames > 0)]
    if wrong or not made.samples:
        of_which = f": {wrong[0]!r} has none" if wrong else ""
        raise RecipeError(
            f"samples must name data sets, each with a number of frames above 0, as in {{synthetic: 1000}}{of_which}"
        )
    if made.scale_min > made.scale_max:
        raise RecipeError(f"scale_min is {made.scale_min}, but scale_max is only {made.scale_max}")
    return made


def markdown_table() -> str:
    """The fields of a recipe as a Markdown table."""
    lines = ["| field | default | values | meaning |", "|---|---|---|---|"]
    for known in list(FIELDS.values())[1:]:
        default = f"`{known.default_text}`" if known.default_text else "none"
        lines.append(f"| `{known.name}` | {default} | {known.range_text} | {known.text} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
