"""What the values of other people's labels mean: which ids, colours or category names are road.

A YAML file such as

    road: [7, 8]                     # ids of 0..255, or colours, or names of categories
    ignore: 0
    default: not_road                # what all values that are not named are; without it they are an error
    outside: not_road                # what pixels outside all polygons are

Colours are "#804080" or [128, 64, 128], both RGB. One file has ids or colours, not both; names may be added to either.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fcn_road_seg.files.input import read_text
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError

MEANINGS = {"road": ROAD, "not_road": NOT_ROAD, "ignore": IGNORE}
FILE_NAME = "label_map.yaml"
MOST_LISTED = 6
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class LabelMap:
    """The label (0 not road, 1 road, 255 ignore) of each value.

    Attributes:
        source: what to call the map in messages: its file; "" if it has none.
        ids: of 0..255. colours: (red, green, blue). names: of categories, see `plain`.
        default: of values that are not named; None if they are an error.
        outside: of pixels that no polygon or run of a JSON file covers.
    """

    source: str
    ids: dict[int, int] = field(default_factory=dict)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    default: int | None = None
    outside: int = NOT_ROAD

    def of_ids(self, ids: np.ndarray, file: Path) -> np.ndarray:
        """The labels, uint8 H x W, of ids, uint8 H x W, that were read from `file`.

        Raises:
            DatasetError: an id is not named and there is no default; so for the other methods.
        """
        found = np.flatnonzero(np.bincount(ids.ravel(), minlength=256)).tolist()
        table = np.zeros(256, np.uint8)
        table[found] = self._labels(self.ids, {value: str(value) for value in found}, "id", file)
        return table[ids]

    def of_colours(self, image: np.ndarray, file: Path) -> np.ndarray:
        """The labels, uint8 H x W, of colours, uint8 H x W x 3 RGB, that were read from `file`."""
        red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
        values, places = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
        found = {(value >> 16, value >> 8 & 255, value & 255): f"#{value:06x}" for value in values.tolist()}
        labels = self._labels(self.colours, found, "colour", file)
        return np.array(labels, np.uint8)[places].reshape(image.shape[:2])

    def of_name(self, name: str, file: Path) -> int:
        """The label of a category that occurs in `file`."""
        return self._labels(self.names, {plain(name): repr(name)}, "category", file)[0]

    def _labels(self, known: Mapping, found: Mapping[Any, str], kind: str, file: Path) -> list[int]:
        """The label of each value that was found in `file`; the values of `found` are what to call them."""
        labels = {value: known.get(value, self.default) for value in found}
        if unknown := [found[value] for value, label in labels.items() if label is None]:
            them = "them" if len(unknown) > 1 else "it"
            advice = (
                f"which {self.source} does not name: add {them} to road, not_road or ignore there"
                if self.source
                else f"whose meaning is unknown: add {them} to road, not_road or ignore in a {FILE_NAME} beside images/"
            )
            raise DatasetError(f"{file} has the {listed(unknown, kind)}, {advice}, or write `default: not_road`")
        return [label for label in labels.values() if label is not None]


NAMES = LabelMap(
    "",
    names={
        "road": ROAD,
        "drivable": ROAD,
        "drivable area": ROAD,
        "driveable": ROAD,
        "free space": ROAD,
        "not road": NOT_ROAD,
        "background": NOT_ROAD,
        "ignore": IGNORE,
        "void": IGNORE,
        "unknown": IGNORE,
    },
)
"""The meaning of category names without a label map, or with one that names no category."""


def listed(values: Iterable[object], kind: str = "") -> str:
    """Values for a message, at most `MOST_LISTED` of them: "ids 3, 7, 9" with the kind "id"."""
    texts = [str(value) for value in values]
    more = len(texts) - MOST_LISTED
    return (
        f"{kind}{'s' if len(texts) > 1 else ''} " * bool(kind)
        + ", ".join(texts[:MOST_LISTED])
        + (f" and {more} more" if more > 0 else "")
    )


def plain(name: str) -> str:
    """A category's name without capitals, hyphens, underscores and outer spaces, so that Not_Road is "not road"."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def read_label_map(path: str | Path) -> LabelMap:
    """Read a label map, see this module.

    Raises:
        DatasetError: it is missing, not YAML, or has an invalid key or value; the message names it.
    """
    import yaml

    try:
        content = yaml.safe_load(read_text(path))
    except OSError as error:
        raise DatasetError(f"cannot read the label map {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not content.keys() & {*MEANINGS, "default", "outside"}:
        raise DatasetError(f"{path} is not a label map: it must hold lines such as `road: [7, 8]`")
    for key in content.keys() - MEANINGS.keys() - {"default", "outside"}:
        raise DatasetError(
            f"{path}: a label map has no key {key!r}; it has road, not_road, ignore, default and outside"
        )
    known: dict[type, dict] = {int: {}, tuple: {}, str: {}}
    for meaning in content.keys() & MEANINGS.keys():
        for entry in _entries(content[meaning]):
            value = _value(entry, path)
            if known[type(value)].setdefault(value, MEANINGS[meaning]) != MEANINGS[meaning]:
                raise DatasetError(f"{path} gives {entry!r} two meanings")
    if known[int] and known[tuple]:
        raise DatasetError(f"{path} has ids and colours: a label image holds one or the other, so name only one kind")
    default, outside = (_meaning(content, key, path) for key in ("default", "outside"))
    names = known[str] or NAMES.names
    return LabelMap(str(path), known[int], known[tuple], names, default, NOT_ROAD if outside is None else outside)


def _entries(value: object) -> list:
    """The entries under a key: a list, or a single one; [128, 64, 128] alone is a list of three ids."""
    return value if isinstance(value, list) else [value]


def _value(entry: object, path: str | Path) -> int | tuple[int, int, int] | str:
    if isinstance(entry, str):
        colour = _COLOUR.fullmatch(entry)
        if colour:
            red, green, blue = bytes.fromhex(colour[1])
            return red, green, blue
        if plain(entry) and not entry.startswith("#"):
            return plain(entry)
    if type(entry) is int and 0 <= entry <= 255:
        return entry
    if isinstance(entry, list) and len(entry) == 3 and all(type(v) is int and 0 <= v <= 255 for v in entry):
        red, green, blue = entry
        return red, green, blue
    hint = ' (write colours as "#804080", in quotes: YAML takes # for a comment)' if entry is None else ""
    raise DatasetError(
        f'{path}: {entry!r} is neither an id of 0..255, a colour such as "#804080" or [128, 64, 128], nor the name '
        f"of a category{hint}"
    )


def _meaning(content: dict, key: str, path: str | Path) -> int | None:
    value = content.get(key)
    if value is None:
        return None
    if value not in MEANINGS:
        raise DatasetError(f"{path}: {key} is {value!r}, but must be road, not_road or ignore")
    return MEANINGS[value]
