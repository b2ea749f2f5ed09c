# PYTHON_ARGCOMPLETE_OK
"""The command `road_seg`."""

import argparse
import io
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from itertools import pairwise

from fcn_road_seg import __version__
from fcn_road_seg.cli.interrupt import Interrupt
from fcn_road_seg.errors import UserError, first_line, missing_package
from fcn_road_seg.files.input import without_secrets

VERBS = (
    "train",
    "synthesize",
    "pseudo_label",
    "evaluate",
    "calibrate",
    "benchmark",
    "export",
    "quantize",
    "segment",
    "kitti_to_bag",
    "play",
    "segment_bag",
    "own_vehicle_mask",
    "demo",
    "view",
    "doctor",
)
"""Modules of this package, in the order of the help text."""
FIRST_STEPS = """first things to try:
  road_seg segment VIDEO --out out   find the road in your own video, pictures or camera
  road_seg demo                      send a synthetic drive through the node, over ROS 2
  road_seg doctor                    find what is missing or wrong
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb.

    Exit codes: 0 done, 1 an unexpected error, whose traceback is saved to a file, 2 bad input or a missing package
    (one sentence on stderr), 130 interrupted or terminated, the verb's own otherwise.
    """
    words = [_with_home(word) for word in (sys.argv[1:] if argv is None else argv)]
    interrupt = Interrupt()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    command = "road_seg"
    try:
        parser = make_parser()
        if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow
            import argcomplete

            argcomplete.autocomplete(parser)
        if not words:
            print(f"{parser.format_usage()}\n{FIRST_STEPS}\nroad_seg --help lists every verb", file=sys.stderr)
            return 2
        if words[0].replace("-", "_") in VERBS:
            command = f"road_seg {words[0]}"
        check_not_empty(words)
        args = parser.parse_args(words)
        return args.run(args)
    except KeyboardInterrupt as stop:
        print(f"{command}: interrupted {stop}".rstrip(), file=sys.stderr)  # it may say how far it came
        return interrupt.exit_code()
    except Exception as error:
        if debug := "--debug" in words:
            traceback.print_exc()
        if _is_bad_input(error):
            print(f"{command}: {error if isinstance(error, UserError) else first_line(error)}", file=sys.stderr)
            return 2
        if isinstance(error, ModuleNotFoundError) and (sentence := missing_package(error)):
            print(f"{command}: {sentence}", file=sys.stderr)
            return 2
        where = "above" if debug else save_traceback(words)
        print(
            f"{command}: internal error, {type(error).__name__}: {first_line(error)}; the traceback is {where}",
            file=sys.stderr,
        )
        return 1
    finally:
        interrupt.close()


def _with_home(word: str) -> str:
    """A word of the command line with ~ and ~user expanded after =, : or nothing; a shell does only the last."""
    return re.sub(r"(?<![^=:])~[^/=:]*(?=/|$)", lambda found: os.path.expanduser(found[0]), word)


def check_not_empty(words: Sequence[str]) -> None:
    """Check that no argument is empty, which a path would take for the current folder, and an option for its default.

    Raises:
        UserError: one is.
    """
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        is_option = option.startswith("--") and equals
        if not word or (is_option and not value):
            empty = option if is_option else before if before.startswith("-") else "an argument"
            raise UserError(f"{empty} is empty, as from an unset variable of the shell: give a value or leave it out")


def _is_bad_input(error: Exception) -> bool:
    """Whether the message of an exception tells the user all; an OSError without one, such as a timeout's, does not."""
    if isinstance(error, UserError):
        return error.__cause__ is None
    return isinstance(error, OSError) and bool(str(error))


def make_parser() -> argparse.ArgumentParser:
    """The parser of every verb; imported here so that a missing package or a broken module is reported as one."""
    parser = argparse.ArgumentParser(
        prog="road_seg",
        description="FCN-8s road segmentation: training, figures, export, images, bags, doctor.",
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"road_seg {__version__}")
    _add_debug_option(parser)
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name in VERBS:
        verb = import_module(f"fcn_road_seg.cli.{name}")
        verb_parser = verb.add_parser(subparsers)
        verb_parser.set_defaults(run=verb.run)
        _add_debug_option(verb_parser)
    return parser


def _add_debug_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="print the traceback of any error")


def save_traceback(words: Sequence[str]) -> str:
    """Write the traceback of the exception being handled to a file in the system's temporary folder.

    Returns:
        Where it is, as the end of a sentence; this never raises.
    """
    shown = " ".join(map(without_secrets, words))
    report = (
        f"road_seg {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{datetime.now().astimezone().isoformat(timespec='seconds')}: road_seg {shown}\n\n"
        f"{traceback.format_exc()}"
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="road_seg_", suffix=".log", delete=False, errors="replace"
        ) as file:
            file.write(report)
    except OSError:
        return "shown with --debug"
    return f"in {file.name}"


if __name__ == "__main__":
    sys.exit(main())
