"""`road_seg evaluate --compare A B --report DIR`: an HTML page with the frames on which two weights differ most."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.evaluation.comparison import Contestant, verdict
from fcn_road_seg.evaluation.error_picture import error_picture, label_picture
from fcn_road_seg.evaluation.html_page import write_page
from fcn_road_seg.evaluation.html_report import WORST, figure_of
from fcn_road_seg.evaluation.inference_loop import segmented
from fcn_road_seg.evaluation.paired_bootstrap import CONFIDENCE, DRAWS
from fcn_road_seg.files.output import whole_file
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.sample import Sample, Samples


def write_comparison(
    folder: Path,
    contestants: tuple[Contestant, Contestant],
    facts: Sequence[Mapping[str, str]],
    command: str,
    sets: Mapping[str, Samples],
    figures: Mapping[str, dict],
    notes: Sequence[str] = (),
    most: int = WORST,
) -> None:
    """Write `folder`/index.html, with its plots and pictures beside it, into a folder of `html_page.prepare`.

    Args:
        facts: `html_page.weights_facts` of both.
        command: the user's command line, for the page.
        sets, figures: what `comparison.compare` took and returned.
        notes: sentences for the page.
        most: number of frames per data set that are shown, those whose IoU differs most.
    """
    sections = []
    for key, (title, dataset) in enumerate(sets.items()):
        found = figures[title]
        plot_frames(folder / f"frames_{key}.svg", found["per_frame"])
        per_frame = found["per_frame"]
        ranked = sorted(range(len(per_frame)), key=lambda i: -abs(per_frame[i]["iou_difference"]))[:most]
        shown = _write_pictures(folder, str(key), contestants, (dataset[i] for i in ranked))
        rows = [
            {"metric": metric, "a": found["a"][metric], "b": found["b"][metric], "difference": difference}
            | {"verdict": verdict(difference, found["frames"])}
            for metric, difference in found["difference"].items()
        ]
        pictures = [{**per_frame[i], "pictures": paths} for i, paths in zip(ranked, shown, strict=True)]
        sections.append({"title": title, "key": key, "frames": found["frames"], "rows": rows, "pictures": pictures})
    bootstrap = {"draws": DRAWS, "confidence": CONFIDENCE}
    values = {"command": command, "facts": facts, "notes": notes, "sections": sections}
    write_page(folder, "comparison.html", **values, **bootstrap)


def _write_pictures(
    folder: Path, key: str, contestants: tuple[Contestant, Contestant], frames: Iterable[Sample]
) -> list[list[dict[str, str]]]:
    """Segment these frames again and write their pictures: for each frame {"title", "path"} of each picture."""
    a, b = contestants
    written: list[list[dict[str, str]]] = []
    for number, (sample, answers) in enumerate(segmented(lambda image: (a.segment(image), b.segment(image)), frames)):
        pictures = {"frame": sample.image}
        for title, probability, one in zip("AB", answers, contestants, strict=True):
            pictures[title] = error_picture(sample.image, sample.label, probability, one.threshold)
        pictures["label"] = label_picture(sample.image, sample.label)
        written.append([])
        for title, picture in pictures.items():
            path = f"frames/{key}_{number:02d}_{title}.jpg"
            write_image(folder / path, picture)
            written[-1].append({"title": title, "path": path})
    return written


def plot_frames(path: Path, per_frame: Sequence[Mapping]) -> None:
    """Plot B's IoU over A's, a dot per frame."""
    figure, axes = figure_of("IoU of A", "IoU of B")
    iou = np.array(
        [[1.0 if frame[side]["iou"] is None else frame[side]["iou"] for side in "ab"] for frame in per_frame]
    )
    axes.plot([0, 1], [0, 1], "--", color="grey")
    axes.plot(iou[:, 0], iou[:, 1], "o", alpha=0.6)
    least = max(0.0, float(iou.min()) - 0.05)
    axes.set(xlim=(least, 1.01), ylim=(least, 1.01))
    axes.set_title(f"B is higher on {int((iou[:, 1] > iou[:, 0]).sum())} of {len(iou)} frames", fontsize=10)
    with whole_file(path) as partial:
        figure.savefig(partial)
