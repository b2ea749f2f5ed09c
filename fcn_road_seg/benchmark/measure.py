"""The judge of every rung: its time, its memory, and what its masks are worth, all in one run."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fcn_road_seg.benchmark.floor import Machine, count_work
from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.benchmark.peak_memory import peak_memory
from fcn_road_seg.benchmark.rungs import REFERENCE, Rung
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.errors import DeviceLostError, UserError, first_line
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.preprocess import network_size
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.threshold import threshold_level, threshold_mask

Track = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class Settings:
    """What all rungs of a run have in common: see `SegmenterOptions`; `weights` is the full network's."""

    weights: str = ""
    device: str = "auto"
    network_width: int = 0
    threads: int = 0

    def options(self, rung: Rung) -> SegmenterOptions:
        """How a rung's segmenter is loaded."""
        return SegmenterOptions(
            weights=self.weights if rung.network == "full" else rung.network,
            device=self.device,
            precision=rung.precision,
            backend=rung.backend,
            network_width=rung.network_width or self.network_width,
            threads=self.threads,
        )


@dataclass
class Measurement:
    """What was seen of a rung. Lists have an entry per iteration; sizes are (width, height) in pixels.

    Attributes:
        start: seconds to load it, build it and answer the first frame; a cache on disk shortens it.
        seconds: from the frame in host memory to the mask in host memory.
        stages: seconds by stage: the segmenter's, and threshold.
        equal: share, 0..1, of the pixels of the same class as the reference's.
        accuracy: see `evaluate`; None without labelled frames.
        peak_memory: bytes; None where it was not measured.
        floor: least seconds that a frame can take; None where it was not measured.
    """

    rung: Rung
    segmenter: RoadSegmenter
    network_size: tuple[int, int]
    frame_size: tuple[int, int]
    start: float
    seconds: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    equal: float = 0.0
    accuracy: dict | None = None
    peak_memory: int | None = None
    floor: float | None = None

    @property
    def max_f(self) -> float | None:
        return self.accuracy["perspective"]["max_f"] if self.accuracy else None


@dataclass
class Benchmark:
    """The rungs that ran, the reference first, and why the others did not."""

    measurements: list[Measurement]
    absent: dict[Rung, str]
    machine: Machine

    def broken_bounds(self) -> list[str]:
        """A sentence for each rung that is too far from the reference."""
        sentences, reference = [], self.measurements[0]
        for m in self.measurements:
            equal, max_f_loss = m.rung.bound(m.segmenter.device)
            if m.equal < equal:
                sentences.append(
                    f"{m.rung} is out of its bound: {100 * m.equal:.3f} % of its pixels are equal in class to FP32's, "
                    f"and {100 * equal:g} % must be"
                )
            if m.max_f is not None and reference.max_f - m.max_f > max_f_loss:
                sentences.append(
                    f"{m.rung} is out of its bound: its MaxF is {100 * m.max_f:.2f} % and FP32's "
                    f"{100 * reference.max_f:.2f} %, but it may lose {100 * max_f_loss:g} points at most"
                )
        return sentences


def measure(
    rungs: Sequence[Rung],
    settings: Settings,
    frames: Sequence[np.ndarray],
    iterations: int,
    warm_up: int,
    dataset: KittiRoad | None = None,
    only_masks: bool = False,
    track: Track = lambda items, _: items,
) -> Benchmark:
    """Run the rungs interleaved, on one frame after the other, and compare their masks with the reference's.

    Args:
        rungs: the first one is `REFERENCE`.
        frames: uint8 H x W x 3 RGB; all scaled to one network size.
        dataset: labelled frames, on which masks are compared instead, and KITTI's metrics taken.
        only_masks: leave out memory and floor, which take a while.
        track: wraps items, for a progress bar with a description.

    Raises:
        UserError: the reference cannot run, or the frames need several network sizes.
    """
    measurements: list[Measurement] = []
    absent: dict[Rung, str] = {}
    for rung in track(rungs, "loading"):
        try:
            measurements.append(_start(rung, settings, frames))
        except (UserError, OSError, DeviceLostError) as error:
            if rung == REFERENCE:
                raise
            absent[rung] = first_line(error)

    calls = [_clocked(m, frames) for m in measurements]
    times = interleaved(calls, iterations, warm_up, lambda rounds: track(rounds, "timing"))
    for m, seconds in zip(measurements, times, strict=True):
        m.seconds = seconds
        m.stages = {stage: taken[warm_up:] for stage, taken in m.stages.items()}

    reference = measurements[0].segmenter
    if reference.device != "cpu":  # the CPU's masks are what training and evaluation saw
        reference = RoadSegmenter.load(Settings(settings.weights, "cpu", settings.network_width).options(REFERENCE))
    expected, _ = _masks(reference, frames, dataset)
    for m in track(measurements, "comparing masks"):
        masks, m.accuracy = _masks(m.segmenter, frames, dataset)
        equal = sum(np.count_nonzero(mask == other) for mask, other in zip(masks, expected, strict=True))
        m.equal = equal / sum(mask.size for mask in expected)

    machine = Machine(measurements[0].segmenter.device)
    if not only_masks:
        for m in track(measurements, "memory and floor"):
            m.peak_memory = peak_memory(settings.options(m.rung), m.frame_size)
            work = count_work(m.segmenter.checkpoint.metadata, m.network_size)
            m.floor = machine.floor(work, m.rung.precision, m.frame_size)
    return Benchmark(measurements, absent, machine)


def _start(rung: Rung, settings: Settings, frames: Sequence[np.ndarray]) -> Measurement:
    began = time.perf_counter()
    segmenter = RoadSegmenter.load(settings.options(rung))
    sizes = [(frame.shape[1], frame.shape[0]) for frame in frames]
    inputs = {network_size(*size, segmenter.network_width) for size in sizes}
    if len(inputs) > 1:
        words = ", ".join(f"{width}x{height}" for width, height in sorted(inputs))
        raise UserError(f"the frames are scaled to several network sizes ({words}): give frames of one camera")
    segmenter(frames[0])
    return Measurement(rung, segmenter, inputs.pop(), max(sizes, key=sizes.count), time.perf_counter() - began)


def _clocked(measurement: Measurement, frames: Sequence[np.ndarray]) -> Callable[[int], None]:
    """From a frame to its mask; the stages' seconds go to the measurement."""
    segmenter, stages = measurement.segmenter, measurement.stages

    def call(number: int) -> None:
        probability = segmenter(frames[number % len(frames)])
        began = time.perf_counter()
        threshold_mask(probability, segmenter.threshold)
        taken = segmenter.seconds | {"threshold": time.perf_counter() - began}
        for stage, seconds in taken.items():
            stages.setdefault(stage, []).append(seconds)

    return call


def _masks(
    segmenter: RoadSegmenter, frames: Sequence[np.ndarray], dataset: KittiRoad | None
) -> tuple[list[np.ndarray], dict | None]:
    """Masks, bool H x W, and with labelled frames their metrics."""
    masks: list[np.ndarray] = []

    def segment(frame: np.ndarray) -> np.ndarray:
        probability = segmenter(frame)
        masks.append(probability >= threshold_level(segmenter.threshold))
        return probability

    if dataset is not None:
        return masks, evaluate(segment, dataset, segmenter.threshold)
    for frame in frames:
        segment(frame)
    return masks, None
