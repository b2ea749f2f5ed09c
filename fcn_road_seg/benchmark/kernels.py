"""Which kernels a frame spends its time in, by torch's profiler."""

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from fcn_road_seg.inference.segmenter import RoadSegmenter

FRAMES = 10
LONGEST = 10


def longest_kernels(segmenter: RoadSegmenter, frame: np.ndarray) -> list[dict[str, float | str]]:
    """The kernels that take longest, on CUDA those of the GPU, else torch's operators on the CPU.

    Args:
        frame: uint8 H x W x 3 RGB.

    Returns:
        {"kernel", "calls" and "ms" per frame, "share" of all kernels' time, 0..1}, the longest first.
    """
    on_gpu = segmenter.device.startswith("cuda")
    segmenter(frame)  # prepares the network for the size
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        for _ in range(FRAMES):
            segmenter(frame)
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    events = [event for event in profiler.key_averages() if event.device_type == kind]
    microseconds = [event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events]
    total = sum(microseconds) or 1
    longest = sorted(zip(microseconds, events, strict=True), key=lambda pair: -pair[0])[:LONGEST]
    return [
        {
            "kernel": event.key,
            "calls": round(event.count / FRAMES, 1),
            "ms": round(taken / FRAMES / 1000, 4),
            "share": round(taken / total, 4),
        }
        for taken, event in longest
    ]
