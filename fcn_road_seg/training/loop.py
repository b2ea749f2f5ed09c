"""The training loop."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from fcn_road_seg.datasets.selection import remarks
from fcn_road_seg.frames.sample import Samples
from fcn_road_seg.git_revision import git_revision
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.training import distributed
from fcn_road_seg.training.distributed import Processes, ProcessLostError
from fcn_road_seg.training.encoder import load_encoder
from fcn_road_seg.training.learner import Learner
from fcn_road_seg.training.mixture import MicroBatches, Mixture, MixtureBatches, collate
from fcn_road_seg.training.model import TrainingModel, set_learning_rate
from fcn_road_seg.training.progress import TrainingProgress
from fcn_road_seg.training.pruning import channel_importance, choose_channels, prune
from fcn_road_seg.training.recipe import Recipe, RecipeError
from fcn_road_seg.training.run_folder import RunFolder, check_road, frames_digest
from fcn_road_seg.training.sample_pictures import sample_pictures
from fcn_road_seg.training.validation import check_calibrations, validate

IMPORTANCE_BATCHES = 64


def train(
    recipe: Recipe,
    sources: dict[str, Samples],
    validation: Mapping[str, Samples],
    folder: RunFolder,
    encoder_weights: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 1,
    teacher: checkpoint.Checkpoint | None = None,
    start: checkpoint.Checkpoint | None = None,
    next_step: str = "",
) -> dict:
    """Train for the recipe's epochs; each epoch is validated and writes a checkpoint.

    Under torchrun several processes train together, see `distributed`; all of them call this function.

    Args:
        sources: the training frames by data set, one for each of `recipe.samples`.
        validation: labelled frames of scenes that no source has, by data set.
        encoder_weights: see `encoder.load_encoder`.
        resume: continue after the last complete epoch in `folder`; bit for bit on the CPU with as many processes.
        workers: number of processes that read and augment frames, per training process.
        teacher: weights for a recipe that prunes or distils them.
        start: weights to continue from (fine-tuning), with their layers' widths, instead of `encoder_weights`.
        next_step: what the last line of a finished run tells the user to do.

    Returns:
        The best epoch's row of the log.

    Raises:
        RecipeError: the recipe needs a teacher, its batches are too small for the processes, or it is not the one that
            the run to resume began with.
        DatasetError: a set shows no road, or a set for validation shows nothing else; a calibration is unusable.
        KeyboardInterrupt: Ctrl-C; `last.safetensors` holds the weights trained so far.
        ProcessLostError: another process of the training was lost; likewise.
    """
    if teacher is None and (recipe.flops < 1 or recipe.distillation):
        raise RecipeError(f"recipe {recipe.name} prunes or distils trained weights, so it needs a teacher")
    check_calibrations(validation)
    with distributed.join(device) as processes:
        least = processes.world_size * recipe.accumulate
        if recipe.batch_size < least:
            raise RecipeError(f"batch_size is {recipe.batch_size}, but {least} micro-batches share it: make it larger")
        loaded = {"teacher": teacher and teacher.sha256, "network to start from": start and start.sha256}
        processes.check_same({"recipe": asdict(recipe), **loaded})
        begun = folder.begun(recipe.epochs) if resume else None
        if begun:
            check_same_recipe(begun.metadata, recipe)
        if processes.main and not resume:
            folder.create()
        with TrainingProgress(folder.log_file if processes.main else None) as progress:
            torch.manual_seed(recipe.seed)
            mixture = Mixture(sources, recipe)
            network, origin, known = None, start.sha256 if start else "", dict[str, dict]()
            if begun:
                network, origin = begun.network(), begun.metadata.origin
                known = {name: before for name, before in begun.metadata.data.items() if name.startswith("origin/")}
            elif start:
                network = start.network()
                known = {f"origin/{name}": before for name, before in start.metadata.trained_on.items()}
            elif teacher and recipe.flops < 1:
                network = cut_out(teacher, mixture, processes, workers)
            model = TrainingModel(recipe, network)
            if network is None and processes.main:  # the others receive rank 0's weights
                load_encoder(model.network, encoder_weights)
            learner = Learner(model, recipe, processes, teacher)

            first_epoch, best = 0, dict[str, float]()
            if resume:
                first_epoch, best = folder.load_state(learner.parts, learner.optimizer)
            frames = {**sources, **{f"validation/{name}": samples for name, samples in validation.items()}}
            data = {
                name: frames_digest(source, partial(progress.track, description=f"reading {name}"))
                for name, source in frames.items()
            }
            check_road(data)
            if begun:
                check_resumed(begun.metadata, data, teacher)
            processes.check_same({"run to resume": (first_epoch, best), **same_everywhere(data)})
            metadata = checkpoint.Metadata(
                fc=recipe.fc,
                fc_width=model.network.fc_width,
                conv_widths=model.network.conv_widths,
                teacher=teacher.sha256 if teacher else "",
                origin=origin,
                network_width=recipe.network_width,
                recipe=asdict(recipe),
                seed=recipe.seed,
                data=data | known,
                threshold=best.get("threshold", 0.5),
                git_revision=git_revision(),
            )
            if processes.main and not resume:
                folder.write_snapshot(recipe, frames)
                checkpoint.save(folder.last, learner.network, metadata)
                folder.save_state(learner.parts, learner.optimizer, first_epoch, best)
            best = train_epochs(learner, mixture, validation, folder, metadata, first_epoch, best, workers, progress)
            if processes.main:
                folder.finish()
                progress.say(closing_line(folder, best, next_step))
            return best


def train_epochs(
    learner: Learner,
    mixture: Mixture,
    validation: Mapping[str, Samples],
    folder: RunFolder,
    metadata: checkpoint.Metadata,
    first_epoch: int,
    best: dict,
    workers: int,
    progress: TrainingProgress,
) -> dict:
    """Train, validate and save, beginning with `first_epoch`; returns the best epoch's row of the log."""
    recipe, processes = learner.recipe, learner.processes
    steps_per_epoch = len(MixtureBatches(mixture, 0))
    progress.begin(recipe.epochs * steps_per_epoch, first_epoch * steps_per_epoch)
    for line in opening_lines(learner, mixture, validation, metadata, first_epoch):
        progress.say(line)
    try:
        for epoch in range(first_epoch, recipe.epochs):
            began = time.monotonic()
            with processes.errors_named():
                loss = train_epoch(learner, mixture, epoch, workers, progress)
            row = {"epoch": epoch + 1, "loss": loss, "seconds": time.monotonic() - began}
            if processes.main:
                checkpoint.save(folder.last, learner.network, metadata)
                segmenter = RoadSegmenter.load(SegmenterOptions(folder.last, processes.device, backend="torch"))
                row |= validate(segmenter, validation, partial(progress.track, description="validation"))
                metadata = replace(metadata, threshold=row["threshold"], figures={"validation": row})
                checkpoint.save(folder.last, learner.network, metadata)
                if not best or row["max_f"] > best["max_f"]:
                    best = row
                    checkpoint.save(folder.best, learner.network, metadata)
                folder.log(row)
                for name, picture in sample_pictures(segmenter, validation, row["threshold"]):
                    folder.log_picture(name, picture, epoch + 1)
                folder.save_state(learner.parts, learner.optimizer, epoch + 1, best)
                progress.say("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
            best = processes.from_main(best)
    except (KeyboardInterrupt, ProcessLostError):
        if processes.main:
            checkpoint.save(folder.last, learner.network, replace(metadata, figures={}))  # these were not validated
            progress.say(f"Stopped. {folder.last} can be used; --resume repeats the unfinished epoch.")
        raise
    return best


def train_epoch(learner: Learner, mixture: Mixture, epoch: int, workers: int, progress: TrainingProgress) -> float:
    """Train one epoch; returns the mean loss of its steps."""
    recipe, rank, world_size = learner.recipe, learner.processes.rank, learner.processes.world_size
    torch.manual_seed(dropout_seed(recipe.seed, epoch, rank))
    batches = MixtureBatches(mixture, epoch)
    parts = MicroBatches(batches, recipe.accumulate, rank, world_size)
    loader = DataLoader(mixture, batch_sampler=parts, num_workers=workers, collate_fn=collate)
    losses: list[float] = []
    for micro_batches in zip(*[learner.processes.start(loader)] * recipe.accumulate, strict=True):
        step = epoch * len(batches) + len(losses)
        set_learning_rate(learner.optimizer, recipe, step, recipe.epochs * len(batches))
        losses.append(learner.step(micro_batches))
        recent = losses[-20:]
        progress.step(step + 1, f"epoch {epoch + 1}/{recipe.epochs}, loss {sum(recent) / len(recent):.4f}")
    return sum(losses) / len(losses)


def dropout_seed(seed: int, epoch: int, rank: int) -> int:
    """A seed that differs by epoch and rank even in its lower 32 bits, which are all that a CPU generator uses."""
    return seed * 1_000_003 + epoch + rank * 2_654_435_761


def cut_out(teacher: checkpoint.Checkpoint, mixture: Mixture, processes: Processes, workers: int) -> FCN8s:
    """Prune the teacher to the recipe's network by the importance of its channels on some training batches."""
    channels = None
    if processes.main:  # on a GPU the importance differs a little from process to process
        recipe = replace(mixture.recipe, auxiliary_weight=0.0, frozen_stages=0)
        unused_epoch = MixtureBatches(mixture, epoch=recipe.epochs)
        batches = list(unused_epoch)[:IMPORTANCE_BATCHES]
        loader = DataLoader(mixture, batch_sampler=batches, num_workers=workers)
        importance = channel_importance(TrainingModel(recipe, teacher.network()), loader, processes.device)
        channels = choose_channels(importance, recipe.flops)
    return prune(teacher.network(), processes.from_main(channels))


def opening_lines(
    learner: Learner,
    mixture: Mixture,
    validation: Mapping[str, Samples],
    metadata: checkpoint.Metadata,
    first_epoch: int,
) -> list[str]:
    """What the run is, and the remarks of its data sets."""
    recipe, processes = learner.recipe, learner.processes
    drawn = ", ".join(f"{count} of {len(mixture.sources[name])} {name}" for name, count in recipe.samples.items())
    held_out = ", ".join(f"{name} ({len(frames)} frames)" for name, frames in validation.items())
    where = processes.device if processes.world_size == 1 else f"{processes.world_size} processes"
    begin = f"continues after epoch {first_epoch} of" if first_epoch else "trains"
    return [
        *remarks(mixture.sources.values()),
        f"Recipe {recipe.name} {begin} {recipe.epochs} epochs on {where}, revision {metadata.git_revision}. "
        f"Frames per epoch: {drawn}. Validation on {held_out}.",
    ]


def closing_line(folder: RunFolder, best: dict[str, float], next_step: str) -> str:
    """The result of a finished run, and what to do with it."""
    figure = f"MaxF {100 * best['max_f']:.2f} % on the validation frames after epoch {best['epoch']:.0f}"
    return f"Done: {folder.best} has {figure}.{' Next: ' * bool(next_step)}{next_step}"


def check_same_recipe(begun: checkpoint.Metadata, recipe: Recipe) -> None:
    """Check that a run is resumed with its own recipe; only `epochs` may differ.

    Raises:
        RecipeError: another field differs.
    """
    for name, value in asdict(recipe).items():
        before = begun.recipe.get(name, value)
        if name != "epochs" and value != before:
            raise RecipeError(f"{name} is {value!r}, but this run began with {before!r}: put its own recipe.yaml back")


def check_resumed(begun: checkpoint.Metadata, data: dict[str, dict], teacher: checkpoint.Checkpoint | None) -> None:
    """Check that a run is resumed with its own frames and teacher.

    Raises:
        RecipeError: the frames or the teacher differ from those that the run began with.
    """
    if begun.teacher != (teacher.sha256 if teacher else ""):
        raise RecipeError("this is not the teacher that the run began with: give that one")
    before = same_everywhere(begun.data)
    for name, frames in same_everywhere(data).items():
        if frames != before.get(name):
            raise RecipeError(f"the {name} is not the one that the run began with: give the same folders")


def same_everywhere(data: dict[str, dict]) -> dict[str, dict]:
    """The parts of `frames_digest`s that all processes share: no labels by a teacher, whose rounding may differ."""
    return {
        f"set of frames {name}": {**d, "sha256": "", "road": 0} if "teacher" in d else d for name, d in data.items()
    }
