"""What a benchmark measures of each network."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fcn_road_seg.benchmark.configurations import Configuration
from fcn_road_seg.benchmark.peer_model import PeerModel
from fcn_road_seg.benchmark.roofline import Machine
from fcn_road_seg.inference.segmenter import RoadSegmenter


class Timed(Protocol):
    """What is timed and evaluated: our segmenter or a peer's network.

    Attributes:
        threshold: P(road), 0..1, from which a pixel is road.
        seconds: durations of the last frame's stages.
    """

    threshold: float

    @property
    def seconds(self) -> dict[str, float]: ...

    def __call__(self, frame: np.ndarray, /) -> np.ndarray: ...


@dataclass(kw_only=True)
class Timing:
    """How long a network takes. Lists have one entry per iteration.

    Attributes:
        seconds: from the frame in host memory to the mask in host memory.
        stages: seconds by stage: the segmenter's stages and "threshold".
        by_set: metrics on each labelled set, see `evaluate_samples`.
    """

    segmenter: Timed
    seconds: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    by_set: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(kw_only=True)
class PeerMeasurement(Timing):
    """The measurements of another project's network."""

    segmenter: PeerModel


@dataclass(kw_only=True)
class Measurement(Timing):
    """The measurements of a configuration. Sizes are (width, height) in pixels.

    Attributes:
        start: seconds to load and build it and to segment the first frame; a cache on disk shortens this.
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
    equal: float = 0.0
    accuracy: dict | None = None
    peak_memory: int | None = None
    lower_bound: float | None = None

    @property
    def max_f(self) -> float | None:
        return self.accuracy["perspective"]["max_f"] if self.accuracy else None


@dataclass
class Benchmark:
    """The configurations that ran, the reference first, the reasons why the others did not, and the peers."""

    measurements: list[Measurement]
    absent: dict[Configuration, str]
    machine: Machine
    peers: list[PeerMeasurement]

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
