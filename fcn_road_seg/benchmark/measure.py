"""Measures time, memory and mask accuracy of configurations in one run."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fcn_road_seg.benchmark.configurations import REFERENCE, Configuration
from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.benchmark.peak_memory import peak_memory
from fcn_road_seg.benchmark.roofline import Machine, count_work
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
    """What all configurations of a run share: see `SegmenterOptions`; `weights` is the file of the full network."""

    weights: str = ""
    device: str = "auto"
    network_width: int = 0
    threads: int = 0

    def options(self, configuration: Configuration) -> SegmenterOptions:
        """The options to load the segmenter of a configuration."""
        return SegmenterOptions(
            weights=self.weights if configuration.network == "full" else configuration.network,
            device=self.device,
            precision=configuration.precision,
            backend=configuration.backend,
            network_width=configuration.network_width or self.network_width,
            threads=self.threads,
        )


@dataclass
class Measurement:
    """The measurements of a configuration. Lists have one entry per iteration; sizes are (width, height) in pixels.

    Attributes:
        start: seconds to load and build it and to segment the first frame; a cache on disk shortens this.
        seconds: from the frame in host memory to the mask in host memory.
        stages: seconds by stage: the segmenter's stages and "threshold".
        equal: fraction, 0..1, of the pixels with the same class as the reference.
        accuracy: see `evaluate`; None without labelled frames.
        peak_memory: bytes; None if not measured.
        lower_bound: minimum seconds per frame by the roofline model; None if not measured.
    """

    configuration: Configuration
    segmenter: RoadSegmenter
    network_size: tuple[int, int]
    frame_size: tuple[int, int]
    start: float
    seconds: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    equal: float = 0.0
    accuracy: dict | None = None
    peak_memory: int | None = None
    lower_bound: float | None = None

    @property
    def max_f(self) -> float | None:
        return self.accuracy["perspective"]["max_f"] if self.accuracy else None


@dataclass
class Benchmark:
    """The configurations that ran, the reference first, and the reasons why the others did not."""

    measurements: list[Measurement]
    absent: dict[Configuration, str]
    machine: Machine

    def broken_bounds(self) -> list[str]:
        """One sentence for each limit that a configuration exceeds."""
        sentences, reference = [], self.measurements[0]
        for m in self.measurements:
            equal, max_f_loss = m.configuration.bound(m.segmenter.device)
            if m.equal < equal:
                sentences.append(
                    f"{m.configuration} is out of bounds: {100 * m.equal:.3f} % of its pixels have the same class as "
                    f"FP32's, but at least {100 * equal:g} % must"
                )
            if m.max_f is None or reference.max_f is None:
                continue
            if reference.max_f - m.max_f > max_f_loss:
                sentences.append(
                    f"{m.configuration} is out of bounds: its MaxF is {100 * m.max_f:.2f} %, FP32's is "
                    f"{100 * reference.max_f:.2f} %, and it may lose at most {100 * max_f_loss:g} points"
                )
        return sentences


def measure(
    configurations: Sequence[Configuration],
    settings: Settings,
    frames: Sequence[np.ndarray],
    iterations: int,
    warm_up: int,
    dataset: KittiRoad | None = None,
    only_masks: bool = False,
    track: Track = lambda items, _: items,
) -> Benchmark:
    """Time the configurations interleaved, cycling through the frames, and compare their masks with the reference's.

    Args:
        configurations: the first one is `REFERENCE`.
        frames: uint8 H x W x 3 RGB; all must scale to the same network size.
        dataset: labelled frames; masks are then compared on these, and KITTI's metrics are computed.
        only_masks: skip memory and roofline, which take a while.
        track: wraps items, for a progress bar with a description.

    Raises:
        UserError: the reference cannot run, or the frames scale to several network sizes.
    """
    measurements: list[Measurement] = []
    absent: dict[Configuration, str] = {}
    for configuration in track(configurations, "loading"):
        try:
            measurements.append(_start(configuration, settings, frames))
        except (UserError, OSError, DeviceLostError) as error:
            if configuration == REFERENCE:
                raise
            absent[configuration] = first_line(error)

    calls = [_clocked(m, frames) for m in measurements]
    times = interleaved(calls, iterations, warm_up, lambda rounds: track(rounds, "timing"))
    for m, seconds in zip(measurements, times, strict=True):
        m.seconds = seconds
        m.stages = {stage: taken[warm_up:] for stage, taken in m.stages.items()}

    reference = measurements[0].segmenter
    if reference.device != "cpu":  # training and evaluation used the CPU's masks
        reference = RoadSegmenter.load(Settings(settings.weights, "cpu", settings.network_width).options(REFERENCE))
    expected, _ = _masks(reference, frames, dataset)
    for m in track(measurements, "comparing masks"):
        masks, m.accuracy = _masks(m.segmenter, frames, dataset)
        equal = sum(np.count_nonzero(mask == other) for mask, other in zip(masks, expected, strict=True))
        m.equal = equal / sum(mask.size for mask in expected)

    machine = Machine(measurements[0].segmenter.device)
    if not only_masks:
        for m in track(measurements, "memory and roofline"):
            m.peak_memory = peak_memory(settings.options(m.configuration), m.frame_size)
            work = count_work(m.segmenter.checkpoint.metadata, m.network_size)
            m.lower_bound = machine.lower_bound(work, m.configuration.precision, m.frame_size)
    return Benchmark(measurements, absent, machine)


def _start(configuration: Configuration, settings: Settings, frames: Sequence[np.ndarray]) -> Measurement:
    start = time.perf_counter()
    segmenter = RoadSegmenter.load(settings.options(configuration))
    sizes = [(frame.shape[1], frame.shape[0]) for frame in frames]
    inputs = {network_size(*size, segmenter.network_width) for size in sizes}
    if len(inputs) > 1:
        text = ", ".join(f"{width}x{height}" for width, height in sorted(inputs))
        raise UserError(f"the frames scale to several network sizes ({text}): use frames from one camera")
    segmenter(frames[0])
    return Measurement(configuration, segmenter, inputs.pop(), max(sizes, key=sizes.count), time.perf_counter() - start)


def _clocked(measurement: Measurement, frames: Sequence[np.ndarray]) -> Callable[[int], None]:
    """A call that segments a frame and thresholds it, and adds the stages' seconds to the measurement."""
    segmenter, stages = measurement.segmenter, measurement.stages

    def call(number: int) -> None:
        probability = segmenter(frames[number % len(frames)])
        start = time.perf_counter()
        threshold_mask(probability, segmenter.threshold)
        taken = segmenter.seconds | {"threshold": time.perf_counter() - start}
        for stage, seconds in taken.items():
            stages.setdefault(stage, []).append(seconds)

    return call


def _masks(
    segmenter: RoadSegmenter, frames: Sequence[np.ndarray], dataset: KittiRoad | None
) -> tuple[list[np.ndarray], dict | None]:
    """Masks, bool H x W, and their metrics if the frames are labelled."""
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
