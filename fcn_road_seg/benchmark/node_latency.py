"""End-to-end latency: from a process with the cameras through the node to this process, which receives the masks."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn_road_seg.benchmark.percentiles import spread
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.child_process import ChildProcess, node_process, wait_until
from fcn_road_seg.ros.domain import DomainReservation
from fcn_road_seg.ros.scope import scoped

if TYPE_CHECKING:
    from fcn_road_seg.benchmark.mask_listener import Arrival, MaskListener

RATES = (10.0, 30.0)  # Hz
SECONDS = 12.0  # per rate; the node's percentiles cover the last 10
SEARCH_SECONDS = 6.0
SETTLE_SECONDS = 1.0  # after a camera's first mask, when publishers and subscribers have just matched
CAMERA_FRAMES = 4  # of all cameras together, if there are no more of these
OTHER_STAGES = ("decode", "publish", "outputs", "processing", "age at arrival", "age at publish")
"""The node's stages that do not belong to the segmenter."""
MAX_HZ = 100.0


def measure_node(
    parameters: dict[str, object],
    rates: Sequence[float] = RATES,
    seconds: float = SECONDS,
    search_seconds: float = SEARCH_SECONDS,
    report: Callable[[str], None] = lambda message: None,
    iterations: int = 100,
    cameras: Sequence[str] = ("",),
) -> dict[str, Any]:
    """Measure the latency from a camera's stamp of a 1242x375 frame to the deserialized mask in another process.

    Also the time of each copy on the way, see `time_copies`.

    Args:
        parameters: of the node.
        rates: of each camera, Hz.
        seconds: duration of the measurement at each rate.
        search_seconds: duration at each rate tried when searching for the highest rate; 0 skips the search.
        report: called with progress messages.
        iterations: of each copy.
        cameras: their names, if there are several; they take their frames in turn, evenly spread in time.

    Returns:
        {"copies": see `time_copies`, "weights", "backend", "device", "precision", "rates": [{"rate_hz", "sent",
        "answered", "p50_ms", "p90_ms", "p99_ms", "max_ms", "segmenter_p50_ms", "rest_p50_ms" (p50_ms minus the
        segmenter's), "stages_p50_ms"}], "highest_rate_hz": the highest integer rate at which every frame got a mask
        within one period, None if there is none or the search was skipped}. The segmenter's p50 is the sum of its
        stages' p50s in the same run. With several cameras, "rates" has an entry for each, with its name as "camera",
        and "spreads" says how far they are apart: [{"rate_hz", "p50_spread" (the largest of their p50_ms divided by the
        smallest)}].

    Raises:
        UserError: ROS 2 is not installed, the node does not start, or a process exits too early.
    """
    domain = DomainReservation()
    domain.isolate_process()
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise UserError(f"--node needs ROS 2 ({error}): source a ROS 2 installation first") from None
    from fcn_road_seg.benchmark.copies import time_copies
    from fcn_road_seg.benchmark.mask_listener import MaskListener

    several = {"cameras": list(cameras)} if len(cameras) > 1 else {}
    with (
        tempfile.TemporaryDirectory(prefix="road_seg_benchmark_") as folder,
        MaskListener(cameras) as listener,
        node_process(parameters | several, Path(folder) / "node.log", dict(os.environ)) as node,
    ):
        report("starting the node")
        wait_until(listener.node_listens, node, partial(listener.spin, 0.1), "the node is not active")
        device = listener.device
        report("copies")
        copies = time_copies(listener, iterations)

        def measure(rate: float, duration: float) -> list[dict[str, Any]]:
            report(f"{rate:g} Hz")
            return _measure_rate(listener, node, Path(folder) / "camera.log", rate, duration)

        figures = [measure(rate, seconds) for rate in rates]
        highest = None
        if search_seconds:
            first_guess = min(MAX_HZ, 1000 / figures[0][0]["p50_ms"])

            def keeps_up(rate: float) -> bool:
                return all(map(_keeps_up, measure(rate, search_seconds)))

            highest = _highest_rate(keeps_up, round(1.2 * first_guess))
    result: dict[str, Any] = {name: device[name] for name in ("weights", "backend", "device", "precision")}
    rows = [of_camera for of_rate in figures for of_camera in of_rate]
    result |= {"rates": rows, "highest_rate_hz": highest, "copies": copies}
    if several:
        spreads = [spread(of_camera["p50_ms"] for of_camera in of_rate) for of_rate in figures]
        result["spreads"] = [{"rate_hz": rate, "p50_spread": each} for rate, each in zip(rates, spreads, strict=True)]
    return result


def _measure_rate(
    listener: "MaskListener", node: ChildProcess, log: Path, rate: float, seconds: float
) -> list[dict[str, Any]]:
    """The figures for one rate, of each camera."""
    cameras = list(listener.arrivals)
    frames = max(1, CAMERA_FRAMES // len(cameras))
    arguments = ["--ros-args", "-p", f"rate:={rate}", "-p", f"frames:={frames}", "-p", f"cameras:={cameras}"]
    for camera in cameras:
        arguments += ["-r", f"{scoped(camera, 'camera/image_raw')}:={scoped(camera, 'image')}"]
    for arrivals in listener.arrivals.values():
        arrivals.clear()
    started = time.time_ns()  # a mask of the previous cameras may still arrive
    with ChildProcess("fcn_road_seg.ros.synthetic_camera_main", arguments, log, dict(os.environ)) as process:
        received = partial(_masks_since, listener, started)
        wait_until(received, process, partial(listener.spin, 0.1), "no mask was received")
        listener.spin(SETTLE_SECONDS)
        begin = time.time_ns()
        listener.spin(seconds)
        end = time.time_ns()
        stages = {camera: _stages(listener.latency(camera)) for camera in cameras}
        listener.spin(1.0)  # for the masks of the last frames
        node.ended()
    figures = []
    for camera in cameras:
        name = {"camera": camera} if camera else {}
        measured = [arrival for arrival in listener.arrivals[camera] if begin <= arrival.stamp < end]
        if not measured:
            of_camera = f" of {camera}" if camera else ""
            raise UserError(f"no mask{of_camera} was received at {rate:g} Hz in {seconds:g} s")
        sent = max(len(measured), round((end - begin) / 1e9 * rate))
        figures.append({"rate_hz": rate} | name | _figures(measured, sent, stages[camera]))
    return figures


def _figures(arrivals: "list[Arrival]", sent: int, stages: dict[str, float]) -> dict[str, Any]:
    """The figures of a camera's masks; `stages` as in its status "latency", see `_stages`."""
    ages = [1000 * arrival.age for arrival in arrivals]
    ways = [1000 * arrival.way for arrival in arrivals if arrival.way is not None]
    p50, p90, p99 = (round(float(p), 2) for p in np.percentile(ages, (50, 90, 99)))
    segmenter = round(sum(ms for stage, ms in stages.items() if stage not in OTHER_STAGES), 2) if stages else None
    return {
        "sent": sent,
        "answered": len(ages),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": round(max(ages), 2),
        "segmenter_p50_ms": segmenter,
        "rest_p50_ms": None if segmenter is None else round(p50 - segmenter, 2),
        "stages_p50_ms": stages | ({"mask's way": round(median(ways), 2)} if stages and ways else {}),
    }


def _masks_since(listener: "MaskListener", stamp: int) -> bool:
    return all(any(arrival.stamp > stamp for arrival in arrivals) for arrivals in listener.arrivals.values())


def _stages(latency: dict[str, str]) -> dict[str, float]:
    """p50 in milliseconds by stage, from the values of the node's status "latency"."""
    end = " p50 (ms)"
    return {name.removesuffix(end): float(value) for name, value in latency.items() if name.endswith(end)}


def _keeps_up(figures: dict[str, Any]) -> bool:
    """Whether every frame got a mask within one period; one frame may be cut off at the ends of the measurement."""
    return figures["max_ms"] <= 1000 / figures["rate_hz"] and figures["answered"] >= figures["sent"] - 1


def _highest_rate(keeps_up: Callable[[float], bool], too_high: int) -> float | None:
    """The highest integer rate in Hz below `too_high` that keeps up, by bisection; None if 1 Hz does not."""
    low, high = 0, max(too_high, 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if keeps_up(float(middle)) else (low, middle)
    return float(low) if low else None
