"""`road_seg evaluate --gallery DIR`: a page of what goes right and what goes wrong, with one or two weights."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fcn_road_seg.cli.compare import cautions, weights_facts
from fcn_road_seg.cli.options import load_segmenter, progress, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from fcn_road_seg.datasets.selection import NamedSamples
    from fcn_road_seg.evaluation.inference_loop import Segment
    from fcn_road_seg.inference.segmenter import RoadSegmenter


def run_gallery(
    args: argparse.Namespace,
    labelled: "Mapping[str, NamedSamples]",
    part: dict[str, str],
    segment_with: "Callable[[RoadSegmenter], Segment]",
) -> int:
    """Write the page and the JSON file that the options of `road_seg evaluate` ask for, and print the figures.

    Args:
        labelled: the labelled frames by data set; those of --unlabelled are added.
        part: which of their frames these are, for the JSON file.
        segment_with: makes the function that segments a frame with one of the weights.
    """
    from rich.console import Console

    from fcn_road_seg.evaluation import html_page
    from fcn_road_seg.evaluation.comparison import Contestant
    from fcn_road_seg.evaluation.gallery import Unlabelled, measure, measure_unlabelled
    from fcn_road_seg.evaluation.gallery_page import NAMES, write_gallery

    own = {frames.name: frames for frames in [Unlabelled(args.unlabelled)]} if args.unlabelled else {}
    html_page.prepare(args.gallery, "--gallery")
    weights = args.compare or [args.weights]
    segmenters = [load_segmenter(argparse.Namespace(**{**vars(args), "weights": each})) for each in weights]
    contestants = [Contestant(segment_with(each), each.threshold) for each in segmenters]
    figures = {
        name: measure(contestants, frames, lambda items: progress(items, "evaluating"))
        for name, frames in labelled.items()
    }
    figures |= {
        name: measure_unlabelled(contestants, frames, lambda items: progress(items, "looking"))
        for name, frames in own.items()
    }
    names = [f"The network {name}" for name in NAMES] if args.compare else ["The network"]
    facts = {
        name: weights_facts(each, segmenter, labelled)
        for name, each, segmenter in zip(names, weights, segmenters, strict=True)
    }
    write_json(args.json, {"weights": list(facts.values()), **part, "sets": figures})
    console, notes = Console(), cautions(facts)
    for name in labelled:
        if figures[name]["problems"]:
            console.print(table(name, figures[name], NAMES if args.compare else [""]))
    for note in notes:
        console.print(note, soft_wrap=True)
    said = [html_page.weights_facts(each) for each in segmenters]
    command = shlex.join(["road_seg", *sys.argv[1:]])
    write_gallery(args.gallery, contestants, said, command, {**labelled, **own}, figures, notes)
    print(args.gallery / "index.html")
    return 0


def table(name: str, found: dict, names: Sequence[str]) -> "Table":
    """The problems of one set, see `gallery.measure`, in percent, with each of the weights."""
    from rich.table import Table

    title = f"{name}: {found['frames']} frames, percent"
    rows = Table("", "frames", "of all pixels", "of all errors", "wrong there", title=title)
    for row in found["problems"]:
        for each, *shares in zip(names, row["errors"], row["error_rate"], strict=True):
            cells = ("" if share is None else f"{100 * share:.2f}" for share in (row["share"], *shares))
            rows.add_row(f"{row['title']} {each}".strip(), str(row["frames"]), *cells)
    return rows
