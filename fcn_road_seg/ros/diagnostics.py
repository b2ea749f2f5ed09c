"""The statuses that the node publishes on /diagnostics, and their message; imports without ROS."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcn_road_seg.inference.options import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from fcn_road_seg.frames.own_vehicle import OwnVehicle
    from fcn_road_seg.inference.segmenter import RoadSegmenter

OK, WARN, ERROR, STALE = range(4)  # diagnostic_msgs/DiagnosticStatus
IMAGE_TOPIC, MASK_TOPIC = "image topic", "mask topic"
"""Values of the status frames of each camera: full names, after remapping."""


class Report(NamedTuple):
    """One status: its subject, level, sentence and figures."""

    subject: str
    level: int
    sentence: str
    values: dict[str, str]


def device_report(segmenter: "RoadSegmenter", own_vehicles: "Mapping[str, OwnVehicle | None]") -> Report:
    """What the network actually runs on, and with which weights and, by camera, own-vehicle masks."""
    weights = segmenter.checkpoint
    max_f = weights.metadata.max_f
    gpu = segmenter.memory()
    size = "x".join(map(str, segmenter.network_size or ())) or "unknown"
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
        "CUDA": segmenter.why_not_cuda or ("in use" if gpu is not None else "not requested, or not in this machine"),
    }
    for camera, mask in own_vehicles.items():
        name = f"{camera} own-vehicle mask".lstrip()
        values[name] = "none" if mask is None else f"{mask.path} ({100 * mask.share:.1f} %)"
        values[f"{name} SHA-256"] = "none" if mask is None else mask.sha256
    if segmenter.why_not_cuda:
        sentence = f"running on the CPU: {segmenter.why_not_cuda}; road_seg doctor has details"
        return Report("device", WARN, sentence, values)
    if segmenter.why_not_int8:
        return Report("device", WARN, f"running in {segmenter.precision}: {segmenter.why_not_int8}", values)
    sentence = f"{segmenter.device_name} ({segmenter.device}, {segmenter.backend}), {segmenter.precision}"
    if segmenter.network_size:
        sentence += f", network {size}"
    return Report("device", OK, sentence, values)


def what_is_faster(segmenter: "RoadSegmenter") -> str:
    """What would be faster than what runs, a clause such as "a smaller network_width is faster"."""
    ways = ["a smaller network_width"]
    if segmenter.checkpoint.path.name == Path(SHIPPED_WEIGHTS[""]).name:
        ways.insert(0, "the weights lite")
    if segmenter.device == "cpu":
        ways.append("a GPU")
    listed = " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))
    return f"{listed} {'is' if len(ways) == 1 else 'are'} faster"


def diagnostic_array(stamp: Any, node: str, reports: Mapping[str, Iterable[Report]]) -> Any:
    """The diagnostic_msgs/DiagnosticArray of reports.

    Args:
        stamp: builtin_interfaces/Time.
        node: its fully qualified name.
        reports: by what each status name starts with: that name, or with one of several cameras <node>/<camera>.
    """
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    message = DiagnosticArray()
    message.header.stamp = stamp
    for source, report in ((source, report) for source, of_source in reports.items() for report in of_source):
        message.status.append(
            DiagnosticStatus(
                level=bytes([report.level]),
                name=f"{source}: {report.subject}",
                message=report.sentence,
                hardware_id=node,
                values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
            )
        )
    return message


def camera_topics(message: Any, node: str) -> dict[str, tuple[str, str]]:
    """The topics of an active node's cameras, from its diagnostic_msgs/DiagnosticArray.

    Args:
        node: its fully qualified name.

    Returns:
        By the camera's name ("" if it is the only one), in the node's order: the topics of its images and masks.
    """
    cameras = {}
    for status in message.status:
        source, _, subject = status.name.rpartition(": ")
        values = {value.key: value.value for value in status.values}
        if status.hardware_id == node and subject == "frames" and IMAGE_TOPIC in values:
            cameras[source.removeprefix(node).removeprefix("/")] = values[IMAGE_TOPIC], values[MASK_TOPIC]
    return cameras
