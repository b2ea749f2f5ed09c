"""The network in training: its loss, its auxiliary head and its optimizer."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from fcn_road_seg.datasets import cityscapes
from fcn_road_seg.frames.sample import IGNORE
from fcn_road_seg.inference.network import VGG16_STAGES, FCN8s, SkipHead
from fcn_road_seg.inference.preprocess import normalise
from fcn_road_seg.training.instance_recipe import InstanceRecipe
from fcn_road_seg.training.recipe import Recipe


class TrainingModel(nn.Module):
    """FCN-8s with a second, auxiliary head on the same features, which learns Cityscapes' classes and is not shipped.

    The second head makes the features distinguish pavement, car and building, for which the label "not road" gives no
    incentive.

    Args:
        network: to continue from; None creates the recipe's.
    """

    def __init__(self, recipe: Recipe, network: FCN8s | None = None):
        super().__init__()
        self.network = network or FCN8s(recipe.fc, recipe.fc_width, std_init=recipe.std_init)
        self.network.dropout.p = 1 - recipe.keep_prob
        self.auxiliary_weight = recipe.auxiliary_weight
        self.distillation = recipe.distillation
        if recipe.auxiliary_weight:
            self.auxiliary = SkipHead(self.network.feature_widths, len(cityscapes.CLASSES), recipe.std_init)
        for stage, (_, convolutions) in enumerate(VGG16_STAGES[: recipe.frozen_stages], start=1):
            for i in range(1, convolutions + 1):
                getattr(self.network, f"conv{stage}_{i}").requires_grad_(False)

    def forward(
        self,
        image: torch.Tensor,
        label: torch.Tensor,
        classes: torch.Tensor,
        taught: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss per counted pixel.

        Args:
            image: uint8 N x 3 x h x w. label, classes (`cityscapes.CLASSES`): uint8 N x h x w, 255 = ignore.
            taught: a teacher's P(class), N x 2 x h x w, the target of the distillation loss at all pixels, labelled or
                not (Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015).
        """
        features = self.network.features(normalise(image))
        logits = self.network.head(*features)
        loss = cross_entropy(logits, label)
        if taught is not None:
            loss = loss + self.distillation * F.cross_entropy(logits.float(), taught)
        if self.auxiliary_weight and (classes != IGNORE).any():
            loss = loss + self.auxiliary_weight * cross_entropy(self.auxiliary(*features), classes)
        return loss


def cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the pixels that are not ignored; 0 if all are."""
    total = F.cross_entropy(logits.float(), label.long(), ignore_index=IGNORE, reduction="sum")
    return total / (label != IGNORE).sum().clamp(min=1)


def build_optimizer(model: TrainingModel, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay, with separate rates for encoder, transposed convolutions and the rest."""
    groups: dict[str, list[nn.Parameter]] = {"conv": [], "upscore": [], "other": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layer = name.split(".")[-2]
            groups[next((kind for kind in ("conv", "upscore") if layer.startswith(kind)), "other")].append(parameter)
    rates = {"conv": recipe.encoder_lr, "upscore": recipe.upscore_lr or recipe.lr, "other": recipe.lr}
    return torch.optim.AdamW(
        [{"params": parameters, "base_lr": rates[kind]} for kind, parameters in groups.items() if parameters],
        weight_decay=recipe.weight_decay,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe | InstanceRecipe, step: int, steps: int) -> None:
    """Set the learning rate of this step of `steps` by the recipe's warm-up and schedule."""
    factor = 1.0
    if step < recipe.warmup_steps:
        factor = (step + 1) / recipe.warmup_steps
    elif recipe.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)))
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
