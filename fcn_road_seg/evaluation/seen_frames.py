"""Which frames of a data set a weights file was trained on."""

from collections.abc import Iterable

from fcn_road_seg.datasets.kitti_road import split_names
from fcn_road_seg.inference.checkpoint import Metadata


def trained_names(metadata: Metadata, name: str) -> frozenset[str] | None:
    """Names of the frames of a data set that the weights, or those that they started from, were trained on.

    Older files have no names. For KITTI Road, whose training part is always this project's split, the split's names
    stand for them if their number is right.

    Args:
        name: of the data set, as in `road_seg train --data`.

    Returns:
        None if the metadata does not say.
    """
    if not metadata.trained_on:
        return None
    names: set[str] = set()
    for key, frames in metadata.trained_on.items():
        while key.startswith("origin/"):
            key = key.removeprefix("origin/")
        if key.split("+")[0] != name.split("+")[0]:
            continue
        recorded = frames.get("names")
        if recorded is None and name == "kitti_road" and frames.get("frames") == len(split_names("train")):
            recorded = split_names("train")
        if recorded is None:
            return None
        names.update(recorded)
    return frozenset(names)


def count_seen(metadata: Metadata, name: str, frames: Iterable[str]) -> int | None:
    """How many of these frames of a data set `trained_names` has; None if unknown."""
    names = trained_names(metadata, name)
    return None if names is None else sum(frame in names for frame in frames)


def sentence(frames: int, seen: int | None) -> str:
    """What a user should know about frames of which `seen` were trained on; None stands for unknown."""
    if seen is None:
        return "These weights do not say which frames they were trained on."
    if not seen:
        return "These weights were trained on none of these frames."
    if seen == frames:
        return "These weights were trained on all of these frames: the figures say nothing about other roads."
    return f"These weights were trained on {seen} of these {frames} frames: judge them by the other {frames - seen}."
