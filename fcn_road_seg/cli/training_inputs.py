"""What `road_seg train` trains on, from its options: the recipe and the frames."""

import argparse
from collections.abc import Container, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import progress
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.training.recipe import ALL, FIELDS, Recipe, RecipeError, check, load_recipe

if TYPE_CHECKING:
    from fcn_road_seg.datasets.label_map import LabelMap
    from fcn_road_seg.frames.sample import Samples
    from fcn_road_seg.inference.checkpoint import Metadata

FINE_TUNING = "finetune"
"""The recipe that takes the form and the size of the weights it starts from."""


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the options name, with their changes; or that of the run to resume, unchanged."""
    import yaml

    given = given_fields(args)
    if args.resume:
        if given or args.out:
            raise RecipeError("--resume continues a run unchanged: leave out --out and the recipe's fields")
        if not (args.resume / "recipe.yaml").is_file():
            raise RecipeError(f"there is no run to resume in {args.resume}")
        return load_recipe(str(args.resume / "recipe.yaml"))
    try:
        name = args.recipe or (FINE_TUNING if args.weights and not args.teacher else "road")
        return check(load_recipe(name), {name: yaml.safe_load(text) for name, text in given.items()})
    except yaml.YAMLError:
        raise RecipeError(
            f"one of these is not a valid value for a field of a recipe: {', '.join(given.values())}"
        ) from None


def given_fields(args: argparse.Namespace) -> dict[str, str]:
    """The fields of a recipe that are given as options, as text."""
    return {name: value for name in FIELDS if (value := getattr(args, name, None)) is not None}


def resolved_recipe(recipe: Recipe, names: Iterable[str]) -> Recipe:
    """The recipe with the share of each set, where its `samples` say only how many frames of all sets it draws."""
    names = list(names)
    if ALL not in recipe.samples:
        return recipe
    if len(recipe.samples) > 1:
        raise RecipeError(f"samples has {ALL}, which stands for every set, beside others: leave out one or the other")
    if not names:
        raise DatasetError(f"recipe {recipe.name} trains on the data sets that you name: give --data folder:DIR")
    share = -(-recipe.samples[ALL] // len(names))
    return check(recipe, {"samples": dict.fromkeys(names, share)})


def check_named(recipe: Recipe, paths: Mapping[str, list[str]]) -> None:
    """Check that --data names the sets of the recipe, with one folder each; `paths` is from `named_paths`.

    Raises:
        DatasetError: a set is missing, has several folders or is not the recipe's; KITTI Road may only validate.
    """
    from fcn_road_seg.datasets.open_dataset import KINDS

    for name, folders in paths.items():
        if name not in recipe.samples and name != "kitti_road":
            raise DatasetError(
                f"recipe {recipe.name} does not train on {name!r}, but on {', '.join(recipe.samples)}: give --samples"
            )
        if len(folders) > 1 and name != "unlabelled":
            raise DatasetError(
                f"--data {name} is given {len(folders)} times, but only unlabelled may have several folders: give each "
                "folder its own name, NAME=folder:DIR"
            )
    for name in recipe.samples:
        family = name.split("+")[0]
        if name not in paths and family not in ("synthetic", "unlabelled"):
            wanted = name if family in KINDS else f"{name}=folder"
            raise DatasetError(f"recipe {recipe.name} trains on {name}: give --data {wanted}:DIR")


def fitted_recipe(recipe: Recipe, start: "Metadata", given: Container[str]) -> Recipe:
    """The recipe for weights to fine-tune: of their form, at the size that they were trained at, unless `given`."""
    from fcn_road_seg.inference.network import STRIDE

    height = round(start.network_width * recipe.network_height / recipe.network_width / STRIDE) * STRIDE
    values = {"fc": start.fc, "network_width": start.network_width, "network_height": max(height, STRIDE)}
    if "network_width" in given:
        del values["network_width"], values["network_height"]
    return check(recipe, {name: value for name, value in values.items() if name not in given})


def open_source(
    name: str, kind: str, paths: list[str], recipe: Recipe, args: argparse.Namespace, label_map: "LabelMap | None"
) -> "Samples":
    """Open the training frames of a data set by its name in recipes and its kind."""
    from fcn_road_seg.datasets.open_dataset import open_dataset

    if name.split("+")[0] == "synthetic":
        from fcn_road_seg.synthetic import SHAPES, SyntheticRoad, SyntheticWorld

        shape = name.removeprefix("synthetic").removeprefix("+")
        if shape and shape not in SHAPES:
            variants = ", ".join(f"synthetic+{known}" for known in SHAPES)
            raise DatasetError(f"there is no data set {name!r}; there are synthetic, {variants}")
        count, seed = recipe.samples[name], recipe.seed
        scenes = SyntheticWorld(count, shape, seed) if shape else SyntheticRoad(count, seed)
        return [scenes[i] for i in progress(range(count), "drawing synthetic scenes")]
    if name == "unlabelled":
        if not paths:
            raise DatasetError(f"recipe {recipe.name} trains on unlabelled: give --data unlabelled:DIR")
        from fcn_road_seg.inference.segmenter import weights_path
        from fcn_road_seg.training.pseudo_labels import PseudoLabelled

        track = partial(progress, description="labelling frames")
        return PseudoLabelled(paths, weights_path(args.teacher), recipe.confidence, args.device, track)
    return open_dataset(kind, paths[0], "all" if kind == "camvid" else "train", name, label_map)
