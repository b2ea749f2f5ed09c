"""The statuses that the node publishes on /diagnostics, and their message; imports without ROS."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

OK, WARN, ERROR, STALE = range(4)  # diagnostic_msgs/DiagnosticStatus


class Report(NamedTuple):
    """One status: its subject, level, sentence and figures."""

    subject: str
    level: int
    sentence: str
    values: dict[str, str]


def device_report(segmenter: "RoadSegmenter") -> Report:
    """What the network actually runs on, and with which weights and own-vehicle mask."""
    weights = segmenter.checkpoint
    max_f = weights.metadata.max_f
    gpu = segmenter.memory()
    size = "x".join(map(str, segmenter.network_size or ())) or "unknown"
    own_vehicle = segmenter.own_vehicle
    values = {
        "device": segmenter.device,
        "device name": segmenter.device_name,
        "backend": segmenter.backend,
        "precision": segmenter.precision,
        "network width": str(segmenter.network_width),
        "network size": size,
        "GPU memory (MB)": "none" if gpu is None else f"{gpu / 1e6:.1f}",
        "weights": str(weights.path),
        "weights SHA-256": weights.sha256,
        "network SHA-256": segmenter.network_sha256,
        "weights MaxF": "unknown" if max_f is None else f"{max_f:.4f}",
        "weights threshold": f"{segmenter.threshold:.3f}",
        "own-vehicle mask": "none" if own_vehicle is None else f"{own_vehicle.path} ({100 * own_vehicle.share:.1f} %)",
        "own-vehicle mask SHA-256": "none" if own_vehicle is None else own_vehicle.sha256,
        "CUDA": segmenter.why_not_cuda or ("in use" if gpu is not None else "not requested, or not in this machine"),
    }
    if segmenter.why_not_cuda:
        sentence = f"running on the CPU: {segmenter.why_not_cuda}; road_seg doctor has details"
        return Report("device", WARN, sentence, values)
    if segmenter.why_not_int8:
        return Report("device", WARN, f"running in {segmenter.precision}: {segmenter.why_not_int8}", values)
    sentence = f"{segmenter.device_name} ({segmenter.device}, {segmenter.backend}), {segmenter.precision}"
    if segmenter.network_size:
        sentence += f", network {size}"
    return Report("device", OK, sentence, values)


def diagnostic_array(stamp: Any, node: str, reports: Iterable[Report]) -> Any:
    """The diagnostic_msgs/DiagnosticArray of reports.

    Args:
        stamp: builtin_interfaces/Time.
        node: its fully qualified name, with which every status name starts.
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
