"""A network camera: motion JPEG over HTTP, with numbered pictures."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class MjpegServer(ThreadingHTTPServer):
    """Serves pictures of 64x48 pixels, the brightness of which is ten times their number, at any path but /none.

    Attributes:
        closed: whether new connections get no pictures.
        once: whether only the first connection gets pictures.
    """

    daemon_threads = True

    def __init__(self, frames: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.closed, self.once, self.frames, self.port = False, False, frames, self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        if self.server.closed or self.path == "/none":
            self.send_error(404)
            return
        self.server.closed = self.server.once
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(self.server.frames):
            jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 10 * number % 256, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Log nothing."""
