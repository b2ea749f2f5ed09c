"""`road_seg view`: show what the running node sees and how it does, in a browser, in Foxglove and in rerun."""

import argparse
import signal
import sys
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from threading import Event

from fcn_road_seg.cli.options import Subparsers, check_node_name
from fcn_road_seg.errors import UserError
from fcn_road_seg.share import share_path


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the verb's parser."""
    parser = subparsers.add_parser(
        "view", help="show what the running node sees in a browser, in Foxglove and in rerun"
    )
    parser.add_argument(
        "--node", default="road_seg", help="name of the node, or /namespace/name (default: %(default)s)"
    )
    parser.add_argument("--camera", default="", metavar="NAME", help="one of several cameras (default: the first)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=port, default=8080, help="port of the page; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--foxglove-port",
        type=port,
        default=8765,
        help="port of Foxglove's WebSocket; 0 picks a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--rerun",
        nargs="?",
        const="",
        metavar="ADDRESS|FILE.rrd",
        help="show it in rerun as well: in a new window, in a rerun that listens on HOST:PORT, or later, from a file",
    )
    return parser


def port(text: str) -> int:
    """A TCP port, 0..65535."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def run(args: argparse.Namespace) -> int:
    """Return 0 after SIGINT or SIGTERM."""
    check_node_name(args.node)
    check_camera_name(args.camera)
    stop = Event()
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, lambda *_: stop.set())

    from fcn_road_seg.ros.start import check_start
    from fcn_road_seg.view.figures import Figures
    from fcn_road_seg.view.foxglove import FoxgloveServer
    from fcn_road_seg.view.outputs import Viewer
    from fcn_road_seg.view.page import PageServer
    from fcn_road_seg.view.pictures import Pictures
    from fcn_road_seg.view.rerun import rerun_log

    check_start()
    node = f"/{args.node.lstrip('/')}"
    figures, pictures = Figures(node, camera=args.camera), Pictures()
    shown = figures.source
    viewers: list[Viewer] = [pictures]
    foxglove_port: int | None = None
    with ExitStack() as servers:
        if args.rerun is not None:
            viewers.append(servers.enter_context(rerun_log(shown, args.rerun)))
        page = PageServer(shown, args.host, args.port, figures, pictures.latest)
        servers.callback(page.close)
        with suppress(ImportError):
            foxglove = FoxgloveServer(shown, args.host, args.foxglove_port)
            servers.callback(foxglove.close)
            viewers.append(foxglove)
            foxglove_port = foxglove.port

        from fcn_road_seg.view.listener import listen

        announce(args.host, page.port, foxglove_port, shown)
        if args.rerun is not None:
            print(f"rerun shows it as well: {args.rerun or 'in its window'}", flush=True)
        listen(node, figures, viewers, stop)
    return 0


def check_camera_name(camera: str) -> None:
    """Check --camera.

    Raises:
        UserError: no camera can have that name.
    """
    from fcn_road_seg.ros.parameters import CAMERA_NAME

    if camera and not CAMERA_NAME.fullmatch(camera):
        raise UserError(
            f"--camera is '{camera}', but a camera of the node's parameter cameras has a name such as front"
        )


def announce(host: str, page_port: int, foxglove_port: int | None, shown: str) -> None:
    """Print the addresses."""
    announce_page(host, page_port, shown)
    if foxglove_port is None:
        print("For all outputs in Foxglove: pip install foxglove-sdk", flush=True)
    else:
        place = f"ws://{in_url(host)}:{foxglove_port}"
        print(f"{place} serves Foxglove: choose Open connection, Foxglove WebSocket", flush=True)
        with suppress(FileNotFoundError):
            print(f"its layout to import there: {share_path('config/foxglove_layout.json')}", flush=True)


def announce_page(host: str, number: int, shown: str) -> None:
    """Print the address of a page that shows a node or a camera."""
    print(f"http://{in_url(host)}:{number}/ shows {shown} in a browser; press Ctrl-C to stop", flush=True)
    if not is_loopback(host):
        print(f"Anyone who can reach {host} can watch the camera: there is no password.", file=sys.stderr, flush=True)


def in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether an address or a name is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
