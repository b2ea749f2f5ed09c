"""A field of a recipe and its checks; a recipe's class is the table from which options, checks and docs are made."""

import math
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, TypeVar, cast, get_origin

from fcn_road_seg.errors import UserError

T = TypeVar("T", bool, int, float, str)

TYPE_NAMES = {bool: "true or false", int: "integer", float: "number", str: "word", dict: "mapping"}


class RecipeError(UserError):
    """A recipe that does not exist or has an invalid field; the message names it."""


@dataclass(frozen=True)
class RecipeField:
    """One field of a recipe.

    Attributes:
        kind: the type of its values.
        default: None if every recipe must set it.
        text: what it means, for people.
        low, high: the range of a number. step: an integer is a multiple of it.
        choices: the words that it takes, if these are few.
    """

    name: str
    kind: type
    default: bool | int | float | str | None
    text: str
    low: float = -math.inf
    high: float = math.inf
    step: int = 1
    choices: tuple[str, ...] = ()

    @property
    def range_text(self) -> str:
        """The values that it takes, for people."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low == -math.inf:
            return TYPE_NAMES[self.kind]
        steps = f", a multiple of {self.step}" if self.step > 1 else ""
        return f"{self.low:g} or more" if self.high == math.inf else f"{self.low:g} to {self.high:.10g}{steps}"

    @property
    def default_text(self) -> str:
        """The default as YAML writes it; empty if every recipe must set the field."""
        if self.default is None:
            return ""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    def check(self, value: object) -> object:
        """The value in the field's type.

        Raises:
            RecipeError: it has the wrong type or is out of range.
        """
        # YAML reads 1e-4, without a point, as a string.
        if self.kind is float and isinstance(value, int | str) and not isinstance(value, bool):
            with suppress(ValueError):
                value = float(value)
        if type(value) is not self.kind:
            raise RecipeError(f"{self.name} is {value!r}, but must be of type {self.kind.__name__}")
        if (self.choices and value not in self.choices) or not self._in_range(value):
            raise RecipeError(f"{self.name} is {value!r}, but must be {self.range_text}")
        return value

    def _in_range(self, value: object) -> bool:
        if not isinstance(value, int | float):
            return True
        return self.low <= value <= self.high and (self.step == 1 or value % self.step == 0)


def setting(
    default: T, text: str, low: float = -math.inf, high: float = math.inf, step: int = 1, choices: tuple[str, ...] = ()
) -> T:
    """A field of a recipe's class; the arguments are those of `RecipeField`."""
    metadata = {"text": text, "low": low, "high": high, "step": step, "choices": choices}
    return cast(T, field(default=default, metadata=metadata))


def recipe_field(known: Field) -> RecipeField:
    """The field of a recipe that a field of its class stands for."""
    kind = cast(type, get_origin(known.type) or known.type)
    default: Any = None if known.default is MISSING else known.default
    return RecipeField(known.name, kind, default, **known.metadata)
