"""Time of each copy on the way of a frame and its mask between a message, DDS and NumPy."""

import time

import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.benchmark.percentiles import percentiles_ms
from fcn_road_seg.frames.image_message import fill_image, image_to_rgb
from fcn_road_seg.ros.qos import take_all

FRAME_SIZES = (1242, 375), (1920, 1080)
"""Width and height in pixels."""
WARM_UP = 3
LOST = 1.0
"""Seconds after which a message counts as lost."""
QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)


def time_copies(node: Node, iterations: int) -> dict[str, dict[str, float]]:
    """Time the copies for bgr8 frames of each of `FRAME_SIZES`; what is published is received in the same process.

    Args:
        node: has publishers and subscriptions meanwhile; nobody spins it.

    Returns:
        p50 in milliseconds by frame size, such as "1242x375", and copy.
    """
    return {f"{width}x{height}": _time_copies(node, width, height, iterations) for width, height in FRAME_SIZES}


def _time_copies(node: Node, width: int, height: int, iterations: int) -> dict[str, float]:
    frame = fill_image(Image(), np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), "bgr8")
    mask = np.zeros((height, width), np.uint8)
    received = filled = Image()
    topics = "copied_image", "copied_mask"
    image_publisher, mask_publisher = (node.create_publisher(Image, topic, QOS) for topic in topics)
    image_subscription, mask_subscription = (
        node.create_subscription(Image, topic, lambda _: None, QOS) for topic in topics
    )

    def take(_: int) -> None:
        nonlocal received
        taken, again = list[Image](), time.monotonic() + LOST
        while not taken:
            if time.monotonic() > again:  # the first can be lost, while only one side knows of the other
                image_publisher.publish(frame)
                again += LOST
            take_all(image_subscription, taken.append)
        received = taken[0]

    def fill(_: int) -> None:
        nonlocal filled
        filled = fill_image(Image(), mask, "mono8")

    copies = {
        "publish image": lambda _: image_publisher.publish(frame),
        "take image": take,
        "decode": lambda _: image_to_rgb(received),
        "fill mask": fill,
        "publish mask": lambda _: mask_publisher.publish(filled),
    }
    try:
        seconds = interleaved(list(copies.values()), iterations, WARM_UP)
    finally:
        for publisher in (image_publisher, mask_publisher):
            node.destroy_publisher(publisher)
        for subscription in (image_subscription, mask_subscription):
            node.destroy_subscription(subscription)
    return {name: percentiles_ms(taken)["p50"] for name, taken in zip(copies, seconds, strict=True)}
