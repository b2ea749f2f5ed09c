"""`road_seg benchmark`: the configurations of the optimisation ladder, accuracy beside speed."""

import argparse
import shlex
import sys
from pathlib import Path

from fcn_road_seg.cli.options import add_json_option, json_path, progress, resolved_weights, write_json
from fcn_road_seg.errors import UserError

SMOKE = {"frames": 3, "iterations": 3, "warm_up": 1}


def add_parser(subparsers) -> argparse.ArgumentParser:
    parser = subparsers.add_parser("benchmark", help="speed, memory and accuracy of every way of running the network")
    parser.add_argument(
        "input", type=Path, nargs="?", help="image, folder or video (default: --root's frames, else a synthetic drive)"
    )
    parser.add_argument(
        "--rungs", default="", help="such as torch:bf16,lite/openvino:bf16@832 (default: all for the device)"
    )
    parser.add_argument("--weights", default="", help="of the full network (default: the file that ships)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--network-width", type=int, default=0, help="pixels, multiple of 32 (default: the weights')")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU (default: the libraries' choice)")
    parser.add_argument("--frames", type=int, default=20, help="at most that many, in rotation (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=100, help="timed frames per rung (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=10, help="frames per rung before them (default: %(default)s)")
    parser.add_argument("--root", type=Path, help="KITTI Road folder, for MaxF and IoU of every rung")
    parser.add_argument(
        "--split", default="val", help="of --root: all, train, val, or a file of frame names (%(default)s)"
    )
    parser.add_argument("--peers", action="store_true", help="time torchvision's networks beside ours")
    parser.add_argument("--folds", action="store_true", help="time the network with and without its exact folds")
    parser.add_argument("--ground", action="store_true", help="time the outputs in metres of a KITTI frame")
    parser.add_argument(
        "--node",
        nargs="?",
        const="auto:auto",
        metavar="BACKEND:PRECISION",
        help="also camera process -> node -> mask in another process, over ROS 2 (default: as the node chooses)",
    )
    parser.add_argument("--smoke", action="store_true", help="few frames; checks masks, and its times mean nothing")
    add_json_option(parser)
    parser.add_argument("--details", type=json_path, metavar="FILE", help="all figures, also of peers, folds and node")
    parser.add_argument("--markdown", type=json_path, metavar="FILE", help="write the tables there")
    parser.add_argument("--plot", type=json_path, metavar="FILE.png", help="draw accuracy over latency")
    return parser


def run(args: argparse.Namespace) -> int:
    """0, or 1 when a rung's masks are further from FP32's than its bound. No time is ever too long."""
    if args.smoke:
        vars(args).update(SMOKE)
    for name, least in (("iterations", 1), ("warm_up", 0), ("frames", 1), ("threads", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}, but must be at least {least}")

    from fcn_road_seg.benchmark.configurations import default_configurations, parse
    from fcn_road_seg.benchmark.measure import Settings, measure
    from fcn_road_seg.benchmark.results import configuration_figures, markdown, plot
    from fcn_road_seg.datasets.kitti_road import open_split
    from fcn_road_seg.inference.backends.hardware import torch_device

    device = str(torch_device(args.device))
    configurations = parse(args.rungs) if args.rungs else default_configurations(device, with_lite=not args.weights)
    node_way = _node_way(args.node)
    dataset = open_split(args.root, args.split) if args.root else None
    frames = _frames(args.input, dataset, args.frames)
    settings = Settings(args.weights, device, args.network_width, args.threads)
    benchmark = measure(configurations, settings, frames, args.iterations, args.warm_up, dataset, args.smoke, progress)

    report = {"machine": _machine(benchmark, args, len(frames)), "rungs": configuration_figures(benchmark)}
    report["absent"] = {str(configuration): why for configuration, why in benchmark.absent.items()}
    try:
        _add_parts(report, benchmark, args, device, node_way)
    finally:  # what was measured stays, also without ROS 2 or after Ctrl-C
        write_json(args.json, report["rungs"])
        write_json(args.details, report)
        text = markdown(report)
        if args.markdown:
            args.markdown.write_text(text)
        print(text)
    if args.plot:
        plot(report["rungs"], args.plot)
    broken = benchmark.broken_bounds()
    for sentence in broken:
        print(f"road_seg benchmark: {sentence}", file=sys.stderr)
    return 1 if broken else 0


def _add_parts(report: dict, benchmark, args: argparse.Namespace, device: str, node_way: dict[str, str]) -> None:
    """Add the optional measurements to the report."""
    from fcn_road_seg.benchmark.interleave import time_networks
    from fcn_road_seg.benchmark.results import network_figures, percentiles_ms

    reference = benchmark.measurements[0]
    checkpoint, size = reference.segmenter.checkpoint, reference.network_size
    ways = [m.configuration for m in benchmark.measurements]
    precisions = list(dict.fromkeys(way.precision for way in ways if way.backend == "torch"))
    settings = device, precisions, args.iterations, args.warm_up
    if args.peers:
        from fcn_road_seg.benchmark.peers import peer_networks

        networks, batch = peer_networks(checkpoint, size)
        times = time_networks(networks, batch, *settings, lambda rounds: progress(rounds, "peers"))
        report["peers"] = network_figures(times, "fcn8s")
    if args.folds:
        from fcn_road_seg.benchmark.weight_folding import folding_variants

        networks, batch = folding_variants(checkpoint, size)
        times = time_networks(networks, batch, *settings, lambda rounds: progress(rounds, "folds"))
        report["folds"] = network_figures(times, "no fold")
    if args.ground:
        from fcn_road_seg.benchmark.ground_cost import time_outputs
        from fcn_road_seg.evaluation.ground_errors import view
        from fcn_road_seg.synthetic.camera import KITTI

        tables = view(KITTI).tables
        times = time_outputs(tables, args.iterations, args.warm_up, lambda rounds: progress(rounds, "ground"))
        report["ground"] = {name: percentiles_ms(seconds) for name, seconds in times.items()}
    if node_way:
        from fcn_road_seg.benchmark.node_latency import measure_node

        parameters = node_way | {"device": device, "network_width": args.network_width, "threads": args.threads}
        if args.weights:
            parameters["weights"] = resolved_weights(args.weights)
        report["node"] = measure_node(parameters, report=lambda text: print(f"node: {text}", file=sys.stderr))


def _node_way(text: str | None) -> dict[str, str]:
    """The node's parameters that BACKEND:PRECISION stands for; empty if the node is not to be measured."""
    if text is None:
        return {}
    backend, colon, precision = text.partition(":")
    if not (backend and colon and precision):
        raise UserError(f"--node is {text!r}, but must be BACKEND:PRECISION, such as openvino:bf16")
    return {"backend": backend, "precision": precision}


def _frames(path: Path | None, dataset, most: int) -> list:
    """The frames to time, uint8 H x W x 3 RGB."""
    from fcn_road_seg.datasets.drive import open_drive
    from fcn_road_seg.frames.image_file import is_image, read_rgb

    if path is None and dataset is not None:
        return [dataset[i].image for i in range(min(most, len(dataset)))]
    if path is not None and is_image(path):
        return [read_rgb(path)]
    drive = open_drive(path, most)
    frames = [frame.image for frame in progress(drive.frames, "preparing frames")]
    if not frames:
        raise UserError(f"{drive.name} has no frame")
    return frames


def _machine(benchmark, args: argparse.Namespace, frames: int) -> dict[str, str]:
    """What the figures depend on, in words."""
    import os
    import platform

    import torch

    reference, machine = benchmark.measurements[0], benchmark.machine
    words = {
        "command": shlex.join(["road_seg", *sys.argv[1:]]),
        "device": f"{reference.segmenter.device_name} ({reference.segmenter.device})",
        "CPU cores": f"{len(os.sched_getaffinity(0))}, threads of PyTorch: {torch.get_num_threads()}",
        "versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
        "frames": f"{frames} of {'x'.join(map(str, reference.frame_size))}",
        "iterations": f"{args.iterations} per rung after {args.warm_up}, interleaved",
    }
    if "openvino" in sys.modules:
        words["versions"] += f", OpenVINO {sys.modules['openvino'].__version__}"
    if not args.smoke:
        precisions = dict.fromkeys(m.configuration.precision for m in benchmark.measurements)
        peaks = {precision: machine.gemm_peak(precision) for precision in precisions}
        words["matrix products"] = ", ".join(
            f"{precision} {peak / 1e9:.0f} GFLOP/s" for precision, peak in peaks.items() if peak
        )
        words["memory"] = f"{machine.bandwidth() / 1e9:.1f} GB/s copied, read and written"
    return words
