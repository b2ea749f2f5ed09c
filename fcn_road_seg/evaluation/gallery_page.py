"""`road_seg evaluate --gallery`: the HTML page, which needs no server, of what goes right and what goes wrong."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.evaluation.comparison import Contestant
from fcn_road_seg.evaluation.error_picture import error_picture
from fcn_road_seg.evaluation.gallery import Unlabelled, choose, choose_unlabelled
from fcn_road_seg.evaluation.html_page import write_page
from fcn_road_seg.evaluation.inference_loop import segmented
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import Sample, Samples
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.threshold import threshold_level

WIDTH = 640
"""Of the pictures; wider ones are scaled down."""
QUALITY = 80
NAMES = ("before", "now")
"""What two weights are called."""


def write_gallery(
    folder: Path,
    contestants: Sequence[Contestant],
    facts: Sequence[Mapping[str, str]],
    command: str,
    sets: Mapping[str, Samples | Unlabelled],
    figures: Mapping[str, dict],
    notes: Sequence[str] = (),
) -> None:
    """Write `folder`/index.html, with its pictures beside it, into a folder of `html_page.prepare`.

    Args:
        contestants: one, or two: before and now.
        facts: `html_page.weights_facts` of each.
        command: the user's command line, for the page.
        sets, figures: the frames by data set, and what `measure` or `measure_unlabelled` returned of them.
        notes: sentences for the page.
    """
    names = NAMES[: len(contestants)] if len(contestants) > 1 else ("",)
    sections = []
    for key, (title, dataset) in enumerate(sets.items()):
        found = figures[title]
        chosen = choose_unlabelled(found) if isinstance(dataset, Unlabelled) else choose(found)
        wanted = sorted({i for indices in chosen.values() for i in indices})
        pictures = _write_pictures(folder, f"{key}", contestants, names, dataset, wanted)
        groups = [
            {"heading": heading, "frames": [found["per_frame"][i] | {"pictures": pictures[i]} for i in indices]}
            for heading, indices in chosen.items()
        ]
        sections.append({"title": title, "figures": found, "groups": groups})
    values = {"command": command, "facts": facts, "notes": notes, "sections": sections, "names": names}
    write_page(folder, "gallery.html", **values)


def _write_pictures(
    folder: Path,
    key: str,
    contestants: Sequence[Contestant],
    names: Sequence[str],
    dataset: Samples | Unlabelled,
    indices: Sequence[int],
) -> dict[int, list[dict[str, str]]]:
    """Segment these frames again and write their pictures: for each index {"title", "path"} of each picture."""
    written: dict[int, list[dict[str, str]]] = {}
    answers = segmented(lambda image: [each.segment(image) for each in contestants], _frames(dataset, indices))
    for index, (sample, probabilities) in zip(indices, answers, strict=True):
        labelled = not isinstance(dataset, Unlabelled)
        pictures = {"camera": sample.image}
        for name, probability, each in zip(names, probabilities, contestants, strict=True):
            title = f"{'errors' if labelled else 'P(road)'} {name}".strip()
            pictures[title] = (
                error_picture(sample.image, sample.label, probability, each.threshold)
                if labelled
                else probability_picture(probability)
            )
        mask = probabilities[-1] >= threshold_level(contestants[-1].threshold)
        pictures[f"overlay {names[-1]}".strip()] = overlay(sample.image, mask)
        written[index] = []
        for number, (title, picture) in enumerate(pictures.items()):
            path = f"frames/{key}_{index:05d}_{number}.jpg"
            write_image(folder / path, _small(picture), QUALITY)
            written[index].append({"title": title, "path": path})
    return written


def _frames(dataset: Samples | Unlabelled, indices: Sequence[int]) -> Iterable[Sample]:
    if isinstance(dataset, Unlabelled):
        wanted = set(indices)
        return (sample for index, sample in enumerate(dataset) if index in wanted)
    return (dataset[index] for index in indices)


def probability_picture(probability: np.ndarray) -> np.ndarray:
    """P(road) x 255, uint8 H x W, in cividis, from dark blue to yellow: uint8 H x W x 3 RGB."""
    return cv2.cvtColor(cv2.applyColorMap(probability, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)


def _small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    return cv2.resize(picture, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
