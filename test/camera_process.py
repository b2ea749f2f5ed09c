"""The synthetic camera as its own process."""

import signal
import subprocess
import sys
import threading

from fcn_road_seg.ros.environment import isolated_ros_environment

TIMEOUT = 60  # seconds; long because other work may share the machine


class CameraProcess:
    """road_seg_camera with parameters; `prelude` is Python that runs before it."""

    def __init__(self, domain_id: int, prelude: str = "", **parameters):
        program = f"import sys\n{prelude}\nfrom fcn_road_seg.ros.synthetic_camera_main import main\nsys.exit(main())"
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "--ros-args", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=isolated_ros_environment(domain_id) | {"RCUTILS_LOGGING_BUFFERED_STREAM": "0"},
        )

    def __enter__(self) -> "CameraProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, words: str) -> str:
        """Its words up to and with these."""
        heard = ""
        patience = threading.Timer(TIMEOUT, self.process.kill)
        patience.start()
        try:
            for line in self.process.stdout:
                heard += line
                if words in line:
                    return heard
        finally:
            patience.cancel()
        raise AssertionError(f"'{words}' did not come: {heard}")

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Exit code after a signal, and the words that were not read before."""
        self.process.send_signal(number)
        words, _ = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, words
