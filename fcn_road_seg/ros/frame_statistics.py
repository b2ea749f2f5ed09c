"""Statistics of the frames for /diagnostics: rates, latencies, drops, the road. Knows nothing of ROS."""

import itertools
import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fcn_road_seg.ros.diagnostics import ERROR, OK, STALE, WARN, Report

T = TypeVar("T")

WINDOW = 10.0  # seconds that rates and percentiles cover
LONGEST_WINDOW = 600.0  # ... at most, with a low max_fps
NO_IMAGE = 2.0  # seconds without an image that are worth a warning; the details of a mask that is older are stale
STALE_AFTER = 10.0  # ... and after which the statistics are out of date
JUMP = 0.25  # of the image: a larger change of the road from one mask to the next is a warning
VANISHED, SEEN = 0.005, 0.02  # of the image: less is not a road; the median that makes this a warning
CLOCK_TOLERANCE = 0.05  # seconds in the future; /clock at 40 Hz lags by half of that
LATE_SHARE = 0.05  # of the masks may break the age bound
NO_IMAGE_YET = "no image has arrived"
NO_MASK = "unknown until the next mask"
ALARM_WINDOW = NO_IMAGE  # seconds; a warning if more than half of their frames look wrong
MISSED_SHARE = 0.2  # of the frames may be replaced by newer ones; more is a warning
IDLE, PAUSED, MAX_FPS = "idle", "paused", "max_fps"  # why frames are passed over
RESTS = {IDLE: "idle: nobody listens", PAUSED: "paused: ~/enable was called with false"}
"""By the reason for which all frames are passed over: what each status of them says, as OK."""


class Answer(NamedTuple):
    """One frame that was answered with its mask."""

    when: float  # seconds, on the clock of the statistics
    seconds: dict[str, float]  # by stage, see `Backend.seconds`
    age_at_arrival: float | None  # seconds from the frame's stamp; None where it has none
    age: float | None  # ... when the mask went out
    road_fraction: float
    alarm: str  # see `out_of_domain.alarm`


class Arrival(NamedTuple):
    """One frame that was taken from DDS."""

    when: float  # seconds, on the clock of the statistics
    sent: int  # frames since the one before, with those that newer ones replaced
    wanted: int  # ... that were to be answered


class FrameStatistics:
    """Counts frames, answers, drops and frames passed over, and keeps details of the last `WINDOW` seconds.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.dropped: Counter[str] = Counter()
        self.passed_over: Counter[str] = Counter()
        self.skipped = 0
        self.went_back = 0
        self.last_stamp = 0
        self.last_drop = ""
        self._answered = 0
        self._image_arrived = False
        self._road_seen = False
        self._started = self._last_event = clock()
        self._arrivals: deque[Arrival] = deque()
        self._drops: deque[float] = deque()
        self._passes: deque[float] = deque()
        self._rest = ""  # why the last frame was passed over, if all are; of `RESTS`
        self._rested = -math.inf  # when that last was so
        self._answers: deque[Answer] = deque()
        self._sequence: dict[Any, int] = {}

    def restart(self) -> None:
        """Forget details of the past, when the node begins to listen. The totals stay."""
        self._started = self._last_event = self._clock()
        self._image_arrived = self._road_seen = False
        self._rest, self._rested = "", -math.inf
        for recent in (self._arrivals, self._drops, self._passes, self._answers, self._sequence):
            recent.clear()

    def arrived(self, stamp: int, publisher: Any, sequence: int | None) -> None:
        """A frame was taken from DDS.

        Args:
            stamp: nanoseconds; 0 if there is none.
            publisher: its sender, anything hashable.
            sequence: its number in the publisher's count; None if ROS does not provide it (before Kilted). Frames whose
                numbers are missing were replaced by newer ones, or lost; during a rest they were passed over.
        """
        skipped = 0
        if sequence is not None:
            skipped = max(sequence - self._sequence.get(publisher, sequence) - 1, 0)
            self._sequence[publisher] = sequence
        if self._rest:
            self.passed_over[self._rest] += skipped
        else:
            self.skipped += skipped
        self.went_back += 0 < stamp < self.last_stamp
        self.last_stamp = stamp or self.last_stamp
        self._image_arrived, self._last_event = True, self._clock()
        wanted = 1 if self._rest else 1 + skipped
        self._arrivals.append(Arrival(self._last_event, 1 + skipped, wanted))

    def pass_over(self, reason: str) -> None:
        """A frame was not worth the work: `IDLE`, `PAUSED` or `MAX_FPS`."""
        self.passed_over[reason] += 1
        self._passes.append(self._last_event)
        self._rest = reason if reason in RESTS else ""
        if self._rest:
            self._rested = self._last_event

    def resting(self) -> bool:
        """Whether frames are passed over until further notice, and those that are never taken can be counted."""
        return bool(self._rest and self._sequence)

    def drop(self, reason: str, sentence: str) -> int:
        """A frame was dropped; returns the number of frames dropped so far."""
        self.dropped[reason] += 1
        self._rest = ""
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
        """A mask was published."""
        self._answered += 1
        self._rest = ""
        self._last_event = self._clock()
        self._answers.append(Answer(self._last_event, seconds, age_at_arrival, age, road_fraction, alarm))

    def reports(
        self, problem: str = "", max_fps: float = 0.0, others: Iterable[Report] = (), faster: str = ""
    ) -> list[Report]:
        """The statuses frames, latency, road and scene of an active node, judged now, and others that need masks.

        Args:
            problem: why no image arrives, if that is known.
            max_fps: frames per second that are answered at most; 0: all.
            others: say the same as these while no frame is answered on purpose.
            faster: what would be faster than what runs, a clause; empty if that is unknown.
        """
        now = self._clock()
        window = min(max(WINDOW, 2 / max_fps), LONGEST_WINDOW) if max_fps else WINDOW
        _forget(self._arrivals, lambda arrival: arrival.when, now - window)
        _forget(self._drops, float, now - WINDOW)
        _forget(self._passes, float, now - window)
        _forget(self._answers, lambda answer: answer.when, now - window)
        seconds = min(window, max(now - self._started, 1e-9))
        rate_in = sum(arrival.sent for arrival in self._arrivals) / seconds
        awake = min(seconds, max(now - self._rested, 1 / max_fps if max_fps else 1e-9))
        silence = now - self._last_event
        frames = self._frames(silence, rate_in, seconds, awake, problem, max_fps, faster)
        details = [self._latency(rate_in), self._road(), self._scene(now)]
        if self._rest and silence <= NO_IMAGE:
            return [frames, *(Report(report.subject, OK, RESTS[self._rest], {}) for report in (*details, *others))]
        mask_age = now - self._answers[-1].when if self._answers else 0.0
        return [frames, *(unless_old(report, "mask", mask_age, patience(max_fps)) for report in details), *others]

    def _frames(
        self, silence: float, rate_in: float, seconds: float, awake: float, problem: str, max_fps: float, faster: str
    ) -> Report:
        """The status frames; `seconds` is the length of the window, `awake` that of its part since the last rest."""
        answered = sum(answer.when > self._rested for answer in self._answers)
        wanted = sum(arrival.wanted for arrival in self._arrivals if arrival.when > self._rested)
        wanted -= sum(when > self._rested for when in self._passes)
        if max_fps:
            wanted = min(wanted, round(max_fps * awake))
        rate_out = answered / awake
        level, sentence = OK, f"{rate_in:.1f} frames arrive per second, {rate_out:.1f} masks are published"
        if max_fps:
            sentence += f" (max_fps is {max_fps:g})"
        if silence > NO_IMAGE:
            level = WARN if silence < STALE_AFTER else STALE
            none = f"{NO_IMAGE_YET} for {silence:.0f} s" if self._image_arrived else f"{NO_IMAGE_YET} yet"
            question = "is the camera running, and is the topic right? road_seg doctor checks both"
            sentence = f"{none}: {problem or question}"
        elif not self._image_arrived:
            level, sentence = STALE, f"{NO_IMAGE_YET} yet"
        elif self._rest:
            sentence = f"{RESTS[self._rest]}; {rate_in:.1f} frames arrive per second"
        elif self._drops:
            level = WARN if self._answers else ERROR
            sentence = (
                f"{len(self._drops)} frames dropped in the last {WINDOW:.0f} s, the last because {self.last_drop}"
            )
        elif wanted - answered > max(1, MISSED_SHARE * wanted * seconds / awake):
            level = WARN
            sentence = (
                f"{rate_in:.1f} frames arrive per second, but only {rate_out:.1f} masks are published: newer frames "
                "replace those that the node is too slow for"
            )
            sentence += f"; {faster}" if faster else ""
        values = {
            "input rate (Hz)": f"{rate_in:.2f}",
            "output rate (Hz)": f"{rate_out:.2f}",
            "frames answered": str(self._answered),
            "frames replaced by newer ones or lost": str(self.skipped),
            "frames dropped": str(self.dropped.total()),
            **{f"frames dropped: {reason}": str(count) for reason, count in sorted(self.dropped.items())},
            "frames passed over": str(self.passed_over.total()),
            **{f"frames passed over: {reason}": str(count) for reason, count in sorted(self.passed_over.items())},
            "max_fps (Hz)": f"{max_fps:g}" if max_fps else "no limit",
            "stamps that went back": str(self.went_back),
            "last stamp (s)": f"{self.last_stamp / 1e9:.9f}",
        }
        return Report("frames", level, sentence, values)

    def _latency(self, rate_in: float) -> Report:
        if not self._answers:
            return Report("latency", STALE, NO_MASK, {})
        names = ["prepare", *(stage for stage in self._answers[-1].seconds if stage != "prepare")]
        stages = {stage: [a.seconds.get(stage, 0.0) for a in self._answers] for stage in names}
        stages["processing"] = [sum(a.seconds.values()) for a in self._answers]
        ages = [a.age for a in self._answers if a.age is not None]
        if ages:
            stages["age at arrival"] = [a.age_at_arrival for a in self._answers if a.age_at_arrival is not None]
            stages["age at publish"] = ages
        values: dict[str, str] = {}
        for stage, durations in stages.items():
            p50, p99 = np.percentile(durations, (50, 99)) * 1000
            values |= {f"{stage} p50 (ms)": f"{p50:.2f}", f"{stage} p99 (ms)": f"{p99:.2f}"}
        prepared = [a for a in self._answers if a.seconds.get("prepare")]
        values["frames for whose size the network was prepared"] = str(len(prepared))
        processing = float(np.percentile(np.subtract(stages["processing"], stages["prepare"]), 99))
        bound = 1 / max(rate_in, 1e-9) + processing
        if not ages:
            return Report("latency", WARN, "frames carry no stamp, so the age of their masks is unknown", values)
        age, arrival = median(ages), median(stages["age at arrival"])
        late = [a for a in self._answers if a.age is not None and a.age > bound]
        if len(late) > LATE_SHARE * len(ages):
            explained = bound + sum(p.seconds["prepare"] for p in prepared)
            waited = [a for a in late if any(a.when - (a.age or 0) <= p.when <= a.when for p in prepared)]
            if len(waited) > len(late) / 2 and median(a.age or 0 for a in waited) <= explained:
                longest = max(p.seconds["prepare"] for p in prepared)
                why = (
                    f"the network had to be prepared for another frame size ({len(prepared)} of the last "
                    f"{len(self._answers)} frames, up to {1000 * longest:.0f} ms)"
                )
            else:
                why = f"frames are {1000 * arrival:.0f} ms old when the node takes them ("
                why += "is a bag played without use_sim_time?)" if arrival > 60 else "the delay from camera to node)"
            sentence = (
                f"{100 * len(late) / len(ages):.0f} % of the masks are older than a period and an inference "
                f"({1000 * bound:.0f} ms) when published, {1000 * median(a.age or 0 for a in late):.0f} ms: {why}"
            )
            return Report("latency", WARN, sentence, values)
        if age < -CLOCK_TOLERANCE:
            sentence = f"stamps are {-1000 * age:.0f} ms in the future: the clocks of camera and node differ"
            return Report("latency", WARN, sentence, values)
        if age < 0:
            sentence = (
                f"masks are new when published: their stamps are {-1000 * age:.0f} ms ahead, as clocks may differ"
            )
            return Report("latency", OK, sentence, values)
        return Report("latency", OK, f"masks are {1000 * age:.0f} ms old when published", values)

    def _road(self) -> Report:
        if not self._answers:
            return Report("road", STALE, NO_MASK, {})
        fractions = [answer.road_fraction for answer in self._answers]
        usual, last = median(fractions), fractions[-1]
        self._road_seen |= usual > SEEN
        pairs = [(a, b) for a, b in itertools.pairwise(self._answers) if b.when - a.when <= NO_IMAGE]
        jump = max((abs(b.road_fraction - a.road_fraction) for a, b in pairs), default=0.0)
        level, sentence = OK, f"{100 * last:.0f} % of the image is road"
        if self._road_seen and last < VANISHED:
            level, sentence = WARN, f"the road vanished: {100 * last:.1f} % of the image is left"
        elif jump > JUMP:
            level, sentence = WARN, f"the road jumped by {100 * jump:.0f} % of the image from one mask to the next"
        return Report("road", level, sentence, {"road fraction": f"{last:.4f}", "its median": f"{usual:.4f}"})

    def _scene(self, now: float) -> Report:
        if not self._answers:
            return Report("scene", STALE, NO_MASK, {})
        recent = [a.alarm for a in self._answers if a.when >= now - ALARM_WINDOW] or [self._answers[-1].alarm]
        alarms = Counter(filter(None, recent))
        share = alarms.total() / len(recent)
        values = {"frames that look wrong (%)": f"{100 * share:.0f}"}
        if share > 0.5:
            return Report("scene", WARN, alarms.most_common(1)[0][0], values)
        return Report("scene", OK, "the images look like road scenes that the network was trained on", values)


def max_fps_in(sentence: str) -> float:
    """The parameter max_fps that the sentence of a status frames tells; 0 if it tells none."""
    found = re.search(rf"{MAX_FPS} is ([\d.e+-]+)", sentence)
    return float(found[1]) if found else 0.0


def patience(max_fps: float) -> float:
    """Seconds after which a mask is old: `NO_IMAGE`, and the period that max_fps (0: no limit) asks for."""
    return NO_IMAGE + (1 / max_fps if max_fps else 0.0)


def unless_old(report: Report, source: str, age: float, limit: float = NO_IMAGE) -> Report:
    """A report, or a STALE one in its place once what it tells of is older than a limit.

    Args:
        source: what it tells of, such as "mask".
        age: of the last one, in seconds.
        limit: in seconds.
    """
    if age <= limit:
        return report
    return Report(report.subject, STALE, f"no {source} for {age:.0f} s; the last status: {report.sentence}", {})


def _forget(recent: deque[T], when: Callable[[T], float], before: float) -> None:
    """Remove the oldest entries, up to a time."""
    while recent and when(recent[0]) < before:
        recent.popleft()
