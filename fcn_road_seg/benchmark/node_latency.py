"""End to end: a camera process, the node, and this process as the one that wants the masks."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.child_process import ChildProcess, node_process, wait_until
from fcn_road_seg.ros.environment import isolated_ros_environment, set_ros_defaults

if TYPE_CHECKING:
    from fcn_road_seg.benchmark.mask_listener import MaskListener

RATES = (10.0, 30.0)  # Hz
SECONDS = 12.0  # per rate; the node's percentiles look back 10
SEARCH_SECONDS = 6.0
SETTLE_SECONDS = 1.0  # after a camera's first frame, when publishers and subscribers have just met
CAMERA_FRAMES = 4
OUTSIDE = ("decode", "publish", "outputs", "processing", "age at arrival", "age at publish")
"""Of the node's stages, those that are not the segmenter's."""
MOST_HZ = 100.0


def measure_node(
    parameters: dict[str, object],
    rates: Sequence[float] = RATES,
    seconds: float = SECONDS,
    search_seconds: float = SEARCH_SECONDS,
    say: Callable[[str], None] = lambda sentence: None,
) -> dict:
    """Latency from a camera's publishing of a 1242x375 frame (its stamp) to its mask, decoded, in another process.

    Args:
        parameters: of the node.
        rates: of the camera, Hz.
        search_seconds: for each rate tried in search of the highest one; 0 does not search.
        say: is told what is going on.

    Returns:
        {"backend", "device", "precision", "rates": [{"rate_hz", "sent", "answered", "p50_ms", "p90_ms", "p99_ms",
        "max_ms", "segmenter_p50_ms", "rest_p50_ms" (p50_ms minus the segmenter's), "stages_p50_ms"}],
        "highest_rate_hz": whole Hz at which no mask was older than one period and every frame was answered, None where
        it was not searched or there is none}. The segmenter's p50 is the sum of its stages' p50s in the same run.

    Raises:
        UserError: ROS 2 is missing, the node does not start, or a process ends too early.
    """
    os.environ.update(isolated_ros_environment(domain_id=1 + os.getpid() % 100))
    set_ros_defaults()
    try:
        from fcn_road_seg.benchmark.mask_listener import MaskListener
    except ImportError as error:
        raise UserError(f"--node needs ROS 2 ({error}): source a ROS 2 installation first") from None
    with (
        tempfile.TemporaryDirectory(prefix="road_seg_benchmark_") as folder,
        MaskListener() as listener,
        node_process(parameters, Path(folder) / "node.log", dict(os.environ)) as node,
    ):
        say("starting the node")
        wait_until(listener.node_listens, node, partial(listener.spin, 0.1), "the node is not active")
        device = listener.statuses["device"]

        def ride(rate: float, how_long: float) -> dict:
            say(f"{rate:g} Hz")
            return _ride(listener, node, Path(folder) / "camera.log", rate, how_long)

        figures = [ride(rate, seconds) for rate in rates]
        highest = None
        if search_seconds:
            first_guess = min(MOST_HZ, 1000 / figures[0]["p50_ms"])
            highest = _highest(lambda rate: _keeps_up(ride(rate, search_seconds)), round(1.2 * first_guess))
    return {name: device[name] for name in ("backend", "device", "precision")} | {
        "rates": figures,
        "highest_rate_hz": highest,
    }


def _ride(listener: "MaskListener", node: ChildProcess, log: Path, rate: float, seconds: float) -> dict:
    """The figures of one camera rate."""
    arguments = ["--ros-args", "-p", f"rate:={rate}", "-p", f"frames:={CAMERA_FRAMES}"]
    listener.ages.clear()
    started = time.time_ns()  # a mask for the camera before this one may still come
    with ChildProcess(
        "fcn_road_seg.ros.synthetic_camera_main", [*arguments, "-r", "camera/image_raw:=image"], log, dict(os.environ)
    ) as camera:
        answered = partial(_answered_since, listener, started)
        wait_until(answered, camera, partial(listener.spin, 0.1), "no mask came")
        listener.spin(SETTLE_SECONDS)
        begin = time.time_ns()
        listener.spin(seconds)
        end = time.time_ns()
        stages = _stages(listener.statuses.get("latency", {}))
        listener.spin(1.0)  # for the masks of the last frames
        node.ended()
    answers = [(stamp, age) for stamp, age in listener.ages if begin <= stamp < end]
    if not answers:
        raise UserError(f"no mask came at {rate:g} Hz in {seconds:g} s")
    ages = [1000 * age for _, age in answers]
    p50, p90, p99 = (round(float(p), 2) for p in np.percentile(ages, (50, 90, 99)))
    segmenter = round(sum(ms for stage, ms in stages.items() if stage not in OUTSIDE), 2) if stages else None
    return {
        "rate_hz": rate,
        "sent": max(len(answers), round((end - begin) / 1e9 * rate)),
        "answered": len(answers),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": round(max(ages), 2),
        "segmenter_p50_ms": segmenter,
        "rest_p50_ms": None if segmenter is None else round(p50 - segmenter, 2),
        "stages_p50_ms": stages | {"mask's way": round(p50 - stages["age at publish"], 2)} if stages else {},
    }


def _answered_since(listener: "MaskListener", stamp: int) -> bool:
    return any(answered > stamp for answered, _ in listener.ages)


def _stages(latency: dict[str, str]) -> dict[str, float]:
    """p50 in milliseconds by stage, of the node's status "latency"."""
    end = " p50 (ms)"
    return {name.removesuffix(end): float(value) for name, value in latency.items() if name.endswith(end)}


def _keeps_up(figures: dict) -> bool:
    """Whether no mask was older than one period; one frame may fall between the run's ends."""
    return figures["max_ms"] <= 1000 / figures["rate_hz"] and figures["answered"] >= figures["sent"] - 1


def _highest(keeps_up: Callable[[float], bool], too_high: int) -> float | None:
    """The highest whole rate, in Hz, below `too_high` that keeps up, by bisection; None if 1 Hz does not."""
    low, high = 0, max(too_high, 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if keeps_up(float(middle)) else (low, middle)
    return float(low) if low else None
