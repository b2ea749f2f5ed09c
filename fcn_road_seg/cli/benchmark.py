"""`road_seg benchmark`: measure the speed and accuracy of the configurations of the network."""

import argparse
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_road_seg.cli.benchmark_inputs import labelled_sets, load_peers, named_weights, parse_node, timed_frames
from fcn_road_seg.cli.options import (
    Subparsers,
    add_cameras_option,
    add_json_option,
    add_label_map_option,
    add_network_width_option,
    output_path,
    progress,
    resolved_weights,
    takes_weights,
    write_json,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import write_whole

if TYPE_CHECKING:
    import numpy as np

    from fcn_road_seg.benchmark.measurement import Benchmark
    from fcn_road_seg.inference.options import SegmenterOptions

BATCHES = 1, 2, 4, 6
SMOKE = {"frames": 3, "iterations": 3, "warm_up": 1}


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "benchmark", help="measure speed, memory and accuracy of the network's configurations"
    )
    parser.add_argument(
        "input",
        type=Path,
        nargs="?",
        help="image, folder or video (default: the frames of --root, else of the first --data, else a synthetic drive)",
    )
    parser.add_argument(
        "--rungs",
        default="",
        help="configurations to measure, such as torch:bf16,lite/openvino:bf16@832 (default: all of the device)",
    )
    weights = parser.add_argument(
        "--weights",
        action="append",
        metavar="[NAME=]FILE",
        help="weights of the full network (default: the shipped file), of lite (lite=FILE), or of another network, for "
        "rungs NAME/..., such as permissive=permissive; may be repeated",
    )
    takes_weights(weights)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add_network_width_option(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: chosen by the libraries)")
    parser.add_argument(
        "--frames", type=int, default=20, help="maximum number of frames, used in turn (default: %(default)s)"
    )
    parser.add_argument(
        "--iterations", type=int, default=100, help="timed frames per configuration (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=int, default=10, help="untimed frames before the timed ones (default: %(default)s)"
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, for MaxF and IoU of every configuration")
    parser.add_argument(
        "--split",
        default="val",
        help="frames of --root: all, train, val, or a file of frame names (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="also measure the accuracy on the validation part of a data set, named as for train; may be repeated",
    )
    add_label_map_option(parser)
    parser.add_argument(
        "--data-frames",
        type=int,
        default=0,
        help="maximum number of frames of each --data, evenly spaced (default: all)",
    )
    parser.add_argument(
        "--peer",
        action="append",
        metavar="FILE[:CONVENTIONS]",
        help="another project's network, ONNX or OpenVINO, measured in the same rounds and on the same frames; its "
        "conventions are in FILE's name with .yaml, in the given YAML file, or shipped under the given name; may be "
        "repeated",
    )
    parser.add_argument("--peers", action="store_true", help="also time torchvision's networks")
    parser.add_argument(
        "--folds", action="store_true", help="also time the network with and without its exact weight folding"
    )
    parser.add_argument("--sizes", action="store_true", help="also time frames of 640x480 to 3840x2160")
    parser.add_argument("--batches", action="store_true", help="also time the network on 1, 2, 4 and 6 frames at once")
    parser.add_argument("--profile", action="store_true", help="also list the ten kernels that take longest")
    parser.add_argument("--ground", action="store_true", help="also time the ground outputs for a KITTI frame")
    parser.add_argument(
        "--instances",
        nargs="?",
        const="",
        metavar="FILE",
        help="also time the network that finds vehicles and people, with the weights of a file (default: the shipped "
        "ones), on the same frames",
    )
    parser.add_argument(
        "--node",
        nargs="?",
        const="auto:auto",
        metavar="BACKEND:PRECISION",
        help="also measure the latency over ROS 2 from a camera process through the node to a process that receives "
        "the masks, and the time of each copy of a frame (default: backend and precision chosen by the node)",
    )
    add_cameras_option(parser, "cameras that --node sends through one node, at each rate")
    parser.add_argument(
        "--smoke", action="store_true", help="use few frames: checks the masks, but the times are meaningless"
    )
    add_json_option(parser)
    parser.add_argument(
        "--details",
        type=output_path(".json"),
        metavar="FILE.json",
        help="write all figures as JSON, with those of --peer, --data, --peers, --folds, --sizes, --batches, "
        "--profile, --ground, --instances and --node",
    )
    parser.add_argument("--markdown", type=output_path(".md"), metavar="FILE.md", help="write the tables to a file")
    parser.add_argument(
        "--plot",
        type=output_path(".png", ".pdf", ".svg"),
        metavar="FILE.png",
        help="plot accuracy over latency; with --data the mean MaxF of all sets",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 1 if a configuration's masks differ from FP32's by more than its bound, else 0, whatever the times."""
    if args.smoke:
        vars(args).update(SMOKE)
    for name, least in (("iterations", 1), ("warm_up", 0), ("frames", 1), ("threads", 0), ("data_frames", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}, but must be at least {least}")

    from fcn_road_seg.benchmark.configurations import NETWORKS, REFERENCE, default_configurations, parse
    from fcn_road_seg.benchmark.measure import Settings, measure
    from fcn_road_seg.benchmark.results import configuration_figures, markdown, percentiles_ms
    from fcn_road_seg.benchmark.side_by_side import side_by_side_figures
    from fcn_road_seg.datasets.kitti_road import open_split
    from fcn_road_seg.inference.backends.hardware import torch_device

    if args.instances is not None:
        from fcn_road_seg.benchmark.instance_cost import load_detectors, time_detectors
        from fcn_road_seg.instances.detector import instance_weights
    if args.plot:
        from fcn_road_seg.benchmark.plot import plot, plot_side_by_side
    device = str(torch_device(args.device))
    weights = named_weights(args.weights or [])
    if args.rungs:
        configurations = parse(args.rungs, list(dict.fromkeys([*NETWORKS, *weights])))
        if unused := set(weights) - {configuration.network for configuration in configurations}:
            raise UserError(
                f"--weights names {min(unused)}, but --rungs has no {min(unused)}/BACKEND:PRECISION: add one"
            )
    else:
        shipped = ["full"] if "full" in weights else NETWORKS
        configurations = default_configurations(device, list(dict.fromkeys([*shipped, *weights])))
    node_parameters = parse_node(args.node)
    if args.cameras > 1 and not node_parameters:
        raise UserError("--cameras is for --node: add --node")
    peers = load_peers(args.peer or [], device, args.threads)
    detectors = {}
    if args.instances is not None:
        detectors = load_detectors(instance_weights(args.instances), device, args.threads)
    dataset = open_split(args.root, args.split) if args.root else None
    sets = labelled_sets(args, dataset)
    other_load = "not looked at" if args.smoke else watch_machine()
    frames = timed_frames(args.input, next(iter(sets.values()), None) if dataset is None else dataset, args.frames)
    settings = Settings(weights.get("full", ""), device, args.network_width, args.threads, weights)
    numbers = args.iterations, args.warm_up
    benchmark = measure(configurations, settings, frames, *numbers, dataset, args.smoke, progress, peers, sets)

    report: dict[str, Any] = {"machine": _machine(benchmark, args, len(frames), other_load)}
    report["rungs"] = configuration_figures(benchmark)
    report["absent"] = {str(configuration): why for configuration, why in benchmark.absent.items()}
    if peers or sets:
        report["side_by_side"] = side_by_side_figures(benchmark)
    try:
        if args.sizes or args.profile:
            _add_details(report, settings.options(REFERENCE), args, frames[0])
        if detectors:
            taken = time_detectors(detectors, frames, *numbers, partial(progress, description="instances"))
            report["instances"] = {rung: percentiles_ms(seconds) for rung, seconds in taken.items()}
        _add_parts(report, benchmark, args, device, node_parameters, settings.weights)
    finally:  # keep what was measured, also without ROS 2 or after Ctrl-C
        text = markdown(report)
        print(text)
        write_json(args.json, report["rungs"])
        write_json(args.details, report)
        if args.markdown:
            write_whole(args.markdown, text)
    if args.plot and sets:
        plot_side_by_side(report["side_by_side"], report["machine"]["device"], args.plot)
    elif args.plot:
        plot(report["rungs"], args.plot)
    broken = benchmark.broken_bounds()
    for sentence in broken:
        print(f"road_seg benchmark: {sentence}", file=sys.stderr)
    return 1 if broken else 0


def watch_machine() -> str:
    """How many cores other processes keep busy, in words; warns if these are so many that they slow ours down."""
    import os

    from fcn_road_seg.benchmark.busy_cores import MOST, busy_cores

    busy, cores = busy_cores(), len(os.sched_getaffinity(0))
    if busy is None:
        return "unknown"
    if busy > MOST * cores:
        print(
            f"Other processes keep {busy:.1f} of {cores} cores busy: the times will be too long; repeat this when the "
            "machine is idle.",
            file=sys.stderr,
        )
    return f"{busy:.1f} of {cores} cores, before the measurement"


def _add_parts(
    report: dict[str, Any],
    benchmark: "Benchmark",
    args: argparse.Namespace,
    device: str,
    node_parameters: dict[str, str],
    full_weights: str,
) -> None:
    """Add the optional measurements to the report."""
    import torch

    from fcn_road_seg.benchmark.interleave import time_networks, time_openvino
    from fcn_road_seg.benchmark.results import network_figures, percentiles_ms

    reference = benchmark.measurements[0]
    checkpoint, size = reference.segmenter.checkpoint, reference.network_size
    ways = [m.configuration for m in benchmark.measurements]
    precisions = list(dict.fromkeys(way.precision for way in ways if way.backend == "torch"))
    settings = device, precisions, args.iterations, args.warm_up
    if args.peers:
        from fcn_road_seg.benchmark.torchvision_networks import peer_networks

        networks, batch = peer_networks(checkpoint, size)
        times = time_networks(networks, batch, *settings, lambda rounds: progress(rounds, "peers"))
        report["peers"] = network_figures(times, "fcn8s")
    if args.folds:
        from fcn_road_seg.benchmark.weight_folding import folding_variants

        networks, batch = folding_variants(checkpoint, size)
        times = time_networks(networks, batch, *settings, lambda rounds: progress(rounds, "folds"))
        report["folds"] = network_figures(times, "no fold")
    if args.batches:
        width, height = size
        report["batches"] = []
        for count in BATCHES:
            images = torch.randn(count, 3, height, width)
            rounds = partial(progress, description=f"batch of {count}")
            times = time_networks({"fcn8s": checkpoint.network}, images, *settings, rounds)
            report["batches"] += [
                {"frames": count, "rung": f"torch:{precision}"} | percentiles_ms(seconds)
                for (_, precision), seconds in times.items()
            ]
        for measured in (m for m in benchmark.measurements if m.configuration.backend == "openvino"):
            rounds = partial(progress, description=f"batches of {measured.configuration}")
            report["batches"] += [
                {"frames": count, "rung": str(measured.configuration)} | percentiles_ms(seconds)
                for count, seconds in time_openvino(measured, BATCHES, args.iterations, args.warm_up, rounds).items()
            ]
    if args.ground:
        from fcn_road_seg.benchmark.ground_cost import time_outputs
        from fcn_road_seg.evaluation.ground_errors import view
        from fcn_road_seg.synthetic.camera import KITTI

        tables = view(KITTI).tables
        outputs = time_outputs(tables, args.iterations, args.warm_up, lambda rounds: progress(rounds, "ground"))
        report["ground"] = {name: percentiles_ms(seconds) for name, seconds in outputs.items()}
    if node_parameters:
        from fcn_road_seg.benchmark.node_latency import measure_node
        from fcn_road_seg.ros.scope import around

        parameters = node_parameters | {"device": device, "network_width": args.network_width, "threads": args.threads}
        if full_weights:
            parameters["weights"] = resolved_weights(full_weights)
        say = partial(print, "node:", file=sys.stderr)
        report["node"] = measure_node(parameters, report=say, iterations=args.iterations, cameras=around(args.cameras))


def _add_details(
    report: dict[str, Any], options: "SegmenterOptions", args: argparse.Namespace, frame: "np.ndarray"
) -> None:
    """Add --sizes and --profile, measured on the backend and in the precision that "auto" takes."""
    from fcn_road_seg.benchmark.frame_sizes import time_frame_sizes
    from fcn_road_seg.benchmark.kernels import longest_kernels
    from fcn_road_seg.benchmark.results import percentiles_ms
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    segmenter = RoadSegmenter.load(replace(options, backend="auto", precision="auto"))
    rung = f"{segmenter.backend}:{segmenter.precision}"
    if args.sizes:
        numbers = args.iterations, args.warm_up
        times = time_frame_sizes(segmenter, frame, *numbers, lambda rounds: progress(rounds, "frame sizes"))
        report["sizes"] = {"rung": rung, "times": {size: percentiles_ms(taken) for size, taken in times.items()}}
    if args.profile:
        report["profile"] = {"rung": rung, "kernels": longest_kernels(segmenter, frame)}


def _machine(benchmark: "Benchmark", args: argparse.Namespace, frames: int, other_load: str) -> dict[str, str]:
    """A description of everything that the figures depend on."""
    import os
    import platform

    import torch

    reference, machine = benchmark.measurements[0], benchmark.machine
    description = {
        "command": shlex.join(["road_seg", *sys.argv[1:]]),
        "device": f"{reference.segmenter.device_name} ({reference.segmenter.device})",
        "CPU cores": f"{len(os.sched_getaffinity(0))}, threads of PyTorch: {torch.get_num_threads()}",
        "other processes": other_load,
        "versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
        "frames": f"{frames} of {'x'.join(map(str, reference.frame_size))}",
        "iterations": f"{args.iterations} per configuration after {args.warm_up}, interleaved",
    }
    if "openvino" in sys.modules:
        description["versions"] += f", OpenVINO {sys.modules['openvino'].__version__}"
    if not args.smoke:
        precisions = dict.fromkeys(m.configuration.precision for m in benchmark.measurements)
        peaks = {precision: machine.gemm_peak(precision) for precision in precisions}
        description["matrix products"] = ", ".join(
            f"{precision} {peak / 1e9:.0f} GFLOP/s" for precision, peak in peaks.items() if peak
        )
        description["memory"] = f"{machine.bandwidth() / 1e9:.1f} GB/s copied, read and written"
    return description
