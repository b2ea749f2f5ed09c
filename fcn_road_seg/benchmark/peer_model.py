"""Another project's network in OpenVINO, with its own input and output conventions, called like our segmenter."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fcn_road_seg.benchmark.letterbox import fit, frame_box, unfit
from fcn_road_seg.benchmark.peer_conventions import Conventions
from fcn_road_seg.errors import DeviceError, UserError, first_line
from fcn_road_seg.inference.backends.choice import installed
from fcn_road_seg.inference.backends.stage_timer import STAGES, CpuTimer

if TYPE_CHECKING:
    from openvino import Model, Output

QUANTISED = ("FakeQuantize", "FakeConvert")
"""Operations of models whose layers run in INT8."""
WEIGHTS = ("f32", "f16", "bf16", "f64", "i8", "u8", "i4", "u4")
TOLERANCE = 0.02
"""How far rounding may take a probability beyond 0..1."""


class PeerModel:
    """A network from an ONNX or OpenVINO file, on the CPU, ready for frames of any size.

    Args:
        path: .onnx, or .xml with its .bin beside it.
        arithmetic: of the layers that are not quantised, "fp32" or "bf16".
        threads: number of CPU threads; 0 takes OpenVINO's default.

    Attributes:
        path: the file.
        name: for the tables.
        precision: the arithmetic, with "int8 + " before it for a quantised network.
        parameters: numbers in the weights that the road needs.
        input_size: (width, height) in pixels.
        threshold: P(road), 0..1, from which a pixel is road.
        seconds: durations of the last frame's stages: preprocess, network, postprocess.

    Raises:
        UserError: the file cannot be read, or does not fit the conventions.
        DeviceError: OpenVINO is not installed.
    """

    def __init__(self, path: Path, conventions: Conventions, arithmetic: str = "fp32", threads: int = 0):
        if not installed("openvino"):
            raise DeviceError("--peer needs OpenVINO, which is not installed: pip install openvino")
        from fcn_road_seg.inference.backends.openvino import HINTS, plain_errors
        from fcn_road_seg.inference.backends.openvino_model import core

        self.conventions = conventions
        self.name = conventions.name or path.stem
        self.input_size = conventions.size
        self.threshold = conventions.threshold
        self.seconds: dict[str, float] = {}
        self.path = path
        self._checked = False
        config: dict[str, str | int] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[arithmetic],
        }
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            with plain_errors():
                model = core().read_model(path)
        except RuntimeError as error:
            weights = path.with_suffix(".bin")
            if path.suffix == ".xml" and not weights.is_file():
                raise UserError(f"{path} cannot be read without its weights, {weights}") from None
            raise UserError(f"{path} cannot be read as an ONNX or OpenVINO model: {first_line(error)}") from None
        try:
            with plain_errors():
                layout = _fix_input(model, conventions, path)
                model = _road_model(model, layout, conventions, path)
                self.parameters = _count_parameters(model)
                model = _with_frame_input(model, layout, conventions)
                self._request = core().compile_model(model, "CPU", config).create_infer_request()
        except RuntimeError as error:
            raise UserError(f"{path} does not run in OpenVINO: {first_line(error)}") from None
        operations = {operation.get_type_name() for operation in model.get_ops()}
        self.precision = f"int8 + {arithmetic}" if operations & set(QUANTISED) else arithmetic

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame, uint8 H x W x 3 RGB.

        Raises:
            UserError: the output is no probability.
        """
        frame_size = frame.shape[1], frame.shape[0]
        box = frame_box(frame_size, self.input_size, self.conventions.fit == "letterbox")
        timer = CpuTimer()
        timer.mark()
        fit(frame, box, self.conventions.pad, self._request.get_input_tensor().data[0])
        timer.mark()
        self._request.infer()
        timer.mark()
        road = self._request.get_output_tensor().data[0]
        self._check(road)
        probability = unfit(road.clip(0, 1), box, self.input_size, frame_size)
        timer.mark()
        self.seconds = dict(zip(STAGES, timer.seconds(), strict=True))
        return probability

    def _check(self, road: np.ndarray) -> None:
        """Check the first answer: a wrong `activation` gives numbers that are not probabilities."""
        if self._checked:
            return
        low, high = float(road.min()), float(road.max())
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
            raise UserError(
                f"{self.path}: P(road) is {low:.3g} to {high:.3g} instead of 0 to 1: set the conventions' activation "
                "to softmax or sigmoid, or list other channels as road"
            )
        self._checked = True


def _fix_input(model: "Model", conventions: Conventions, path: Path) -> str:
    """Give the input the conventions' size where it is open; returns its layout, "NCHW" or "NHWC"."""
    if len(model.inputs) != 1:
        raise UserError(f"{path} has {len(model.inputs)} inputs, but must have one, the frame")
    shape = model.input().partial_shape
    text = str(shape)
    if shape.rank.is_dynamic or len(shape) != 4:
        raise UserError(f"{path}: the input's shape is {text}, but must have four dimensions, such as 1 x 3 x h x w")
    found = [layout for layout in ("NCHW", "NHWC") if shape[layout.index("C")] == 3]
    if len(found) != 1:
        raise UserError(f"{path}: the input's shape is {text}, which does not show which dimension holds three colours")
    (layout,) = found
    width, height = conventions.size
    wanted = [{"N": 1, "C": 3, "H": height, "W": width}[letter] for letter in layout]
    for have, want in zip(shape, wanted, strict=True):
        if have.is_static and have.get_length() != want:
            fixed = f"{shape[layout.index('W')]}x{shape[layout.index('H')]}"
            raise UserError(
                f"{path}: the input's shape is {text}, {fixed}, but its conventions say size: [{width}, {height}], "
                "width before height, and one frame at a time"
            )
    if shape.is_dynamic:
        model.reshape(wanted)
    return layout


def _road_model(model: "Model", layout: str, conventions: Conventions, path: Path) -> "Model":
    """The network with P(road), float32 1 x h x w, as its only output; what no road needs is dropped."""
    from fcn_road_seg.inference.backends.openvino_model import openvino, ops

    x = _find_output(model, conventions, path)
    axis = _channel_axis(x, layout, path)
    channels = x.get_shape()[axis] if axis else 1
    if wrong := [channel for channel in conventions.road if channel >= channels]:
        raise UserError(f"{path}: road is channel {wrong[0]}, but the output has {channels} channel(s), counted from 0")
    if conventions.activation == "softmax":
        if channels == 1 or axis is None:
            raise UserError(f"{path}: the output has one channel, and its softmax is always 1: use sigmoid or none")
        x = ops.softmax(x, axis).output(0)
    elif conventions.activation == "sigmoid":
        x = ops.sigmoid(x).output(0)
    if axis:
        x = ops.gather(x, np.array(conventions.road, np.int64), np.array(axis, np.int64)).output(0)
        x = ops.reduce_sum(x, np.array([axis], np.int64)).output(0)
    return openvino.Model([ops.result(x, name="road")], model.get_parameters(), "peer")


def _with_frame_input(model: "Model", layout: str, conventions: Conventions) -> "Model":
    """The same network for a frame, uint8 1 x h x w x 3 RGB, with the conventions built in."""
    from fcn_road_seg.inference.backends.openvino_model import openvino

    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout(layout))
    process = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if conventions.colour == "bgr":
        process.reverse_channels()
    process.mean(_three(conventions.mean)).scale(_three(conventions.scale))
    steps.output().tensor().set_element_type(openvino.Type.f32)
    return steps.build()


def _find_output(model: "Model", conventions: Conventions, path: Path) -> "Output":
    """What the conventions' output is computed from."""
    names = [output.names or {str(i)} for i, output in enumerate(model.outputs)]
    matching = [i for i, known in enumerate(names) if conventions.output == i or conventions.output in known]
    if not matching:
        known = ", ".join(f"{i} ({min(name)})" for i, name in enumerate(names))
        raise UserError(f"{path} has no output {conventions.output!r}; its outputs are {known}")
    output = model.output(matching[0])
    if not output.element_type.is_real():
        raise UserError(
            f"{path}: output {conventions.output!r} holds {output.element_type.get_type_name()}, such as class "
            "numbers, but probabilities or logits are needed"
        )
    return output.get_node().input_value(0)


def _channel_axis(scores: "Output", layout: str, path: Path) -> int | None:
    """The dimension of the channels; None if the output, 1 x h x w, has none."""
    shape = scores.get_partial_shape()
    text = str(shape)
    if shape.is_dynamic or len(shape) not in (3, 4) or shape[0] != 1:
        raise UserError(
            f"{path}: the output's shape is {text}, but must be 1 x channels x h x w, 1 x h x w x channels or 1 x h x w"
        )
    if len(shape) == 3:
        return None
    return layout.index("C")


def _three(values: tuple[float, ...]) -> list[float]:
    return list(values) * (3 // len(values))


def _count_parameters(model: "Model") -> int:
    """Elements of the constants that hold weights."""
    constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
    return sum(
        int(np.prod(constant.get_output_shape(0)))
        for constant in constants
        if constant.get_element_type().get_type_name() in WEIGHTS
    )
