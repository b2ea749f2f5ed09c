"""ONNX files run in ONNX Runtime and OpenVINO, and compared with PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fcn_road_seg.inference.checkpoint import Checkpoint
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.onnx_export import INPUT, OUTPUT, ExportError
from fcn_road_seg.inference.preprocess import network_frame, network_size

if TYPE_CHECKING:
    import onnx
    from openvino import CompiledModel

# Greatest |difference of P(road)| from PyTorch's FP32 at any pixel; for INT8, which rounds more, the mean over pixels.
BOUNDS = {"fp32": 0.001, "fp16": 0.01, "int8": 0.01}


@dataclass(frozen=True)
class Agreement:
    """A runtime's deviation from PyTorch's FP32 at one input shape: |difference of P(road)|, 0..1."""

    runtime: str
    batch: int
    width: int
    height: int
    greatest: float
    mean: float


def check(
    model: "onnx.ModelProto",
    checkpoint: Checkpoint,
    frames: Sequence[np.ndarray],
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
) -> list[Agreement]:
    """Compare ONNX Runtime's and OpenVINO's answers with PyTorch's FP32 on example frames.

    A dynamic model runs at two sizes, the second with a batch of two.

    Args:
        frames: at least two road scenes, uint8 H x W x 3 RGB, of any size.

    Raises:
        ExportError: a runtime differs by more than `BOUNDS` allows.
    """
    network = InferenceNetwork(checkpoint.network()).eval()
    width = checkpoint.metadata.network_width
    shapes = [(1, *size)] if size else [(1, *network_size(1242, 375, width)), (2, *network_size(640, 480, width))]
    content, results = model.SerializeToString(), []
    for batch, width, height in shapes:
        image = np.concatenate([network_frame(frame, (width, height)) for frame in frames[:batch]])
        with torch.inference_mode():
            expected = network(torch.from_numpy(image)).numpy()
        for runtime, run in (("ONNX Runtime", run_onnxruntime), ("OpenVINO", run_openvino)):
            difference = np.abs(run(content, image) - expected)
            found = Agreement(runtime, batch, width, height, float(difference.max()), float(difference.mean()))
            if not (found.mean if precision == "int8" else found.greatest) <= BOUNDS[precision]:
                raise ExportError(
                    f"{runtime} differs from PyTorch by up to {found.greatest:.4f} (mean {found.mean:.4f}) in P(road) "
                    f"at {width}x{height}, but the bound of {precision} is {BOUNDS[precision]}: the file is not written"
                )
            results.append(found)
    return results


def run_onnxruntime(content: bytes, image: np.ndarray) -> np.ndarray:
    """P(road) of one batch by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: image})[0]


def run_openvino(content: bytes, image: np.ndarray) -> np.ndarray:
    """P(road) of one batch by OpenVINO on the CPU, in FP32 except for INT8 layers."""
    return openvino_model(content, image.shape)(image)[OUTPUT]


def openvino_model(content: bytes, shape: Sequence[int]) -> "CompiledModel":
    """OpenVINO's compiled model for one input shape, in FP32 except for INT8 layers."""
    from fcn_road_seg.inference.backends.openvino_model import core

    model = core().read_model(content)
    model.reshape(list(shape))
    return core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
