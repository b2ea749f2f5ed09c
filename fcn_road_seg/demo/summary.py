"""The results of a drive: figures, video and contact sheet."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.benchmark.percentiles import FAIR, spread
from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.demo.panel import panel
from fcn_road_seg.demo.run import Recording
from fcn_road_seg.demo.sheet import contact_sheet, evenly
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.video import VideoWriter

NODE_FIGURES = "weights", "device", "device name", "backend", "precision"
SHEET_COLUMNS, SHEET_ROWS = 2, 3
MOST_BESIDE = 3
"""Cameras side by side."""
WEBP_QUALITY = 60


def replaced(recording: Recording, rate: float) -> list[bool]:
    """For each frame sent, whether a newer one replaced it: at a `rate`, one without a mask before one with a mask."""
    latencies = recording.latencies
    last = max((index for index, latency in enumerate(latencies) if latency is not None), default=0) if rate else 0
    return [latency is None and index < last for index, latency in enumerate(latencies)]


def figures(
    answers: Sequence[tuple[DriveInBag, Recording]], rate: float, segment: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """The figures of the drives of a node's cameras, ready for JSON.

    Latencies are milliseconds from publishing a frame to receiving its mask in another process, None without masks;
    frames_equal counts recorded masks that equal, in every pixel, the mask of `segment` (uint8 H x W x 3 RGB -> uint8
    H x W); iou is a fraction over the frames with both ground truth and mask, None if there are none. If there are
    several cameras, these are under "cameras", by name; latency_p50_spread is the largest of their p50s divided by the
    smallest, None if a camera has no mask, and fair is whether it is at most `FAIR`.
    """
    drive, recording = answers[0]
    cameras = {each.camera: _of_camera(each, rate, answer, segment) for each, answer in answers}
    result = {"drive": drive.name, "rate": rate}
    if len(cameras) == 1:
        result |= cameras[drive.camera]
    else:
        ratio = spread(camera["latency_p50_ms"] for camera in cameras.values())
        fair = ratio is not None and ratio <= FAIR
        result |= {"cameras": cameras, "latency_p50_spread": ratio, "fair": fair}
    return result | {
        **{name.replace(" ", "_"): recording.node[name] for name in NODE_FIGURES},
        "network_width": int(recording.node["network width"]),
        "threshold": float(recording.node["weights threshold"]),
    }


def _of_camera(
    drive: DriveInBag, rate: float, recording: Recording, segment: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    counts, answered, equal = PixelCounts(), 0, 0
    for frame, mask, road in zip(drive.frames(), recording.masks(), drive.roads, strict=False):
        if mask is not None:
            answered += 1
            equal += np.array_equal(mask, segment(frame))
            if road is not None:
                counts.add(mask, road.astype(np.uint8))
    iou = counts.iou(threshold=0.5)
    latencies = [1000 * latency for latency in recording.latencies if latency is not None]
    p50, p99, most = np.percentile(latencies, (50, 99, 100)).round(2).tolist() if latencies else (None, None, None)
    seconds = (recording.arrivals[-1] - recording.arrivals[0]) / 1e9 if len(recording.arrivals) > 1 else 0
    return {
        "frames_sent": len(recording.stamps),
        "frames_answered": answered,
        "frames_replaced": sum(replaced(recording, rate)),
        "frames_equal": equal,
        "latency_p50_ms": p50,
        "latency_p99_ms": p99,
        "latency_max_ms": most,
        "fps": round((len(recording.arrivals) - 1) / seconds, 2) if seconds else None,
        "iou": None if iou is None else round(iou, 4),
    }


def write_pictures(
    answers: Sequence[tuple[DriveInBag, Recording]],
    rate: float,
    out: Path,
    animation: Path | None,
    progress: Callable[[Iterable], Iterable],
) -> tuple[Path, Path]:
    """Write a video of every frame's `panel`, and a contact sheet of some; those of several cameras are side by side.

    Args:
        rate: frames per second at which the drive was sent; 0: one by one, and the video has the recorded rate.
        animation: a file to write the panels to as an animated picture as well, see `write_animation`.

    Returns:
        The paths of the video (MP4) and of the sheet (PNG).
    """
    video, sheet = out / "overlay.mp4", out / "contact_sheet.png"
    video_rate = rate or answers[0][0].rate
    count = min(len(recording.stamps) for _, recording in answers)
    beside = math.ceil(len(answers) / math.ceil(len(answers) / MOST_BESIDE))
    sheet_columns = SHEET_COLUMNS if len(answers) == 1 else 1
    chosen = evenly(count, sheet_columns * SHEET_ROWS)
    sheet_pictures, animated = [], []
    with VideoWriter(video, video_rate) as writer:
        panels = zip(*(_panels(drive, rate, recording) for drive, recording in answers), strict=False)
        for index, of_cameras in enumerate(progress(panels)):
            picture = contact_sheet(of_cameras, beside)
            writer.write(picture)
            if index in chosen:
                sheet_pictures.append(picture)
            if animation:
                animated.append(picture)
    write_image(sheet, contact_sheet(sheet_pictures, sheet_columns))
    if animation:
        write_animation(animation, animated, video_rate)
    return video, sheet


def _panels(drive: DriveInBag, rate: float, recording: Recording) -> Iterator[np.ndarray]:
    """Every frame's `panel`, all in the size of the first."""
    of_camera = f"{drive.camera}: " if drive.camera else ""
    count, size = len(recording.stamps), None
    answers = zip(recording.masks(), recording.ground_outputs(), strict=True)
    frames = zip(drive.frames(), answers, recording.latencies, replaced(recording, rate), strict=False)
    for index, (frame, (mask, outputs), latency, newer) in enumerate(frames):
        took = "" if latency is None else f", mask after {1000 * latency:.0f} ms"
        caption = f"{of_camera}frame {index} ({count} in all){took}"
        picture = panel(frame, mask, outputs, caption, ground=bool(drive.camera_info), replaced=newer)
        size = size or (picture.shape[1], picture.shape[0])
        yield cv2.resize(picture, size)


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
