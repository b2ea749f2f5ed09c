"""How to feed another project's network and read its answer, from a small YAML file."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import read_text
from fcn_road_seg.share import share_path

SHIPPED = "config/peers"
MAX_SIDE = 8192  # pixels
MODELS = (".onnx", ".xml")


@dataclass(frozen=True)
class Conventions:
    """The conventions of one network. Each field is a key of the YAML file; those without a default are required.

    Attributes:
        size: (width, height) of the input in pixels.
        colour: order of the input's channels, "rgb" or "bgr".
        scale, mean: the network takes (value - mean) / scale, with values of 0..255; a number, or one per channel in
            the order of `colour`.
        fit: "stretch" resizes the frame to `size`; "letterbox" keeps its shape and fills up with `pad`.
        road: channels of the output that are road; P(road) is their sum.
        activation: what the output still needs to become probabilities, "none", "softmax" over its channels, or
            "sigmoid".
        output: name or number of the output that holds the road.
        pad: grey level, 0..255, beside a letterboxed frame.
        threshold: P(road), 0..1, from which a pixel is road.
        name, licence, source: for the tables; the name is by default the model file's.
    """

    size: tuple[int, int]
    colour: str
    scale: tuple[float, ...]
    fit: str
    road: tuple[int, ...]
    activation: str
    mean: tuple[float, ...] = (0.0,)
    output: str | int = 0
    pad: int = 114
    threshold: float = 0.5
    name: str = ""
    licence: str = ""
    source: str = ""


class Rule(NamedTuple):
    """What a key's value must be, and how YAML's value becomes the field's; None means that it cannot."""

    must_be: str
    convert: Callable[[Any], Any]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _size(value: Any) -> Any:
    fits = isinstance(value, list) and len(value) == 2 and all(_integer(side, 1, MAX_SIDE) for side in value)
    return tuple(value) if fits else None


def _per_channel(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    return tuple(map(float, values)) if len(values) in (1, 3) and all(map(_number, values)) else None


def _divisor(value: Any) -> Any:
    values = _per_channel(value)
    return values if values and min(values) > 0 else None


def _channels(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    fits = values and all(_integer(channel, 0, 10_000) for channel in values) and len(set(values)) == len(values)
    return tuple(values) if fits else None


def _one_of(*words: str) -> Rule:
    return Rule(f"{', '.join(words[:-1])} or {words[-1]}", lambda value: value if value in words else None)


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


RULES = {
    "size": Rule(f"[width, height] in pixels, each 1 to {MAX_SIDE}", _size),
    "colour": _one_of("rgb", "bgr"),
    "scale": Rule("a number above 0, or three", _divisor),
    "fit": _one_of("stretch", "letterbox"),
    "road": Rule("a list of different channel numbers from 0", _channels),
    "activation": _one_of("none", "softmax", "sigmoid"),
    "mean": Rule("a number, or three", _per_channel),
    "output": Rule("an output's name or its number from 0", lambda v: v if _text(v) or _integer(v, 0, 1000) else None),
    "pad": Rule("a whole number from 0 to 255", lambda v: v if _integer(v, 0, 255) else None),
    "threshold": Rule("a number from 0 to 1", lambda v: float(v) if _number(v) and 0 <= v <= 1 else None),
    "name": Rule("text", _text),
    "licence": Rule("text", _text),
    "source": Rule("text", _text),
}
REQUIRED = ("size", "colour", "scale", "fit", "road", "activation")


def find_peer(text: str) -> tuple[Path, Path]:
    """The model file and the conventions file that `FILE` or `FILE:CONVENTIONS` stands for.

    CONVENTIONS is a YAML file or the name of a shipped one. Without it, the file is MODEL.yaml beside the model, or
    else the shipped one of that name.

    Raises:
        UserError: one of the two files is missing, or the model is neither ONNX nor OpenVINO.
    """
    model, colon, conventions = text.rpartition(":")
    if not colon or Path(text).is_file():
        model, conventions = text, ""
    path = Path(model)
    if path.suffix not in MODELS:
        raise UserError(f"--peer {model} is neither an ONNX file, .onnx, nor an OpenVINO file, .xml")
    if not path.is_file():
        raise UserError(f"--peer: there is no file {model}")
    beside = path.with_suffix(".yaml")
    candidates = [Path(conventions), _shipped(conventions)] if conventions else [beside, _shipped(path.stem)]
    for candidate in candidates:
        if candidate and candidate.is_file():
            return path, candidate
    if conventions:
        raise UserError(f"--peer: there is no conventions file {conventions}; the shipped ones are {_known()}")
    raise UserError(
        f"--peer {model} needs its input conventions: write {beside}, or give {model}:FILE.yaml or {model}:NAME with a "
        f"shipped name, {_known()}"
    )


def load_conventions(path: Path) -> Conventions:
    """Read a conventions file.

    Raises:
        UserError: it is not valid YAML, or a key is unknown, missing or has an invalid value.
    """
    import yaml

    try:
        values = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no conventions: it must hold lines of `key: value`")
    known = [field.name for field in fields(Conventions)]
    for key in values:
        if key not in known:
            raise UserError(f"{path}: there is no key {key!r}; the keys are {', '.join(known)}")
    if missing := [key for key in REQUIRED if key not in values]:
        raise UserError(f"{path} lacks {', '.join(missing)}")
    if "pad" in values and values.get("fit") == "stretch":
        raise UserError(f"{path}: pad has no meaning with fit: stretch")
    converted = {}
    for key, value in values.items():
        converted[key] = RULES[key].convert(value)
        if converted[key] is None:
            raise UserError(f"{path}: {key} is {value!r}, but must be {RULES[key].must_be}")
    return Conventions(**converted)


def _shipped(name: str) -> Path | None:
    try:
        return share_path(f"{SHIPPED}/{name}.yaml")
    except FileNotFoundError:
        return None


def _known() -> str:
    try:
        return ", ".join(sorted(path.stem for path in share_path(SHIPPED).glob("*.yaml")))
    except FileNotFoundError:
        return "of which this installation has none"
