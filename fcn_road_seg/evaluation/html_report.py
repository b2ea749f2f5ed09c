"""`road_seg evaluate --report`: an HTML page, which needs no server, about where a segmenter is right and wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn_road_seg.datasets import camvid, kitti_road
from fcn_road_seg.datasets.camvid import CamVid
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView, Sampling
from fcn_road_seg.evaluation.error_analysis import NEAR, ErrorAnalysis
from fcn_road_seg.evaluation.error_picture import error_picture
from fcn_road_seg.evaluation.html_page import prepare, weights_facts, write_page
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.kitti_camera import calibrated
from fcn_road_seg.evaluation.metrics import LEVELS, PixelCounts, called_road
from fcn_road_seg.evaluation.temperature_scaling import BINS, expected_calibration_error
from fcn_road_seg.files.output import whole_file
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.threshold import threshold_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORST = 12
"""Number of frames per data set that are shown as pictures."""


class LabelledSet(NamedTuple):
    """A data set, and what is known about each frame by its name."""

    title: str
    dataset: KittiRoad | CamVid
    scene: Callable[[str], str]
    """The frame's scene."""
    view: Callable[[Sample], BirdsEyeView | None]
    """The frame's bird's-eye view; None if it has no calibration."""
    class_names: Sequence[str] = ()


def kitti_set(dataset: KittiRoad, title: str = "KITTI Road", sampling: Sampling = "devkit") -> LabelledSet:
    """KITTI Road; scenes are this project's streets, or the frame's category if no split file lists the frame.

    Args:
        sampling: of the bird's-eye view, see `birds_eye.Sampling`.

    Raises:
        DatasetError: some frames have a calibration and others none, or one is unusable.
    """
    scenes, has_views = kitti_scenes(), calibrated(dataset)

    def view(sample: Sample) -> BirdsEyeView | None:
        size = sample.label.shape[1], sample.label.shape[0]
        return BirdsEyeView.read(dataset.calibration_path(sample.name), size, sampling) if has_views else None

    return LabelledSet(title, dataset, lambda name: scenes.get(name, name.split("_")[0]), view)


def camvid_set(dataset: CamVid, title: str = "CamVid") -> LabelledSet:
    """CamVid; scenes are the drives, which the frames' names begin with."""
    return LabelledSet(title, dataset, lambda name: name.split("_")[0], lambda sample: None, camvid.CLASSES)


def kitti_scenes() -> dict[str, str]:
    """The street of every frame in this project's split files, as their comment lines name it."""
    return {
        name: street or split
        for split in kitti_road.SPLITS
        for street, names in kitti_road.read_streets(kitti_road.split_path(split))
        for name in names
    }


def write_report(
    folder: str | Path,
    segmenter: RoadSegmenter,
    segment: Segment,
    sets: Sequence[LabelledSet],
    command: str,
    track: Track = iter,
    worst: int = WORST,
) -> dict:
    """Segment every frame and write `folder`/index.html, with its plots and pictures beside it.

    Args:
        folder: created if it does not exist; files of the same names are overwritten.
        segmenter: what the page describes.
        segment: the segmenter itself, or what cleans its answers too.
        sets: the data sets to report on.
        command: the user's command line, for the page.
        worst: number of pictures per data set, of the frames with the lowest IoU.

    Returns:
        {"weights_sha256", "threshold", "command", "sets": {title: `ErrorAnalysis.figures` with "ece" as well}}.

    Raises:
        UserError: the folder cannot be created, or matplotlib or Jinja2 is not installed.
    """
    folder = Path(folder)
    prepare(folder)
    threshold = segmenter.threshold
    sections = [_section(folder, str(i), s, segment, threshold, track, worst) for i, s in enumerate(sets)]
    facts = {"command": command, **weights_facts(segmenter)}
    write_page(folder, "report.html", facts=facts, sections=sections, near=NEAR)
    return {
        "weights_sha256": segmenter.checkpoint.sha256,
        "threshold": threshold,
        "command": command,
        "sets": {section["title"]: section["figures"] for section in sections},
    }


def _section(
    folder: Path,
    key: str,
    labelled: LabelledSet,
    segment: Segment,
    threshold: float,
    track: Track,
    worst: int,
) -> dict:
    analysis = ErrorAnalysis(threshold, labelled.class_names)
    for sample, probability in segmented(segment, track(labelled.dataset)):
        analysis.add(sample, probability, labelled.scene(sample.name), labelled.view(sample))
    figures = analysis.figures() | {"ece": expected_calibration_error(analysis.counts)}
    plot_curves(folder / f"curves_{key}.svg", analysis.counts, analysis.birds_eye, threshold)
    plot_reliability(folder / f"reliability_{key}.svg", analysis.counts)
    index = {name: i for i, name in enumerate(labelled.dataset.names)}
    ranked = sorted(figures["per_frame"], key=lambda f: 1.0 if f["iou"] is None else f["iou"])[:worst]
    # Segmented again, because keeping every frame's picture until the worst are known would cost gigabytes.
    again = segmented(segment, (labelled.dataset[index[frame["name"]]] for frame in ranked))
    for number, (sample, probability) in enumerate(again):
        picture = error_picture(sample.image, sample.label, probability, threshold)
        write_image(folder / "frames" / f"{key}_{number:02d}.jpg", picture)
    pictures = [{**frame, "path": f"frames/{key}_{number:02d}.jpg"} for number, frame in enumerate(ranked)]
    return {"title": labelled.title, "key": key, "figures": figures, "pictures": pictures}


def plot_curves(path: Path, perspective: PixelCounts, birds_eye: PixelCounts, threshold: float) -> None:
    """Plot precision over recall for all thresholds, and mark the one in use."""
    figure, axes = figure_of("recall", "precision")
    for name, counts in (("perspective", perspective), ("bird's-eye view", birds_eye)):
        if counts.road.any() and counts.other.any():
            hits, called = (called_road(c) for c in (counts.road, counts.road + counts.other))
            recall, precision = hits / hits[0], hits / np.maximum(called, 1)
            shown = called > 0
            label = f"{name}, MaxF {100 * counts.metrics(threshold).max_f:.2f} %"
            (line,) = axes.plot(recall[shown], precision[shown], label=label)
            at = threshold_level(threshold)
            axes.plot(recall[at], precision[at], "o", color=line.get_color())
    axes.plot([], [], "o", color="grey", label=f"threshold {threshold:.3f}")
    axes.set(xlim=(0.5, 1.005), ylim=(0.5, 1.005))
    axes.legend(loc="lower left")
    with whole_file(path) as partial:
        figure.savefig(partial)


def plot_reliability(path: Path, counts: PixelCounts) -> None:
    """Plot the share of road over P(road), in the bins of the calibration error (Guo et al., ICML 2017)."""
    levels = np.arange(LEVELS)
    bins = levels * BINS // LEVELS
    pixels = np.bincount(bins, counts.road + counts.other)
    there = np.maximum(pixels, 1)
    mean, share = np.bincount(bins, levels / 255 * (counts.road + counts.other)) / there, np.bincount(bins, counts.road)
    figure, axes = figure_of("P(road)", "share of road; pixels (grey)")
    axes.bar((np.arange(BINS) + 0.5) / BINS, pixels / max(pixels.sum(), 1), 0.9 / BINS, color="lightgrey")
    axes.plot([0, 1], [0, 1], "--", color="grey")
    axes.plot(mean[pixels > 0], (share / there)[pixels > 0], "o-")
    axes.set_title(f"calibration error (ECE) {100 * expected_calibration_error(counts):.2f} %", fontsize=10)
    with whole_file(path) as partial:
        figure.savefig(partial)


def figure_of(xlabel: str, ylabel: str) -> "tuple[Figure, Axes]":
    """An empty plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return figure, axes
