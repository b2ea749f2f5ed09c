"""How often the out-of-domain alarm is raised: on ordinary frames, and on the same frames corrupted."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn_road_seg.evaluation.corrupted_frames import KINDS
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.frames.image_file import read_rgb
from fcn_road_seg.postprocess.out_of_domain import alarm, look

ORDINARY = ""
"""The name, among kinds of corruption, of frames that are not corrupted."""


class _Variant(NamedTuple):
    """A frame, ordinary or corrupted."""

    kind: str
    image: np.ndarray


def alarms(
    segment: Segment, files: Sequence[Path], kinds: Sequence[str] = (), every: int = 1, track: Track = iter
) -> dict[str, list[str]]:
    """The alarms that `out_of_domain.alarm` raises on images and on corrupted copies of them.

    Args:
        kinds: of `corrupted_frames.KINDS`, each applied to every `every`-th image.

    Returns:
        The reasons, one sentence per image and "" where there is no alarm, by kind; `ORDINARY` for the images
        themselves.
    """
    reasons: dict[str, list[str]] = {kind: [] for kind in (ORDINARY, *kinds)}

    def variants() -> Iterator[_Variant]:
        for i, file in enumerate(track(files)):
            frame = read_rgb(file)
            yield _Variant(ORDINARY, frame)
            for kind in kinds if i % every == 0 else ():
                rng = np.random.default_rng(zlib.crc32(f"{kind} {file.stem}".encode()))
                yield _Variant(kind, KINDS[kind](frame, rng))

    for variant, probability in segmented(segment, variants()):
        reasons[variant.kind].append(alarm(look(variant.image, probability)))
    return reasons


def alarm_rates(
    segment: Segment,
    ordinary: Mapping[str, Sequence[Path]],
    no_road: Mapping[str, Sequence[Path]],
    every: int,
    track: Track = iter,
) -> dict[str, dict[str, dict]]:
    """Count the alarms.

    Args:
        ordinary: ordinary road images by the name of their folder; every `every`-th is also corrupted in each way.
        no_road: pictures that show no road, by the name of their folder.

    Returns:
        {"ordinary": by folder and for "all of them", "spoilt": by kind of corruption, "no_road": by folder}, each
        {"frames", "alarms", "rate": 0..1}.
    """
    found = {name: alarms(segment, files, tuple(KINDS), every, track) for name, files in ordinary.items()}
    roads = {name: reasons[ORDINARY] for name, reasons in found.items()}
    roads["all of them"] = [reason for reasons in roads.values() for reason in reasons]
    corrupted = {kind: [reason for reasons in found.values() for reason in reasons[kind]] for kind in KINDS}
    pictures = {name: alarms(segment, files, track=track)[ORDINARY] for name, files in no_road.items()}
    parts = {"ordinary": roads, "spoilt": corrupted, "no_road": pictures}
    return {part: {name: _rate(reasons) for name, reasons in rows.items()} for part, rows in parts.items()}


def _rate(reasons: list[str]) -> dict:
    count = sum(map(bool, reasons))
    return {"frames": len(reasons), "alarms": count, "rate": count / max(len(reasons), 1)}
