"""Our networks and other projects' on the same frames in the same run: accuracy on each labelled set, and time."""

from collections.abc import Iterable

from fcn_road_seg.benchmark.markdown_table import cell, table
from fcn_road_seg.benchmark.measurement import Benchmark, Timing
from fcn_road_seg.benchmark.percentiles import percentiles_ms

MORE = {"average_precision": "AP", "iou": "IoU", "ece": "ECE"}
"""Metrics of the second table."""


def side_by_side_figures(benchmark: Benchmark) -> list[dict]:
    """The figures of all networks, ready for JSON: ours, then the peers.

    Each has "system" ("full", "lite", or a name), "parameters", "network_size" ([width, height] in pixels, for the
    timed frames), "backend", "precision", "p50_ms", "p90_ms", "p99_ms", "licence" and "source" (texts of a peer), and
    "sets" ({name: see `evaluate_samples`}).
    """
    ours = [
        {
            "system": m.configuration.network,
            "parameters": sum(tensor.numel() for tensor in m.segmenter.checkpoint.tensors.values()),
            "network_size": list(m.network_size),
            "backend": m.segmenter.backend,
            "precision": m.segmenter.precision,
            **_measured(m),
        }
        for m in benchmark.measurements
    ]
    theirs = [
        {
            "system": m.segmenter.name,
            "parameters": m.segmenter.parameters,
            "network_size": list(m.segmenter.input_size),
            "backend": "openvino",
            "precision": m.segmenter.precision,
            **_measured(m),
            "licence": m.segmenter.conventions.licence,
            "source": m.segmenter.conventions.source,
        }
        for m in benchmark.peers
    ]
    return ours + theirs


def _measured(m: Timing) -> dict:
    return {**{f"{name}_ms": value for name, value in percentiles_ms(m.seconds).items()}, "sets": m.by_set}


def side_by_side_tables(figures: list[dict]) -> str:
    """Markdown: size, time and MaxF on each set, the best in bold; the other metrics; the peers' licences."""
    sets = {name: metrics["frames"] for name, metrics in figures[0]["sets"].items()}
    header = ["network", "parameters", "input", "run by", "precision", "p50 ms"]
    header += [f"{name} ({frames:g} frames)" for name, frames in sets.items()]
    best = {name: _percent(max(entry["sets"][name]["max_f"] for entry in figures)) for name in sets}
    rows = []
    for entry in figures:
        row = [entry["system"], f"{entry['parameters'] / 1e6:.2f} M", "x".join(map(str, entry["network_size"]))]
        row += [entry["backend"], entry["precision"], cell(entry["p50_ms"])]
        for name in sets:
            max_f = _percent(entry["sets"][name]["max_f"])
            row.append(f"**{max_f}**" if max_f == best[name] else max_f)
        rows.append(row)
    title = "Side by side" + (", MaxF in percent" if sets else "")
    parts = [f"{title}:\n\n{table(header, rows)}"]
    if sets:
        more = [
            [f"{entry['system']}, {entry['backend']} {entry['precision']}"]
            + [" / ".join(_percent(entry["sets"][name][metric]) for metric in MORE) for name in sets]
            for entry in figures
        ]
        parts.append(f"{', '.join(MORE.values())} in percent:\n\n" + table(["network", *sets], more))
    parts.append("\n".join(_licences(figures)))
    return "\n\n".join(filter(None, parts))


def _licences(figures: Iterable[dict]) -> list[str]:
    lines = [
        f"- {entry['system']}: {'; '.join(filter(None, (entry['licence'], entry['source'])))}"
        for entry in figures
        if entry.get("licence") or entry.get("source")
    ]
    return list(dict.fromkeys(lines))


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"
