"""Tells of frames that get no mask: the first of each kind, and how many like it followed."""

from collections import Counter
from collections.abc import Callable

from fcn_road_seg.errors import UserError


class SkippedFrames:
    """The skipped frames of a bag.

    Args:
        note: called with a sentence for the user.
    """

    def __init__(self, note: Callable[[str], object]):
        self._note = note
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, topic: str, stamp: int, error: UserError) -> None:
        """Count a frame, recorded at `stamp` nanoseconds; its error is told if it is the first of its kind."""
        kind = topic, getattr(error, "reason", "message")
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            self._note(f"skipped: {topic} at {stamp // 10**9}.{stamp % 10**9:09} s: {error}")

    def tell_rest(self) -> None:
        """Tell how many frames were skipped for each reason that came more than once."""
        for (topic, kind), count in self._counts.items():
            if count > 1:
                self._note(f"skipped: {count} frames on {topic} for the same reason ({kind})")
