"""The training step: one global batch, however many processes compute its parts."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fcn_road_seg.frames.sample import IGNORE
from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import normalise
from fcn_road_seg.training.distributed import Processes
from fcn_road_seg.training.model import TrainingModel, build_optimizer
from fcn_road_seg.training.recipe import Recipe

Batch = Sequence[torch.Tensor]  # image, label and classes, see `mixture.Mixture`


class Learner:
    """A model, its optimizer and its moving average.

    Args:
        teacher: weights that the model learns from if the recipe has distillation.

    Attributes:
        network: the FCN-8s that is validated and saved.
        parts: the modules whose state a resumed run needs.
    """

    def __init__(self, model: TrainingModel, recipe: Recipe, processes: Processes, teacher: Checkpoint | None = None):
        self.model = model.to(processes.device).to(memory_format=torch.channels_last).train()
        self.recipe, self.processes = recipe, processes
        # A batch from a data set without classes does not use the auxiliary head.
        self._parallel = processes.data_parallel(self.model, unused_parameters=recipe.auxiliary_weight > 0)
        self._teach = teaching(teacher, processes.device) if teacher and recipe.distillation else None
        self.optimizer = build_optimizer(model, recipe)
        for group in self.optimizer.param_groups:
            group["base_lr"] *= recipe.lr_scale
        self._average = AveragedModel(model.network, avg_fn=moving_average(recipe.ema)) if recipe.ema else None
        self.network = cast(FCN8s, self._average.module) if self._average else model.network
        self.parts: list[nn.Module] = [part for part in (self.model, self._average) if part is not None]
        self._kind = torch.device(processes.device).type
        bf16 = self._kind == "cpu" or torch.cuda.is_bf16_supported()
        self._dtype = torch.bfloat16 if bf16 else torch.float16
        self._scaler = torch.amp.GradScaler(self._kind, enabled=recipe.autocast and not bf16)

    def step(self, micro_batches: Sequence[Batch]) -> float:
        """One step of the optimizer on a global batch.

        Args:
            micro_batches: this process's part of it; some may be empty.

        Returns:
            The global batch's mean loss per counted pixel, before the step.
        """
        self.optimizer.zero_grad()
        total, shares = 0.0, counted_shares(micro_batches, self.processes)
        for left, (batch, share) in enumerate(zip(micro_batches, shares, strict=True), start=1 - len(micro_batches)):
            with self.processes.accumulating(self._parallel, more=left < 0):
                loss = self._loss([part.to(self.processes.device) for part in batch], *share)
                # Times the number of processes, because their gradients are averaged, not summed.
                self._scaler.scale(loss * self.processes.world_size).backward()
            total += loss.item()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._average:
            self._average.update_parameters(self.model.network)
        return self.processes.sum(torch.tensor(total, dtype=torch.float64)).item()

    def _loss(self, batch: Batch, label: float, classes: float, pixels: float) -> torch.Tensor:
        """The batch's part of its global batch's loss; label, classes and pixels are from `counted_shares`.

        The model's loss is a sum of means over the batch: over pixels with a label, over pixels with a class, and over
        all pixels. Each is weighted by its share, so that the parts add up to the global batch's loss.
        """
        label = label or 1.0  # without labelled pixels the term is 0
        self.model.auxiliary_weight = self.recipe.auxiliary_weight * classes / label
        self.model.distillation = self.recipe.distillation * pixels / label
        with torch.autocast(self._kind, self._dtype, enabled=self.recipe.autocast):
            taught = self._teach(batch[0]) if self._teach and len(batch[0]) else None
            return label * self._parallel(*batch, taught)


def counted_shares(micro_batches: Sequence[Batch], processes: Processes) -> list[list[float]]:
    """Each micro-batch's shares, 0..1, of the global batch's pixels with a label, with a class, and of all pixels."""
    counts = torch.tensor(
        [[(label != IGNORE).sum(), (classes != IGNORE).sum(), label.numel()] for _, label, classes in micro_batches],
        dtype=torch.float64,
    )
    return (counts / processes.sum(counts.sum(0)).clamp(min=1)).tolist()


def teaching(teacher: Checkpoint, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from images, uint8 N x 3 x h x w, to the teacher's P(class), float32 N x 2 x h x w."""
    network = teacher.network().to(device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def answer(image: torch.Tensor) -> torch.Tensor:
        return network(normalise(image)).float().softmax(1)

    return answer


def moving_average(decay: float) -> Callable:
    """An exponential moving average whose decay rises to `decay`, so that the random start is soon forgotten."""
    return lambda average, new, count: average.lerp_(new, max(1 - decay, 10 / (10 + count.item())))
