"""What goes right and what goes wrong on frames, with one or two weights: named problems, and which frames show it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn_road_seg.datasets.cityscapes import CLASSES, Cityscapes
from fcn_road_seg.datasets.drive import open_drive
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.datasets.selection import Together
from fcn_road_seg.evaluation.comparison import Contestant
from fcn_road_seg.evaluation.error_analysis import distance_to, rates, share
from fcn_road_seg.evaluation.inference_loop import Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE, ROAD, Sample, Samples
from fcn_road_seg.postprocess.threshold import threshold_level

NEAR = 20
"""Pixels of the frame up to which something is near."""
VEHICLES = ("car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Cityscapes' vehicles; of these, CamVid has cars."""
RAIL_TRACK = "rail track"
RAIL_CROSSING = ("umm_000003", "umm_000004", "umm_000005")
"""KITTI Road's frames in front of a rail crossing."""
SHOWN = 3
"""Frames under each heading."""
SPACED = 6
"""Evenly spaced frames that are shown if there are no labels."""
UNSURE = (64, 192)
"""P(road) x 255 between which the network is unsure."""


class Problem(NamedTuple):
    """A part of the frames whose errors have a name."""

    title: str
    definition: str
    where: Callable[[Sample], np.ndarray]
    """The part of a frame, bool H x W."""


class Unlabelled:
    """One's own frames without labels, read again in each iteration; their labels are ignored everywhere.

    Args:
        path: see `open_drive`.

    Raises:
        UserError: see `open_drive`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.name = open_drive(path).name

    def __iter__(self) -> Iterator[Sample]:
        for number, frame in enumerate(open_drive(self.path).frames):
            yield Sample(frame.image, np.full(frame.image.shape[:2], IGNORE, np.uint8), f"frame {number}")


def problems(dataset: Samples) -> list[Problem]:
    """The problems that can be measured on a data set.

    Cityscapes and CamVid have labels of vehicles, and Cityscapes of rail tracks, which `Sample.classes` then holds too.
    KITTI Road has neither; of it the frames before the rail crossing are counted.
    """
    parts = dataset.datasets if isinstance(dataset, Together) else [dataset]
    for part in parts:
        if isinstance(part, Cityscapes):
            part.name_classes((*CLASSES, RAIL_TRACK))
    names = getattr(parts[0], "class_names", ())
    found = []
    for title, wanted in (("near vehicles", VEHICLES), ("near rail tracks", (RAIL_TRACK,))):
        if there := [name for name in wanted if name in names]:
            definition = f"on or within {NEAR} pixels of what is labelled {', '.join(there)}"
            found.append(Problem(title, definition, _near([names.index(name) for name in there])))
    if isinstance(dataset, KittiRoad) and set(RAIL_CROSSING) & set(dataset.names):
        definition = f"the whole frames {', '.join(RAIL_CROSSING)}"
        found.append(Problem("rail crossing", definition, _in_frames(RAIL_CROSSING)))
    return found


def _near(ids: list[int]) -> Callable[[Sample], np.ndarray]:
    def where(sample: Sample) -> np.ndarray:
        assert sample.classes is not None
        return distance_to(np.isin(sample.classes, ids)) <= NEAR

    return where


def _in_frames(names: Sequence[str]) -> Callable[[Sample], np.ndarray]:
    return lambda sample: np.full(sample.label.shape, sample.name in names)


def measure(contestants: Sequence[Contestant], dataset: Samples, track: Track = iter) -> dict:
    """Segment every labelled frame with each of the weights, and count their errors.

    Returns:
        {"frames", "weights": [`error_analysis.rates`] by weights, "problems": [{"title", "definition", "frames": which
        have such pixels, "share": of all labelled pixels, "errors": [share of all errors that are there], "error_rate":
        [share of its pixels that are wrong]}] without those of no frame, "per_frame": [{"name", "weights": [`rates`
        and "error_rate"], "wrong": {problem's title: the last weights' errors there}}]}; shares 0..1, None where
        undefined.
    """
    found = problems(dataset)
    totals = [PixelCounts() for _ in contestants]
    wrong_in_all = np.zeros(len(contestants), np.int64)
    frames, pixels = np.zeros((2, len(found)), np.int64)
    wrong_there = np.zeros((len(found), len(contestants)), np.int64)
    per_frame = []
    for sample, answers in segmented(lambda image: [each.segment(image) for each in contestants], track(dataset)):
        counted = sample.label != IGNORE
        parts = [problem.where(sample) & counted for problem in found]
        frames += np.array([part.any() for part in parts], np.int64)
        pixels += np.array([part.sum() for part in parts], np.int64)
        figures = []
        for n, (probability, each) in enumerate(zip(answers, contestants, strict=True)):
            counts = PixelCounts()
            counts.add(probability, sample.label)
            totals[n].merge(counts)
            wrong = counted & ((probability >= threshold_level(each.threshold)) != (sample.label == ROAD))
            error_rate = share(int(wrong.sum()), int(counted.sum()))
            figures.append({"error_rate": error_rate, **rates(counts, each.threshold)})
            wrong_in_all[n] += wrong.sum()
            wrong_here = [int((part & wrong).sum()) for part in parts]
            wrong_there[:, n] += np.array(wrong_here, np.int64)
        wrong_by_title = {problem.title: wrong for problem, wrong in zip(found, wrong_here, strict=True)}
        per_frame.append({"name": sample.name, "weights": figures, "wrong": wrong_by_title})
    every_pixel = totals[0].road.sum() + totals[0].other.sum()
    return {
        "frames": len(per_frame),
        "weights": [rates(total, each.threshold) for total, each in zip(totals, contestants, strict=True)],
        "problems": [
            {
                "title": problem.title,
                "definition": problem.definition,
                "frames": int(frames[i]),
                "share": share(pixels[i], every_pixel),
                "errors": [share(*pair) for pair in zip(wrong_there[i].tolist(), wrong_in_all.tolist(), strict=True)],
                "error_rate": [share(wrong, pixels[i]) for wrong in wrong_there[i]],
            }
            for i, problem in enumerate(found)
            if frames[i]
        ],
        "per_frame": per_frame,
    }


def measure_unlabelled(contestants: Sequence[Contestant], frames: Unlabelled, track: Track = iter) -> dict:
    """Segment every frame with each of the weights, and count where they are unsure, or differ.

    Returns:
        {"frames", "per_frame": [{"name", "unsure": share of the frame, 0..1, where the last weights' P(road) is between
        1/4 and 3/4, "different": where two weights differ; None with one}]}.
    """
    per_frame = []
    for sample, answers in segmented(lambda image: [each.segment(image) for each in contestants], track(frames)):
        masks = [answer >= threshold_level(each.threshold) for answer, each in zip(answers, contestants, strict=True)]
        last = answers[-1]
        per_frame.append(
            {
                "name": sample.name,
                "unsure": float(((last >= UNSURE[0]) & (last < UNSURE[1])).mean()),
                "different": float((masks[0] != masks[-1]).mean()) if len(masks) > 1 else None,
            }
        )
    return {"frames": len(per_frame), "per_frame": per_frame}


def choose(figures: dict) -> dict[str, list[int]]:
    """The frames to show of what `measure` returned, by heading: typical and worst ones, and some of each problem.

    They are judged by the last weights' share of wrong pixels; IoU would put frames with hardly any road first.
    """
    per_frame = figures["per_frame"]
    ranked = sorted(range(len(per_frame)), key=lambda i: -(per_frame[i]["weights"][-1]["error_rate"] or 0.0))
    middle = max(0, (len(ranked) - SHOWN) // 2)
    chosen = {
        "Typical frames": ranked[middle : middle + SHOWN],
        "The worst frames": ranked[:SHOWN],
    }
    for title in (problem["title"] for problem in figures["problems"]):
        most = sorted(range(len(per_frame)), key=lambda i: -per_frame[i]["wrong"][title])[:SHOWN]
        if there := [i for i in most if per_frame[i]["wrong"][title]]:
            chosen[f"Most errors: {title}"] = there
    return chosen


def choose_unlabelled(figures: dict) -> dict[str, list[int]]:
    """The frames to show of what `measure_unlabelled` returned, by heading."""
    per_frame = figures["per_frame"]
    spaced = np.unique(np.linspace(0, len(per_frame) - 1, min(SPACED, len(per_frame))).round().astype(int)).tolist()
    key, heading = ("different", "Where the two differ most")
    if per_frame[0]["different"] is None:
        key, heading = ("unsure", "Where the network is least sure")
    return {"Evenly spaced": spaced, heading: sorted(range(len(per_frame)), key=lambda i: -per_frame[i][key])[:SHOWN]}
