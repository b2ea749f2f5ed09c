"""Finds instances beside the masks: when, in which frames, and in which thread."""

import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from fcn_road_seg.errors import FrameError, first_line
from fcn_road_seg.instances.instances import Instances
from fcn_road_seg.ros.diagnostics import OK, STALE, WARN, Report
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_statistics import WINDOW, unless_old
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.scope import logger_of
from fcn_road_seg.ros.segmented_frame import SegmentedFrame, age
from fcn_road_seg.ros.steady_clock import STEADY

if TYPE_CHECKING:
    from fcn_road_seg.instances.detector import InstanceDetector


Found = tuple[Instances, float]
"""The instances of a frame, and the seconds that it took to find them."""


class InstanceOutputs(Protocol):
    """Outputs with instances."""

    @property
    def wants_instances(self) -> bool:
        """Whether one of them is subscribed to."""

    def publish_instances(self, frame: SegmentedFrame) -> None:
        """Publish those that are subscribed to, of a frame with instances."""


class Answer(NamedTuple):
    """One frame whose instances were found."""

    when: float  # seconds, on the steady clock
    seconds: float  # that it took
    age: float | None  # seconds from the frame's stamp to publication; None if unknown
    number: int  # of instances


class InstanceDetection:
    """Finds the instances of frames while an output with instances is subscribed to.

    It never delays a mask: it starts with a frame that has its mask, if it is not busy with another, in a thread of its
    own that yields to all others; the frames between are left out. The node's own thread publishes the answer. With
    subtract_instances it runs before the mask instead, in every frame.

    Args:
        node: logs.
        outputs: what is published of the instances.
        faults: records unexpected exceptions.
        camera: the camera's name, if there are several.
    """

    def __init__(self, node: Node, outputs: tuple[InstanceOutputs, ...], faults: FaultLog, camera: str = ""):
        self._node, self._outputs, self._faults = node, outputs, faults
        self._logger = logger_of(node, camera)
        self._detector: InstanceDetector | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._running: tuple[SegmentedFrame, Future[Found]] | None = None
        self._done = node.create_guard_condition(faults.guard("Publishing instances failed", self._on_done, None))
        self._answers: deque[Answer] = deque()
        self._seconds = 0.0  # that the last frame took
        self._due = 0.0  # on the steady clock: when the next frame may be looked at
        self._failed = 0
        self._failure = ""  # of the last frame; empty if it has its instances

    def start(self, detector: "InstanceDetector", thread: ThreadPoolExecutor) -> None:
        """Begin with a detector in a thread, both of which may serve other cameras as well."""
        self._detector, self._thread = detector, thread

    def find(self, image: np.ndarray, hidden: np.ndarray | None, parameters: NodeParameters) -> Instances | None:
        """The instances of a frame, to be cut out of its road; None without subtract_instances.

        Raises:
            FrameError: out of memory.
        """
        if not parameters.subtract_instances:
            return None
        instances, self._seconds = self._submit(image, hidden, parameters).result()
        return instances

    def _submit(self, image: np.ndarray, hidden: np.ndarray | None, parameters: NodeParameters) -> "Future[Found]":
        assert self._detector is not None and self._thread is not None, "instances are looked for after the start"
        return self._thread.submit(_find, self._detector, image, hidden, parameters.instances_min_score)

    def publish(self, frame: SegmentedFrame) -> None:
        """Publish the frame's instances, or begin to look for them; see the class."""
        if frame.instances is not None:
            return self._publish(frame)
        if self._detector is None:
            return
        if not self._wanted():
            self._answers.clear()
            return
        now, fps = time.monotonic(), frame.parameters.instances_max_fps
        if self._running is not None or (fps and now < self._due):
            return
        period = 1 / fps if fps else 0.0
        self._due = (self._due if now - self._due < period else now) + period  # on average no slower than fps
        future = self._submit(frame.image, frame.hidden, frame.parameters)
        self._running = frame, future
        future.add_done_callback(self._wake)

    def _wake(self, _: object) -> None:
        with suppress(rclpy_implementation.InvalidHandle):  # the node was destroyed meanwhile
            self._done.trigger()

    def _on_done(self) -> None:
        if self._running is None or not self._running[1].done():  # stopped meanwhile
            return
        (frame, future), self._running = self._running, None
        try:
            instances, self._seconds = future.result()
            self._publish(replace(frame, instances=instances))
        except FrameError as error:
            self._fail(str(error))
        except Exception as error:
            self._faults.record("A frame has no instances", error)
            self._fail(f"{type(error).__name__}: {first_line(error)}")
        finally:
            del frame, future  # the traceback of its exception refers to this call

    def _fail(self, why: str) -> None:
        self._failed += 1
        self._failure = why
        self._logger.warning(
            f"A frame has no instances ({self._failed} so far): {why}",
            throttle_duration_sec=1.0,
            throttle_time_source_type=STEADY,
        )

    def _publish(self, frame: SegmentedFrame) -> None:
        assert frame.instances is not None, "instances have been found"
        for outputs in self._outputs:
            with self._faults.survived("An output with instances is not published"):
                outputs.publish_instances(frame)
        self._failure = ""
        clock = self._node.get_clock()
        self._answers.append(Answer(time.monotonic(), self._seconds, age(clock, frame.stamp), len(frame.instances)))

    def _wanted(self) -> bool:
        return any(outputs.wants_instances for outputs in self._outputs)

    def report(self) -> Report:
        """How many instances there are, how long it takes to find them, and how old they are then."""
        now, wanted = time.monotonic(), self._wanted()
        while len(self._answers) > 1 and self._answers[0].when < now - WINDOW:
            self._answers.popleft()
        if self._detector is None:
            sentence = "an output with instances is subscribed to, but the parameter instances is false"
            return Report("instances", WARN, sentence, {}) if wanted else Report("instances", OK, "off", {})
        values = {name: getattr(self._detector, name) for name in ("device", "backend", "precision")}
        if self._detector.checkpoint is not None:
            values |= {
                "weights": str(self._detector.checkpoint.path),
                "weights SHA-256": self._detector.checkpoint.sha256,
            }
        if self._failed:
            values["frames that failed"] = str(self._failed)
        if self._failure:
            return Report("instances", WARN, f"the last frame has no instances: {self._failure}", values)
        if not self._answers:
            waits = Report("instances", STALE, "unknown until the first frame with instances", values)
            return waits if wanted else Report("instances", OK, "no output with instances is subscribed to", values)
        last, first = self._answers[-1], self._answers[0]
        rate = (len(self._answers) - 1) / max(last.when - first.when, 1e-9)
        values |= {"instances": str(last.number), "output rate (Hz)": f"{rate:.2f}"}
        ages = [answer.age for answer in self._answers if answer.age is not None]
        for name, durations in (("detection", [answer.seconds for answer in self._answers]), ("age at publish", ages)):
            if durations:
                p50, p99 = np.percentile(durations, (50, 99)) * 1000
                values |= {f"{name} p50 (ms)": f"{p50:.2f}", f"{name} p99 (ms)": f"{p99:.2f}"}
        there = "one instance" if last.number == 1 else f"{last.number} instances"
        median = values["detection p50 (ms)"]
        sentence = f"{there} in the last frame; {rate:.1f} frames per second, each takes {median} ms"
        return unless_old(Report("instances", OK, sentence, values), "frame with instances", now - last.when)

    def stop(self) -> None:
        """Forget the frame that is being looked at, and past ones."""
        self._running = None
        self._answers.clear()
        self._failure = ""

    def release(self) -> None:
        """Stop, and forget the detector."""
        self.stop()
        self._detector = self._thread = None


def detection_thread(values: NodeParameters) -> ThreadPoolExecutor:
    """The thread in which instances are found, one frame after the other; `shutdown` waits for the last."""
    at_leisure = None if values.subtract_instances else lambda: os.nice(19)  # on Linux for this thread only
    return ThreadPoolExecutor(1, "instances", at_leisure)


def warm_up(detector: "InstanceDetector", thread: ThreadPoolExecutor, height: int, width: int) -> None:
    """Run once on a grey frame of this size, in pixels, so that the first real frame is not slow."""
    thread.submit(detector.detect, np.full((height, width, 3), 128, np.uint8)).result()


def _find(detector: "InstanceDetector", image: np.ndarray, hidden: np.ndarray | None, least_score: float) -> Found:
    began = time.perf_counter()
    detector.least_score = least_score
    instances = detector.detect(image).without_own_vehicle(hidden)
    return instances, time.perf_counter() - began
