"""Configurations of the network to compare (`--rungs`), and how far their masks may be from FP32's."""

from collections.abc import Collection
from typing import NamedTuple

from fcn_road_seg.errors import UserError
from fcn_road_seg.inference.options import BACKENDS, PRECISIONS

NETWORKS = ("full", "lite")


class Bound(NamedTuple):
    """Limits of a configuration relative to the full network in PyTorch eager mode, FP32, on the CPU."""

    equal: float
    """Minimum fraction, 0..1, of pixels with the same class; 0 for a different network."""
    max_f_loss: float
    """Maximum loss of MaxF (0..1, perspective view)."""


BOUNDS = {
    "fp32": Bound(0.9999, 0.001),
    "bf16": Bound(0.995, 0.003),
    "fp16": Bound(0.998, 0.003),
    "int8": Bound(0.985, 0.003),
}
OTHER_NETWORK = Bound(0.0, 0.01)
UNRELATED = Bound(0.0, 1.0)
CUDA_EQUAL = 0.998
"""CUDA resizes in FP16 and multiplies FP32 in TF32, so none of its precisions comes closer to the CPU's masks."""


class Configuration(NamedTuple):
    """One way to run a network on the benchmark's device."""

    network: str
    """"full"; "lite", the pruned network; or the name of other weights."""
    backend: str
    precision: str
    network_width: int = 0
    """Pixels; 0 takes the benchmark's width, or else the width that the weights were trained at."""

    def __str__(self) -> str:
        prefix = "" if self.network == "full" else f"{self.network}/"
        suffix = f"@{self.network_width}" if self.network_width else ""
        return f"{prefix}{self.backend}:{self.precision}{suffix}"

    def bound(self, device: str) -> Bound:
        """The limits on "cpu", "cuda" or "cuda:N"; there are none for a network that is neither full nor lite."""
        if self.network not in NETWORKS:
            return UNRELATED
        if self.network == "lite" or self.network_width:
            return OTHER_NETWORK
        equal, max_f_loss = BOUNDS[self.precision]
        return Bound(min(equal, CUDA_EQUAL) if device.startswith("cuda") else equal, max_f_loss)


REFERENCE = Configuration("full", "torch", "fp32")

CPU_DEFAULTS = (
    "torch:fp32,torch:bf16,compile:bf16,openvino:fp32,openvino:bf16,openvino:int8,"
    "lite/torch:bf16,lite/openvino:fp32,lite/openvino:bf16,lite/openvino:int8,"
    "openvino:int8@704,lite/openvino:int8@704"
)
CUDA_DEFAULTS = (
    "torch:fp32,torch:fp16,compile:fp16,graph:fp32,graph:fp16,onnxruntime:fp16,onnxruntime_tensorrt:fp16,"
    "tensorrt:fp16,tensorrt:int8,lite/graph:fp16,lite/tensorrt:fp16"
)


def default_configurations(device: str, networks: Collection[str]) -> list[Configuration]:
    """The configurations worth measuring on "cpu", "cuda" or "cuda:N" of networks by name; lite's serve for others."""
    defaults = parse(CUDA_DEFAULTS if device.startswith("cuda") else CPU_DEFAULTS)
    lite = [c for c in defaults if c.network == "lite"]
    others = [c._replace(network=name) for name in networks if name not in NETWORKS for c in lite]
    return [c for c in defaults if c.network in networks] + others


def parse(text: str, networks: Collection[str] = NETWORKS) -> list[Configuration]:
    """Parse a list such as "torch:bf16,lite/openvino:bf16@832"; drops duplicates and puts the reference first.

    Args:
        networks: the names that may stand before "/".

    Raises:
        UserError: an item is not a valid configuration.
    """
    configurations = [REFERENCE]
    for item in filter(None, (item.strip() for item in text.split(","))):
        network, _, rest = item.rpartition("/")
        rest, at, width = rest.partition("@")
        backend, _, precision = rest.partition(":")
        known = (network or "full") in networks and backend in BACKENDS and precision in PRECISIONS
        if not known or (at and not width.isdecimal()):
            raise UserError(
                f"{item!r} is not a valid rung: give [NETWORK/]BACKEND:PRECISION[@NETWORK_WIDTH], such as "
                f"openvino:bf16; networks: {', '.join(networks)}; backends: {', '.join(BACKENDS)}; precisions: "
                f"{', '.join(PRECISIONS)}"
            )
        configurations.append(Configuration(network or "full", backend, precision, int(width or 0)))
    return list(dict.fromkeys(configurations))
