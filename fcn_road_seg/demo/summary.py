"""The results of a drive: figures, video and contact sheet."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.demo.panel import panel
from fcn_road_seg.demo.run import Recording
from fcn_road_seg.demo.sheet import contact_sheet, evenly
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.video import VideoWriter

NODE_FIGURES = "weights", "device", "device name", "backend", "precision"
SHEET_COLUMNS, SHEET_ROWS = 2, 3
WEBP_QUALITY = 60


def replaced(recording: Recording, rate: float) -> list[bool]:
    """For each frame sent, whether a newer one replaced it: at a `rate`, one without a mask before one with a mask."""
    latencies = recording.latencies
    last = max((index for index, latency in enumerate(latencies) if latency is not None), default=0) if rate else 0
    return [latency is None and index < last for index, latency in enumerate(latencies)]


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
        "frames_replaced": sum(replaced(recording, rate)),
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
    drive: DriveInBag,
    rate: float,
    recording: Recording,
    out: Path,
    animation: Path | None,
    progress: Callable[[Iterable], Iterable],
) -> tuple[Path, Path]:
    """Write a video of every frame's `panel`, and a contact sheet of some.

    Args:
        rate: frames per second at which the drive was sent; 0: one by one, and the video has the recorded rate.
        animation: a file to write the panels to as an animated picture as well, see `write_animation`.

    Returns:
        The paths of the video (MP4) and of the sheet (PNG).
    """
    video, sheet = out / "overlay.mp4", out / "contact_sheet.png"
    count, video_rate = len(recording.stamps), rate or drive.rate
    chosen = evenly(count, SHEET_COLUMNS * SHEET_ROWS)
    sheet_pictures, animated = [], []
    with VideoWriter(video, video_rate) as writer:
        answers = zip(recording.masks(), recording.ground_outputs(), strict=True)
        frames = zip(drive.frames(), answers, recording.latencies, replaced(recording, rate), strict=False)
        for index, (frame, (mask, outputs), latency, newer) in enumerate(progress(frames)):
            took = "" if latency is None else f", mask after {1000 * latency:.0f} ms"
            caption = f"frame {index} ({count} in all){took}"
            picture = panel(frame, mask, outputs, caption, ground=bool(drive.camera_info), replaced=newer)
            if index == 0:
                size = picture.shape[1], picture.shape[0]
            picture = cv2.resize(picture, size)  # all frames of a video have the same size
            writer.write(picture)
            if index in chosen:
                sheet_pictures.append(picture)
            if animation:
                animated.append(picture)
    write_image(sheet, contact_sheet(sheet_pictures, SHEET_COLUMNS))
    if animation:
        write_animation(animation, animated, video_rate)
    return video, sheet


def write_animation(path: Path, pictures: list[np.ndarray], rate: float) -> None:
    """Write pictures of equal size, uint8 H x W x 3 RGB, as an endless animation at `rate` pictures per second.

    Raises:
        OSError: the file cannot be written.
    """
    animation = cv2.Animation(0)
    animation.frames = [cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) for picture in pictures]
    animation.durations = [round(1000 / rate)] * len(pictures)
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]):
        raise OSError(f"cannot write the animation {path}")
