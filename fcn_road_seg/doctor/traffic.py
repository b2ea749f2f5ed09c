"""Judgement of what was heard while listening: the camera's frames, the masks, the diagnostics. No ROS here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.doctor.ros_settings import shipped_profile
from fcn_road_seg.frames import image_message
from fcn_road_seg.ros.environment import FAST_DDS_PROFILE

LATE = 0.2
"""Seconds from a frame's stamp to its arrival that are worth a warning."""
CLOCKS_DIFFER = 5.0
"""... and that no network takes."""
CLOCK_TOLERANCE = 0.01
"""Seconds in the future that synchronised clocks may differ by."""
GAP = 1.5
"""Periods between two stamps from which on a frame is missing."""
ANSWERED = 0.5
"""Share of the frames that a node which is fast enough answers; it always takes the newest."""
LAYOUTS = 20
"""Kept for a look at the pixels; a camera has one."""


@dataclass
class Stream:
    """Images of a topic.

    Attributes:
        stamps, arrivals: nanoseconds, on the same clock.
        samples: one message per layout of the bytes.
    """

    stamps: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    samples: dict[tuple, Any] = field(default_factory=dict)

    def add(self, message: Any, arrival: int) -> None:
        """Take a sensor_msgs/Image or CompressedImage that came at `arrival`."""
        stamp = message.header.stamp
        self.stamps.append(stamp.sec * 1_000_000_000 + stamp.nanosec)
        self.arrivals.append(arrival)
        if hasattr(message, "format"):
            layout = (message.format,)
        else:
            layout = (message.encoding, message.height, message.width, message.step, len(message.data))
        if len(self.samples) < LAYOUTS:
            self.samples.setdefault(layout, message)

    def age(self) -> float:
        """Median of the seconds from stamp to arrival."""
        return median(arrival - stamp for stamp, arrival in zip(self.stamps, self.arrivals, strict=True)) / 1e9

    def rate(self) -> float:
        """Messages per second; 0 for fewer than two."""
        span = self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0
        return (len(self.arrivals) - 1) / span * 1e9 if span else 0.0


def judge_frames(topic: str, stream: Stream, seconds: float) -> Iterator[Finding]:
    """The camera: rate, pictures that cannot be used, lateness, losses."""
    if not stream.stamps:
        advice = "look at the camera's log; if it sends, something keeps its frames away (firewall, Wi-Fi, multicast)"
        yield error("frames", f"No frame came on {topic} in {seconds:g} s.", advice)
        return
    yield ok("frames", f"{len(stream.stamps)} frames came on {topic} in {seconds:g} s, {stream.rate():.1f} per second.")
    yield from _judge_pictures(stream)
    if not any(stream.stamps):
        yield warning(
            "stamps",
            "The frames have no stamp (0): nobody can tell how old they are.",
            "let the camera stamp its frames",
        )
        return
    yield from _judge_age(stream.age())
    yield from _judge_losses(stream.stamps)


def _judge_pictures(stream: Stream) -> Iterator[Finding]:
    refused = set()
    for message in stream.samples.values():
        to_rgb = image_message.compressed_to_rgb if hasattr(message, "format") else image_message.image_to_rgb
        try:
            to_rgb(message)
        except image_message.ImageMessageError as fault:
            refused.add(str(fault))
    advice = "let the camera send colour or grey pictures, such as bgr8, rgb8, mono8 or JPEG, in whole messages"
    for sentence in sorted(refused):
        yield error("picture", f"The node cannot use a frame: {sentence}.", advice)


def _judge_age(age: float) -> Iterator[Finding]:
    replay = "; of a replayed bag it is no harm, and `ros2 bag play --clock` with use_sim_time:=true mends it"
    synchronise = f"synchronise the clocks of the two machines (chrony, PTP){replay}"
    if age < -CLOCK_TOLERANCE:
        yield warning("age", f"Frames are stamped {-age:.3g} s in the future: the clocks differ.", synchronise)
    elif age > CLOCKS_DIFFER:
        yield warning(
            "age", f"Frames are {age:.0f} s old when they come: the clocks differ, or it is a record.", synchronise
        )
    elif age > LATE:
        advice = (
            "shorten the way: smaller or compressed images, a shorter queue in the camera's driver, a cable for Wi-Fi"
        )
        yield warning("age", f"Frames are {1000 * age:.0f} ms old when they come (median).", advice)
    else:
        yield ok("age", f"Frames are {1000 * age:.0f} ms old when they come (median).")


def _judge_losses(stamps: list[int]) -> Iterator[Finding]:
    stamps = sorted(set(stamps))
    periods = [after - before for before, after in zip(stamps, stamps[1:], strict=False)]
    if len(periods) < 2:
        return
    usual = median(periods)
    missing = sum(round(period / usual) - 1 for period in periods if period > GAP * usual)
    sent = len(stamps) + missing
    if not missing:
        yield ok("losses", f"None of {sent} frames is missing between the stamps.")
        return
    advice = (
        f"start the camera with {FAST_DDS_PROFILE}={shipped_profile()} and let it publish RELIABLE, "
        "or look whether the camera itself leaves frames out"
    )
    yield warning("losses", f"{missing} of {sent} frames are missing, going by the gaps between stamps.", advice)


def judge_masks(topic: str, masks: Stream, frames: Stream) -> Iterator[Finding]:
    """The node's answers."""
    text = f"{len(masks.stamps)} masks for {len(frames.stamps)} frames on {topic}"
    if not masks.stamps:
        if frames.stamps:
            advice = "read the node's log: it names every frame that it drops; without a word there start it anew"
            yield error("masks", f"No mask comes on {topic}, though frames come in.", advice)
        return
    if any(masks.stamps):
        text += f", {1000 * masks.age():.0f} ms after the frames' stamps (median)"
    if len(masks.stamps) < ANSWERED * len(frames.stamps):
        advice = "use a GPU (device), a smaller network_width or precision, or a camera rate that the node can follow"
        yield warning("masks", f"{text}: the node is slower than the camera.", advice)
    else:
        yield ok("masks", f"{text}.")


def judge_diagnostics(node: str, statuses: list[tuple[str, int, str]], expected: bool) -> Iterator[Finding]:
    """What the node says of itself.

    Args:
        node: its fully qualified name, which its statuses' names start with.
        statuses: name, level (0 ok, 1 warning, 2 error, 3 stale) and message of all that came.
        expected: whether silence is worth a warning.
    """
    worst: dict[str, tuple[int, str]] = {}
    for name, level, message in statuses:
        if name == node or name.startswith((f"{node}:", f"{node}/", f"{node} ")):
            worst[name] = max(worst.get(name, (0, message)), (level, message), key=lambda status: status[0])
    if not worst:
        if expected:
            advice = "update the node if it is older than this command, and let nothing remap /diagnostics"
            yield warning("diagnostics", f"{node} says nothing on /diagnostics.", advice)
        return
    for name, (level, message) in worst.items():
        if level:
            kind = error if level == 2 else warning
            word = {1: "warns", 2: "reports an error", 3: "has nothing new"}.get(level, "complains")
            yield kind("diagnostics", f"{name} {word}: {message}.", "do what it says; /diagnostics has the figures")
    if not any(level for level, _ in worst.values()):
        yield ok("diagnostics", f"{node} reports {len(worst)} statuses on /diagnostics, all well.")
