"""`road_seg evaluate --compare A B`: two weights side by side on the same frames."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import load_segmenter, progress, segmenter_facts, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from fcn_road_seg.datasets.selection import NamedSamples
    from fcn_road_seg.evaluation.inference_loop import Segment
    from fcn_road_seg.inference.segmenter import RoadSegmenter


def run_comparison(
    args: argparse.Namespace,
    sets: "Mapping[str, NamedSamples]",
    part: dict[str, str],
    segment_with: "Callable[[RoadSegmenter], Segment]",
) -> int:
    """Print the figures, and write the JSON file and the page that the options of `road_seg evaluate` ask for.

    Args:
        sets: the frames by data set.
        part: which of their frames these are, for the JSON file.
        segment_with: makes the function that segments a frame with one of the weights.
    """
    from rich.console import Console

    from fcn_road_seg.evaluation import html_page
    from fcn_road_seg.evaluation.comparison import Contestant, compare
    from fcn_road_seg.evaluation.comparison_page import write_comparison
    from fcn_road_seg.evaluation.paired_bootstrap import CONFIDENCE, DRAWS

    if args.report:
        html_page.prepare(args.report)
    segmenters = [load_segmenter(argparse.Namespace(**{**vars(args), "weights": each})) for each in args.compare]
    a, b = (Contestant(segment_with(each), each.threshold) for each in segmenters)
    seed = 0
    figures = compare(a, b, sets, seed, lambda items: progress(items, "comparing"))
    facts = [weights_facts(name, each, sets) for name, each in zip(args.compare, segmenters, strict=True)]
    write_json(
        args.json,
        {
            "a": facts[0],
            "b": facts[1],
            **part,
            "draws": DRAWS,
            "seed": seed,
            "confidence": CONFIDENCE,
            "sets": figures,
        },
    )
    console, notes = Console(), cautions({"A": facts[0], "B": facts[1]})
    for name, found in figures.items():
        console.print(table(name, found))
    console.print(f"A: {args.compare[0]}; B: {args.compare[1]}", soft_wrap=True)
    for note in notes:
        console.print(note, soft_wrap=True)
    if args.report:
        said = [html_page.weights_facts(each) for each in segmenters]
        write_comparison(args.report, (a, b), said, shlex.join(["road_seg", *sys.argv[1:]]), sets, figures, notes)
        print(args.report / "index.html")
    return 0


def weights_facts(name: str, segmenter: "RoadSegmenter", sets: "Mapping[str, NamedSamples]") -> dict:
    """What the JSON file says about one of the weights; "trained_on" is how many frames of each set it has seen."""
    from fcn_road_seg.evaluation.seen_frames import count_seen

    metadata = segmenter.checkpoint.metadata
    return {
        "weights": name,
        **segmenter_facts(segmenter),
        "threshold": segmenter.threshold,
        "trained_on": {title: count_seen(metadata, title, frames.names) for title, frames in sets.items()},
    }


def cautions(named: Mapping[str, dict]) -> list[str]:
    """Sentences about what makes figures unfair, from the `weights_facts` of one or two weights by their names."""
    sentences = []
    if len({facts["precision"] for facts in named.values()}) > 1:
        (a, first), (b, second) = ((name, facts["precision"]) for name, facts in named.items())
        sentences.append(
            f"{a} runs in {first} and {b} in {second}: --precision compares the weights in one arithmetic."
        )
    for side, facts in named.items():
        sentences += [
            f"{side} was trained on {seen} of these frames of {name}."
            for name, seen in facts["trained_on"].items()
            if seen
        ]
    return sentences


def table(name: str, found: dict) -> "Table":
    """The figures of one set, see `comparison.compare`."""
    from rich.table import Table

    from fcn_road_seg.evaluation.comparison import verdict

    rows = Table("", "A", "B", "B - A", "95 % interval", "", title=f"{name}: {found['frames']} frames")
    for metric, difference in found["difference"].items():
        figures = ("" if found[side][metric] is None else f"{found[side][metric]:.4f}" for side in "ab")
        change, interval = "", ""
        if difference:
            change = f"{difference['value']:+.4f}"
            if difference["low"] is not None:
                interval = f"{difference['low']:+.4f} to {difference['high']:+.4f}"
        rows.add_row(metric, *figures, change, interval, verdict(difference, found["frames"]))
    rows.add_row("ece", *(f"{found[side]['ece']:.4f}" for side in "ab"), "", "", "")
    return rows
