"""`road_seg export`: write the network as ONNX and check it in ONNX Runtime and OpenVINO."""

import argparse

from fcn_road_seg.cli.options import (
    Subparsers,
    add_json_option,
    add_weights_option,
    example_frames,
    output_path,
    write_json,
)


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as ONNX, for TensorRT and other runtimes",
        epilog="Input: uint8 N x h x w x 3 RGB of network size. Output: float32 N x h x w, P(road). docs/tensorrt.md "
        "describes the use with TensorRT.",
    )
    parser.add_argument(
        "--out", type=output_path(".onnx"), required=True, metavar="FILE.onnx", help="the file to write"
    )
    add_weights_option(parser)
    parser.add_argument(
        "--size", default="dynamic", help="WxH in pixels, multiples of 32, or dynamic (default: %(default)s)"
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--fp16", action="store_true", help="weights and arithmetic in FP16")
    precision.add_argument(
        "--int8", action="store_true", help="the file that `road_seg quantize` wrote beside the weights"
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0."""
    from dataclasses import asdict

    from fcn_road_seg.inference import onnx_export as export
    from fcn_road_seg.inference.checkpoint import load
    from fcn_road_seg.inference.int8_file import int8_path
    from fcn_road_seg.inference.onnx_check import check
    from fcn_road_seg.inference.segmenter import weights_path

    size = export.parse_size(args.size)
    export.require(*export.PACKAGES)
    checkpoint = load(weights_path(args.weights))
    if args.int8:
        precision = "int8"
        model = export.load_int8(int8_path(checkpoint.path), checkpoint)
        export.set_size(model, size)
    else:
        precision = "fp16" if args.fp16 else "fp32"
        model = export.to_onnx(checkpoint, size, args.fp16)
    results = check(model, checkpoint, example_frames(), size, precision)
    export.save(model, args.out)
    for r in results:
        print(
            f"{r.runtime} at {r.batch} x {r.width}x{r.height}: P(road) differs from PyTorch's FP32 by "
            f"{r.greatest:.1e} at most, {r.mean:.1e} on average"
        )
    print(f"{args.out}: {precision}, {args.size}, {args.out.stat().st_size / 1e6:.1f} MB")
    write_json(args.json, {"precision": precision, "size": args.size, "agreement": [asdict(r) for r in results]})
    return 0
