"""The results of a drive: figures, video and contact sheet."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.demo.birds_eye import birds_eye
from fcn_road_seg.demo.run import Recording
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.video import VideoWriter
from fcn_road_seg.postprocess.overlay import overlay

NODE_FIGURES = "weights", "device", "device name", "backend", "precision"
SHEET_COLUMNS, SHEET_ROWS = 3, 4
SHEET_WIDTH = 480
"""Width in pixels of each picture on the contact sheet."""


def figures(
    drive: DriveInBag, rate: float, recording: Recording, segment: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """The figures of a drive, ready for JSON.

    Latencies are milliseconds from publishing a frame to receiving its mask in another process, None without masks;
    frames_equal counts recorded masks that equal, in every pixel, the mask of `segment` (uint8 H x W x 3 RGB -> uint8
    H x W); iou is a fraction over the frames with both ground truth and mask, None if there are none.
    """
    counts, answered, equal = PixelCounts(), 0, 0
    for frame, mask, road in zip(drive.frames(), recording.masks(), drive.roads, strict=False):
        if mask is not None:
            answered += 1
            equal += np.array_equal(mask, segment(frame))
            if road is not None:
                counts.add(mask, road.astype(np.uint8))
    iou = counts.iou(threshold=0.5)
    latencies = [1000 * latency for latency in recording.latencies if latency is not None]
    p50, p99 = (round(float(p), 2) for p in np.percentile(latencies, (50, 99))) if latencies else (None, None)
    seconds = (recording.arrivals[-1] - recording.arrivals[0]) / 1e9 if len(recording.arrivals) > 1 else 0
    return {
        "drive": drive.name,
        "rate": rate,
        "frames_sent": len(recording.stamps),
        "frames_answered": answered,
        "frames_equal": equal,
        "latency_p50_ms": p50,
        "latency_p99_ms": p99,
        "fps": round((len(recording.arrivals) - 1) / seconds, 2) if seconds else None,
        "iou": None if iou is None else round(iou, 4),
        **{name.replace(" ", "_"): recording.node[name] for name in NODE_FIGURES},
        "network_width": int(recording.node["network width"]),
        "threshold": float(recording.node["weights threshold"]),
    }


def write_pictures(
    drive: DriveInBag, rate: float, recording: Recording, out: Path, progress: Callable[[Iterable], Iterable]
) -> tuple[Path, Path]:
    """Write the overlay video and the contact sheet; a frame without a mask is shown untinted.

    If the drive has a calibration, the sheet also shows the bird's-eye view of each frame, see `birds_eye`.

    Returns:
        The paths of the video (MP4) and of the sheet (PNG).
    """
    video, sheet = out / "overlay.mp4", out / "contact_sheet.png"
    count = len(recording.stamps)
    chosen = set(np.linspace(0, count - 1, min(count, SHEET_COLUMNS * SHEET_ROWS)).round().astype(int).tolist())
    pictures = []
    with VideoWriter(video, rate) as writer:
        frames = zip(drive.frames(), recording.masks(), recording.ground_outputs(), strict=False)
        for index, (frame, mask, outputs) in enumerate(progress(frames)):
            if index == 0:
                size = frame.shape[1], frame.shape[0]
            if mask is not None:
                frame = overlay(frame, mask)
            frame = cv2.resize(frame, size)  # all frames of a video have the same size
            writer.write(frame)
            if index in chosen:
                height = max(1, round(SHEET_WIDTH * size[1] / size[0]))
                picture = cv2.resize(frame, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)
                if drive.camera_info:
                    picture = np.vstack([picture, birds_eye(outputs, SHEET_WIDTH)])
                pictures.append(picture)
    write_image(sheet, contact_sheet(pictures))
    return video, sheet


def contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Arrange pictures of equal size, uint8 H x W x 3, in rows; empty positions are black."""
    columns = min(SHEET_COLUMNS, len(pictures))
    pictures = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    return np.vstack([np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)])
