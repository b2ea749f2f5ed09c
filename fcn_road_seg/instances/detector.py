"""Finds vehicles and people, one by one, in a frame."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.instances import checkpoint
from fcn_road_seg.instances.efficientnet_lite import fold
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

    def __init__(self, network: GeneralizedRCNN, least_score: float = 0.5, device: str = "cpu"):
        self.network, self.least_score, self.device = network, least_score, device
        network.roi_heads.score_thresh = least_score  # the mask head computes only what is kept

    @classmethod
    def load(cls, path: str | Path, least_score: float = 0.5, device: str = "cpu") -> "InstanceDetector":
        """The detector with the weights of a file.

        Raises:
            CheckpointError: see `checkpoint.load`.
        """
        network = checkpoint.load(path).network()
        fold(network)
        return cls(network.to(device).to(memory_format=torch.channels_last), least_score, device)

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Instances:
        """The instances in an image, uint8 H x W x 3 RGB."""
        picture = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float().div(255)
        (found,) = self.network([picture])
        masks, boxes = found["masks"][:, 0].cpu().numpy(), found["mask_boxes"].cpu().numpy()
        return Instances(
            found["boxes"].cpu().numpy(),
            found["labels"].cpu().numpy() - 1,
            found["scores"].cpu().numpy(),
            paste(masks, boxes, *image.shape[:2]),
        )


def paste(masks: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Place the mask head's answers in a frame.

    Args:
        masks: float32 N x M x M, P(the cell belongs to the instance).
        boxes: float32 N x 4, left, top, right, bottom of the cells, in coordinates that are whole at the centres of the
            frame's pixels.
        height, width: of the frame.

    Returns:
        bool N x height x width.
    """
    pasted = np.zeros((len(masks), height, width), bool)
    for mask, box, whole in zip(masks, boxes.astype(float), pasted, strict=True):
        cell = np.maximum(box[2:] - box[:2], 1.0) / mask.shape
        left, top = np.maximum(box[:2] - cell, 0).astype(int)
        right, bottom = np.minimum(box[2:] + cell + 1, (width, height)).astype(int)
        if left < right and top < bottom:
            x, y = ((left, top) - box[:2]) / cell - 0.5
            matrix = np.array([[1 / cell[0], 0, x], [0, 1 / cell[1], y]])
            size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            whole[top:bottom, left:right] = cv2.warpAffine(mask, matrix, size, flags=flags) >= MASK_THRESHOLD
    return pasted
