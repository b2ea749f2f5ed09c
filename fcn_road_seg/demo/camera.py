"""The demo's camera, a process of its own: publishes a folder of frames as ``image`` at a steady rate.

    python -m fcn_road_seg.demo.camera FOLDER --rate 10

The folder holds one BGR uint8 H x W x 3 .npy file per frame. One line goes to stdout per frame sent: its stamp in
nanoseconds.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from fcn_road_seg.image_message import fill_image
from fcn_road_seg.ros_environment import set_ros_defaults

DISCOVERY_SECONDS = 0.5
"""Time for the other side of a match to see it too."""


def publish(folder: Path, rate: float, patience: float) -> bool:
    """Publish every frame of the folder, in the order of the names, once somebody subscribes.

    Args:
        folder: with the .npy files.
        rate: frames per second.
        patience: seconds to wait for a subscriber.

    Returns:
        Whether there was one.
    """
    node = rclpy.create_node("camera")
    qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, "image", qos)
    give_up = time.monotonic() + patience
    while not publisher.get_subscription_count():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    time.sleep(DISCOVERY_SECONDS)

    start = time.monotonic()
    for index, file in enumerate(sorted(folder.glob("*.npy"))):
        message = fill_image(Image(), np.load(file), "bgr8")
        message.header.frame_id = "camera"
        time.sleep(max(0.0, start + index / rate - time.monotonic()))
        stamp = node.get_clock().now()
        message.header.stamp = stamp.to_msg()
        publisher.publish(message)
        print(stamp.nanoseconds, flush=True)
    publisher.wait_for_all_acked(Duration(seconds=2))
    return True


def main() -> int:
    """Exit code 0, 1 if nobody subscribed, 130 after SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for a subscriber")
    args = parser.parse_args()
    set_ros_defaults()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        if publish(args.folder, args.rate, args.patience):
            return 0
        print(f"nobody subscribed to the camera within {args.patience:.0f} seconds", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
