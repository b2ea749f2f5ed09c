"""The training loop."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from fcn_road_seg import checkpoint
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.datasets.sample import Sample
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.git_revision import git_revision
from fcn_road_seg.network import FCN8s
from fcn_road_seg.preprocess import normalise
from fcn_road_seg.segmenter import RoadSegmenter
from fcn_road_seg.training.encoder import load_encoder
from fcn_road_seg.training.mixture import Mixture, MixtureBatches
from fcn_road_seg.training.model import TrainingModel, build_optimizer, set_learning_rate
from fcn_road_seg.training.pruning import channel_importance, choose_channels, prune
from fcn_road_seg.training.recipe import Recipe
from fcn_road_seg.training.run_folder import RunFolder

IMPORTANCE_BATCHES = 64


def train(
    recipe: Recipe,
    sources: dict[str, Sequence[Sample]],
    validation: KittiRoad,
    folder: RunFolder,
    encoder_weights: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 1,
    teacher: checkpoint.Checkpoint | None = None,
) -> dict:
    """Train the recipe's epochs; every epoch is validated and leaves a checkpoint.

    Args:
        sources: the training frames by data set, one for each of `recipe.samples`.
        validation: labelled frames of scenes that no source has.
        encoder_weights: see `encoder.load_encoder`.
        resume: go on after the last whole epoch in `folder`; bit for bit on the CPU.
        workers: processes that read and augment.
        teacher: weights for a recipe that prunes or distils them.

    Returns:
        The best epoch's row of the log.

    Raises:
        KeyboardInterrupt: Ctrl-C; `last.safetensors` is as far as the training came.
    """
    torch.manual_seed(recipe.seed)
    mixture = Mixture(sources, recipe)
    network = None
    if recipe.flops < 1:
        network = checkpoint.load(folder.last).network() if resume else cut_out(teacher, mixture, device, workers)
    model = TrainingModel(recipe, network)
    if network is None and not resume:
        load_encoder(model.network, encoder_weights)
    teach = teaching(teacher, device) if recipe.distillation else None
    model.to(device, memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, recipe)
    average = AveragedModel(model.network, avg_fn=moving_average(recipe.ema)) if recipe.ema else None
    shipped = average.module if average else model.network

    first_epoch, best = 0, {}
    parts = [p for p in (model, average) if p is not None]
    if resume:
        first_epoch, best = folder.load_state(parts, optimizer)
    else:
        folder.start(recipe, {**sources, "validation": validation})
    metadata = checkpoint.Metadata(
        fc=recipe.fc,
        fc_width=model.network.fc_width,
        conv_widths=model.network.conv_widths,
        teacher=teacher.sha256 if teacher else "",
        network_width=recipe.network_width,
        recipe=asdict(recipe),
        seed=recipe.seed,
        data={name: frames_digest(source) for name, source in {**sources, "validation": validation}.items()},
        threshold=best.get("threshold", 0.5),
        git_revision=git_revision(),
    )

    kind = torch.device(device).type
    dtype = torch.bfloat16 if kind == "cpu" or torch.cuda.is_bf16_supported() else torch.float16
    scaler = torch.amp.GradScaler(kind, enabled=recipe.autocast and dtype == torch.float16)
    steps_per_epoch = len(MixtureBatches(mixture, 0))
    steps = recipe.epochs * steps_per_epoch
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(recipe.name, total=steps, completed=first_epoch * steps_per_epoch)
        try:
            for epoch in range(first_epoch, recipe.epochs):
                torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # dropout depends on the epoch alone
                began, losses = time.monotonic(), []
                batches = MixtureBatches(mixture, epoch)
                for batch in DataLoader(mixture, batch_sampler=batches, num_workers=workers):
                    set_learning_rate(optimizer, recipe, epoch * steps_per_epoch + len(losses), steps)
                    batch = [part.to(device) for part in batch]
                    with torch.autocast(kind, dtype, enabled=recipe.autocast):
                        loss = model(*batch, teach(batch[0]) if teach else None)
                    optimizer.zero_grad()
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
                    if average:
                        average.update_parameters(model.network)
                    losses.append(loss.item())
                    recent = losses[-20:]
                    text = f"{recipe.name} epoch {epoch + 1}/{recipe.epochs} loss {sum(recent) / len(recent):.4f}"
                    progress.update(bar, advance=1, description=text)
                row = {"epoch": epoch + 1, "loss": sum(losses) / len(losses), "seconds": time.monotonic() - began}
                checkpoint.save(folder.last, shipped, metadata)
                row |= validate(folder.last, validation, device)
                metadata = replace(metadata, threshold=row["threshold"], figures={"validation": row})
                checkpoint.save(folder.last, shipped, metadata)
                if row["max_f"] > best.get("max_f", 0):
                    best = row
                    checkpoint.save(folder.best, shipped, metadata)
                folder.log(row)
                folder.save_state(parts, optimizer, epoch + 1, best)
                progress.console.print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), soft_wrap=True)
        except KeyboardInterrupt:
            checkpoint.save(folder.last, shipped, replace(metadata, figures={}))  # nobody measured these weights
            progress.console.print(f"Stopped. {folder.last} can be used; --resume repeats the unfinished epoch.")
            raise
    return best


def cut_out(teacher: checkpoint.Checkpoint, mixture: Mixture, device: str, workers: int) -> FCN8s:
    """The recipe's small network out of the teacher's, by its channels' importance on some training batches."""
    recipe = replace(mixture.recipe, auxiliary_weight=0.0, frozen_stages=0)
    batches = list(MixtureBatches(mixture, epoch=recipe.epochs))[:IMPORTANCE_BATCHES]  # of an epoch that is not trained
    loader = DataLoader(mixture, batch_sampler=batches, num_workers=workers)
    importance = channel_importance(TrainingModel(recipe, teacher.network()), loader, device)
    return prune(teacher.network(), choose_channels(importance, recipe.flops))


def teaching(teacher: checkpoint.Checkpoint, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The teacher's P(class), float32 N x 2 x h x w, of uint8 images, N x 3 x h x w."""
    network = teacher.network().to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def answer(image: torch.Tensor) -> torch.Tensor:
        return network(normalise(image)).float().softmax(1)

    return answer


def moving_average(decay: float) -> Callable:
    """Exponential moving average whose decay rises to `decay`, so that the random start is soon forgotten."""
    return lambda average, new, count: average.lerp_(new, max(1 - decay, 10 / (10 + count.item())))


def validate(weights: Path, validation: KittiRoad, device: str) -> dict[str, float]:
    """MaxF, its threshold, AP and IoU at that threshold in perspective, and MaxF in bird's-eye view."""
    figures = evaluate(RoadSegmenter.load(weights, device, backend="torch"), validation, threshold=0.5)
    perspective, bev = figures["perspective"], figures["bev"]
    row = {key: perspective[key] for key in ("max_f", "average_precision", "iou", "threshold")}
    return row | ({"bev_max_f": bev["max_f"]} if bev else {})


def frames_digest(frames: Iterable[Sample]) -> dict:
    """Number of frames, and the SHA-256 of their names, pixels, labels and classes in order; who labelled them."""
    sha, count = hashlib.sha256(), 0
    for sample in frames:
        sha.update(sample.name.encode())
        for part in (sample.image, sample.label, sample.classes):
            if part is not None:
                sha.update(part.data)
        count += 1
    teacher = {"teacher": frames.teacher} if hasattr(frames, "teacher") else {}
    return {"frames": count, "sha256": sha.hexdigest(), **teacher}
