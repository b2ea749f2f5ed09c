"""What came of a drive, in figures and pictures."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.demo.birds_eye import birds_eye
from fcn_road_seg.demo.run import Answers
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.video import VideoWriter
from fcn_road_seg.postprocess.overlay import overlay

NODE_FIGURES = "weights", "device", "device name", "backend", "precision"
SHEET_COLUMNS, SHEET_ROWS = 3, 4
SHEET_WIDTH = 480
"""Width in pixels of a picture on the contact sheet."""


def figures(
    drive: DriveInBag, rate: float, answers: Answers, segment: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """The figures of a drive, ready for JSON.

    Latencies are milliseconds from publishing a frame to the arrival of its mask in another process, None if none came;
    frames_equal counts recorded masks that are, in every pixel, what `segment` gives for the frame (uint8 H x W x 3
    RGB -> mask, uint8 H x W); iou is a fraction over the frames whose truth is known and that were answered, None if
    there are none.
    """
    counts, answered, equal = PixelCounts(), 0, 0
    for frame, mask, road in zip(drive.frames(), answers.masks(), drive.roads, strict=False):
        if mask is not None:
            answered += 1
            equal += np.array_equal(mask, segment(frame))
            if road is not None:
                counts.add(mask, road.astype(np.uint8))
    iou = counts.iou(threshold=0.5)
    latencies = [1000 * latency for latency in answers.latencies if latency is not None]
    p50, p99 = (round(float(p), 2) for p in np.percentile(latencies, (50, 99))) if latencies else (None, None)
    seconds = (answers.arrivals[-1] - answers.arrivals[0]) / 1e9 if len(answers.arrivals) > 1 else 0
    return {
        "drive": drive.name,
        "rate": rate,
        "frames_sent": len(answers.stamps),
        "frames_answered": answered,
        "frames_equal": equal,
        "latency_p50_ms": p50,
        "latency_p99_ms": p99,
        "fps": round((len(answers.arrivals) - 1) / seconds, 2) if seconds else None,
        "iou": None if iou is None else round(iou, 4),
        **{name.replace(" ", "_"): answers.node[name] for name in NODE_FIGURES},
        "network_width": int(answers.node["network width"]),
        "threshold": float(answers.node["weights threshold"]),
    }


def write_pictures(
    drive: DriveInBag, rate: float, answers: Answers, out: Path, progress: Callable[[Iterable], Iterable]
) -> tuple[Path, Path]:
    """Write the overlay video and the contact sheet; a frame without an answer is shown untinted.

    Where the drive has a calibration, the sheet shows each frame's road from above as well, see `birds_eye`.

    Returns:
        The paths of the video (MP4) and of the sheet (PNG).
    """
    video, sheet = out / "overlay.mp4", out / "contact_sheet.png"
    count = len(answers.stamps)
    chosen = set(np.linspace(0, count - 1, min(count, SHEET_COLUMNS * SHEET_ROWS)).round().astype(int).tolist())
    pictures = []
    with VideoWriter(video, rate) as writer:
        answered = zip(drive.frames(), answers.masks(), answers.in_metres(), strict=False)
        for index, (frame, mask, in_metres) in enumerate(progress(answered)):
            if index == 0:
                size = frame.shape[1], frame.shape[0]
            if mask is not None:
                frame = overlay(frame, mask)
            frame = cv2.resize(frame, size)  # a video has one size
            writer.write(frame)
            if index in chosen:
                height = max(1, round(SHEET_WIDTH * size[1] / size[0]))
                picture = cv2.resize(frame, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)
                if drive.camera_info:
                    picture = np.vstack([picture, birds_eye(in_metres, SHEET_WIDTH)])
                pictures.append(picture)
    write_image(sheet, contact_sheet(pictures))
    return video, sheet


def contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size, uint8 H x W x 3, side by side in rows; missing ones are black."""
    columns = min(SHEET_COLUMNS, len(pictures))
    pictures = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    return np.vstack([np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)])
