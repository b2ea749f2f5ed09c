"""Where a verb shows pictures while it works: a window, or a page for a browser."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from fcn_road_seg.cli.view import announce_page, port
from fcn_road_seg.errors import UserError

if TYPE_CHECKING:
    import numpy as np

LOCAL = "127.0.0.1"
KEYS = (ord("q"), 27)  # 27: Escape


class Viewer(Protocol):
    """Shows pictures, one after the other."""

    def show(self, picture: "np.ndarray", seconds: float) -> None:
        """Show a picture, uint8 H x W x 3 RGB, which took `seconds` since its frame came."""


def add_viewer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options --show and --serve of `viewers`."""
    parser.add_argument(
        "--show", action="store_true", help="show the overlay in a window; q, Escape or closing it ends the command"
    )
    parser.add_argument(
        "--serve",
        nargs="?",
        type=address,
        const=(LOCAL, 8080),
        metavar="[HOST:]PORT",
        help=f"show the overlay on a page for browsers (default: {LOCAL}:8080, this machine only; 0: any free one); "
        "write it after the input",
    )


def address(text: str) -> tuple[str, int]:
    """Host and port of [HOST:]PORT."""
    host, _, number = text.rpartition(":")
    try:
        return host.strip("[]") or LOCAL, port(number)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is not a port, 0 to 65535, or HOST:PORT; write the input before --serve"
        ) from None


@contextmanager
def viewers(args: argparse.Namespace, name: str) -> Iterator[list[Viewer]]:
    """Open the window and start the page that the options ask for.

    Args:
        name: of what is shown.

    Raises:
        UserError: there is no display, OpenCV has no windows, or the page's address cannot be used.
    """
    with ExitStack() as stack:
        opened: list[Viewer] = []
        if args.show:
            window = Window(f"road_seg segment {name}")
            stack.callback(window.close)
            opened.append(window)
        if args.serve:
            page = Page(name, *args.serve)
            stack.callback(page.close)
            opened.append(page)
        yield opened


class Window:
    """A window of OpenCV's."""

    def __init__(self, title: str):
        import cv2

        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError("--show needs a display, but neither DISPLAY nor WAYLAND_DISPLAY is set: give --serve")
        self._title = title.encode(errors="replace").decode()
        try:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error:
            raise UserError(
                "--show needs an OpenCV with windows, which opencv-python-headless lacks: give --serve, or replace it "
                "with opencv-python"
            ) from None

    def show(self, picture: "np.ndarray", seconds: float) -> None:
        """Show a picture.

        Raises:
            KeyboardInterrupt: the user has closed the window, or pressed one of `KEYS`.
        """
        import cv2

        cv2.imshow(self._title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF in KEYS or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Close it."""
        import cv2

        cv2.destroyAllWindows()


class Page:
    """A page that shows the newest picture, its rate and its latency."""

    def __init__(self, name: str, host: str, number: int):
        from fcn_road_seg.view.figures import Figures
        from fcn_road_seg.view.outputs import OVERLAY
        from fcn_road_seg.view.page import PageServer
        from fcn_road_seg.view.pictures import LatestPicture

        self._figures, self._newest = Figures(name), LatestPicture()
        self._server = PageServer(name, host, number, self._figures, {OVERLAY: self._newest}, "live.html", "--serve")
        self.port = self._server.port
        announce_page(host, self.port, name)

    def show(self, picture: "np.ndarray", seconds: float) -> None:
        """Show a picture to the browsers that are connected."""
        from fcn_road_seg.view.outputs import jpeg
        from fcn_road_seg.view.pictures import JPEG, Picture

        self._figures.mask(seconds)
        if self._newest.requested():
            self._newest.put(Picture(JPEG, jpeg(picture)))

    def close(self) -> None:
        """Stop it."""
        self._server.close()
