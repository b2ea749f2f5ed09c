"""What the node says of itself on /diagnostics: rates, latencies, drops, the device, the road.

Counting and judging know no ROS; `diagnostic_array` puts the result into its message.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

OK, WARN, ERROR, STALE = range(4)  # diagnostic_msgs/DiagnosticStatus

WINDOW = 10.0  # seconds that rates and percentiles look back
NO_IMAGE = 2.0  # seconds without an image that are worth a warning
STALE_AFTER = 10.0  # ... and after which nothing here is news
JUMP = 0.25  # of the image: the road does not grow or shrink by that from one mask to the next
VANISHED, SEEN = 0.005, 0.02  # of the image: less is no road; the median that makes it a surprise
CLOCK_TOLERANCE = 0.05  # seconds in the future; /clock at 40 Hz lags by half of that
LATE_SHARE = 0.05  # of the masks may break the age bound
ALARM_WINDOW = 2.0  # seconds in which more than half of the frames must look wrong


class Report(NamedTuple):
    """One status: its subject, level, sentence and figures."""

    subject: str
    level: int
    sentence: str
    values: dict[str, str]


class Answer(NamedTuple):
    """One frame that got its mask."""

    when: float  # seconds, this clock
    seconds: dict[str, float]  # by stage
    age_at_arrival: float | None  # seconds from the frame's stamp; None where it has none
    age: float | None  # ... when the mask went out
    road_fraction: float
    alarm: str  # see `out_of_domain.alarm`


class FrameStatistics:
    """Counts what happens to frames, and remembers the last `WINDOW` seconds.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.dropped: Counter[str] = Counter()
        self.skipped = 0
        self.went_back = 0
        self.last_stamp = 0
        self.last_drop = ""
        self._answered = 0
        self._heard = False
        self._road_seen = False
        self._started = self._last_event = clock()
        self._arrivals: deque[tuple[float, int]] = deque()  # when, frames sent since the one before
        self._drops: deque[float] = deque()
        self._answers: deque[Answer] = deque()
        self._sequence: dict[Any, int] = {}

    def restart(self) -> None:
        """The node listens from now on: nothing that came before is recent. The totals stay."""
        self._started = self._last_event = self._clock()
        self._heard = self._road_seen = False
        for recent in (self._arrivals, self._drops, self._answers, self._sequence):
            recent.clear()

    def arrived(self, stamp: int, publisher: Any, sequence: int | None) -> None:
        """A frame was taken from DDS.

        Args:
            stamp: nanoseconds; 0 where there is none.
            publisher: who sent it, anything hashable.
            sequence: the publisher's number of it, None where ROS does not tell (before Kilted); the numbers left out
                were replaced by newer frames, or lost.
        """
        skipped = 0
        if sequence is not None:
            skipped = max(sequence - self._sequence.get(publisher, sequence) - 1, 0)
            self._sequence[publisher] = sequence
        self.skipped += skipped
        self.went_back += 0 < stamp < self.last_stamp
        self.last_stamp = stamp or self.last_stamp
        self._heard, self._last_event = True, self._clock()
        self._arrivals.append((self._last_event, 1 + skipped))

    def drop(self, reason: str, sentence: str) -> int:
        """A frame gets no mask; returns how many did so far."""
        self.dropped[reason] += 1
        self.last_drop = sentence
        self._last_event = self._clock()
        self._drops.append(self._last_event)
        return self.dropped.total()

    def answered(
        self,
        seconds: dict[str, float],
        age_at_arrival: float | None,
        age: float | None,
        road_fraction: float,
        alarm: str = "",
    ) -> None:
        """A mask went out."""
        self._answered += 1
        self._last_event = self._clock()
        self._answers.append(Answer(self._last_event, seconds, age_at_arrival, age, road_fraction, alarm))

    def reports(self) -> list[Report]:
        """Frames, latency, road and scene of an active node, judged now."""
        now = self._clock()
        for recent, when in ((self._arrivals, lambda a: a[0]), (self._drops, float), (self._answers, lambda a: a.when)):
            while recent and when(recent[0]) < now - WINDOW:
                recent.popleft()
        seconds = min(WINDOW, max(now - self._started, 1e-9))
        rate_in = sum(count for _, count in self._arrivals) / seconds
        silence = now - self._last_event
        frames = self._frames(silence, rate_in, len(self._answers) / seconds)
        return [frames, self._latency(rate_in), self._road(), self._scene(now)]

    def _frames(self, silence: float, rate_in: float, rate_out: float) -> Report:
        level, sentence = OK, f"{rate_in:.1f} frames a second come in, {rate_out:.1f} masks go out"
        if silence > NO_IMAGE:
            level = WARN if silence < STALE_AFTER else STALE
            none = f"no image has come for {silence:.0f} s" if self._heard else "no image has ever come"
            sentence = f"{none}: is the camera running, and the topic right? road_seg doctor looks"
        elif self._drops:
            level = WARN if self._answers else ERROR
            sentence = f"{len(self._drops)} frames dropped in the last {WINDOW:.0f} s, lately because {self.last_drop}"
        values = {
            "input rate (Hz)": f"{rate_in:.2f}",
            "output rate (Hz)": f"{rate_out:.2f}",
            "frames answered": str(self._answered),
            "frames replaced by newer ones or lost": str(self.skipped),
            "frames dropped": str(self.dropped.total()),
            **{f"frames dropped: {reason}": str(count) for reason, count in sorted(self.dropped.items())},
            "stamps that went back": str(self.went_back),
            "last stamp (s)": f"{self.last_stamp / 1e9:.9f}",
        }
        return Report("frames", level, sentence, values)

    def _latency(self, rate_in: float) -> Report:
        if not self._answers:
            return Report("latency", OK, "no mask yet", {})
        stages = {stage: [a.seconds[stage] for a in self._answers] for stage in self._answers[0].seconds}
        stages["processing"] = [sum(a.seconds.values()) for a in self._answers]
        ages = [a.age for a in self._answers if a.age is not None]
        if ages:
            stages["age at arrival"] = [a.age_at_arrival for a in self._answers if a.age is not None]
            stages["age at publish"] = ages
        values = {}
        for stage, durations in stages.items():
            p50, p99 = np.percentile(durations, (50, 99)) * 1000
            values |= {f"{stage} p50 (ms)": f"{p50:.2f}", f"{stage} p99 (ms)": f"{p99:.2f}"}
        processing = float(np.percentile(stages["processing"], 99))
        bound = 1 / max(rate_in, 1e-9) + processing
        if not ages:
            return Report("latency", WARN, "frames carry no stamp, so the age of their masks is not known", values)
        age, arrival = median(ages), median(stages["age at arrival"])
        late = [a for a in ages if a > bound]
        if len(late) > LATE_SHARE * len(ages):
            why = "is a bag played without use_sim_time?" if arrival > 60 else "that is the way from camera to node"
            sentence = (
                f"{100 * len(late) / len(ages):.0f} % of the masks are older than a period and an inference "
                f"({1000 * bound:.0f} ms) when they go out, {1000 * median(late):.0f} ms: frames are "
                f"{1000 * arrival:.0f} ms old when their turn comes ({why})"
            )
            return Report("latency", WARN, sentence, values)
        if age < -CLOCK_TOLERANCE:
            sentence = f"stamps lie {-1000 * age:.0f} ms in the future: the clocks of camera and node differ"
            return Report("latency", WARN, sentence, values)
        return Report("latency", OK, f"masks are {1000 * age:.0f} ms old when they go out", values)

    def _road(self) -> Report:
        if not self._answers:
            return Report("road", OK, "no mask yet", {})
        fractions = [answer.road_fraction for answer in self._answers]
        usual, last = median(fractions), fractions[-1]
        self._road_seen |= usual > SEEN
        jump = max((abs(b - a) for a, b in itertools.pairwise(fractions)), default=0.0)
        level, sentence = OK, f"{100 * last:.0f} % of the image is road"
        if self._road_seen and last < VANISHED:
            level, sentence = WARN, f"the road vanished: it is {100 * last:.1f} % of the image, and was more before"
        elif jump > JUMP:
            level, sentence = WARN, f"the road jumped by {100 * jump:.0f} % of the image from one mask to the next"
        return Report("road", level, sentence, {"road fraction": f"{last:.4f}", "its median": f"{usual:.4f}"})

    def _scene(self, now: float) -> Report:
        if not self._answers:
            return Report("scene", OK, "no mask yet", {})
        recent = [a.alarm for a in self._answers if a.when > now - ALARM_WINDOW]
        alarms = Counter(filter(None, recent))
        share = alarms.total() / max(len(recent), 1)
        values = {"frames that look wrong (%)": f"{100 * share:.0f}"}
        if share > 0.5:
            return Report("scene", WARN, alarms.most_common(1)[0][0], values)
        return Report("scene", OK, "the images look like the road scenes that the network knows", values)


def device_report(segmenter: "RoadSegmenter") -> Report:
    """What the network runs on in truth, and with which weights."""
    weights = segmenter.checkpoint
    max_f = weights.metadata.max_f
    gpu = segmenter.memory()
    values = {
        "device": segmenter.device,
        "device name": segmenter.device_name,
        "backend": segmenter.backend,
        "precision": segmenter.precision,
        "network width": str(segmenter.network_width),
        "GPU memory (MB)": "none" if gpu is None else f"{gpu / 1e6:.1f}",
        "weights": str(weights.path),
        "weights SHA-256": weights.sha256,
        "weights MaxF": "unknown" if max_f is None else f"{max_f:.4f}",
        "weights threshold": f"{segmenter.threshold:.3f}",
        "CUDA": segmenter.cuda_not_had or ("in use" if gpu is not None else "not asked for, or not in this machine"),
    }
    if segmenter.cuda_not_had:
        return Report(
            "device", WARN, f"running on the CPU: {segmenter.cuda_not_had}; road_seg doctor says more", values
        )
    sentence = f"{segmenter.device_name} ({segmenter.device}, {segmenter.backend}), {segmenter.precision}"
    return Report("device", OK, sentence, values)


def diagnostic_array(stamp: Any, node: str, reports: Iterable[Report]) -> Any:
    """The diagnostic_msgs/DiagnosticArray of reports.

    Args:
        stamp: builtin_interfaces/Time.
        node: its fully qualified name, which every status' name starts with.
    """
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    message = DiagnosticArray()
    message.header.stamp = stamp
    for report in reports:
        message.status.append(
            DiagnosticStatus(
                level=bytes([report.level]),
                name=f"{node}: {report.subject}",
                message=report.sentence,
                hardware_id=node,
                values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
            )
        )
    return message
