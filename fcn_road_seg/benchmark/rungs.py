"""The rungs of the optimisation ladder: which network runs how, and how far its masks may be from FP32's."""

from typing import NamedTuple

from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.backends import BACKENDS, PRECISIONS

NETWORKS = ("full", "lite")


class Bound(NamedTuple):
    """What a rung must hold against the full network as PyTorch runs it, layer by layer, in FP32 on the CPU."""

    equal: float
    """Least share, 0..1, of pixels of the same class; 0 where the network is another one."""
    max_f_loss: float
    """Most that MaxF (0..1, perspective view) may fall."""


BOUNDS = {
    "fp32": Bound(0.9999, 0.001),
    "bf16": Bound(0.995, 0.003),
    "fp16": Bound(0.998, 0.003),
    "int8": Bound(0.985, 0.003),
}
OTHER_NETWORK = Bound(0.0, 0.01)
CUDA_EQUAL = 0.998
"""CUDA resizes in FP16 and multiplies FP32 in TF32, so no precision of its comes closer to the CPU's masks."""


class Rung(NamedTuple):
    """One way of running a network on the device of the benchmark."""

    network: str
    """"full", or "lite": the shipped pruned network."""
    backend: str
    precision: str
    network_width: int = 0
    """Pixels; 0 is the benchmark's, or if that is not said either, the one that the weights were trained at."""

    def __str__(self) -> str:
        prefix = "" if self.network == "full" else f"{self.network}/"
        suffix = f"@{self.network_width}" if self.network_width else ""
        return f"{prefix}{self.backend}:{self.precision}{suffix}"

    def bound(self, device: str) -> Bound:
        """What it must hold on "cpu", "cuda" or "cuda:N"."""
        if self.network == "lite" or self.network_width:
            return OTHER_NETWORK
        equal, max_f_loss = BOUNDS[self.precision]
        return Bound(min(equal, CUDA_EQUAL) if device.startswith("cuda") else equal, max_f_loss)


REFERENCE = Rung("full", "torch", "fp32")

CPU_LADDER = (
    "torch:fp32,torch:bf16,compile:bf16,openvino:fp32,openvino:bf16,openvino:int8,"
    "lite/torch:bf16,lite/openvino:fp32,lite/openvino:bf16,lite/openvino:int8,"
    "openvino:int8@704,lite/openvino:int8@704"
)
CUDA_LADDER = "torch:fp32,torch:fp16,compile:fp16,graph:fp32,graph:fp16,lite/graph:fp16"


def ladder(device: str, with_lite: bool) -> list[Rung]:
    """The rungs that are worth a look on "cpu", "cuda" or "cuda:N"."""
    rungs = parse(CUDA_LADDER if device.startswith("cuda") else CPU_LADDER)
    return [rung for rung in rungs if with_lite or rung.network == "full"]


def parse(text: str) -> list[Rung]:
    """Rungs as a user lists them: "torch:bf16,lite/openvino:bf16@832"; each once, the reference always first.

    Raises:
        UserError: a word is no rung.
    """
    rungs = [REFERENCE]
    for word in filter(None, (word.strip() for word in text.split(","))):
        network, _, way = word.rpartition("/")
        way, at, width = way.partition("@")
        backend, _, precision = way.partition(":")
        known = (network or "full") in NETWORKS and backend in BACKENDS and precision in PRECISIONS
        if not known or (at and not width.isdecimal()):
            raise UserError(
                f"{word!r} is no rung: give [lite/]BACKEND:PRECISION[@NETWORK_WIDTH], such as openvino:bf16, "
                f"of the backends {', '.join(BACKENDS)} and the precisions {', '.join(PRECISIONS)}"
            )
        rungs.append(Rung(network or "full", backend, precision, int(width or 0)))
    return list(dict.fromkeys(rungs))
