"""What each mode of `road_seg evaluate` measures, prints and writes; see `evaluate.MODES`."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import data_sets, load_detector, load_segmenter, progress, segmenter_facts, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from rich.table import Table

    from fcn_road_seg.datasets.kitti_road import KittiRoad
    from fcn_road_seg.evaluation.inference_loop import Clean, Segment
    from fcn_road_seg.inference.segmenter import RoadSegmenter


def metrics(args: argparse.Namespace) -> int:
    """KITTI Road's metrics in perspective and in bird's-eye view."""
    from rich.console import Console

    from fcn_road_seg.evaluation.evaluate import evaluate
    from fcn_road_seg.evaluation.seen_frames import sentence, trained_names

    dataset, segmenter = _kitti_road(args), load_segmenter(args)
    names = trained_names(segmenter.checkpoint.metadata, "kitti_road")
    figures = evaluate(_segment(args, segmenter), dataset, segmenter.threshold, _track, args.bev, names)
    figures |= {"split": args.split, "bev_sampling": args.bev} | segmenter_facts(segmenter)
    write_json(args.json, figures)

    seen = None if names is None else figures["seen"]["frames"]
    console = Console()
    at = f"IoU at the weights' threshold {segmenter.threshold:.3f}"
    console.print(_metrics_table(f"{figures['frames']} frames, {at}", figures))
    if seen and seen < figures["frames"]:
        for group, title in (("seen", "trained on"), ("unseen", "unseen")):
            console.print(_metrics_table(f"{title}: {figures[group]['frames']} frames", figures[group]))
    if figures["bev"] is None:
        console.print(f"There is no bird's-eye view: the frames have no calibration in {args.root}/training/calib.")
    console.print(sentence(figures["frames"], seen))
    return 0


def _metrics_table(title: str, figures: dict) -> "Table":
    from rich.table import Table

    views = {view: figures[view] for view in ("perspective", "bev") if figures[view]}
    table = Table("", *views, title=title)
    for metric in next(iter(views.values()), {}):
        table.add_row(metric, *(f"{metrics[metric]:.4f}" for metrics in views.values()))
    return table


def data(args: argparse.Namespace) -> int:
    """`--data`: pixel metrics on any data sets."""
    from rich.console import Console
    from rich.table import Table

    from fcn_road_seg.evaluation.samples import evaluate_samples
    from fcn_road_seg.evaluation.seen_frames import count_seen

    sets, segmenter = data_sets(args.data, args.label_map, args.part), load_segmenter(args)
    segment, metadata = _segment(args, segmenter), segmenter.checkpoint.metadata
    figures = {
        name: evaluate_samples(segment, frames, segmenter.threshold, _track)
        | {"trained_on": count_seen(metadata, name, frames.names)}
        for name, frames in sets.items()
    }
    facts = {"part": args.part, "threshold": segmenter.threshold} | segmenter_facts(segmenter)
    write_json(args.json, {"sets": figures} | facts)
    table = Table("", *next(iter(figures.values())), title=f"at the weights' threshold {segmenter.threshold:.3f}")
    for name, row in figures.items():
        table.add_row(name, *(_cell(value) for value in row.values()))
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)  # a narrow terminal would cut off the figures
    return 0


def _cell(value: float | int | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def comparison(args: argparse.Namespace) -> int:
    """`--compare`: two weights side by side."""
    from fcn_road_seg.cli.compare import run_comparison

    sets = {"kitti_road": _kitti_road(args)} if args.root else data_sets(args.data, args.label_map, args.part)
    part = {"split": args.split} if args.root else {"part": args.part}
    return run_comparison(args, sets, part, lambda segmenter: _segment(args, segmenter))


def submission(args: argparse.Namespace) -> int:
    """`--submission`: files for KITTI's server."""
    from fcn_road_seg.evaluation.submission import frames_to_submit, missing, write_submission

    frames_to_submit(args.root)  # raises before the network is loaded
    segmenter = load_segmenter(args)
    files = write_submission(_segment(args, segmenter), args.root, args.submission, args.bev, _track)
    figures = {"frames": len(files), "files": [file.name for file in files], "bev_sampling": args.bev}
    write_json(args.json, figures | segmenter_facts(segmenter))
    print(
        f"{len(files)} files in {args.submission}; zip them without the folder: zip -j road.zip {args.submission}/*.png"
    )
    if sentence := missing(files):
        print(sentence)
    return 0


def metres(args: argparse.Namespace) -> int:
    """`--metres`: errors of the ground outputs."""
    from rich.console import Console

    from fcn_road_seg.evaluation.ground_errors import measure_ground_errors, tables

    dataset = _kitti_road(args) if args.root else None
    segmenter = load_segmenter(args)
    segment = _segment(args, segmenter)
    own_vehicle = segmenter.own_vehicle
    figures = measure_ground_errors(segment, segmenter.threshold, own_vehicle, dataset=dataset, track=_track)
    figures |= {"split": args.split} | segmenter_facts(segmenter)
    write_json(args.json, figures)
    console = Console()
    for table in tables(figures):
        console.print(table)
    return 0


def report(args: argparse.Namespace) -> int:
    """`--report`: the HTML page."""
    from fcn_road_seg.datasets.camvid import CamVid
    from fcn_road_seg.evaluation.html_report import camvid_set, kitti_set, write_report

    sets = [kitti_set(_kitti_road(args), f"KITTI Road, {args.split}", args.bev)] if args.root else []
    sets += [camvid_set(CamVid(args.camvid, ("test",)), "CamVid, test part")] if args.camvid else []
    command = shlex.join(["road_seg", *sys.argv[1:]])
    segmenter = load_segmenter(args)
    figures = write_report(args.report, segmenter, _segment(args, segmenter), sets, command, _track)
    figures |= {"split": args.split, "bev_sampling": args.bev} | segmenter_facts(segmenter)
    write_json(args.json, figures)
    print(args.report / "index.html")
    return 0


def gallery(args: argparse.Namespace) -> int:
    """`--gallery`: the HTML page of typical and worst frames."""
    from fcn_road_seg.cli.gallery import run_gallery

    sets: dict = {"kitti_road": _kitti_road(args)} if args.root else {}
    sets |= data_sets(args.data, args.label_map, args.part) if args.data else {}
    part = {"split": args.split} if args.root else {"part": args.part} if args.data else {}
    return run_gallery(args, sets, part, lambda segmenter: _segment(args, segmenter))


def flicker(args: argparse.Namespace) -> int:
    """`--flicker`: steadiness on a drive."""
    from rich.console import Console

    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.evaluation.flicker import measure_flicker, table, with_labels

    drive = open_drive(Path(args.flicker) if args.flicker else None)
    frames = progress(drive.frames, drive.name)
    if args.root:
        frames = with_labels(frames, _kitti_road(args))
    segmenter = load_segmenter(args)
    figures = measure_flicker(
        segmenter,
        frames,
        segmenter.threshold,
        period=1 / drive.rate,
        clean=_clean(args, segmenter),
        own_vehicle=segmenter.own_vehicle,
    )
    figures |= {"drive": drive.name} | segmenter_facts(segmenter)
    write_json(args.json, figures)
    Console().print(table(figures))
    return 0


def corruptions(args: argparse.Namespace) -> int:
    """`--corruptions`: what remains under weather, lens and mounting."""
    from fcn_road_seg.evaluation.robustness import evaluate_corruptions, markdown

    dataset, segmenter = _kitti_road(args), load_segmenter(args)
    figures = evaluate_corruptions(_segment(args, segmenter), dataset, segmenter.threshold, track=_track)
    figures |= {"split": args.split} | segmenter_facts(segmenter)
    write_json(args.json, figures)
    print(markdown(figures))
    return 0


def _clean(args: argparse.Namespace, segmenter: "RoadSegmenter") -> "Clean":
    from fcn_road_seg.postprocess.small_regions import without_small_regions

    def clean(probability: "np.ndarray") -> "np.ndarray":
        hidden = segmenter.hidden(*probability.shape)
        return without_small_regions(probability, segmenter.threshold, args.min_region, hidden)

    return clean


def _segment(args: argparse.Namespace, segmenter: "RoadSegmenter") -> "Segment":
    clean = _clean(args, segmenter)
    if not args.subtract_instances:
        return lambda frame: clean(segmenter(frame))
    detector = load_detector(args)

    def without_instances(frame: "np.ndarray") -> "np.ndarray":
        instances = detector.detect(frame).without_own_vehicle(segmenter.hidden(*frame.shape[:2]))
        return instances.cut_out(clean(segmenter(frame)))

    return without_instances


def _kitti_road(args: argparse.Namespace) -> "KittiRoad":
    from fcn_road_seg.datasets.kitti_road import open_split

    return open_split(args.root, args.split)


def _track(items: "Iterable") -> "Iterable":
    return progress(items, "evaluating")
