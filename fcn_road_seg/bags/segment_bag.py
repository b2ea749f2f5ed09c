"""Segments a bag offline: every frame, without drops, into a copy of the bag.

An interrupted run leaves a file `<out>.resume` with the road probabilities computed so far
(fcn_road_seg.bags.resume). With `resume` the next run writes the bag from the beginning, but reads the probabilities
of those frames from the file instead of running the network, so the result equals that of an uninterrupted run. The
bag appears only when it is complete.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from rosbags.rosbag2 import Writer

from fcn_road_seg.bags.reader import BagError, BagReader, Connection, open_bag
from fcn_road_seg.bags.resume import ProbabilityLog
from fcn_road_seg.bags.settings import KEY, network_settings
from fcn_road_seg.bags.skipped_frames import SkippedFrames
from fcn_road_seg.bags.writer import add_connection, check_out, new_bag, offered_qos
from fcn_road_seg.errors import DeviceLostError, UserError
from fcn_road_seg.files.input import visible
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_message import compressed_to_rgb, fill_compressed, fill_image, image_to_rgb
from fcn_road_seg.frames.video import VideoWriter
from fcn_road_seg.postprocess.overlay import ALPHA, overlay
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_mask

if TYPE_CHECKING:
    from fcn_road_seg.inference.checkpoint import Checkpoint
    from fcn_road_seg.inference.segmenter import RoadSegmenter

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JPEG_QUALITY = 80  # the default of image_transport
FRAMES_FOR_RATE = 20

Report = Callable[[str, Any], None]
"""Called with progress: ("frames", total), ("frame", number done), ("note", sentence)."""


@dataclass(frozen=True)
class Job:
    """A bag to segment, and the options."""

    bag: Path
    out: Path
    images: tuple[str, ...] = ()
    """Topics; empty for the bag's only image topic."""
    namespace: str = "/road_seg"
    """Of the added topics; with more than one image topic, followed by the topic's name."""
    overlay: str = ""
    """"" for none, "compressed" (JPEG) or "raw" (bgr8)."""
    probability: bool = False
    threshold: float = 0.0
    """P(road), 0..1; 0 for the threshold of the weights."""
    min_region: float = 0.0
    """Share of the image, 0..1; smaller islands of road are dropped, and smaller holes in it filled."""
    alpha: float = ALPHA
    video: Path | None = None
    storage: str = ""
    version: Literal[8, 9] | None = None
    """Of the bag's metadata; it and `storage` as in `new_bag`."""
    resume: bool = False
    force: bool = False

    @property
    def log(self) -> Path:
        """The file from which an interrupted run resumes."""
        return self.out.with_name(self.out.name + ".resume")

    def settings(self, checkpoint: "Checkpoint", network: dict[str, Any]) -> dict[str, Any]:
        """What decides the messages that are added to the bag; `network` is from `network_settings`."""
        files = visible(self.bag) if self.bag.is_dir() else [self.bag]
        return network | {
            "input": [[file.name, file.stat().st_size] for file in files],
            "topics": self.images,
            "namespace": self.namespace,
            "overlay": self.overlay and [self.overlay, self.alpha],
            "probability": self.probability,
            "threshold": self.threshold or checkpoint.metadata.threshold,
            "min-region": self.min_region,
        }

    def check(self) -> None:
        """Raise BagError if `out` cannot be written."""
        if self.out.resolve() == self.bag.resolve():
            raise BagError(f"{self.out} is the input bag: choose another name for the output")
        check_out(self.out, self.force)
        if self.video and self.video.exists() and not self.force:
            raise BagError(f"{self.video} exists: choose another name, or replace it with --force")


def segment_bag(job: Job, segmenter: "RoadSegmenter", report: Report = lambda kind, value: None) -> dict[str, Any]:
    """Copy a bag and add masks, and overlays and probabilities if the job requests them.

    Every message is copied unchanged. The added messages follow their image, with its header and recording time. An
    image that cannot be decoded or segmented is reported, once for each reason, and skipped.

    Returns:
        {"bag", "out", "frames", "masks", "resumed", "skipped", "lost", "cut_off", "seconds", "fps"}: number of frames
        read, of masks written, of masks among these from an earlier run, of frames without a mask, and of messages
        that a damaged bag promises but does not have; the sentence about a truncated or damaged bag or ""; wall time;
        and masks computed per second.

    Raises:
        BagError: the bag or the topic does not exist, or `out` cannot be written.
        UserError: the device was lost; the message tells how to continue.
    """
    job.check()
    job.out.parent.mkdir(parents=True, exist_ok=True)
    with open_bag(job.bag) as bag:
        topics = image_topics(bag, job.images)
        report("frames", sum(c.message_count for c in bag.connections if c.topic in topics))
        if bag.cut_off:
            report("note", bag.cut_off)
        network = network_settings(segmenter.checkpoint, segmenter.network_width, segmenter.own_vehicle)
        running = {"backend": segmenter.backend, "precision": segmenter.precision, "network": segmenter.network_sha256}
        source = network | running | _source(bag, topics, segmenter)
        log = ProbabilityLog(job.log, source, job.resume)
        if log.found:
            report("note", f"{log.found} frames of {job.bag} are already done")
        if log.other:
            report("note", f"{job.log} is of other settings ({', '.join(log.other)}): all frames are segmented again")
        counts = dict.fromkeys(("frames", "masks", "resumed", "skipped"), 0)
        threshold = job.threshold or segmenter.threshold
        skipped = SkippedFrames(partial(report, "note"))
        bit_depths = {topic: BitDepth(partial(report, "note")) for topic in topics}
        start = time.perf_counter()
        with log, new_bag(job.out, job.storage, job.force, job.version) as writer, _video(job, bag, topics) as video:
            settings = job.settings(segmenter.checkpoint, network)
            writer.set_custom_data(KEY, json.dumps(settings | running, sort_keys=True))
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
                    frame = to_rgb(message, connection, bit_depths[topic])
                    place = topics.index(topic), numbers[topic], stamp
                    probability = log.get(*place)
                    if probability is None or probability.shape != frame.shape[:2]:
                        probability = segmenter(frame)
                        log.put(*place, probability)
                    else:
                        counts["resumed"] += 1
                except DeviceLostError as error:
                    raise UserError(f"{error}; run again with --resume to continue from here") from None
                except UserError as error:
                    counts["skipped"] += 1
                    skipped.add(topic, stamp, error)
                else:
                    counts["masks"] += 1
                    hidden = segmenter.hidden(*probability.shape)
                    probability = without_small_regions(probability, threshold, job.min_region, hidden)
                    mask = threshold_mask(probability, threshold)
                    tinted = overlay(frame, mask, job.alpha) if job.overlay or video else frame
                    added[topic].write(message.header, stamp, mask, probability, tinted)
                    if video:
                        video(tinted)
                report("frame", counts["frames"])
    skipped.tell_rest()
    if bag.cut_off:
        report("note", f"{bag.cut_off}; it has {counts['frames']} readable frames")
    seconds = time.perf_counter() - start
    fps = (counts["masks"] - counts["resumed"]) / seconds
    figures = {"lost": bag.lost, "cut_off": bag.cut_off, "seconds": round(seconds, 3), "fps": round(fps, 2)}
    return {"bag": str(job.bag), "out": str(job.out), **counts, **figures}


def image_topics(bag: BagReader, wanted: tuple[str, ...] = ()) -> list[str]:
    """The topics to segment.

    Raises:
        BagError: the bag has no image topic, has several but none is `wanted`, or lacks a wanted one.
    """
    found = list(dict.fromkeys(c.topic for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)))
    names = ", ".join(sorted(found))
    if not found:
        raise BagError(f"{bag.path} has no images: none of its topics has the type {IMAGE} or {COMPRESSED}")
    for topic in wanted:
        if topic not in found:
            raise BagError(f"{bag.path} has no images on {topic}; its image topics are {names}")
    if not wanted and len(found) > 1:
        raise BagError(f"{bag.path} has several image topics, {names}: choose with --image")
    return list(dict.fromkeys(wanted)) or found


def to_rgb(message: Any, connection: Connection, bit_depth: BitDepth) -> np.ndarray:
    """Decode an image message of either type to uint8 H x W x 3 RGB."""
    decode = image_to_rgb if connection.msgtype == IMAGE else compressed_to_rgb
    return decode(message, bit_depth=bit_depth)


class Outputs:
    """The topics added for one image topic."""

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

    def write(self, header: Any, stamp: int, mask: np.ndarray, probability: np.ndarray, tinted: np.ndarray) -> None:
        """Write the messages of one frame; `tinted` is the overlay, uint8 H x W x 3 RGB."""
        message: Any
        for kind, connection in self._connections.items():
            if kind == "overlay/compressed":
                message = self._store.types[COMPRESSED](header, "", b"")
                fill_compressed(message, tinted[:, :, ::-1], JPEG_QUALITY)
            else:
                message = self._store.types[IMAGE](header, 0, 0, "", 0, 0, b"")
                if kind == "overlay":
                    fill_image(message, tinted[:, :, ::-1], "bgr8")
                else:
                    fill_image(message, mask if kind == "mask" else probability, "mono8")
            message.data = np.frombuffer(message.data, np.uint8)  # the form that rosbags serialises
            self._writer.write(connection, stamp, self._store.serialize_cdr(message, connection.msgtype))


def _source(bag: BagReader, topics: list[str], segmenter: "RoadSegmenter") -> dict[str, Any]:
    """What the probabilities depend on besides the network."""
    files = visible(bag.path) if bag.path.is_dir() else [bag.path]
    return {
        "input": [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files],
        "topics": topics,
        "device": segmenter.device_name,
    }


@contextmanager
def _video(job: Job, bag: BagReader, topics: list[str]) -> Iterator[Callable[[np.ndarray], None] | None]:
    """A function that writes a frame to the video, at the rate of the bag's first frames; None without a video."""
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
