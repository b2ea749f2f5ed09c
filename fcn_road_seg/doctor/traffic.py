"""Checks of received messages: the camera's frames, the masks and the diagnostics. Does not import ROS."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.doctor.ros_settings import profile_setting
from fcn_road_seg.frames import image_message
from fcn_road_seg.ros.frame_statistics import NO_IMAGE_YET, PAUSED, RESTS, max_fps_in
from fcn_road_seg.ros.remedies import has_ros2, resume
from fcn_road_seg.ros.scope import source_of

LATE = 0.2
"""Age of a frame on arrival, in seconds, that causes a warning."""
CLOCKS_DIFFER = 5.0
"""Age in seconds that a network delay cannot explain."""
CLOCK_TOLERANCE = 0.01
"""Difference in seconds that synchronised clocks may have."""
GAP = 1.5
"""Distance between two stamps, in periods, from which on a frame is missing."""
ANSWERED = 0.5
"""Minimum fraction of frames that get a mask from a node that is fast enough; it always takes the latest frame."""
SEVERITY = {0: 0, 1: 2, 2: 3}
"""Order of a status's levels; stale, 3, is worse than ok, and better than a warning."""
FOLLOW = "follow this message; details on /diagnostics"
ON_THE_WAY = (
    "look for a firewall, weak Wi-Fi or blocked multicast between the machines; on one machine run camera, node and "
    "this command as the same user"
)
LAYOUTS = 20
"""Maximum number of samples to decode; a camera normally has one layout."""


@dataclass
class Stream:
    """The images received on a topic.

    Attributes:
        stamps, arrivals: nanoseconds, on the same clock.
        samples: one message per layout (encoding and size) of the data.
    """

    stamps: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    samples: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def add(self, message: Any, arrival: int) -> None:
        """Add a sensor_msgs/Image or CompressedImage that was received at `arrival`."""
        stamp = message.header.stamp
        self.stamps.append(stamp.sec * 1_000_000_000 + stamp.nanosec)
        self.arrivals.append(arrival)
        layout: tuple[object, ...]
        if hasattr(message, "format"):
            layout = (message.format,)
        else:
            layout = (message.encoding, message.height, message.width, message.step, len(message.data))
        if len(self.samples) < LAYOUTS:
            self.samples.setdefault(layout, message)

    def age(self) -> float:
        """Median time from stamp to arrival, in seconds."""
        return median(arrival - stamp for stamp, arrival in zip(self.stamps, self.arrivals, strict=True)) / 1e9

    def rate(self) -> float:
        """Messages per second; 0 for fewer than two messages."""
        span = self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0
        return (len(self.arrivals) - 1) / span * 1e9 if span else 0.0


def check_frames(topic: str, stream: Stream, seconds: float) -> Iterator[Finding]:
    """Check the camera's frames: rate, unusable images, latency and losses."""
    if not stream.stamps:
        advice = (
            "check the camera's log; if it publishes, the network drops its frames (firewall, Wi-Fi, multicast), or on "
            "one machine another user runs it (then there is a finding users)"
        )
        yield error("frames", f"No frames were received on {topic} in {seconds:g} s.", advice)
        return
    count = len(stream.stamps)
    yield ok("frames", f"{count} frames were received on {topic} in {seconds:g} s, {stream.rate():.1f} per second.")
    yield from _check_images(stream)
    if not any(stream.stamps):
        yield warning(
            "stamps",
            "The frames have no stamp (0), so their age is unknown.",
            "make the camera driver stamp its frames",
        )
        return
    yield from _check_age(stream.age())
    yield from _check_losses(stream.stamps)


def _check_images(stream: Stream) -> Iterator[Finding]:
    refused = set()
    for message in stream.samples.values():
        to_rgb = image_message.compressed_to_rgb if hasattr(message, "format") else image_message.image_to_rgb
        try:
            to_rgb(message)
        except image_message.ImageMessageError as fault:
            refused.add(str(fault))
    advice = "make the camera publish complete colour or grey images, such as bgr8, rgb8, mono8 or JPEG"
    for sentence in sorted(refused):
        yield error("picture", f"The node cannot decode a frame: {sentence}.", advice)


def _check_age(age: float) -> Iterator[Finding]:
    play = "ros2 bag play" if has_ros2() else "road_seg play"
    replay = f"; harmless for a replayed bag, where `{play} --clock` with use_sim_time:=true avoids it"
    synchronise = f"synchronise the clocks of the two machines (chrony, PTP){replay}"
    text = f"Frames are {max(1000 * age, 0):.0f} ms old on arrival (median)."
    if age < -CLOCK_TOLERANCE:
        yield warning("age", f"Frames are stamped {-age:.3g} s in the future: the clocks differ.", synchronise)
    elif age > CLOCKS_DIFFER:
        text = f"Frames are {age:.0f} s old on arrival: the clocks differ, or this is a recording."
        yield warning("age", text, synchronise)
    elif age > LATE:
        advice = "reduce the delay: smaller or compressed images, a shorter driver queue, a cable instead of Wi-Fi"
        yield warning("age", text, advice)
    else:
        yield ok("age", text)


def _check_losses(stamps: list[int]) -> Iterator[Finding]:
    stamps = sorted(set(stamps))
    periods = [after - before for before, after in zip(stamps, stamps[1:], strict=False)]
    if len(periods) < 2:
        text = f"Could not tell whether frames are missing: {len(stamps)} stamps are too few."
        yield warning("losses", text, "listen longer (--seconds)")
        return
    usual = median(periods)
    missing = sum(round(period / usual) - 1 for period in periods if period > GAP * usual)
    sent = len(stamps) + missing
    if not missing:
        yield ok("losses", f"The stamps of {sent} frames have no gaps.")
        return
    advice = (
        f"start the camera with {profile_setting(os.environ)} and make it publish RELIABLE, "
        "or check whether the camera itself drops frames"
    )
    yield warning("losses", f"{missing} of {sent} frames are missing, judging by gaps between stamps.", advice)


def check_masks(
    node: str, topic: str, masks: Stream, frames: Stream, statuses: list[tuple[str, int, str]], camera: str = ""
) -> Iterator[Finding]:
    """Check the masks of a node's camera; the other arguments are as in `check_diagnostics`."""
    source = source_of(node, camera)
    text = f"{len(masks.stamps)} masks for {len(frames.stamps)} frames on {topic}"
    if not masks.stamps:
        if frames.stamps:
            yield _no_masks(node, source, topic, frames, statuses)
        return
    if any(masks.stamps):
        age = 1000 * masks.age()
        text += f", {abs(age):.0f} ms {'after' if age >= 0 else 'before'} the frames' stamps (median)"
    few = len(masks.stamps) < ANSWERED * len(frames.stamps)
    level, said = _frames_status(source, statuses)
    if not few:
        yield ok("masks", f"{text}.")
    elif not said:
        advice = "use a GPU (device), a smaller network_width, a lower precision, or a lower camera rate"
        yield warning("masks", f"{text}: the node is slower than the camera.", advice)
    elif level:
        yield warning("masks", f"{text}: {said}.", FOLLOW)
    elif max_fps_in(said):
        yield ok("masks", f"{text} (the parameter max_fps limits them).")
    else:
        yield warning("masks", f"{text}, but {source} says that {said}.", f"the others were lost: {ON_THE_WAY}")


def _frames_status(source: str, statuses: list[tuple[str, int, str]]) -> tuple[int, str]:
    """Level and message of a camera's last status frames; 0 and an empty message if there is none."""
    found = ((level, message) for name, level, message in reversed(statuses) if name == f"{source}: frames")
    return next(found, (0, ""))


def _no_masks(node: str, source: str, topic: str, frames: Stream, statuses: list[tuple[str, int, str]]) -> Finding:
    """Why no mask has come although frames have, by what the node says of them, and what to do."""
    level, said = _frames_status(source, statuses)
    resting = rest(source, statuses)
    text = f"No masks were received on {topic}"
    if resting == RESTS[PAUSED]:
        return error("masks", f"{text}, because {node} is paused.", f"resume it: {resume(node)}")
    text = f"{text}, although frames were"
    if resting:  # although this is a subscriber
        advice = "run this again; if it stays so, the network does not pass on to the node that this terminal listens"
        return error("masks", f"{text}: {source} is {resting}.", f"{advice} (firewall, Wi-Fi, multicast)")
    if not said:
        advice = (
            "run this again in a minute: a node that prepares the network for a new frame size says nothing meanwhile; "
            "if it stays so, see its log, and restart it"
        )
        return error("masks", f"{text}, and {source} says nothing of them on /diagnostics.", advice)
    if said.startswith(NO_IMAGE_YET):
        return error("masks", f"{text}: {source} gets none of them.", f"if no finding above says why, {ON_THE_WAY}")
    if level:
        return error("masks", f"{text}: {said}.", f"{FOLLOW}; the node's log names the frames that it drops")
    max_fps = max_fps_in(said)
    if max_fps and (frames.arrivals[-1] - frames.arrivals[0]) / 1e9 < 2 / max_fps:
        return warning("masks", f"{text}: max_fps is {max_fps:g}, so masks are rare.", "listen longer (--seconds)")
    return error("masks", f"{text}, but {source} says that {said}.", f"they were lost: {ON_THE_WAY}")


def rest(source: str, statuses: list[tuple[str, int, str]]) -> str:
    """Why a node, or one of its cameras, segments no frames on purpose, such as "idle: nobody listens"; empty if not.

    Args:
        source: what the names of the statuses start with.
    """
    said = {
        text for name, _, text in statuses if name.startswith((f"{source}:", f"{source}/")) and name.endswith(": road")
    }
    return next((sentence for sentence in RESTS.values() if said == {sentence}), "")


def check_diagnostics(node: str, statuses: list[tuple[str, int, str]], expected: bool) -> Iterator[Finding]:
    """Check the node's diagnostics.

    Args:
        node: its fully qualified name, the prefix of its statuses' names.
        statuses: name, level (0 ok, 1 warning, 2 error, 3 stale) and message of all received statuses.
        expected: whether to warn if the node has published none.
    """
    worst: dict[str, tuple[int, str]] = {}
    for name, level, message in statuses:
        if name == node or name.startswith((f"{node}:", f"{node}/", f"{node} ")):
            known = worst.get(name, (0, message))
            worst[name] = max(known, (level, message), key=lambda status: SEVERITY.get(status[0], 1))
    if not worst:
        if expected:
            advice = "update the node if it is older than this command, and do not remap /diagnostics"
            yield warning("diagnostics", f"{node} publishes nothing on /diagnostics.", advice)
        return
    for name, (level, message) in worst.items():
        if level in (1, 2):
            kind, report = (error, "reports an error") if level == 2 else (warning, "warns")
            yield kind("diagnostics", f"{name} {report}: {message}.", FOLLOW)
    levels = {level for level, _ in worst.values()}
    stale = [name for name, (level, _) in worst.items() if level not in (0, 1, 2)]
    if stale and not levels & {1, 2}:  # else the others say why
        stands = "is" if len(stale) == 1 else "are"
        yield warning("diagnostics", f"{', '.join(stale)} {stands} stale: {worst[stale[0]][1]}.", FOLLOW)
    if levels == {0}:
        resting = f"; it is {sentence}" if (sentence := rest(node, statuses)) else ""
        yield ok("diagnostics", f"{node} publishes {len(worst)} statuses on /diagnostics, all OK{resting}.")
