"""The command `road_seg`."""

import argparse
import sys
from collections.abc import Sequence

from fcn_road_seg.cli import (
    benchmark,
    calibrate,
    demo,
    doctor,
    evaluate,
    export,
    kitti_to_bag,
    play,
    quantize,
    segment,
    segment_bag,
    train,
    view,
)
from fcn_road_seg.errors import UserError

VERBS = (
    train,
    evaluate,
    calibrate,
    benchmark,
    export,
    quantize,
    segment,
    kitti_to_bag,
    play,
    segment_bag,
    demo,
    view,
    doctor,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb.

    Exit codes: 0 done, 2 bad input or a missing package (one sentence on stderr), the verb's own otherwise.
    """
    parser = argparse.ArgumentParser(
        prog="road_seg", description="FCN-8s road segmentation: training, figures, export, images, bags, doctor."
    )
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for verb in VERBS:
        verb.add_parser(subparsers).set_defaults(run=verb.run)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (UserError, OSError) as error:
        print(f"road_seg {args.verb}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"road_seg {args.verb}: {error}: install it, with pip for instance", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"road_seg {args.verb}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
