"""Measure what the node costs while nobody listens, beside a camera of 1242x375 frames at 10 Hz.

    python test/idle_cpu.py [--seconds 30] [--weights FILE]

Not part of the test suite. Prints the share of a core that the node uses without the camera, with it and with a
subscriber of the mask, how soon the first mask comes after the subscriber, and the bytes of the outputs for a
synthetic frame.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from node_harness import Client, NodeProcess, frame_message
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.ros.environment import isolated_ros_environment
from fcn_road_seg.synthetic import SyntheticDrive

RATE, DOMAIN_ID = 10, 101

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=30)
parser.add_argument("--weights", default="lite")
args = parser.parse_args()


def cpu_seconds(pid: int) -> float:
    """Of user and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def share(pid: int) -> float:
    """Of a core that a process uses."""
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(args.seconds)
    return (cpu_seconds(pid) - before) / (time.monotonic() - began)


with tempfile.TemporaryDirectory() as folder:
    node = NodeProcess(DOMAIN_ID, Path(folder) / "log", weights=args.weights)
    camera = None
    try:
        node.wait_for_output("Listening to /image")
        time.sleep(5)
        print(f"without a camera: {100 * share(node.process.pid):.2f} % of a core", flush=True)
        frames = round((2 * args.seconds + 60) * RATE)
        camera = subprocess.Popen(
            [
                sys.executable,
                Path(__file__).with_name("big_camera.py"),
                "reliable",
                str(frames),
                str(RATE),
                "--profile",
            ],
            stdout=subprocess.DEVNULL,
            env=isolated_ros_environment(DOMAIN_ID),
        )
        time.sleep(8)
        print(f"at {RATE} Hz, idle: {100 * share(node.process.pid):.2f} % of a core", flush=True)
        client = Client(DOMAIN_ID)
        began = time.monotonic()
        client.spin_until(lambda: client.masks, "a mask")
        print(f"the first mask came {time.monotonic() - began:.2f} s after the subscriber")
        time.sleep(2)
        print(f"at {RATE} Hz, listened to: {100 * share(node.process.pid):.2f} % of a core", flush=True)
        camera.kill()
        pictures = {}
        for topic, kind in (
            ("overlay", Image),
            ("mask/compressed", CompressedImage),
            ("overlay/compressed", CompressedImage),
        ):
            client.node.create_subscription(kind, f"road_seg/{topic}", partial(pictures.__setitem__, topic), 1)
        publisher = client.camera()
        frame = frame_message(SyntheticDrive(seed=0, frames=1)[0].image, "rgb8", 1)
        pictures["mask"] = client.answer(publisher, frame)

        def complete() -> bool:
            publisher.publish(frame)
            client.spin_for(0.5)
            return len(pictures) == 4 and all(message.header == frame.header for message in pictures.values())

        client.spin_until(complete, "all outputs")
        print(", ".join(f"{topic}: {len(message.data)} bytes" for topic, message in sorted(pictures.items())))
        client.close()
    finally:
        if camera is not None:
            camera.kill()
        code = node.stop()
sys.exit(code)
