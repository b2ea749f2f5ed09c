"""The node for half an hour at 10 Hz, with bag loops and size changes: does its memory stay where it is?

    python test/soak.py [--minutes 30] [--weights FILE]

Not a part of the suite. Frames are synthetic; every 20 s the stamps start anew, as those of a looping bag do, and every
7 s the camera changes its size. Prints a line a minute, and at the end the figures: frames, masks, resident memory
after the first minute and at the end. Exit code 1 if they differ by more than 2 %, or if fewer than half of the frames
got a mask.
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
        began, resident, masks = time.monotonic(), [], 0
        for index in range(round(args.minutes * 60 * RATE)):
            seconds = index / RATE
            client.spin_for(max(0.0, began + seconds - time.monotonic()))
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
    f"({100 * growth:+.2f} %); exit code of the node {code}"
)
sys.exit(code or abs(growth) > 0.02 or masks < frames / 2)
