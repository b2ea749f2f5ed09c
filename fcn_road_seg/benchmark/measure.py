"""Measures time, memory and mask accuracy of configurations in one run."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from fcn_road_seg.benchmark.configurations import REFERENCE, Configuration
from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.benchmark.measurement import Benchmark, Measurement, PeerMeasurement, Timing
from fcn_road_seg.benchmark.peak_memory import peak_memory
from fcn_road_seg.benchmark.peer_model import PeerModel
from fcn_road_seg.benchmark.roofline import Machine, count_work
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.errors import DeviceLostError, UserError, first_line
from fcn_road_seg.evaluation.evaluate import evaluate
from fcn_road_seg.evaluation.samples import evaluate_samples
from fcn_road_seg.frames.sample import Samples
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.preprocess import network_size
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.threshold import threshold_level, threshold_mask

Track = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class Settings:
    """What all configurations of a run share: see `SegmenterOptions`.

    Attributes:
        weights: file of the full network.
        others: files of the networks with other names; the shipped one for "lite" if it is not here.
    """

    weights: str = ""
    device: str = "auto"
    network_width: int = 0
    threads: int = 0
    others: Mapping[str, str] = field(default_factory=dict)

    def options(self, configuration: Configuration) -> SegmenterOptions:
        """The options to load the segmenter of a configuration."""
        network = configuration.network
        return SegmenterOptions(
            weights=self.weights if network == "full" else self.others.get(network, network),
            device=self.device,
            precision=configuration.precision,
            backend=configuration.backend,
            network_width=configuration.network_width or self.network_width,
            threads=self.threads,
        )


def measure(
    configurations: Sequence[Configuration],
    settings: Settings,
    frames: Sequence[np.ndarray],
    iterations: int,
    warm_up: int,
    dataset: KittiRoad | None = None,
    only_masks: bool = False,
    track: Track = lambda items, _: items,
    peers: Sequence[PeerModel] = (),
    sets: Mapping[str, Samples] = MappingProxyType({}),
) -> Benchmark:
    """Time the configurations interleaved, cycling through the frames, and compare their masks with the reference's.

    Args:
        configurations: the first one is `REFERENCE`.
        frames: uint8 H x W x 3 RGB; all must scale to the same network size.
        dataset: labelled frames; masks are then compared on these, and KITTI's metrics are computed.
        only_masks: skip memory and roofline, which take a while.
        track: wraps items, for a progress bar with a description.
        peers: timed in the same rounds.
        sets: more labelled frames, by name, on which all configurations and peers are evaluated.

    Raises:
        UserError: the reference cannot run, a peer's answer is no probability, or the frames scale to several network
            sizes.
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

    others = [PeerMeasurement(segmenter=peer) for peer in peers]
    timed: list[Timing] = [*measurements, *others]
    calls = [_clocked(m, frames) for m in timed]
    times = interleaved(calls, iterations, warm_up, lambda rounds: track(rounds, "timing"))
    for m, seconds in zip(timed, times, strict=True):
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

    for m, name in track([(m, name) for m in timed for name in sets], "accuracy on each set"):
        m.by_set[name] = evaluate_samples(m.segmenter, sets[name], m.segmenter.threshold)

    machine = Machine(measurements[0].segmenter.device)
    if not only_masks:
        for m in track(measurements, "memory and roofline"):
            m.peak_memory = peak_memory(settings.options(m.configuration), m.frame_size)
            work = count_work(m.segmenter.checkpoint.metadata, m.network_size)
            m.lower_bound = machine.lower_bound(work, m.configuration.precision, m.frame_size)
    return Benchmark(measurements, absent, machine, others)


def _start(configuration: Configuration, settings: Settings, frames: Sequence[np.ndarray]) -> Measurement:
    start = time.perf_counter()
    segmenter = RoadSegmenter.load(settings.options(configuration))
    sizes = [(frame.shape[1], frame.shape[0]) for frame in frames]
    inputs = {network_size(*size, segmenter.network_width) for size in sizes}
    if len(inputs) > 1:
        text = ", ".join(f"{width}x{height}" for width, height in sorted(inputs))
        raise UserError(f"the frames scale to several network sizes ({text}): use frames from one camera")
    segmenter(frames[0])
    return Measurement(
        configuration=configuration,
        segmenter=segmenter,
        network_size=inputs.pop(),
        frame_size=max(sizes, key=sizes.count),
        start=time.perf_counter() - start,
    )


def _clocked(measurement: Timing, frames: Sequence[np.ndarray]) -> Callable[[int], None]:
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
