"""Plots of accuracy over latency."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from fcn_road_seg.benchmark.markdown_table import cell
from fcn_road_seg.files.output import whole_file

MIN_SPAN = 1.0  # percent on the accuracy axis
MARGIN = 1.15  # least factor between the marks and the ends of the time axis
PLOT_WIDTH = 6.0  # inches, without the letters beside it
LETTER_WIDTH = 0.09  # inches


class Mark(NamedTuple):
    """A mark of a plot: its name, milliseconds, and accuracy as a fraction, 0..1."""

    name: str
    ms: float
    accuracy: float


def plot(figures: list[dict], path: Path) -> None:
    """Plot the configurations: MaxF, or without labels the fraction equal to FP32, over latency.

    Args:
        figures: see `configuration_figures`.
        path: the format is that of its suffix, .png, .pdf or .svg.
    """
    labelled = figures[0]["max_f"] is not None
    key, label = ("max_f", "MaxF (%)") if labelled else ("equal_to_fp32", "pixels of the same class as FP32 (%)")
    title = "{} · frame {}x{}".format(figures[0]["device_name"], *figures[0]["frame_size"])
    _draw([Mark(r["rung"], r["p50_ms"], r[key]) for r in figures], label, title, path)


def plot_side_by_side(figures: list[dict], title: str, path: Path) -> None:
    """Plot our networks and other projects': the mean of MaxF over the labelled sets, over latency.

    Args:
        figures: see `side_by_side_figures`; at least one set.
        path: as for `plot`.
    """
    marks = [
        Mark(
            f"{entry['system']}, {entry['precision']}",
            entry["p50_ms"],
            float(np.mean([metrics["max_f"] for metrics in entry["sets"].values()])),
        )
        for entry in figures
    ]
    _draw(marks, f"mean MaxF of {', '.join(figures[0]['sets'])} (%)", title, path)


def _draw(marks: Sequence[Mark], label: str, title: str, path: Path) -> None:
    names = [f"{mark.name}: {cell(mark.ms)} ms, {100 * mark.accuracy:.2f} %" for mark in marks]
    width = PLOT_WIDTH + LETTER_WIDTH * max(map(len, names))
    figure = Figure(figsize=(width, max(4.5, 0.35 * len(marks))), layout="constrained")
    axes = figure.subplots()
    for mark, text, shape in zip(marks, names, "osD^vP*Xd<>ph8" * len(marks), strict=False):
        axes.plot(mark.ms, 100 * mark.accuracy, shape, markersize=10, markeredgecolor="black", label=text)
    low, high = axes.get_ylim()
    if high - low < MIN_SPAN:  # negligible differences must not fill the axis
        axes.set_ylim((low + high - MIN_SPAN) / 2, (low + high + MIN_SPAN) / 2)
    axes.set_xscale("log")
    axes.ticklabel_format(axis="y", useOffset=False)
    times = [mark.ms for mark in marks]
    margin = MARGIN * (max(times) / min(times)) ** 0.03
    left, right = min(times) / margin, max(times) * margin
    axes.set_xlim(left, right)
    decades = math.log10(right / left)
    axes.xaxis.set_major_locator(
        MaxNLocator(6, steps=[1, 2, 5, 10]) if decades < 1 else LogLocator(subs=(1, 2, 5) if decades < 3 else (1,))
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")  # their labels would collide
    axes.set_xlabel("frame to mask, p50 (ms)")
    axes.set_ylabel(textwrap.fill(label, 45))
    figure.suptitle(textwrap.fill(title, round(width / LETTER_WIDTH)), fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelspacing=1)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)
