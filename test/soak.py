"""Soak test: run the node at 10 Hz for half an hour with bag loops and size changes, and check its memory.

    python test/soak.py [--minutes 30] [--weights FILE]

Not part of the test suite. The frames are synthetic; the stamps restart every 20 s, as in a looping bag, and the image
size changes every 7 s. Prints a line per minute, and finally the number of frames and masks and the resident memory
after the first minute and at the end. Exits with code 1 if these differ by more than 2 %, or if fewer than half of the
frames got a mask.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from node_harness import Client, NodeProcess, frame_message

from fcn_road_seg.synthetic import SyntheticDrive

RATE, LOOP, SIZE_CHANGE = 10, 20, 7  # Hz, seconds, seconds
SIZES = (1242, 375), (1241, 376), (1224, 370), (621, 188)
DOMAIN_ID = 101

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--minutes", type=float, default=30)
parser.add_argument("--weights", default="")
args = parser.parse_args()

image = np.ascontiguousarray(SyntheticDrive(seed=0, frames=1)[0].image[:, :, ::-1])
pictures = [cv2.resize(image, size) for size in SIZES]
with tempfile.TemporaryDirectory() as folder:
    node = NodeProcess(DOMAIN_ID, Path(folder) / "log", **({"weights": args.weights} if args.weights else {}))
    client = Client(DOMAIN_ID)
    try:
        node.wait_for_output("Listening to /image")
        camera = client.camera()
        start, resident, masks = time.monotonic(), [], 0
        for index in range(round(args.minutes * 60 * RATE)):
            seconds = index / RATE
            client.spin_for(max(0.0, start + seconds - time.monotonic()))
            message = frame_message(pictures[int(seconds / SIZE_CHANGE) % len(pictures)], "bgr8", 0)
            stamp = 1_000_000_000 + seconds % LOOP
            message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), round(stamp % 1 * 1e9)
            camera.publish(message)
            if index % (60 * RATE) == 60 * RATE - 1:
                resident.append(node.resident() / 1e6)
                masks += len(client.masks)
                client.masks.clear()
                client.mask_sent.clear()
                print(f"{len(resident)} min: {masks} masks, {resident[-1]:.1f} MB", flush=True)
        client.spin_for(1.0)
        masks += len(client.masks)
        resident.append(node.resident() / 1e6)
    finally:
        client.close()
        code = node.stop()
frames = index + 1
growth = resident[-1] / resident[0] - 1
print(
    f"{frames} frames, {masks} masks; resident {resident[0]:.1f} MB after a minute, {resident[-1]:.1f} MB at the end "
    f"({100 * growth:+.2f} %); the node exited with code {code}"
)
sys.exit(code or abs(growth) > 0.02 or masks < frames / 2)
