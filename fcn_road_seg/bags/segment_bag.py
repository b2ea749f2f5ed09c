"""Segmenting a bag offline: every frame, no drops, and the whole bag comes along.

An interrupted run leaves a file `<out>.resume` with the road probabilities that it has computed
(fcn_road_seg.bags.resume). With `resume` the next run writes the bag from its beginning, but takes those frames'
probabilities from that file instead of the network; so the result is the one that an uninterrupted run gives. The bag
itself appears only when it is complete.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.rosbag2 import Writer

from fcn_road_seg.bags.reader import BagError, BagReader, Connection, open_bag
from fcn_road_seg.bags.resume import ProbabilityLog
from fcn_road_seg.bags.writer import add_connection, check_out, new_bag, offered_qos
from fcn_road_seg.errors import DeviceLostError, UserError
from fcn_road_seg.frames.image_message import compressed_to_rgb, fill_image, image_to_rgb
from fcn_road_seg.frames.video import VideoWriter
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.threshold import threshold_mask

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JPEG_QUALITY = 80  # image_transport's
FRAMES_FOR_RATE = 20

Report = Callable[[str, Any], None]
"""Is told of progress: ("frames", total), ("frame", number done), ("note", sentence)."""


@dataclass(frozen=True)
class Job:
    """One bag to segment, and how."""

    bag: Path
    out: Path
    images: tuple[str, ...] = ()
    """Topics; none means the bag's only one."""
    namespace: str = "/road_seg"
    """Of the topics that are added; with more than one image topic, the topic's own name comes after it."""
    overlay: str = ""
    """"" for none, "compressed" (JPEG) or "raw" (bgr8)."""
    probability: bool = False
    threshold: float = 0.0
    """P(road), 0..1; 0 takes the weights'."""
    alpha: float = 0.5
    video: Path | None = None
    storage: str = "mcap"
    resume: bool = False
    force: bool = False

    def check(self) -> None:
        """Raises BagError if `out` cannot be written."""
        if self.out.resolve() == self.bag.resolve():
            raise BagError(f"{self.out} is the bag that is read: choose another name for the segmented one")
        check_out(self.out, self.force)
        if self.video and self.video.exists() and not self.force:
            raise BagError(f"{self.video} exists: choose another name, or replace it with --force")


def segment_bag(job: Job, segmenter: "RoadSegmenter", report: Report = lambda kind, value: None) -> dict[str, Any]:
    """Copy a bag and add masks, and overlays and probabilities if the job wants them.

    Every message is copied as it is. The added ones have their image's header and its recording time, and follow it.
    An image that cannot be read or segmented is reported and gets none.

    Returns:
        {"bag", "out", "frames", "masks", "resumed", "skipped", "cut_off", "seconds", "fps"}: frames that were read,
        masks that were written, of them those of an earlier run, frames without a mask, the sentence on a bag that
        was cut off or "", wall time, and masks that were computed per second.

    Raises:
        BagError: no bag, not the topic that was asked for, or `out` cannot be written.
        UserError: the device was lost; the message tells how to go on.
    """
    job.check()
    job.out.parent.mkdir(parents=True, exist_ok=True)
    with open_bag(job.bag) as bag:
        topics = image_topics(bag, job.images)
        report("frames", sum(c.message_count for c in bag.connections if c.topic in topics))
        if bag.cut_off:
            report("note", bag.cut_off)
        log = ProbabilityLog(job.out.with_name(job.out.name + ".resume"), _source(bag, topics, segmenter), job.resume)
        if log.found:
            report("note", f"{log.found} frames of {job.bag} were done before")
        counts = dict.fromkeys(("frames", "masks", "resumed", "skipped"), 0)
        start = time.perf_counter()
        with log, new_bag(job.out, job.storage, job.force) as writer, _video(job, bag, topics) as video:
            copies = {c: add_connection(writer, bag, c) for c in bag.connections}
            added = {topic: Outputs(job, bag, writer, topic if len(topics) > 1 else "") for topic in topics}
            numbers = dict.fromkeys(topics, -1)
            for connection, stamp, data in bag.messages():
                writer.write(copies[connection], stamp, data)
                if connection.topic not in topics:
                    continue
                topic, counts["frames"] = connection.topic, counts["frames"] + 1
                numbers[topic] += 1
                try:
                    message = bag.deserialize(data, connection.msgtype)
                    frame = to_rgb(message, connection)
                    place = topics.index(topic), numbers[topic], stamp
                    probability = log.get(*place)
                    if probability is None or probability.shape != frame.shape[:2]:
                        probability = segmenter(frame)
                        log.put(*place, probability)
                    else:
                        counts["resumed"] += 1
                except DeviceLostError as error:
                    raise UserError(f"{error}; start anew with --resume to go on from here") from None
                except UserError as error:
                    counts["skipped"] += 1
                    report("note", f"skipped: {topic} at {stamp // 10**9}.{stamp % 10**9:09} s: {error}")
                else:
                    counts["masks"] += 1
                    mask = threshold_mask(probability, job.threshold or segmenter.threshold)
                    picture = overlay(frame, mask, job.alpha) if job.overlay or video else None
                    added[topic].write(message.header, stamp, mask, probability, picture)
                    if video:
                        video(picture)
                report("frame", counts["frames"])
    if bag.cut_off:
        report("note", f"{bag.cut_off}; {counts['frames']} frames were there")
    seconds = time.perf_counter() - start
    fps = (counts["masks"] - counts["resumed"]) / seconds
    figures = {"cut_off": bag.cut_off, "seconds": round(seconds, 3), "fps": round(fps, 2)}
    return {"bag": str(job.bag), "out": str(job.out), **counts, **figures}


def image_topics(bag: BagReader, wanted: tuple[str, ...] = ()) -> list[str]:
    """The topics to segment.

    Raises:
        BagError: the bag has none, has several and none is `wanted`, or has not the one that is.
    """
    there = list(dict.fromkeys(c.topic for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)))
    names = ", ".join(sorted(there))
    if not there:
        raise BagError(f"{bag.path} has no images: no topic of it is {IMAGE} or {COMPRESSED}")
    for topic in wanted:
        if topic not in there:
            raise BagError(f"{bag.path} has no images on {topic}; it has them on {names}")
    if not wanted and len(there) > 1:
        raise BagError(f"{bag.path} has images on {names}: choose with --image")
    return list(dict.fromkeys(wanted)) or there


def to_rgb(message: Any, connection: Connection) -> np.ndarray:
    """The picture in an image message of either type, uint8 H x W x 3 RGB."""
    return image_to_rgb(message) if connection.msgtype == IMAGE else compressed_to_rgb(message)


class Outputs:
    """The topics that are added for one image topic."""

    def __init__(self, job: Job, bag: BagReader, writer: Writer, topic: str):
        self._store, self._writer = bag.typestore, writer
        kinds = {"mask": IMAGE}
        if job.overlay:
            kinds |= {"overlay": IMAGE} if job.overlay == "raw" else {"overlay/compressed": COMPRESSED}
        if job.probability:
            kinds["probability"] = IMAGE
        self._connections = {}
        for kind, msgtype in kinds.items():
            name = f"{job.namespace.rstrip('/')}{topic}/{kind}"
            if any(connection.topic == name for connection in bag.connections):
                raise BagError(f"{bag.path} already has {name}: choose another --namespace")
            self._connections[kind] = writer.add_connection(
                name, msgtype, typestore=self._store, offered_qos_profiles=offered_qos()
            )

    def write(
        self, header: Any, stamp: int, mask: np.ndarray, probability: np.ndarray, picture: np.ndarray | None
    ) -> None:
        """Write the messages of one frame; `picture` is the overlay, uint8 H x W x 3 RGB."""
        for kind, connection in self._connections.items():
            if kind == "overlay/compressed":
                jpeg = cv2.imencode(".jpg", picture[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1]
                message = self._store.types[COMPRESSED](header, "bgr8; jpeg compressed bgr8", jpeg.ravel())
            else:
                message = self._store.types[IMAGE](header, 0, 0, "", 0, 0, None)
                if kind == "overlay":
                    fill_image(message, picture[:, :, ::-1], "bgr8")
                else:
                    fill_image(message, mask if kind == "mask" else probability, "mono8")
                message.data = np.frombuffer(message.data, np.uint8)  # what rosbags serialises
            self._writer.write(connection, stamp, self._store.serialize_cdr(message, connection.msgtype))


def _source(bag: BagReader, topics: list[str], segmenter: "RoadSegmenter") -> dict[str, Any]:
    """All that the probabilities depend on."""
    files = sorted(bag.path.iterdir()) if bag.path.is_dir() else [bag.path]
    return {
        "bag": [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files],
        "topics": topics,
        "weights": segmenter.checkpoint.sha256,
        "network": [segmenter.network_width, segmenter.backend, segmenter.device_name, segmenter.precision],
    }


@contextmanager
def _video(job: Job, bag: BagReader, topics: list[str]) -> Iterator[Callable[[np.ndarray], None] | None]:
    """Takes the frames of the video, whose rate is that of the first frames in the bag."""
    if not job.video:
        yield None
        return
    times = [time for _, time, _ in islice(bag.messages(topics[:1]), FRAMES_FOR_RATE)]
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1e8
    size: list[int] = []

    def write(frame: np.ndarray) -> None:
        size[:] = size or frame.shape[1::-1]
        writer.write(frame if frame.shape[1::-1] == tuple(size) else cv2.resize(frame, size))

    with VideoWriter(job.video, 1e9 / max(period, 1)) as writer:
        yield write
