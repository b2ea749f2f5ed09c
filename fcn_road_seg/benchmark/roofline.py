"""The roofline model: a lower bound on the time of a frame, from measured peaks of compute and memory bandwidth."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from fcn_road_seg.inference.backends import choice
from fcn_road_seg.inference.checkpoint import Metadata, empty_network

DTYPES = choice.DTYPES | {"int8": torch.int8}
GEMM_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # more than any cache holds
REPETITIONS = 8


class Work(NamedTuple):
    """The work of a network for one frame."""

    flops: int
    """Floating-point operations, two per multiply-accumulate, of the network as trained."""
    parameters: int

    def bytes(self, precision: str, frame_size: tuple[int, int]) -> int:
        """Minimum memory traffic: every weight, the frame (RGB) and its mask, once each."""
        width, height = frame_size
        return self.parameters * DTYPES[precision].itemsize + 4 * width * height


def count_work(metadata: Metadata, network_size: tuple[int, int]) -> Work:
    """Count the work for a network input of `network_size` (width, height), without running the network."""
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # it warns of a missing Triton
    from torch.utils.flop_counter import FlopCounterMode

    network = empty_network(metadata).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, network_size[1], network_size[0], device="meta"))
    return Work(counter.get_total_flops(), sum(p.numel() for p in network.parameters()))


class Machine:
    """Peak rates of a device, measured on first use.

    Args:
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, device: str):
        self.device = torch.device(device)
        self._gemm: dict[str, float | None] = {}
        self._bandwidth = 0.0

    def lower_bound(self, work: Work, precision: str, frame_size: tuple[int, int]) -> float | None:
        """Minimum seconds per frame, the larger of compute and transfer time; None if the peak cannot be measured."""
        peak = self.gemm_peak(precision)
        return None if peak is None else max(work.flops / peak, work.bytes(precision, frame_size) / self.bandwidth())

    def gemm_peak(self, precision: str) -> float | None:
        """Operations per second of the fastest of several square matrix products; None if unsupported."""
        if precision not in self._gemm:
            try:
                self._gemm[precision] = max(self._gemm_rate(n, precision) for n in GEMM_SIZES[self.device.type])
            except RuntimeError:
                self._gemm[precision] = None
        return self._gemm[precision]

    def bandwidth(self) -> float:
        """Bytes per second of a large copy in the device's memory; counts both reads and writes."""
        if not self._bandwidth:
            source = torch.ones(COPY_BYTES[self.device.type], dtype=torch.uint8, device=self.device)
            target = torch.empty_like(source)
            self._bandwidth = 2 * source.numel() / self._best(lambda: target.copy_(source))
        return self._bandwidth

    @torch.inference_mode()
    def _gemm_rate(self, n: int, precision: str) -> float:
        a, b = (torch.ones(n, n, device=self.device).to(DTYPES[precision]) for _ in range(2))
        multiply = torch._int_mm if precision == "int8" else torch.mm
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # the setting for convolutions
        try:
            return 2 * n**3 / self._best(lambda: multiply(a, b))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed

    def _best(self, call: Callable[[], object]) -> float:
        """Seconds of the fastest call."""
        best = float("inf")
        for _ in range(REPETITIONS):
            self._wait()
            start = time.perf_counter()
            call()
            self._wait()
            best = min(best, time.perf_counter() - start)
        return best

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
