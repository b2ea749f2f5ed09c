"""The synthetic camera as a separate process."""

import signal
import subprocess
import sys
import threading

from fcn_road_seg.ros.environment import isolated_ros_environment

TIMEOUT = 240  # seconds; long because other work may share the machine


class CameraProcess:
    """Run road_seg_camera, or another executable, with parameters; `prelude` is Python code that runs first."""

    executable = "synthetic_camera_main"

    def __init__(self, domain_id: int, prelude: str = "", **parameters):
        program = f"import sys\n{prelude}\nfrom fcn_road_seg.ros.{self.executable} import main\nsys.exit(main())"
        text = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "--ros-args", *text],
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

    def wait_for(self, text: str) -> str:
        """Wait for a line with this text; return the output up to and with it."""
        output = ""
        patience = threading.Timer(TIMEOUT, self.process.kill)
        patience.start()
        try:
            for line in self.process.stdout:
                output += line
                if text in line:
                    return output
        finally:
            patience.cancel()
        raise AssertionError(f"'{text}' did not appear: {output}")

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the exit code and the remaining output."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, output
