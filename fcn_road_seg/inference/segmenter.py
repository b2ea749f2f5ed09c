"""RoadSegmenter: a uint8 frame in, a uint8 road probability out."""

import gc
import logging
import os
from pathlib import Path

import numpy as np
import torch

from fcn_road_seg.errors import DeviceLostError, FrameError, UserError, first_line
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.inference.backends import choice, hardware
from fcn_road_seg.inference.backends.protocol import Backend
from fcn_road_seg.inference.checkpoint import Checkpoint, CheckpointError, load
from fcn_road_seg.inference.network import STRIDE
from fcn_road_seg.inference.options import SHIPPED_WEIGHTS, SegmenterOptions
from fcn_road_seg.inference.preprocess import MAX_NETWORK_WIDTH, network_size
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.share import share_path

DEFAULTS = SegmenterOptions()
OUT_OF_MEMORY = "out of memory", "can't allocate memory", "Failed to allocate memory"
"""Words in the RuntimeErrors of PyTorch, TensorRT and ONNX Runtime."""
logger = logging.getLogger(__name__)


class RoadSegmenter:
    """FCN-8s with its weights on a device, ready for frames of any size.

    Attributes:
        checkpoint: the weights' path, SHA-256 and metadata.
        threshold: P(road), 0..1, from which the checkpoint counts a pixel as road.
        network_width: width in pixels of the network's input for a frame of KITTI's shape, see
            `preprocess.network_size`.
        network_size: width and height in pixels of the network's input for the last frame; None before the first.
        backend, device, device_name, precision: what is in use, with every "auto" resolved.
        network_sha256: of what runs, in hex: of the INT8 file's bytes, else of the checkpoint.
        why_not_int8: why "auto" refused the INT8 file beside the weights; else empty.
        why_not_cuda: why "auto" took the CPU although the machine has an NVIDIA GPU; else empty.
        own_vehicle: where frames show the vehicle itself, and P(road) is 0; None without such a mask.
    """

    def __init__(self, checkpoint: Checkpoint, options: SegmenterOptions = DEFAULTS):
        """Put a checkpoint's network on a device, as the options ask; their `weights` are ignored. See `load`."""
        width, device = options.network_width, options.device
        if width not in range(0, MAX_NETWORK_WIDTH + 1, STRIDE):
            raise UserError(
                f"the network width is {width}, but must be a multiple of {STRIDE} up to {MAX_NETWORK_WIDTH}"
            )
        self.own_vehicle = OwnVehicle(options.own_vehicle_mask) if options.own_vehicle_mask else None
        self.checkpoint = checkpoint
        self.threshold = checkpoint.metadata.threshold
        self.network_width = width or checkpoint.metadata.network_width
        self.network_size: tuple[int, int] | None = None
        self._prepared: set[tuple[int, int]] = set()
        try:
            running, self.network_sha256, self.why_not_int8 = choice.create(checkpoint, options)
        except RuntimeError as error:
            if "CUDA error" in str(error):
                raise DeviceLostError(f"{device} no longer works: {first_line(error)}") from None
            raise UserError(f"the network cannot be put on {device}: {first_line(error)}") from error
        self._backend: Backend | None = running
        self.backend = running.name
        self.device = running.device
        self.device_name = running.device_name
        self.precision = running.precision
        self.why_not_cuda = ""
        missed = device == "auto" and self.device == "cpu" and not torch.cuda.is_available()
        if missed and hardware.has_nvidia_gpu():
            self.why_not_cuda = f"this machine has an NVIDIA GPU, but {hardware.torch_build()} and found none"

    @classmethod
    def load(cls, options: SegmenterOptions | str | Path = DEFAULTS) -> "RoadSegmenter":
        """Load a weights file onto a device.

        Args:
            options: a string or a path stands for `SegmenterOptions(weights=...)`.

        Raises:
            CheckpointError: the weights file is missing or invalid (a ValueError; one sentence).
            DeviceError: the device is not available, or does not support this backend or precision (likewise).
            UserError: the network width or the own-vehicle mask is invalid, or the network cannot be put on the device
                (likewise).
            DeviceLostError: the device no longer works.
        """
        if not isinstance(options, SegmenterOptions):
            options = SegmenterOptions(options)
        return cls(load(weights_path(options.weights)), options)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame, uint8 H x W x 3 RGB (any size, any strides).

        Raises:
            FrameError: out of memory, or the network failed (the fault is its cause); the next frame may succeed. Or
                the own-vehicle mask has another aspect ratio.
            DeviceLostError: every further frame will fail in this process.
            ValueError: the array is not a frame.
            RuntimeError: the segmenter was closed.
        """
        check_frame(frame)
        if self.own_vehicle is None:
            return self._segment(frame)
        self.hidden(*frame.shape[:2])  # raises before the network runs
        return self.own_vehicle.hide(self._segment(frame))

    def hidden(self, height: int, width: int) -> np.ndarray | None:
        """Where frames of this size show the vehicle itself, see `OwnVehicle.hidden`; None without such a mask."""
        return None if self.own_vehicle is None else self.own_vehicle.hidden(height, width)

    def _segment(self, frame: np.ndarray) -> np.ndarray:
        backend = self._running()
        height, width = frame.shape[:2]
        self.network_size = network_size(width, height, self.network_width)
        try:
            answer = backend(frame, self.network_size)
            self._log_preparation(width, height, backend.seconds)
            return answer
        except (RuntimeError, MemoryError) as error:
            fault = error
        try:
            raise self._frame_fault(fault, backend, f"{width}x{height}")
        finally:
            del fault  # its traceback refers to this call, and would keep the frame's tensors until a collection

    def _frame_fault(self, fault: Exception, backend: Backend, size: str) -> FrameError | DeviceLostError:
        """What to raise, outside the except block, for a frame on which the backend failed."""
        reason = first_line(fault)
        out_of_memory = isinstance(fault, (MemoryError, torch.cuda.OutOfMemoryError))
        out_of_memory = out_of_memory or any(words in reason for words in OUT_OF_MEMORY)
        if out_of_memory:
            fault.with_traceback(None)  # frees the frame's tensors, so that the device can be tried
        if not backend.works():
            return DeviceLostError(f"{self.device_name} ({self.device}) no longer works: {reason}")
        if out_of_memory:
            return FrameError("memory", f"not enough memory for a frame of {size} on {self.device}: {reason}")
        failed = FrameError("inference", f"the network failed on a frame of {size}: {reason}")
        failed.__cause__ = fault
        return failed

    def _log_preparation(self, width: int, height: int, seconds: dict[str, float]) -> None:
        """Say once for each frame size how long the network's preparation for it took."""
        if "prepare" in seconds and (width, height) not in self._prepared:
            self._prepared.add((width, height))
            size = "x".join(map(str, self.network_size or ()))
            logger.info(
                "Prepared the network for frames of %dx%d (network %s) in %.2f s",
                width,
                height,
                size,
                seconds["prepare"],
            )

    def _running(self) -> Backend:
        if self._backend is None:
            raise RuntimeError("this segmenter was closed")
        return self._backend

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """Segment a frame and apply the checkpoint's threshold: uint8 H x W, 255 = road, 0 = not road.

        The frame and the errors are those of a call.
        """
        return threshold_mask(self(frame), self.threshold)

    @property
    def seconds(self) -> dict[str, float]:
        """Durations of the last frame's stages, see `Backend.seconds`."""
        return self._running().seconds

    def memory(self) -> int | None:
        """Bytes of GPU memory in use; None on the CPU."""
        return self._running().memory()

    def warm_up(self, height: int, width: int) -> None:
        """Run once on a grey frame of this size, in pixels, so that the first real frame is not slow."""
        self._segment(np.full((height, width, 3), 128, np.uint8))

    def close(self) -> None:
        """Free the network's memory; the segmenter cannot be called afterwards.

        Raises:
            DeviceLostError: the device no longer works.
        """
        self._backend = None
        gc.collect()  # a compiled network is part of a cycle
        try:
            if self.device.startswith("cuda"):
                torch.cuda.empty_cache()
        except RuntimeError as error:
            raise DeviceLostError(f"{self.device_name} ({self.device}) no longer works: {first_line(error)}") from None


def check_frame(frame: np.ndarray) -> None:
    """Check that an array is a frame: uint8 H x W x 3.

    Raises:
        ValueError: it is not, or not an array at all.
    """
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"a frame must be a NumPy array, uint8 H x W x 3, but this one is a {type(frame).__name__}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame must be uint8 H x W x 3, but this one is {frame.dtype} {frame.shape}")


def weights_path(weights: str | Path = "") -> Path:
    """The file that a name or a path, which may begin with ~, stands for; see `SegmenterOptions`.

    Raises:
        CheckpointError: the shipped weights are missing from this installation.
    """
    shipped = SHIPPED_WEIGHTS.get(str(weights))
    if shipped is None:
        return Path(os.path.expanduser(weights))
    try:
        return share_path(shipped)
    except FileNotFoundError:
        raise CheckpointError(
            f"the weights {str(weights) or 'road'} are not in this installation, which has no {shipped}: name others, "
            "or install a version of the package that has them"
        ) from None
