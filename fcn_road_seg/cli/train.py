"""`road_seg train`: train a network into a weights file."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Container
from pathlib import Path

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_label_map_option,
    label_maps,
    named_paths,
    takes_weights,
    write_json,
)
from fcn_road_seg.cli.training_inputs import (
    FINE_TUNING,
    check_named,
    chosen_recipe,
    fitted_recipe,
    given_fields,
    open_source,
    resolved_recipe,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.remedies import start_command
from fcn_road_seg.training.recipe import FIELDS, RecipeError, recipe_names


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "train",
        help="train the network from a recipe",
    )
    parser.add_argument(
        "--recipe",
        help=f"{', '.join(recipe_names())} or a YAML file (default: finetune with --weights, else road)",
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
        "--teacher",
        metavar="FILE",
        help="weights, as for --weights, that label unlabelled frames, or are pruned and distilled",
    )
    parser.add_argument(
        "--encoder-weights", metavar="FILE", help="VGG-16, safetensors (default: download torchvision's)"
    )
    weights = parser.add_argument(
        "--weights",
        metavar="FILE",
        help="start from this weights file, or from the shipped road, lite or permissive, instead of VGG-16",
    )
    takes_weights(weights)
    parser.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-TIME)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="number of processes that read and augment frames, per training process (default: %(default)s)",
    )
    add_label_map_option(parser)
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

    from fcn_road_seg.datasets.held_out import open_validation
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
    maps = label_maps(args.label_map, kinds)
    recipe = resolved_recipe(recipe, paths)
    check_named(recipe, paths)
    if args.teacher and not recipe.needs_teacher:
        raise RecipeError(f"recipe {recipe.name} does not use a teacher: leave out --teacher")
    if recipe.needs_teacher and not args.teacher:
        raise RecipeError(f"recipe {recipe.name} learns from trained weights: give --teacher FILE")
    if args.weights and (args.encoder_weights or args.resume or recipe.flops < 1):
        raise RecipeError("training starts from --weights: leave out --encoder-weights, --resume and flops below 1")
    start = checkpoint.load(weights_path(args.weights)) if args.weights else None
    teacher = checkpoint.load(weights_path(args.teacher)) if args.teacher else None
    if recipe.name == FINE_TUNING and not (start or args.resume):
        raise RecipeError(
            f"recipe {FINE_TUNING} starts from trained weights: give --weights road, lite, permissive or FILE"
        )
    if start and recipe.name == FINE_TUNING:
        recipe = fitted_recipe(recipe, start.metadata, given_fields(args))
    if start and start.metadata.fc != recipe.fc:
        raise RecipeError(f"{args.weights} has {start.metadata.fc} fc6 and fc7: give --fc {start.metadata.fc}")
    if recipe.flops < 1 and teacher and teacher.metadata.fc != recipe.fc:
        raise RecipeError(
            f"recipe {recipe.name} prunes a teacher with {recipe.fc} fc6 and fc7, but this one has another form"
        )
    if main_process and not args.resume:
        folder.check_new()
    sources = {
        name: open_source(name, kinds.get(name, name), paths.get(name, []), recipe, args, maps.get(name))
        for name in recipe.samples
    }
    named = [(name, kinds[name], folders[0]) for name, folders in paths.items()]
    validation = open_validation(named, recipe.validation_frames, maps)
    began = time.monotonic()
    best = train(
        recipe,
        sources,
        validation,
        folder,
        args.encoder_weights,
        bool(args.resume),
        str(device),
        args.workers,
        teacher,
        start,
        next_step(folder.best, args, validation),
    )
    write_json(args.json if main_process else None, {"best": best, "seconds": time.monotonic() - began})
    return 0


def next_step(weights: Path, args: argparse.Namespace, validated: Container[str]) -> str:
    """The commands that use the weights: on the sets that validated them, compared with `--weights`, and on a vehicle.

    Args:
        validated: the names of these sets.
    """
    options = ["--compare", args.weights, str(weights)] if args.weights else ["--weights", str(weights)]
    for item in args.data:
        if item.partition(":")[0].partition("=")[0] in validated:
            options += ["--data", item]
    for item in args.label_map:
        if "=" not in item or item.partition("=")[0] in validated:
            options += ["--label-map", item]
    evaluate = shlex.join(["road_seg", "evaluate", *options])
    return f"{evaluate}; or {start_command({'weights': str(weights.resolve())}, {})}"
