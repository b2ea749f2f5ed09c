"""Timing that is fair on a machine with other work: A B C A B C ..."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import nn

from fcn_road_seg.inference.backends import DTYPES

PAUSE = 0.005  # seconds; a library's threads spin for a while after their work, which would slow the next one


def interleaved(
    calls: Sequence[Callable[[int], object]],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> list[list[float]]:
    """Call each function in turn, again and again, so that whatever slows the machine slows all of them.

    Args:
        calls: take the number of the round, 0, 1, ...; each returns when its work is done, also on a GPU.
        warm_up: rounds before the first that counts.
        track: wraps the rounds, for a progress bar.

    Returns:
        Seconds, `iterations` per function.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for number in track(range(warm_up + iterations)):
        for call, taken in zip(calls, seconds, strict=True):
            time.sleep(PAUSE)
            began = time.perf_counter()
            call(number)
            taken.append(time.perf_counter() - began)
    return [taken[warm_up:] for taken in seconds]


def time_networks(
    makers: Mapping[str, Callable[[], nn.Module]],
    batch: torch.Tensor,
    device: str,
    precisions: Iterable[str],
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[tuple[str, str], list[float]]:
    """Run networks alone, each in each precision, channels-last and interleaved.

    Args:
        batch: what all of them take; a floating-point one in the network's precision.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        Seconds per call by (name, precision).
    """
    target = torch.device(device)
    names = [(name, precision) for precision in precisions for name in makers]
    calls = []
    for name, precision in names:
        network = makers[name]().to(target, DTYPES[precision], memory_format=torch.channels_last).eval()
        taken = batch.to(target)
        if batch.is_floating_point():
            taken = taken.to(DTYPES[precision], memory_format=torch.channels_last)
        calls.append(device_call(partial(network, taken), target))
    return dict(zip(names, interleaved(calls, iterations, warm_up, track), strict=True))


def device_call(call: Callable[[], object], device: torch.device) -> Callable[[int], object]:
    """`call` in inference mode, waited for on the device."""

    @torch.inference_mode()
    def run(_: int) -> object:
        answer = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return answer

    return run
