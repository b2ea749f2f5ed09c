"""`road_seg train`: train a network into a weights file."""

import argparse
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fcn_road_seg.cli.options import Subparsers, add_json_option, named_paths, progress, write_json
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.training.recipe import FIELDS, Recipe, RecipeError, check, load_recipe, recipe_names

if TYPE_CHECKING:
    from fcn_road_seg.frames.sample import Samples


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "train",
        help="train the network from a recipe",
    )
    parser.add_argument(
        "--recipe",
        default="road",
        help=f"{', '.join(recipe_names())} or a YAML file (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="folder of a data set of the recipe: kitti_road:DIR, camvid:DIR, cityscapes:DIR, bdd100k:DIR, folder:DIR "
        "with images/ and labels/, unlabelled:DIR of images, which may be repeated (synthetic needs no path); "
        "mine=folder:DIR has the name mine in samples; cityscapes+coarse, cityscapes+parking+rail_track, "
        "bdd100k+direct_only and synthetic+16x9, +4x3 and +5x4 are variants, with the same names in samples",
    )
    parser.add_argument(
        "--teacher", metavar="FILE", help="weights that label unlabelled frames, or are pruned and distilled"
    )
    parser.add_argument(
        "--encoder-weights", metavar="FILE", help="VGG-16, safetensors (default: download torchvision's)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="start from this weights file, or from lite, instead of VGG-16 (fine-tuning)"
    )
    parser.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-TIME)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="number of processes that read and augment frames, per training process (default: %(default)s)",
    )
    add_json_option(parser)
    add_recipe_options(parser)
    return parser


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of a recipe but its name."""
    overrides = parser.add_argument_group(
        "fields of the recipe", "Each replaces the recipe's value; the default is that of recipes without the field."
    )
    for known in FIELDS.values():
        if known.name != "name":
            default = f"; default {known.default_text}" if known.default_text else ""
            overrides.add_argument(
                f"--{known.name.replace('_', '-')}",
                metavar="VALUE",
                help=f"{known.text} ({known.range_text}{default})".replace("%", "%%"),
            )


def run(args: argparse.Namespace) -> int:
    recipe = chosen_recipe(args)
    if args.workers < 0:
        raise RecipeError(f"--workers is {args.workers}, but must be 0 or more")
    try:
        import torch
        import torchvision  # noqa: F401
        from torch.utils import tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(f"training needs torchvision and tensorboard ({error}): install them with pip") from None

    from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
    from fcn_road_seg.inference import checkpoint
    from fcn_road_seg.inference.backends.hardware import torch_device
    from fcn_road_seg.inference.segmenter import weights_path
    from fcn_road_seg.training.loop import train
    from fcn_road_seg.training.run_folder import RunFolder

    folder = RunFolder(args.resume or args.out or Path("runs") / time.strftime(f"{recipe.name}-%Y%m%d-%H%M%S"))
    main_process = os.environ.get("RANK", "0") == "0"
    if args.resume and (best := folder.finished(recipe.epochs)):
        if main_process:
            folder.finish()
            print(folder.finished_text(recipe.epochs), file=sys.stderr)
            write_json(args.json, {"best": best, "seconds": 0.0})
        return 0
    device = torch_device(args.device)
    if "LOCAL_RANK" in os.environ and device.type == "cuda":  # under torchrun
        torch.cuda.set_device(torch_device(f"cuda:{os.environ['LOCAL_RANK']}"))
    paths, kinds = named_paths(args.data)
    for name in paths.keys() - recipe.samples.keys() - {"kitti_road"}:
        raise DatasetError(f"recipe {recipe.name} does not train on {name!r}, but on {', '.join(recipe.samples)}")
    if args.teacher and not recipe.needs_teacher:
        raise RecipeError(f"recipe {recipe.name} does not use a teacher: leave out --teacher")
    if "kitti_road" not in paths:
        raise DatasetError("validation needs KITTI Road: give --data kitti_road:DIR")
    if recipe.needs_teacher and not args.teacher:
        raise RecipeError(f"recipe {recipe.name} learns from trained weights: give --teacher FILE")
    if args.weights and (args.encoder_weights or args.resume or recipe.flops < 1):
        raise RecipeError("training starts from --weights: leave out --encoder-weights, --resume and flops below 1")
    start = checkpoint.load(weights_path(args.weights)) if args.weights else None
    if start and start.metadata.fc != recipe.fc:
        raise RecipeError(f"{args.weights} has {start.metadata.fc} fc6 and fc7: give --fc {start.metadata.fc}")
    if recipe.flops < 1 and checkpoint.load(args.teacher).metadata.fc != recipe.fc:
        raise RecipeError(
            f"recipe {recipe.name} prunes a teacher with {recipe.fc} fc6 and fc7, but this one has another form"
        )
    began = time.monotonic()
    best = train(
        recipe,
        {name: open_source(name, kinds.get(name, name), paths.get(name, []), recipe, args) for name in recipe.samples},
        KittiRoad(paths["kitti_road"][0], split_names("val")),
        folder,
        args.encoder_weights,
        bool(args.resume),
        str(device),
        args.workers,
        checkpoint.load(args.teacher) if args.teacher else None,
        start,
        next_step(folder.best, args.data),
    )
    write_json(args.json if main_process else None, {"best": best, "seconds": time.monotonic() - began})
    return 0


def next_step(weights: Path, data: list[str]) -> str:
    """The commands that use the weights: on the same data sets, and on a vehicle."""
    held_out = [word for item in data if not item.startswith("unlabelled:") for word in ("--data", item)]
    evaluate = shlex.join(["road_seg", "evaluate", "--weights", str(weights), *held_out])
    launch = shlex.join(["ros2", "launch", "fcn_road_seg", "road_seg.launch.py", f"weights:={weights.resolve()}"])
    return f"{evaluate}; or {launch}"


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the options name, with their changes; or that of the run to resume, unchanged."""
    given = {name: value for name in FIELDS if (value := getattr(args, name, None)) is not None}
    if args.resume:
        if given or args.out:
            raise RecipeError("--resume continues a run unchanged: leave out --out and the recipe's fields")
        if not (args.resume / "recipe.yaml").is_file():
            raise RecipeError(f"there is no run to resume in {args.resume}")
        return load_recipe(str(args.resume / "recipe.yaml"))
    try:
        return check(load_recipe(args.recipe), {name: yaml.safe_load(text) for name, text in given.items()})
    except yaml.YAMLError:
        raise RecipeError(
            f"one of these is not a valid value for a field of a recipe: {', '.join(given.values())}"
        ) from None


def open_source(name: str, kind: str, paths: list[str], recipe: Recipe, args: argparse.Namespace) -> "Samples":
    """Open the training frames of a data set by its name in recipes and its kind."""
    if name.split("+")[0] == "synthetic":
        from fcn_road_seg.synthetic import SHAPES, SyntheticRoad, SyntheticWorld

        shape = name.removeprefix("synthetic").removeprefix("+")
        if shape and shape not in SHAPES:
            variants = ", ".join(f"synthetic+{known}" for known in SHAPES)
            raise DatasetError(f"there is no data set {name!r}; there are synthetic, {variants}")
        count, seed = recipe.samples[name], recipe.seed
        scenes = SyntheticWorld(count, shape, seed) if shape else SyntheticRoad(count, seed)
        return [scenes[i] for i in progress(range(count), "drawing synthetic scenes")]
    if not paths:
        known = ("kitti_road", "camvid", "cityscapes", "bdd100k", "unlabelled", "folder")
        wanted = name if name.split("+")[0] in known else f"{name}=folder"
        raise DatasetError(f"recipe {recipe.name} trains on {name}: give --data {wanted}:DIR")
    if name == "unlabelled":
        from fcn_road_seg.training.pseudo_labels import PseudoLabelled

        track = partial(progress, description="labelling frames")
        return PseudoLabelled(paths, args.teacher, recipe.confidence, args.device, track)
    if len(paths) > 1:
        raise DatasetError(f"--data {name} is given {len(paths)} times, but only unlabelled may have several folders")
    if kind == "folder":
        from fcn_road_seg.datasets.folder import Folder

        return Folder(paths[0], "train", name)
    if name == "kitti_road":
        from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names

        return KittiRoad(paths[0], split_names("train"))
    if name == "camvid":
        from fcn_road_seg.datasets.camvid import CamVid

        return CamVid(paths[0])
    family, *variant = name.split("+")
    if family == "cityscapes":
        from fcn_road_seg.datasets.cityscapes import Cityscapes

        also_road = [word for word in variant if word != "coarse"]
        part, mode = ("train_extra", "coarse") if "coarse" in variant else ("train", "fine")
        return Cityscapes(paths[0], part, mode, also_road)
    if family == "bdd100k":
        from fcn_road_seg.datasets.bdd100k import AREAS, Bdd100k

        if variant not in ([], ["direct_only"]):
            raise DatasetError(f"there is no data set {name!r}; bdd100k has only the variant bdd100k+direct_only")
        return Bdd100k(paths[0], road=AREAS[:1] if variant else AREAS)
    raise DatasetError(
        f"there is no data set {name!r}; there are kitti_road, camvid, cityscapes, bdd100k, folder, "
        "synthetic and unlabelled"
    )
