"""Finds vehicles and people, one by one, in a frame."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from fcn_road_seg.errors import FrameError, first_line
from fcn_road_seg.inference.backends.choice import choose
from fcn_road_seg.inference.backends.hardware import fast_float_precision, is_out_of_memory
from fcn_road_seg.inference.checkpoint import CheckpointError
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.instances.checkpoint import Checkpoint, load
from fcn_road_seg.instances.efficientnet_lite import fold
from fcn_road_seg.instances.half import use_half
from fcn_road_seg.instances.instances import Instances
from fcn_road_seg.share import share_path

SHIPPED = "models/instances.safetensors"

EXACT = SegmenterOptions(device="cpu", backend="torch", precision="fp32")
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


class InstanceDetector:
    """A network that is ready to run.

    Args:
        network: in evaluation mode, see `network.build`.
        least_score: instances below it are left out, 0..1.
        device: on which the network is.

    Attributes:
        device: as above.
        checkpoint: the weights' path, SHA-256 and metadata; None if they come from no file.
        backend: what runs the dense layers: "torch", or "openvino" on the CPU.
        precision: of layers, "fp32", "fp16" or "bf16"; boxes are always decoded in FP32.
    """

    def __init__(self, network: GeneralizedRCNN, least_score: float = 0.5, device: str = "cpu"):
        self.network, self.device = network, device
        self.backend, self.precision = "torch", "fp32"
        self.least_score = least_score
        self.checkpoint: Checkpoint | None = None

    @classmethod
    def load(cls, path: str | Path, least_score: float = 0.5, options: SegmenterOptions = EXACT) -> "InstanceDetector":
        """The detector with the weights of a file.

        Args:
            options: device, backend, precision and threads, as for the road network. In place of backends other than
                openvino it takes torch, in place of OpenVINO's devices the CPU, in place of int8 the fastest floating
                point, and torch runs in FP32 on a CPU.

        Raises:
            CheckpointError: see `checkpoint.load`.
            DeviceError: the device is not available, or does not support this backend or precision.
        """
        backend, device, precision = choose(options)
        device = device if device.startswith("cuda") else "cpu"
        loaded = load(path)
        network = loaded.network()
        fold(network)
        detector = cls(network.to(device).to(memory_format=torch.channels_last), least_score, device)
        detector.checkpoint = loaded
        if backend == "openvino":
            from fcn_road_seg.instances.openvino import use_openvino

            detector.backend = backend
            detector.precision = "fp32" if precision == "fp32" else fast_float_precision()
            use_openvino(network, detector.precision, options.threads)
        elif device != "cpu" and precision in ("fp16", "int8"):
            detector.precision = "fp16"
            use_half(network)
        return detector

    @property
    def least_score(self) -> float:
        """Instances below it are left out, 0..1."""
        return self.network.roi_heads.score_thresh

    @least_score.setter
    def least_score(self, score: float) -> None:
        self.network.roi_heads.score_thresh = score  # the mask head computes only what is kept

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Instances:
        """The instances in an image, uint8 H x W x 3 RGB.

        Raises:
            FrameError: out of memory; the next frame may succeed.
        """
        try:
            return self._detect(image)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise FrameError("memory", f"not enough memory for the instances of a frame of {size}: {reason}")

    def _detect(self, image: np.ndarray) -> Instances:
        picture = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1).float().div(255)
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
