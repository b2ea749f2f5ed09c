"""Interleaved timing (A B C A B C ...), which stays fair when the machine has other work."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from fcn_road_seg.benchmark.measurement import Measurement
from fcn_road_seg.inference.backends.choice import DTYPES, create
from fcn_road_seg.inference.options import SegmenterOptions

PAUSE = 0.005  # seconds; a library's threads spin for a while after their work, which would slow down the next call


def interleaved(
    calls: Sequence[Callable[[int], object]],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> list[list[float]]:
    """Time the functions in turn, round after round, so that other load slows down all of them equally.

    Args:
        calls: called with the number of the round, from 0; each returns when its work is done, also on a GPU.
        warm_up: untimed rounds at the start.
        track: wraps the rounds, for a progress bar.

    Returns:
        Seconds, `iterations` per function.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for number in track(range(warm_up + iterations)):
        for call, taken in zip(calls, seconds, strict=True):
            time.sleep(PAUSE)
            start = time.perf_counter()
            call(number)
            taken.append(time.perf_counter() - start)
    return [taken[warm_up:] for taken in seconds]


def time_networks(
    factories: Mapping[str, Callable[[], nn.Module]],
    batch: torch.Tensor,
    device: str,
    precisions: Iterable[str],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[tuple[str, str], list[float]]:
    """Time networks without a segmenter around them, each in each precision, channels-last and interleaved.

    Args:
        batch: the input of all networks; converted to each network's precision if it is floating-point.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        Seconds per call by (name, precision).
    """
    target = torch.device(device)
    names = [(name, precision) for precision in precisions for name in factories]
    calls = []
    for name, precision in names:
        network = factories[name]().to(target, DTYPES[precision]).to(memory_format=torch.channels_last).eval()
        network_input = batch.to(target)
        if batch.is_floating_point():
            network_input = network_input.to(DTYPES[precision], memory_format=torch.channels_last)
        calls.append(device_call(partial(network, network_input), target))
    return dict(zip(names, interleaved(calls, iterations, warm_up, track), strict=True))


def time_openvino(
    measured: Measurement,
    counts: Sequence[int],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[int, list[float]]:
    """Time a configuration's network in OpenVINO on several frames at once; seconds per call by their number."""
    segmenter = measured.segmenter
    options = SegmenterOptions(device=segmenter.device, backend="openvino", precision=segmenter.precision)
    running: Any = create(segmenter.checkpoint, options).backend
    calls = [running.network_call(measured.network_size, count) for count in counts]
    times = interleaved(calls, iterations, warm_up, track)
    return dict(zip(counts, times, strict=True))


def device_call(call: Callable[[], object], device: torch.device) -> Callable[[int], object]:
    """Wrap `call`: run it in inference mode and synchronise with the device."""

    @torch.inference_mode()
    def run(_: int) -> object:
        result = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return run
