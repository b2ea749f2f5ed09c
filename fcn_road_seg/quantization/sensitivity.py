"""Which layers do not tolerate INT8: each in turn stays in float, and the masks are compared with FP32's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fcn_road_seg.inference.onnx_check import openvino_model
from fcn_road_seg.inference.onnx_export import OUTPUT
from fcn_road_seg.quantization.post_training import QuantizationError, convolutions, with_float_layers

if TYPE_CHECKING:
    import onnx
    from openvino import CompiledModel


@dataclass(frozen=True)
class Sensitivity:
    """The effect of quantisation, as the share 0..1 of pixels whose class differs from FP32's.

    Attributes:
        every_layer: with every convolution in INT8.
        without: per layer, with it in float and all others in INT8.
        kept: layers that stay in float in the result, the worst first.
        result: with the kept layers in float.
    """

    every_layer: float
    without: dict[str, float]
    kept: list[str]
    result: float


def keep_sensitive_layers(
    quantised: "onnx.ModelProto",
    model: "onnx.ModelProto",
    images: Sequence[np.ndarray],
    threshold: float,
    bound: float,
    track: Callable[[Iterable], Iterable] = iter,
) -> tuple["onnx.ModelProto", Sensitivity]:
    """Return the worst layers to float, one by one, until at most `bound` (0..1) of the pixels change class.

    Args:
        quantised, model: every convolution in INT8, and in float.
        images: uint8 1 x h x w x 3 RGB, training frames.
        threshold: P(road), 0..1, from which a pixel counts as road.
        track: wraps the layers' names, for a progress bar.

    Raises:
        QuantizationError: even with half of the layers in float, more pixels change class.
    """

    def classes(candidate: "onnx.ModelProto") -> np.ndarray:
        return np.concatenate([p.ravel() >= threshold for p in probabilities(candidate, images)])

    def changed(candidate: "onnx.ModelProto") -> float:
        return float(np.mean(classes(candidate) != expected))

    expected = classes(model)

    layers = convolutions(quantised)
    every_layer = changed(quantised)
    without = {layer: changed(with_float_layers(quantised, model, [layer])) for layer in track(layers)}
    worst_first = sorted(layers, key=without.__getitem__)
    kept: list[str] = []
    result, share = quantised, every_layer
    while share > bound:
        if len(kept) >= len(layers) // 2:
            raise QuantizationError(
                f"INT8 changes the class of {100 * share:.2f} % of the pixels even with {', '.join(kept)} in float, "
                f"but the bound is {100 * bound:.2f} %: raise --max-change, or train these weights for INT8"
            )
        kept = worst_first[: len(kept) + 1]
        result = with_float_layers(quantised, model, kept)
        share = changed(result)
    return result, Sensitivity(every_layer, without, kept, share)


def probabilities(model: "onnx.ModelProto", images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """P(road), float32 1 x h x w, of each image, by OpenVINO."""
    content = model.SerializeToString()
    compiled: dict[tuple[int, ...], CompiledModel] = {}
    for image in images:
        if image.shape not in compiled:
            compiled[image.shape] = openvino_model(content, image.shape)
    return [compiled[image.shape](image)[OUTPUT].copy() for image in images]
