"""The small web page: page.html, the newest overlay as JPEG, the figures as Server-Sent Events. No ROS here.

A browser asks for the next picture when it has shown the last, so that nothing but the newest is ever under way.
"""

import json
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
from fcn_road_seg.view.latest_overlay import LatestOverlay

EVENT_PERIOD = 0.5
"""Seconds from one event to the next."""
PATIENCE = 1.0
"""Seconds that a request for a picture waits for a new one."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src blob: data:",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site shows the camera
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingTCPServer):
    """Serves the page in threads of its own from its making to `close`.

    Paths: ``/``, the page. ``/overlay.jpg?after=N``, the newest overlay as soon as its number, in the header
    X-Picture, is not N, or 204 No Content if none comes. ``/events``, Figures.snapshot() as Server-Sent Events.

    Args:
        node: fully qualified name, for the page's text.
        host: address to listen on.
        port: 0 for any that is free.

    Raises:
        UserError: the port is taken, or the address is not this machine's.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, node: str, host: str, port: int, figures: Figures, newest: LatestOverlay):
        if ":" in host:
            self.address_family = AF_INET6
        try:
            super().__init__((host, port), PageHandler)
        except OSError as error:
            raise UserError(
                f"the page cannot be served on port {port} of {host}: {error.strerror}; choose another with --port"
            ) from None
        self.port: int = self.server_address[1]
        self.page = Path(__file__).with_name("page.html").read_text("utf-8").replace("{{node}}", node).encode()
        self.figures = figures
        self.newest = newest
        self.closing = Event()
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """End it and its connections."""
        self.closing.set()
        self.shutdown()
        self.server_close()


class PageHandler(BaseHTTPRequestHandler):
    """One connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a browser may be silent, or not read
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(OSError):  # the browser has gone
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            self._answer(HTTPStatus.OK, self.server.page, {"Content-Type": "text/html; charset=utf-8"})
        elif url.path == "/overlay.jpg":
            self._overlay(parse_qs(url.query).get("after", ["-1"])[0])
        elif url.path == "/events":
            self._events()
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        """Say nothing: a line a picture would be too much."""

    def _answer(self, code: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        if code != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (HEADERS | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _overlay(self, after: str) -> None:
        try:
            answer = self.server.newest.other_than(int(after), PATIENCE)
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        if answer is None:
            self._answer(HTTPStatus.NO_CONTENT)
            return
        number, picture = answer
        self._answer(HTTPStatus.OK, picture.jpeg, {"Content-Type": "image/jpeg", "X-Picture": str(number)})

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
