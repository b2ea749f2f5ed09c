"""`road_seg quantize`: make the INT8 form of a weights file."""

import argparse
import math
from pathlib import Path

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_label_map_option,
    add_weights_option,
    data_sets,
    example_frames,
    output_path,
    progress,
    write_json,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.output import check_writable

MEASURED = 24
"""Maximum number of calibration frames on which each layer is measured."""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "quantize", help="make the INT8 form of the weights, an ONNX file, from training frames"
    )
    parser.add_argument("--root", type=Path, help="KITTI Road folder, whose training split is used for calibration")
    parser.add_argument(
        "--camvid", type=Path, help="CamVid folder in SegNet's layout, whose training part is used for calibration"
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]KIND:PATH",
        help="data set whose training part is used for calibration, named as for train; may be repeated",
    )
    add_label_map_option(parser)
    parser.add_argument(
        "--calibration", type=Path, nargs="+", default=[], metavar="DIR", help="folders of more images for calibration"
    )
    add_weights_option(parser)
    parser.add_argument(
        "--frames", type=int, default=64, help="total number of calibration frames (default: %(default)s)"
    )
    parser.add_argument(
        "--max-change",
        type=float,
        default=0.002,
        metavar="SHARE",
        help="maximum share of training pixels, 0..1, that change class; the most sensitive layers stay in float until "
        "it is met (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=output_path(".onnx"), metavar="FILE.onnx", help="the file to write (default: beside the weights)"
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0."""
    import json
    from dataclasses import asdict
    from importlib.metadata import version

    from fcn_road_seg.inference import onnx_export as export
    from fcn_road_seg.inference.checkpoint import load
    from fcn_road_seg.inference.int8_file import int8_path, write_int8
    from fcn_road_seg.inference.onnx_check import check
    from fcn_road_seg.inference.segmenter import weights_path

    if not 0 < args.max_change < 1:
        raise UserError(f"--max-change is {args.max_change}, but must be between 0 and 1")
    export.require(*export.PACKAGES, "nncf")
    checkpoint = load(weights_path(args.weights))
    metadata = checkpoint.metadata

    out = args.out or int8_path(checkpoint.path)
    check_writable(out)
    from fcn_road_seg.quantization.calibration import load_calibration
    from fcn_road_seg.quantization.post_training import quantize
    from fcn_road_seg.quantization.sensitivity import keep_sensitive_layers

    sets = data_sets(args.data, args.label_map, "train")
    frames = load_calibration(args.frames, metadata.network_width, args.root, args.camvid, args.calibration, sets)
    print(f"calibrating with {', '.join(f'{n} frames of {name}' for name, n in frames.sources.items())}", flush=True)
    model = export.to_onnx(checkpoint)
    quantised, sensitivity = keep_sensitive_layers(
        quantize(model, frames.images),
        model,
        frames.images[:: math.ceil(len(frames.images) / MEASURED)],
        metadata.threshold,
        args.max_change,
        lambda layers: progress(layers, "leaving layers out"),
    )
    calibration = {"frames": frames.sources, "sha256": frames.sha256}
    export.describe(
        quantised,
        checkpoint,
        precision="int8",
        float_layers=json.dumps(sensitivity.kept),
        sensitivity=json.dumps(asdict(sensitivity)),
        calibration=json.dumps(calibration),
        nncf=version("nncf"),
    )
    agreement = check(quantised, checkpoint, example_frames(), precision="int8")
    write_int8(out, quantised.SerializeToString())

    print(
        f"share of training pixels whose class differs from FP32's: every layer in INT8 {sensitivity.every_layer:.4%}"
    )
    for layer, share in sorted(sensitivity.without.items(), key=lambda item: item[1]):
        print(f"  {layer} in float, the others in INT8: {share:.4%}")
    print(f"in float: {', '.join(sensitivity.kept) or 'no convolution'}; the share is then {sensitivity.result:.4%}")
    for r in agreement:
        print(
            f"{r.runtime} at {r.batch} x {r.width}x{r.height}: P(road) differs from FP32's by {r.mean:.5f} on average"
        )
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    write_json(
        args.json,
        {
            "sensitivity": asdict(sensitivity),
            "calibration": calibration,
            "agreement": [asdict(r) for r in agreement],
        },
    )
    return 0
