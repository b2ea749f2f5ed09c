"""A parameter of a node and its checks, and classes whose fields are parameters.

A class of parameters is a frozen dataclass whose fields are made by `parameter`: the class is the table from which
descriptors, checks and documentation are made, an instance holds the values at one moment.
"""

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.arguments import no_such_parameter

Value = bool | int | float | str | tuple[str, ...]
Changes = Literal["while running", "while unconfigured", "at start"]
T = TypeVar("T", bool, int, float, str, tuple[str, ...])
Parameters = TypeVar("Parameters")

FRAME = re.compile(r"[^/\s]\S*")
FRAME_TEXT = "a name without spaces or a leading /"
ONE_OF = "one of "
TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string", tuple: "string array"}


class ParameterError(UserError):
    """A value that a parameter cannot take; the message says why in one sentence."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node; its type is its default's."""

    name: str
    default: Value
    text: str
    changes: Changes = "while unconfigured"
    minimum: int | float | None = None
    maximum: int | float | None = None
    multiple_of: int = 1
    """For an integer: values are ``minimum`` plus a multiple of this."""
    choices: tuple[str, ...] = ()
    frame: bool = False
    """For a string: it names a frame of TF."""

    @property
    def type_name(self) -> str:
        """The type as ROS calls it: bool, integer, double, string or string array."""
        return TYPE_NAMES[type(self.default)]

    @property
    def range_text(self) -> str:
        """The values that it takes, for people; empty if it takes any value of its type."""
        if self.choices:
            return ", ".join(self.choices)
        if self.frame:
            return FRAME_TEXT
        if self.minimum is None:
            return ""
        steps = f", a multiple of {self.multiple_of}" if self.multiple_of > 1 else ""
        return f"{self.minimum} to {self.maximum}{steps}"

    def check(self, value: Any) -> None:
        """Raise ParameterError, in one sentence, if ``value`` has the wrong type or is out of range."""
        article = "an" if self.type_name == "integer" else "a"
        expected = f"'{self.name}' is {article} {self.type_name}" + (f" ({self.range_text})" if self.range_text else "")
        if type(_plain(value)) is not type(self.default):
            hint = ", written with a decimal point" if isinstance(self.default, float) and type(value) is int else ""
            hint = ", such as [front, left]" if isinstance(self.default, tuple) else hint
            raise ParameterError(f"{expected}{hint}, not {list(value) if isinstance(value, array) else value!r}")
        wrong = (self.choices and value not in self.choices) or (self.frame and not FRAME.fullmatch(str(value)))
        if wrong or not self._in_range(value):
            raise ParameterError(f"{expected} and cannot be {value!r}")

    def _in_range(self, value: Any) -> bool:
        if self.minimum is None or self.maximum is None:
            return True
        fits = self.multiple_of == 1 or (value - self.minimum) % self.multiple_of == 0
        return self.minimum <= value <= self.maximum and fits


def parameter(
    default: T,
    text: str,
    changes: Changes = "while unconfigured",
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    multiple_of: int = 1,
    choices: tuple[str, ...] = (),
    frame: bool = False,
) -> T:
    """A field of a class of parameters; the arguments are those of `Parameter`."""
    unnamed = Parameter("", default, text, changes, minimum, maximum, multiple_of, choices, frame)
    return field(default=default, metadata={"parameter": unnamed})


def table(kind: type) -> tuple[Parameter, ...]:
    """The parameters that are the fields of a class of parameters."""
    return tuple(replace(item.metadata["parameter"], name=item.name) for item in fields(kind))


def descriptor(parameter: Parameter) -> Any:
    """The rcl_interfaces/ParameterDescriptor of a parameter."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
    from rclpy.parameter import Parameter as RosParameter

    result = ParameterDescriptor(
        name=parameter.name,
        type=RosParameter.Type.from_parameter_value(_for_ros(parameter.default)).value,
        description=parameter.text,
        read_only=parameter.changes == "at start",
    )
    if parameter.choices:
        result.additional_constraints = f"{ONE_OF}{parameter.range_text}"
    elif parameter.frame:
        result.additional_constraints = parameter.range_text
    elif isinstance(parameter.minimum, float):
        result.floating_point_range = [FloatingPointRange(from_value=parameter.minimum, to_value=parameter.maximum)]
    elif parameter.minimum is not None:
        result.integer_range = [
            IntegerRange(from_value=parameter.minimum, to_value=parameter.maximum, step=parameter.multiple_of)
        ]
    return result


def described(descriptor: Any) -> Parameter | None:
    """The parameter of an rcl_interfaces/ParameterDescriptor, with a default that only has the type.

    None if it takes values of any type, or of one that `Parameter` does not have.
    """
    from rclpy.parameter import Parameter as RosParameter

    ros = RosParameter.Type
    types: dict[int, type] = {ros.from_parameter_value(kind()).value: kind for kind in (bool, int, float, str)}
    types[ros.STRING_ARRAY.value] = tuple
    if descriptor.dynamic_typing or descriptor.type not in types:
        return None
    constraints = descriptor.additional_constraints
    ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
    return Parameter(
        descriptor.name,
        types[descriptor.type](),
        descriptor.description,
        changes="at start" if descriptor.read_only else "while running",
        minimum=ranges[0].from_value if ranges else None,
        maximum=ranges[0].to_value if ranges else None,
        multiple_of=int(ranges[0].step) or 1 if ranges else 1,
        choices=tuple(constraints.removeprefix(ONE_OF).split(", ")) if constraints.startswith(ONE_OF) else (),
        frame=constraints == FRAME_TEXT,
    )


def check_descriptor(descriptor: Any, value: Any) -> None:
    """Raise ParameterError, in one sentence, if a declared parameter cannot be set to a value; None deletes it.

    rclpy refuses the same, but does not say what the parameter takes.

    Args:
        descriptor: its rcl_interfaces/ParameterDescriptor.
    """
    if descriptor.read_only:
        raise ParameterError(
            f"'{descriptor.name}' is read only when the node starts: start it again with the value that you want"
        )
    if value is None and not descriptor.dynamic_typing:
        raise ParameterError(f"'{descriptor.name}' cannot be deleted")
    if (parameter := described(descriptor)) is not None:
        parameter.check(value)


def declare(node: Any, parameter: Parameter) -> Value:
    """Declare a parameter on an rclpy node.

    Returns:
        Its value: the one that the node was started with, or the default.

    Raises:
        ParameterError: the node was started with a value that the parameter cannot take.
    """
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.parameter import Parameter as RosParameter

    # Declared first without type and range: rclpy's own errors do not say what the parameter takes.
    dynamic = ParameterDescriptor(dynamic_typing=True)
    value = node.declare_parameter(parameter.name, _for_ros(parameter.default), dynamic).value
    if value is None and isinstance(parameter.default, tuple):  # an empty list has no type
        value = _for_ros(parameter.default)
        node.set_parameters([RosParameter(parameter.name, value=value)])
    parameter.check(value)
    node.set_descriptor(parameter.name, descriptor(parameter))
    return _plain(value)


def _for_ros(value: Value) -> Any:
    """A value as rclpy takes it."""
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    """A value that rclpy gives; a list of strings becomes a tuple."""
    strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return tuple(value) if strings else value


def declare_all(node: Any, kind: type[Parameters], at_start: bool = False) -> Parameters:
    """Declare every parameter of a class of parameters on an rclpy node; returns their values.

    Args:
        at_start: the node reads them only now, so none can be changed later.

    Raises:
        ParameterError: as `declare`.
    """
    rows = [replace(row, changes="at start") if at_start else row for row in table(kind)]
    return kind(**{row.name: declare(node, row) for row in rows})


def warn_undeclared(node: Any, later: Iterable[str] = (), optional: Iterable[str] = ()) -> None:
    """Log a warning for every parameter that an rclpy node was started with and does not have.

    Args:
        later: names of parameters that it declares later.
        optional: as in `no_such_parameter`.
    """
    known = {*node.get_parameters_by_prefix(""), *later}
    for name in sorted(node._parameter_overrides.keys() - known):  # rclpy offers no public way
        node.get_logger().warning(f"A parameter has no effect: {no_such_parameter(name, known, optional)}")


def read_all(node: Any, kind: type[Parameters]) -> Parameters:
    """The present values of declared parameters."""
    return kind(**{item.name: _plain(node.get_parameter(item.name).value) for item in table(kind)})


def declare_given(node: Any, scope: str, parameters: Iterable[Parameter]) -> tuple[str, ...]:
    """Declare those parameters <scope>.<name> on an rclpy node that it was started with; returns their names.

    Raises:
        ParameterError: as `declare`.
    """
    given = [item for item in parameters if f"{scope}.{item.name}" in node._parameter_overrides]  # as above
    for item in given:
        declare(node, replace(item, name=f"{scope}.{item.name}", text=f"{item.name} of {scope}: {item.text}"))
    return tuple(item.name for item in given)
