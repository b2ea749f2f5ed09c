"""Serves the web page: page.html, the latest pictures, the figures as Server-Sent Events. Does not import ROS.

A browser requests the next picture when it has shown the last, so only the latest one is ever in transit.
"""

import html
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import AF_INET6
from socketserver import ThreadingTCPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

from fcn_road_seg.errors import UserError
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.pictures import LatestPicture

EVENT_PERIOD = 0.5
"""Seconds between events."""
PICTURE_TIMEOUT = 1.0
"""Maximum seconds that a request for a picture waits for a new one."""
PICTURES = "/pictures/"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src blob: data:",
    "Cross-Origin-Resource-Policy": "same-origin",  # other sites must not embed the camera's images
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingTCPServer):
    """Serves the page in background threads from construction until `close`.

    Paths: ``/``, the page. ``/pictures/NAME?after=N``, the latest picture as soon as its number, in the header
    X-Picture, is not N (X-Age is its age in seconds), or 204 No Content after a timeout.
    ``/events``, Figures.snapshot() as Server-Sent Events.

    Args:
        node: fully qualified name, or what else is shown, for the page.
        host: address to listen on.
        port: 0 for any free port.
        figures: served as events.
        pictures: the latest ones, by name.
        page: name of the page's file in this folder.
        option: of the command line, which sets the port.

    Raises:
        UserError: the port is in use, or the address does not belong to this machine.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        node: str,
        host: str,
        port: int,
        figures: Figures,
        pictures: Mapping[str, LatestPicture],
        page: str = "page.html",
        option: str = "--port",
    ):
        if ":" in host:
            self.address_family = AF_INET6
        try:
            super().__init__((host, port), PageHandler)
        except OSError as error:
            raise UserError(
                f"cannot serve the page on port {port} of {host}: {error.strerror}; choose another port with {option}"
            ) from None
        self.port: int = self.server_address[1]
        self.page = Path(__file__).with_name(page).read_text("utf-8").replace("{{node}}", html.escape(node)).encode()
        self.figures = figures
        self.pictures = pictures
        self.closing = Event()
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Stop the server and close its connections."""
        self.closing.set()
        self.shutdown()
        self.server_close()


class PageHandler(BaseHTTPRequestHandler):
    """Handles one connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without reading or writing
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(OSError):  # the browser has disconnected
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            self._respond(HTTPStatus.OK, self.server.page, {"Content-Type": "text/html; charset=utf-8"})
        elif (latest := self.server.pictures.get(url.path.removeprefix(PICTURES))) and url.path.startswith(PICTURES):
            self._picture(latest, parse_qs(url.query).get("after", ["-1"])[0])
        elif url.path == "/events":
            self._events()
        else:
            self._respond(HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        """Log nothing: one line per picture would be too much."""

    def _respond(self, code: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        if code != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (HEADERS | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _picture(self, latest: LatestPicture, after: str) -> None:
        try:
            found = latest.wait_for_other(int(after), PICTURE_TIMEOUT)
        except ValueError:
            self._respond(HTTPStatus.BAD_REQUEST)
            return
        if found is None:
            self._respond(HTTPStatus.NO_CONTENT)
            return
        number, age, picture = found
        self._respond(
            HTTPStatus.OK,
            picture.content,
            {"Content-Type": picture.media_type, "X-Picture": str(number), "X-Age": f"{age:.3f}"},
        )

    def _events(self) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for name, value in (HEADERS | {"Content-Type": "text/event-stream", "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        while True:
            self.wfile.write(f"data: {json.dumps(self.server.figures.snapshot())}\n\n".encode())
            if self.server.closing.wait(EVENT_PERIOD):
                return
