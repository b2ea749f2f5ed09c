"""The node's parameters: one table, from which descriptors, checks and documentation are made.

``python -m fcn_road_seg.ros.parameters`` prints the table in Markdown.
"""

from dataclasses import dataclass
from typing import Any, Literal

from fcn_road_seg.errors import UserError

Value = bool | int | float | str

TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}


class ParameterError(UserError):
    """A value that a parameter cannot take; its text says why in one sentence."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of the node; its type is its default's."""

    name: str
    default: Value
    text: str
    changes: Literal["while running", "while unconfigured", "at start"] = "while unconfigured"
    minimum: int | float | None = None
    maximum: int | float | None = None
    multiple_of: int = 1
    """For an integer: values are ``minimum`` plus a multiple of this."""
    choices: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        """The type as ROS calls it: bool, integer, double or string."""
        return TYPE_NAMES[type(self.default)]

    @property
    def range_text(self) -> str:
        """The values it takes, for people; empty if it takes any of its type."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is None:
            return ""
        steps = f", a multiple of {self.multiple_of}" if self.multiple_of > 1 else ""
        return f"{self.minimum} to {self.maximum}{steps}"

    def check(self, value: Any) -> None:
        """Raise ParameterError, in one sentence, if ``value`` is not of the type or not in the range."""
        article = "an" if self.type_name == "integer" else "a"
        wanted = f"'{self.name}' is {article} {self.type_name}" + (f" ({self.range_text})" if self.range_text else "")
        if type(value) is not type(self.default):
            hint = ", written with a decimal point" if isinstance(self.default, float) and type(value) is int else ""
            raise ParameterError(f"{wanted}{hint}, not {value!r}")
        in_choices = not self.choices or value in self.choices
        in_range = self.minimum is None or (
            self.minimum <= value <= self.maximum
            and (self.multiple_of == 1 or (value - self.minimum) % self.multiple_of == 0)
        )
        if not (in_choices and in_range):
            raise ParameterError(f"{wanted} and cannot be {value!r}")


PARAMETERS = (
    Parameter(
        "weights",
        "",
        "Weights file (.safetensors). Empty: the shipped full network; lite: the shipped smaller one.",
    ),
    Parameter(
        "device",
        "auto",
        "Where the network runs: auto (CUDA if there is one, else the CPU), cpu, cuda or cuda:N.",
    ),
    Parameter(
        "precision",
        "auto",
        "Arithmetic of the network. auto: FP16 on CUDA; on a CPU INT8 (with OpenVINO, if the "
        "weights have that form), BF16 or FP32, the first that is in hardware. "
        "fp16 is for CUDA, int8 for OpenVINO.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    ),
    Parameter(
        "backend",
        "auto",
        "What runs the network. auto: a CUDA graph; on an x86-64 CPU OpenVINO if it is installed, else torch.",
        choices=("auto", "torch", "compile", "openvino", "graph"),
    ),
    Parameter(
        "threads",
        0,
        "Threads of the network on a CPU. 0: as many as the backend thinks best.",
        minimum=0,
        maximum=1024,
    ),
    Parameter(
        "require_cuda",
        False,
        "Refuse to configure without CUDA instead of running on the CPU.",
    ),
    Parameter(
        "network_width",
        0,
        "Width in pixels that a frame is scaled to for the network; the height follows. 0: the checkpoint's.",
        minimum=0,
        maximum=4096,
        multiple_of=32,
    ),
    Parameter(
        "warm_up_width",
        1242,
        "Width in pixels of the frames to expect: configuring runs the network once at this size. 0: no warm-up.",
        minimum=0,
        maximum=16384,
    ),
    Parameter(
        "warm_up_height",
        375,
        "Height in pixels of the frames to expect. 0: no warm-up.",
        minimum=0,
        maximum=16384,
    ),
    Parameter(
        "threshold",
        0.0,
        "Probability from which a pixel counts as road. 0.0: the checkpoint's own.",
        changes="while running",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "smoothing",
        0.0,
        "Steadies the mask: weight of P(road) of 0.1 s ago, moved along with the picture. 0.0: every frame for itself.",
        changes="while running",
        minimum=0.0,
        maximum=0.95,
    ),
    Parameter(
        "overlay_alpha",
        0.5,
        "How strongly ~/overlay tints the road: 0.0 not at all, 1.0 opaque.",
        changes="while running",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "image_transport",
        "raw",
        "Type of the topic image: raw is sensor_msgs/Image, compressed is sensor_msgs/CompressedImage (JPEG, PNG).",
        choices=("raw", "compressed"),
    ),
    Parameter(
        "max_age_ms",
        0.0,
        "A frame that is older than this when its turn comes is dropped and counted. 0.0: no frame is too old.",
        changes="while running",
        minimum=0.0,
        maximum=600000.0,
    ),
    Parameter(
        "min_confidence",
        0.0,
        "~/labels says 255, unknown, where the larger of P(road) and 1 - P(road) is below this.",
        changes="while running",
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "camera_height",
        0.0,
        "Metres of the camera above the road, for all that is in metres. 0.0: TF says where the camera is.",
        changes="while running",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "camera_pitch",
        0.0,
        "With camera_height: how far the camera looks down, in radians.",
        changes="while running",
        minimum=-1.5,
        maximum=1.5,
    ),
    Parameter(
        "camera_roll",
        0.0,
        "With camera_height: how far the camera leans to the right, in radians.",
        changes="while running",
        minimum=-1.5,
        maximum=1.5,
    ),
    Parameter(
        "ground_frame",
        "base_link",
        "Frame of ~/grid, ~/scan and ~/boundary. From TF; with camera_height it is the point of the road below the "
        "camera that has this name.",
        changes="while running",
    ),
    Parameter(
        "ground_z",
        0.0,
        "Without camera_height: metres of the road above the ground_frame, negative for a frame above the road.",
        changes="while running",
        minimum=-1000.0,
        maximum=1000.0,
    ),
    Parameter(
        "rectified",
        True,
        "The images are rectified, so P of camera_info counts; false: they are raw, so K, D and R do.",
        changes="while running",
    ),
    Parameter(
        "max_range",
        50.0,
        "Metres from the camera beyond which nothing is said in metres.",
        changes="while running",
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        "bottom_margin",
        0.03,
        "Share of the image's height at its lower edge of which nothing is said in metres.",
        changes="while running",
        minimum=0.0,
        maximum=0.5,
    ),
    Parameter(
        "grid_resolution",
        0.1,
        "Metres of a side of a cell of ~/grid.",
        changes="while running",
        minimum=0.01,
        maximum=10.0,
    ),
    Parameter(
        "grid_length",
        40.0,
        "Metres of ~/grid ahead of the ground_frame.",
        changes="while running",
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        "grid_width",
        20.0,
        "Metres of ~/grid across, half of them on each side.",
        changes="while running",
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        "grid_mode",
        "binary",
        "binary: a cell of ~/grid is 0 (road) or 100 (not road); probability: 100 x P(not road). -1 is unseen in both.",
        changes="while running",
        choices=("binary", "probability"),
    ),
    Parameter(
        "scan_angle_increment",
        0.0087,
        "Radians between the bearings of ~/scan.",
        changes="while running",
        minimum=0.0001,
        maximum=1.0,
    ),
    Parameter(
        "scan_min_obstacle",
        0.3,
        "Metres along a bearing of ~/scan; what is not road for less counts as road.",
        changes="while running",
        minimum=0.0,
        maximum=100.0,
    ),
    Parameter(
        "autostart",
        True,
        "Configure and activate at start, with no lifecycle manager.",
        changes="at start",
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def check_change(name: str, value: Any, configured: bool) -> None:
    """Raise ParameterError, in one sentence, if parameter ``name`` cannot be set to ``value`` now.

    Args:
        name: a parameter; one that is not in the table (use_sim_time, QoS overrides) is not ours to check.
        value: the value that it is to get.
        configured: whether the node has loaded its weights.
    """
    parameter = BY_NAME.get(name)
    if parameter is None:
        return
    parameter.check(value)
    if parameter.changes == "while unconfigured" and configured:
        raise ParameterError(f"'{name}' is read when the node configures: clean the node up, set it, configure again")


def descriptor(parameter: Parameter) -> Any:
    """The rcl_interfaces/ParameterDescriptor of a parameter."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
    from rclpy.parameter import Parameter as RosParameter

    result = ParameterDescriptor(
        name=parameter.name,
        type=RosParameter.Type.from_parameter_value(parameter.default).value,
        description=parameter.text,
        read_only=parameter.changes == "at start",
    )
    if parameter.choices:
        result.additional_constraints = f"one of {parameter.range_text}"
    elif isinstance(parameter.minimum, float):
        result.floating_point_range = [FloatingPointRange(from_value=parameter.minimum, to_value=parameter.maximum)]
    elif parameter.minimum is not None:
        result.integer_range = [
            IntegerRange(from_value=parameter.minimum, to_value=parameter.maximum, step=parameter.multiple_of)
        ]
    return result


def declare(node: Any, parameter: Parameter) -> Value:
    """Declare a parameter on an rclpy node.

    Returns:
        Its value: the one the node was started with, or the default.

    Raises:
        ParameterError: the node was started with a value that the parameter cannot take.
    """
    from rcl_interfaces.msg import ParameterDescriptor

    # Declared first without type and range: rclpy would raise errors that do not say what the parameter takes.
    value = node.declare_parameter(parameter.name, parameter.default, ParameterDescriptor(dynamic_typing=True)).value
    parameter.check(value)
    node.set_descriptor(parameter.name, descriptor(parameter))
    return value


def markdown_table() -> str:
    """The parameters as a Markdown table."""
    lines = ["| parameter | type | default | range | changes | meaning |", "|---|---|---|---|---|---|"]
    for parameter in PARAMETERS:
        default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        cells = [
            f"`{parameter.name}`",
            parameter.type_name,
            f'`"{default}"`' if isinstance(default, str) and parameter.type_name == "string" else f"`{default}`",
            parameter.range_text,
            parameter.changes,
            parameter.text,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
