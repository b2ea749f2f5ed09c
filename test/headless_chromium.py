"""A headless Chromium that shows a page, controlled over the DevTools protocol. Needs websockets."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

TIMEOUT = 240  # seconds; long, because other work may share the machine
NAMES = "chromium", "chromium-browser", "google-chrome"


def chromium_program() -> str | None:
    """The path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Poll `condition` until it is true, at most `TIMEOUT` seconds; returns its value."""
    deadline = time.monotonic() + TIMEOUT
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {TIMEOUT} s"
        time.sleep(0.05)
    return result


class Chromium:
    """The browser.

    Attributes:
        complaints: messages on its console, including network errors.
    """

    def __init__(self, program: str, profile: Path, address: str):
        from websockets.sync.client import connect

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        self._process = subprocess.Popen(
            [program, *arguments, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            file = profile / "DevToolsActivePort"
            port = wait_for(lambda: file.exists() and file.read_text().split("\n")[0], "the start of Chromium")

            def pages() -> list[dict]:
                connection = HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT)
                connection.request("GET", "/json/list")
                found = [page for page in json.load(connection.getresponse()) if page["type"] == "page"]
                connection.close()
                return found

            (page, *_) = wait_for(pages, "a page in Chromium")
            self._socket = connect(page["webSocketDebuggerUrl"], max_size=None).__enter__()
        except BaseException:
            self._process.kill()
            raise
        self.complaints: list[dict] = []
        self._number = 0
        for domain in "Page", "Runtime", "Log":
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(TIMEOUT)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (response := json.loads(self._socket.recv(TIMEOUT))).get("id") != self._number:
            if response["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(response)
        assert "error" not in response, response
        return response["result"]

    def value(self, expression: str) -> Any:
        """Evaluate a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression: str) -> None:
        wait_for(lambda: self.value(expression), expression)

    def text(self, name: str) -> str:
        """The text of the element with this id."""
        return self.value(f"document.getElementById('{name}').textContent")

    def look(self, theme: str, width: int, height: int, file: Path) -> None:
        """Take a screenshot of the page with a given system theme and screen size."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
