"""Recipes for training the instance network: all settings of a run, as data."""

from dataclasses import dataclass, field
from pathlib import Path

from fcn_road_seg.training.recipe_field import setting

FOLDER = Path(__file__).parent / "instance_recipes"


@dataclass(frozen=True)
class InstanceRecipe:
    """The settings of one training run. Each field is a key of the YAML file and an option of `train-instances`."""

    name: str = field(metadata={"text": "Of the recipe: its file's name."})
    samples: dict[str, int] = field(
        metadata={
            "text": "Frames per epoch from each data set: how much it weighs. {cityscapes: 1000, mine: 200}; or "
            "{all: 1000}, shared evenly by all sets in --data."
        }
    )
    width: int = setting(96, "Channels of the feature pyramid and of the mask head.", 16, 256, 8)
    short_side: int = setting(400, "Pixels to which a frame's shorter side is resized when the network runs.", 64, 1024)
    crop_width: int = setting(640, "Width in pixels of the crops that are trained.", 64, 2048, 32)
    crop_height: int = setting(352, "Height in pixels of the crops that are trained.", 64, 1024, 32)
    epochs: int = setting(24, "Passes over `samples`. Each ends with a validation.", 1)
    batch_size: int = setting(4, "Frames per step.", 1)
    lr: float = setting(4e-4, "AdamW's learning rate of the layers that start at random.", 0, 1)
    backbone_lr: float = setting(2e-4, "Learning rate of the backbone's stages that are not frozen.", 0, 1)
    frozen_stages: int = setting(1, "How many of the backbone's six stages keep the weights they start with.", 0, 6)
    weight_decay: float = setting(0.0, "Decoupled weight decay (AdamW).", 0, 1)
    schedule: str = setting(
        "cosine",
        "Learning rates after the warm-up: constant, or falling to 0 over the run as a cosine.",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = setting(0, "Steps over which the learning rates rise linearly.", 0)
    gradient_norm: float = setting(10.0, "Gradients with a larger norm are scaled down to it.", 0.001, 1e6)
    autocast: bool = setting(False, "BF16 arithmetic in the backbone and the proposal head, with FP32 weights.")
    ema: float = setting(
        0.0, "Decay per step of the averaged weights that are validated and saved. 0: no average.", 0, 0.99999
    )
    scale_min: float = setting(1.0, "Smallest scale of a crop, relative to `short_side`.", 0.1, 10)
    scale_max: float = setting(1.0, "Largest scale of a crop.", 0.1, 10)
    smallest: int = setting(12, "Instances with fewer pixels in a crop are ignored.", 1)
    colour: float = setting(0.0, "Strength of changes of brightness, contrast and saturation.", 0, 1)
    blur: float = setting(0.0, "Share of the frames that are blurred.", 0, 1)
    jpeg: float = setting(0.0, "Share of the frames that are compressed as JPEG.", 0, 1)
    cast: float = setting(
        0.0, "Strength of wrong white balance: channels are multiplied by 1 - cast .. 1 + cast.", 0, 0.9
    )
    night: float = setting(0.0, "Share of the frames that are turned into night.", 0, 1)
    validation_frames: int = setting(
        100, "Most frames, evenly spaced, of each data set on which an epoch is validated.", 1
    )
    seed: int = setting(0, "Seed of all random numbers.", 0, 2**31)
