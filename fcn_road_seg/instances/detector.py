"""Finds vehicles and people, one by one, in a frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.instances import checkpoint
from fcn_road_seg.share import share_path

SHIPPED = "models/instances.safetensors"

MASK_THRESHOLD = 0.5
"""P(the pixel belongs to the instance) from which it does."""


def instance_weights(path: str | Path | None = None) -> Path:
    """The file of a path, or the shipped instance weights.

    Raises:
        CheckpointError: the shipped weights are missing from this installation.
    """
    if path:
        return Path(path)
    try:
        return share_path(SHIPPED)
    except FileNotFoundError:
        raise CheckpointError(
            f"this installation has no instance weights ({SHIPPED}): make them with `road_seg train-instances`"
        ) from None


@dataclass(frozen=True)
class Instances:
    """The instances of one frame, best first.

    Attributes:
        boxes: float32 N x 4, left, top, right, bottom in pixels of the frame.
        labels: int64 N, indices in `INSTANCE_CLASSES`.
        scores: float32 N, 0..1.
        masks: bool N x H x W.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


class InstanceDetector:
    """A network that is ready to run.

    Args:
        network: in evaluation mode, see `network.build`.
        least_score: instances below it are left out, 0..1.
        device: on which the network is.
    """

    def __init__(self, network: nn.Module, least_score: float = 0.5, device: str = "cpu"):
        self.network, self.least_score, self.device = network, least_score, device

    @classmethod
    def load(cls, path: str | Path, least_score: float = 0.5, device: str = "cpu") -> "InstanceDetector":
        """The detector with the weights of a file.

        Raises:
            CheckpointError: see `checkpoint.load`.
        """
        network: GeneralizedRCNN = checkpoint.load(path).network()
        return cls(network.to(device).to(memory_format=torch.channels_last), least_score, device)

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Instances:
        """The instances in an image, uint8 H x W x 3 RGB."""
        picture = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float().div(255)
        (found,) = self.network([picture])
        kept = found["scores"] >= self.least_score
        return Instances(
            found["boxes"][kept].cpu().numpy(),
            found["labels"][kept].cpu().numpy() - 1,
            found["scores"][kept].cpu().numpy(),
            (found["masks"][kept][:, 0] >= MASK_THRESHOLD).cpu().numpy(),
        )
