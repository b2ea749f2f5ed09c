"""A camera with 1242x375 bgr8 frames (1.4 MB) for tests, to run as a separate process.

    python test/big_camera.py RELIABILITY FRAMES RATE [--profile] [--small]

Starts when it has a subscriber, and prints the stamp of every frame in nanoseconds. With --profile it uses the shipped
Fast DDS profile, otherwise Fast DDS's defaults. With --small the frames have 160x48 pixels (23 KB): they fit into one
datagram, so that best effort on the defaults does not lose them.
"""

import os
import sys
import time

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.environment import FAST_DDS_PROFILES, set_ros_defaults

reliability, frames, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if "--profile" in sys.argv:
    set_ros_defaults()
else:
    for variable in FAST_DDS_PROFILES.values():
        os.environ.pop(variable, None)
rclpy.init(args=[])
node = rclpy.create_node("big_camera")
qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy[reliability.upper()])
publisher = node.create_publisher(Image, "image", qos)
while not publisher.get_subscription_count():
    time.sleep(0.02)
time.sleep(1.5)  # for the other side's match and for the time that a subscription needs to follow
shape = (48, 160, 3) if "--small" in sys.argv else (375, 1242, 3)
message = fill_image(Image(), np.random.default_rng(0).integers(0, 256, shape, np.uint8), "bgr8")
start = time.monotonic()
for index in range(frames):
    time.sleep(max(0.0, start + index / rate - time.monotonic()))
    stamp = node.get_clock().now()
    message.header.stamp = stamp.to_msg()
    publisher.publish(message)
    print(stamp.nanoseconds)
publisher.wait_for_all_acked(Duration(seconds=2))
time.sleep(1.0)
rclpy.try_shutdown()
