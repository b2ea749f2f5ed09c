"""`road_seg evaluate-instances`: measure a file of instance weights on labelled frames."""

import argparse
import statistics
import time
from collections.abc import Iterable

from fcn_road_seg.cli.options import Subparsers, add_json_option, named_paths, progress, write_json
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.sample import DatasetError


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "evaluate-instances", help="measure how well vehicles and people are found, on labelled frames"
    )
    parser.add_argument("--weights", metavar="FILE", help="instance weights (default: the shipped ones)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="KIND:DIR",
        help="data set: cityscapes:DIR or coco:DIR; or synthetic:N, N exact scenes that say nothing about real ones",
    )
    parser.add_argument(
        "--part", choices=("val", "train"), default="val", help="of the data sets (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=int, default=0, help="at most so many of each set, evenly spaced (default: 0, all)"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="FILE[:tiles]",
        help="measure the boxes of a YOLOX on COCO (ONNX) on the same frames; riders then count as persons",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "torch", "openvino"),
        help="what runs the network; auto: on an x86-64 CPU openvino if it is installed (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="of the layers; torch runs in fp32 on a CPU (default: %(default)s)",
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    if not args.data:
        raise UserError("give labelled frames with --data cityscapes:DIR or coco:DIR")
    if args.frames < 0:
        raise UserError(f"--frames is {args.frames}, but must be 0 (all) or more")
    from fcn_road_seg.datasets.cityscapes_instances import city_of
    from fcn_road_seg.datasets.open_instances import NamedInstances, open_instances
    from fcn_road_seg.datasets.selection import Thinned
    from fcn_road_seg.evaluation.instance_metrics import KINDS, LEAST_SCORE, PERSONS, InstanceResults
    from fcn_road_seg.evaluation.yolox import YoloX
    from fcn_road_seg.inference.options import SegmenterOptions
    from fcn_road_seg.instances.detector import InstanceDetector, instance_weights
    from fcn_road_seg.synthetic.instances import SyntheticInstances

    paths, kinds = named_paths(args.data)
    sets: dict[str, NamedInstances] = {}
    for name, folders in paths.items():
        if len(folders) > 1:
            raise DatasetError(f"--data {name} is given {len(folders)} times: give each set one folder")
        if kinds[name] == "synthetic":
            if not (folders[0].isdecimal() and int(folders[0])):
                raise DatasetError(f"--data synthetic:{folders[0]} must give a number of scenes, as synthetic:20")
            sets[name] = SyntheticInstances(int(folders[0]))
        else:
            sets[name] = open_instances(kinds[name], folders[0], args.part)
    options = SegmenterOptions(device=args.device, backend=args.backend, precision=args.precision)
    detector = InstanceDetector.load(instance_weights(args.weights), LEAST_SCORE, options)
    peers = [YoloX(path.removesuffix(":tiles"), path.endswith(":tiles"), LEAST_SCORE) for path in args.peer]
    detectors: list[InstanceDetector | YoloX] = [detector, *peers]
    figures = {}
    for name, frames in sets.items():
        results, merged = InstanceResults(), [InstanceResults(PERSONS) for _ in detectors]
        cities: dict[str, InstanceResults] = {}
        seconds: list[list[float]] = [[] for _ in merged]
        chosen = Thinned(frames, args.frames) if args.frames else frames
        for sample in progress(chosen, f"detecting in {name}"):
            for each, measured, times in zip(detectors, merged, seconds, strict=True):
                began = time.perf_counter()
                instances = each.detect(sample.image)
                times.append(time.perf_counter() - began)
                measured.add(sample, instances)
                if each is detector:
                    results.add(sample, instances)
                    if kinds[name] == "cityscapes":
                        cities.setdefault(city_of(sample.name), InstanceResults()).add(sample, instances)
        if not results.counts():
            raise DatasetError(f"{name} has no instance that counts in its {len(chosen)} frames: nothing to measure")
        how = {part: getattr(detector, part) for part in ("device", "backend", "precision")}
        figures[name] = results.summary() | how | {"p50_ms": 1000 * statistics.median(seconds[0])}
        figures[name]["cities"] = {
            city: {"instances": measured.counts()} | {kind: measured.by_class(kind) for kind in KINDS}
            for city, measured in cities.items()
        }
        ran = f"{detector.device}, {detector.backend}, {detector.precision}"
        print(f"{name}, {figures[name]['frames']} frames, p50 {figures[name]['p50_ms']:.1f} ms ({ran})\n")
        print(f"{report(figures[name])}\n")
        if peers:
            figures[name]["peers"] = {
                title: {"p50_ms": 1000 * statistics.median(times), **measured.by_class("box")}
                for title, measured, times in zip(
                    ("ours", *(peer.name for peer in peers)), merged, seconds, strict=True
                )
            }
            print(f"Boxes, with riders as persons\n\n{peer_report(figures[name]['peers'])}\n")
    write_json(args.json, figures)
    return 0


def peer_report(networks: dict[str, dict]) -> str:
    """Box AP and AP50 by class and network as a Markdown table."""
    from fcn_road_seg.benchmark.markdown_table import table

    classes = [name for name in networks["ours"] if name != "p50_ms"]
    header = ["class", *(f"{network} {name}" for network in networks for name in ("AP", "AP50"))]
    rows = [[c, *(f"{found[c][key]:.3f}" for found in networks.values() for key in ("ap", "ap50"))] for c in classes]
    rows.append(["p50 ms", *(text for found in networks.values() for text in (f"{found['p50_ms']:.1f}", ""))])
    return table(header, rows)


def report(figures: dict) -> str:
    """The figures of `InstanceResults.summary` as Markdown tables: classes, then sizes, then distances."""
    from fcn_road_seg.benchmark.markdown_table import table
    from fcn_road_seg.evaluation.instance_metrics import KINDS, means

    header = ["class", "instances", *(f"{kind} {name}" for kind in KINDS for name in ("AP", "AP50"))]
    rows = [
        [name, str(count), *(_cell(figures[kind], name, key) for kind in KINDS for key in ("ap", "ap50"))]
        for name, count in figures["instances"].items()
    ]
    rows.append(_means("mean", sum(figures["instances"].values()), [figures[kind]["mean"] for kind in KINDS]))
    for measure in ("size", "distance"):
        for part, counts in figures.get(f"instances by {measure}", {}).items():
            of_part = [figures[kind][measure][part]["mean"] for kind in KINDS]
            rows.append(_means(f"mean, {part}", sum(counts.values()), of_part))
    for city, found in figures.get("cities", {}).items():
        rows.append(_means(f"mean, {city}", sum(found["instances"].values()), [means(found[kind]) for kind in KINDS]))
    return table(header, rows)


def _means(name: str, count: int, means: Iterable[dict[str, float]]) -> list[str]:
    return [name, str(count), *(f"{mean[key]:.3f}" if mean else "" for mean in means for key in ("ap", "ap50"))]


def _cell(figures: dict, name: str, key: str) -> str:
    if name not in figures["classes"]:
        return ""
    text = f"{figures['classes'][name][key]:.3f}"
    low, high = figures["intervals"].get(name, {}).get(key, (None, None))
    return text if low is None else f"{text} ({low:.2f} to {high:.2f})"
