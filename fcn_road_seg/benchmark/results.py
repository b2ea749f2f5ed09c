"""The results of a benchmark as JSON figures and Markdown tables."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fcn_road_seg.benchmark.markdown_table import cell, table
from fcn_road_seg.benchmark.measurement import Benchmark, Measurement
from fcn_road_seg.benchmark.percentiles import PERCENTILES, percentiles_ms
from fcn_road_seg.benchmark.side_by_side import side_by_side_tables


def configuration_figures(benchmark: Benchmark) -> list[dict]:
    """The figures of the configurations that ran, ready for JSON; values that were not measured are None.

    Each has "rung" (the configuration), "backend", "device", "device_name", "precision", "network" ("full" or "lite"),
    "weights" (file name), "network_size" and "frame_size" ([width, height] in pixels), "p50_ms", "p90_ms", "p99_ms"
    (frame in host memory to mask in host memory), "fps" (at p50), "stages_ms" ({stage: {"p50", "p90", "p99"}}),
    "iterations", "start_s" (weights to first mask), "peak_memory_mb", "floor_ms" (roofline), "times_floor"
    (p50 / floor), "speedup" (p50 of FP32 eager / p50), "equal_to_fp32", "max_f", "iou", "bev_max_f" (fractions 0..1).
    """
    reference_ms = percentiles_ms(benchmark.measurements[0].seconds)["p50"]
    return [_figures(m, reference_ms) for m in benchmark.measurements]


def _figures(m: Measurement, reference_ms: float) -> dict:
    total = percentiles_ms(m.seconds)
    perspective, bev = ((m.accuracy or {}).get(view) or {} for view in ("perspective", "bev"))
    return {
        "rung": str(m.configuration),
        "backend": m.segmenter.backend,
        "device": m.segmenter.device,
        "device_name": m.segmenter.device_name,
        "precision": m.segmenter.precision,
        "network": m.configuration.network,
        "weights": m.segmenter.checkpoint.path.name,
        "network_size": list(m.network_size),
        "frame_size": list(m.frame_size),
        **{f"{name}_ms": value for name, value in total.items()},
        "fps": round(1000 / total["p50"], 2),
        "stages_ms": {stage: percentiles_ms(seconds) for stage, seconds in m.stages.items()},
        "iterations": len(m.seconds),
        "start_s": round(m.start, 2),
        "peak_memory_mb": None if m.peak_memory is None else round(m.peak_memory / 1e6, 1),
        "floor_ms": None if m.lower_bound is None else round(1000 * m.lower_bound, 4),
        "times_floor": None if m.lower_bound is None else round(total["p50"] / (1000 * m.lower_bound), 2),
        "speedup": round(reference_ms / total["p50"], 3),
        "equal_to_fp32": m.equal,
        "max_f": perspective.get("max_f"),
        "iou": perspective.get("iou"),
        "bev_max_f": bev.get("max_f"),
    }


def network_figures(times: dict[tuple[str, str], list[float]], baseline: str) -> list[dict]:
    """Figures of `time_networks`, ready for JSON: {"network", "precision", "p50_ms", "p90_ms", "p99_ms", "speedup"}.

    Args:
        times: seconds by (network, precision).
        baseline: the network that "speedup" is relative to, at the same precision.
    """
    return [
        {
            "network": name,
            "precision": precision,
            **{f"{p}_ms": value for p, value in percentiles_ms(seconds).items()},
            "speedup": round(float(np.median(times[baseline, precision]) / np.median(seconds)), 3),
        }
        for (name, precision), seconds in times.items()
    ]


def markdown(report: dict) -> str:
    """Format the report of `cli.benchmark` as Markdown tables.

    Args:
        report: {"machine": {name: text}, "rungs": see `configuration_figures`, "absent": {configuration: reason}} and,
            if measured, "peers" and "folds" (see `network_figures`), "sizes", "batches", "profile" (see
            `cli.benchmark`), "ground" and "instances" ({output or rung: percentiles}), "node"
            (see `node_latency.measure_node`) and "side_by_side" (see `side_by_side_figures`).
    """
    parts = ["\n".join(f"- {name}: {text}" for name, text in report["machine"].items())]
    parts.append(_configurations_table(report["rungs"]))
    if report["absent"]:
        parts.append("\n".join(f"- {name} did not run: {reason}" for name, reason in report["absent"].items()))
    parts.append(_stages_table(report["rungs"]))
    if "side_by_side" in report:
        parts.append(side_by_side_tables(report["side_by_side"]))
    for key, title in (("peers", "Network only, PyTorch eager mode"), ("folds", "Exact weight folding, network only")):
        if key in report:
            columns = ("network", "precision", "p50_ms", "p90_ms", "p99_ms", "speedup")
            rows = [[cell(entry[column]) for column in columns] for entry in report[key]]
            parts.append(f"{title}:\n\n" + table(("", *columns[1:2], "p50 ms", "p90 ms", "p99 ms", "speed-up"), rows))
    if "sizes" in report:
        rows = [[size, *(cell(ms) for ms in figures.values())] for size, figures in report["sizes"]["times"].items()]
        title = f"Frame in host memory to mask in host memory by the frame's size, {report['sizes']['rung']}"
        parts.append(f"{title}:\n\n" + table(("frame", "p50 ms", "p90 ms", "p99 ms"), rows))
    if "batches" in report:
        rows = [
            [str(b["frames"]), b["rung"], *(cell(b[p]) for p in PERCENTILES), cell(b["p50"] / b["frames"])]
            for b in report["batches"]
        ]
        header = ("frames at once", "rung", "p50 ms", "p90 ms", "p99 ms", "p50 per frame")
        parts.append("Batches, network only:\n\n" + table(header, rows))
    if "profile" in report:
        rows = [
            [f"`{k['kernel']}`".replace("|", "/"), cell(k["calls"]), f"{k['ms']:.4f}", f"{100 * k['share']:.1f} %"]
            for k in report["profile"]["kernels"]
        ]
        title = f"The kernels that take longest, {report['profile']['rung']}, per frame"
        parts.append(f"{title}:\n\n" + table(("kernel", "calls", "ms", "share"), rows))
    for key, title in (("ground", "Ground outputs, a KITTI frame"), ("instances", "Vehicles and people, Mask R-CNN")):
        if key in report:
            rows = [[name, *(cell(ms) for ms in figures.values())] for name, figures in report[key].items()]
            parts.append(f"{title}:\n\n" + table(("", "p50 ms", "p90 ms", "p99 ms"), rows))
    if "node" in report:
        parts.append(_node_tables(report["node"]))
    return "\n\n".join(parts) + "\n"


def _configurations_table(figures: Iterable[dict]) -> str:
    header = ["rung", "input", "p50 ms", "p90", "p99", "fps", "vs FP32 eager", "vs floor", "start s", "memory MB"]
    header += ["equal to FP32", "MaxF", "IoU", "BEV MaxF"]
    rows = []
    for r in figures:
        row = [r["rung"], "x".join(map(str, r["network_size"]))]
        row += [*(cell(r[f"{p}_ms"]) for p in PERCENTILES), cell(r["fps"]), f"{r['speedup']:.2f}x"]
        row += [f"{r['times_floor']:.1f}x" if r["times_floor"] else "", cell(r["start_s"]), cell(r["peak_memory_mb"])]
        row += [f"{100 * r['equal_to_fp32']:.3f} %"]
        row += [f"{100 * r[key]:.2f} %" if r[key] is not None else "" for key in ("max_f", "iou", "bev_max_f")]
        rows.append(row)
    return table(header, rows)


def _stages_table(figures: list[dict]) -> str:
    stages = list(dict.fromkeys(stage for r in figures for stage in r["stages_ms"]))
    rows = []
    for r in figures:
        taken = (r["stages_ms"].get(stage) for stage in stages)
        rows.append([r["rung"], *(" / ".join(cell(ms[p]) for p in PERCENTILES) if ms else "" for ms in taken)])
    return "Milliseconds by stage, p50 / p90 / p99:\n\n" + table(("rung", *stages), rows)


def _node_tables(node: dict) -> str:
    rates = node["rates"]
    stages = list(dict.fromkeys(stage for r in rates for stage in r["stages_p50_ms"]))
    named = ["camera"] if "spreads" in node else []

    def head(r: dict) -> list[str]:
        return [*(r[key] for key in named), f"{r['rate_hz']:g}"]

    header = (*named, "camera Hz", "answered", "p50 ms", "p90", "p99", "max", "segmenter p50", "the rest p50")
    keys = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "segmenter_p50_ms", "rest_p50_ms")
    rows = [[*head(r), f"{r['answered']} of {r['sent']}", *(cell(r[key]) for key in keys)] for r in rates]
    stage_rows = [[*head(r), *(cell(r["stages_p50_ms"].get(stage)) for stage in stages)] for r in rates]
    network = f"{Path(node['weights']).stem}, {node['backend']} {node['precision']} on {node['device']}"
    text = f"Camera process to mask in another process, {network}:\n\n"
    text += table(header, rows) + "\n\nWhere the milliseconds go, p50:\n\n"
    text += table((*named, "camera Hz", *stages), stage_rows)
    if named:
        spreads = (f"{each['p50_spread']:g} at {each['rate_hz']:g} Hz" for each in node["spreads"])
        text += f"\n\nLargest p50 of a camera, divided by the smallest: {', '.join(spreads)}."
    copies = node["copies"]
    rows = [[copy, *(cell(figures[copy]) for figures in copies.values())] for copy in next(iter(copies.values()))]
    text += "\n\nCopies, p50 ms by the frame's size:\n\n" + table(("", *copies), rows)
    if node["highest_rate_hz"] is not None:
        text += f"\n\nHighest rate with no mask older than one period: {node['highest_rate_hz']:g} Hz."
    return text
