"""`road_seg doctor`: report what is wrong with the environment and the running graph, and how to fix it."""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from fcn_road_seg.cli.options import (
    ROS_NAME,
    Subparsers,
    add_json_option,
    add_weights_option,
    check_node_name,
    write_json,
)
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    from fcn_road_seg.doctor.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}
LEAST_SECONDS = 2


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser("doctor", help="report what is wrong with the environment and the running node")
    add_weights_option(parser)
    parser.add_argument(
        "--node", default="road_seg", help="name of the node, or /namespace/name (default: %(default)s)"
    )
    parser.add_argument(
        "--image", default="", metavar="TOPIC", help="topic of the camera (default: those the node subscribes to)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to listen (default: %(default)g)")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--no-graph", action="store_true", help="check the environment only")
    parts.add_argument(
        "--diagnostics",
        action="store_true",
        help="check only what the node publishes on /diagnostics, in a few seconds: a container's health check",
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 1 after any error, 0 if there are none; a warning, such as that of a busy machine, is not one."""
    if not LEAST_SECONDS <= args.seconds <= 3600:  # diagnostics are published once a second
        raise UserError(f"--seconds is {args.seconds:g}, but must be in {LEAST_SECONDS}..3600")
    check_node_name(args.node)
    if args.image and not ROS_NAME.fullmatch(args.image):
        raise UserError(f"--image is '{args.image}', which is not a valid topic: give one such as /camera/image_raw")

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    findings = []
    for finding in examine(args):
        findings.append(finding)
        status = Text(f"{finding.status:7}", COLOURS[finding.status])
        console.print(status, Text(f" {finding.check}: {finding.text}"), sep="")
        if finding.status != "ok":
            console.print(Text(f"        -> {finding.advice}"))
    statuses = Counter(finding.status for finding in findings)
    healthy = set(statuses) == {"ok"}
    summary = f"Problems found; errors: {statuses['error']}, warnings: {statuses['warning']}."
    console.print("No problems found." if healthy else summary)
    write_json(args.json, {"healthy": healthy, "findings": [finding._asdict() for finding in findings]})
    return 1 if statuses["error"] else 0


def examine(args: argparse.Namespace) -> "Iterator[Finding]":
    """Run the checks; yields each finding as soon as it is made."""
    if args.diagnostics:
        yield from examine_graph(args)
        return

    from fcn_road_seg.doctor import environment, ros_settings
    from fcn_road_seg.doctor.finding import warning

    variables = dict(os.environ)
    yield from environment.examine(args.weights)
    connected = True
    for finding in ros_settings.examine(variables):
        connected &= finding.status != "error"
        yield finding
    yield from ros_settings.examine_transport(variables)
    if args.no_graph:
        return
    if not connected:
        yield warning("graph", "The running nodes were not examined.", "fix the errors above and run this again")
        return
    yield from examine_graph(args)


def examine_graph(args: argparse.Namespace) -> "Iterator[Finding]":
    """Run the checks of the running nodes: all of them, or with --diagnostics that of /diagnostics."""
    from fcn_road_seg.doctor import running
    from fcn_road_seg.doctor.finding import error
    from fcn_road_seg.doctor.graph import Graph

    with ExitStack() as stack:
        try:
            graph = stack.enter_context(Graph())
        except UserError as fault:
            yield error("graph", f"{fault}.", "correct that and run this again; the running nodes were not examined")
            return
        if args.diagnostics:
            yield from running.examine_diagnostics(graph, args.node, args.seconds)
        else:
            yield from running.examine(graph, args.node, args.image, args.seconds)
