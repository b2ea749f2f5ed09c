"""Time per frame of the network for instances."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.errors import DeviceError
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.instances.detector import InstanceDetector


def load_detectors(weights: Path, device: str, threads: int) -> dict[str, InstanceDetector]:
    """The network in FP32 and in the fastest precision of each backend that the device has.

    Args:
        device, threads: as in `SegmenterOptions`.

    Returns:
        Detectors by rung, such as "openvino:bf16".

    Raises:
        CheckpointError: the weights cannot be used.
    """
    detectors: dict[str, InstanceDetector] = {}
    for backend in ("torch", "openvino"):
        for precision in ("fp32", "auto"):
            options = SegmenterOptions(device=device, backend=backend, precision=precision, threads=threads)
            try:
                detector = InstanceDetector.load(weights, options=options)
            except DeviceError:  # OpenVINO is not installed, or not for this device
                continue
            detectors[f"{detector.backend}:{detector.precision}"] = detector
    return detectors


def time_detectors(
    detectors: Mapping[str, InstanceDetector],
    frames: Sequence[np.ndarray],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[str, list[float]]:
    """Time the detectors interleaved, from the frame in host memory to boxes and masks there.

    Args:
        frames: uint8 H x W x 3 RGB, taken in turn.

    Returns:
        Seconds per frame by rung.
    """

    def detect(detector: InstanceDetector, number: int) -> object:
        return detector.detect(frames[number % len(frames)])

    calls = [partial(detect, detector) for detector in detectors.values()]
    return dict(zip(detectors, interleaved(calls, iterations, warm_up, track), strict=True))
