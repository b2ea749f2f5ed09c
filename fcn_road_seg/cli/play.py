"""`road_seg play`: play a bag over ROS 2, for machines without `ros2 bag play`."""

import argparse
import sys
from pathlib import Path

from fcn_road_seg.cli.options import Subparsers, add_json_option, write_json
from fcn_road_seg.errors import UserError

SWITCH_SECONDS = 0.0005
"""Interval after which another thread gives up Python's lock to the one that publishes; Python's default is 5 ms."""
CLOCK_HZ = 40.0


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "play",
        help="play a bag over ROS 2",
        description="Play a bag (rosbag2 or ROS 1) over ROS 2 as it was recorded: the same bytes, spacing and QoS. "
        "In a terminal, space pauses and resumes, s or the right arrow sends one message while paused, Ctrl-C ends.",
    )
    parser.add_argument("bag", type=Path, help="folder of a rosbag2, or a .mcap, .db3 or .bag file")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="speed relative to the recording (default: %(default)g)"
    )
    parser.add_argument("--loop", action="store_true", help="repeat until interrupted")
    parser.add_argument(
        "--start",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="start this long after the first message on the topics; earlier latched messages are sent too",
    )
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="play this much of the bag (default: to its end)"
    )
    parser.add_argument(
        "--topics", nargs="+", metavar="TOPIC", help="play only these topics, by their names in the bag"
    )
    parser.add_argument(
        "--clock",
        type=float,
        nargs="?",
        const=CLOCK_HZ,
        metavar="HZ",
        help="publish the bag's time on "
        f"/clock, for nodes with use_sim_time ({CLOCK_HZ:g} times a second, and with each message)",
    )
    parser.add_argument(
        "--skip-gaps", action="store_true", help="go on at once where the bag has no message for more than a minute"
    )
    parser.add_argument("--paused", action="store_true", help="start paused")
    parser.add_argument("--remap", action="append", default=[], metavar="FROM:=TO", help="rename a topic; repeatable")
    parser.add_argument(
        "--wait",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="maximum time to wait for a subscriber (default: %(default)g)",
    )
    parser.add_argument(
        "--wait-for", nargs="+", default=[], metavar="NODE", help="wait until all these nodes subscribe, instead of any"
    )
    add_json_option(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Return 0 at the end of the bag and after Ctrl-C or SIGTERM, which end a loop; 1 if the bag lost messages."""
    check(args)

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn

    from fcn_road_seg.bags.play import PlayOptions, Position, play
    from fcn_road_seg.cli.late_progress import LateProgress

    options = PlayOptions(
        rate=args.rate,
        loop=args.loop,
        start=args.start,
        duration=args.duration,
        topics=None if args.topics is None else [absolute(topic) for topic in args.topics],
        clock=args.clock,
        paused=args.paused,
        remap=dict(map(renaming, args.remap)),
        skip_gaps=args.skip_gaps,
        wait=args.wait,
        wait_for=args.wait_for,
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[time]}")
    sys.setswitchinterval(SWITCH_SECONDS)
    with LateProgress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("opening", total=None, time="")

        def show(position: Position) -> None:
            lap = f", lap {position.lap + 1}" if args.loop else ""
            text = f"{position.seconds:.1f} of {position.of_seconds:.1f} s{lap}"
            total = position.of_seconds or 1.0
            bar.start()
            bar.update(task, description=position.state, total=total, completed=position.seconds, time=text)

        figures = play(args.bag, options, lambda sentence: console.print(sentence, markup=False), show)
        bar.update(task, description="interrupted" if figures["interrupted"] else "played")
    write_json(args.json, figures)
    print(summary(figures))
    return 1 if figures["lost"] else 0


def check(args: argparse.Namespace) -> None:
    """Check the ranges of the options.

    Raises:
        UserError: one is out of range.
    """
    ranges = {"rate": (1e-3, 1e3), "start": (0, 1e10), "duration": (1e-3, 1e9), "clock": (1, 1000), "wait": (0, 86400)}
    for name, (least, most) in ranges.items():
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise UserError(f"--{name} is {value:g}, but must be in {least:g}..{most:g}")


def absolute(topic: str) -> str:
    """A topic's name with a leading slash."""
    return "/" + topic.removeprefix("/")


def renaming(text: str) -> tuple[str, str]:
    """Parse "a:=b" to ("/a", "/b").

    Raises:
        UserError: the text has another form.
    """
    old, sign, new = text.partition(":=")
    if not (old and sign and new):
        raise UserError(f"--remap {text} is not FROM:=TO")
    return absolute(old), absolute(new)


def summary(figures: dict) -> str:
    """The figures of a replay as text."""
    lines = [f"{count:8} messages on {topic}" for topic, count in figures["messages"].items()]
    late = figures["lateness_ms"]
    if late["p50"] is not None:
        lines.append(f"lateness p50 {late['p50']} ms, p99 {late['p99']} ms, max {late['max']} ms")
    if figures["slips"]:
        lines.append(
            f"{figures['slips']} times playback could not keep up and was delayed; the messages kept their spacing"
        )
    return "\n".join(lines)
