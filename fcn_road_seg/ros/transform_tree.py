"""Coordinate frames that move or stand still, as TF publishes them, and the pose of one in another at a given time."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fcn_road_seg.ros.camera_info_subscription import NotYetError

KEPT = 10 * 10**9
"""Nanoseconds for which the poses of a moving frame are kept, as in tf2."""
MAX_GAP = 5 * 10**8
"""Nanoseconds between two poses of a moving frame from which nothing is known about the time between them."""
JUMP = 10**9
"""A pose older by more nanoseconds than its frame's newest means that a bag or a simulation was restarted."""


class LateTransformError(NotYetError):
    """The frames are connected, but nothing is known about the time that was asked for; it may arrive later."""


class Pose(NamedTuple):
    """Takes points of a frame to its parent: metres, and a quaternion x y z w of length 1."""

    translation: np.ndarray
    rotation: np.ndarray


@dataclass
class _Frame:
    """A frame's poses in its parent by ascending stamp in nanoseconds; a static frame has one, and no stamp."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)

    def add(self, stamp: int, pose: Pose) -> None:
        if self.static:
            self.poses = [pose]
            return
        index = bisect_left(self.stamps, stamp)
        if self.stamps[index : index + 1] == [stamp]:
            self.poses[index] = pose
        else:
            self.stamps.insert(index, stamp)
            self.poses.insert(index, pose)
        expired = bisect_left(self.stamps, self.stamps[-1] - KEPT)
        del self.stamps[:expired], self.poses[:expired]

    def forget(self) -> None:
        if not self.static:
            self.stamps.clear()
            self.poses.clear()


class TransformTree:
    """A tree of frames. A leading slash in a name does not count.

    A pose between two that were published is interpolated. None is extrapolated or taken from another time.
    """

    def __init__(self) -> None:
        self._frames: dict[str, _Frame] = {}

    def add(
        self, parent: str, child: str, translation: tuple, rotation: tuple, stamp: int = 0, static: bool = False
    ) -> None:
        """Add the pose of a frame in its parent, in any order of time.

        Args:
            translation, rotation: x y z in metres, and a quaternion x y z w.
            stamp: nanoseconds; of no meaning for a static frame, whose latest pose is valid at any time.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        shift, turn = np.asarray(translation, np.float64), np.asarray(rotation, np.float64)
        length = np.linalg.norm(turn)
        if not (np.isfinite(shift).all() and np.isfinite(length) and length > 1e-6):
            self._frames.pop(child, None)
            return
        frame = self._frames.get(child)
        if frame is None or (frame.parent, frame.static) != (parent, static):
            frame = self._frames[child] = _Frame(parent, static)
        if frame.stamps and stamp < frame.stamps[-1] - JUMP:
            self.forget_moving()
        frame.add(stamp, Pose(shift, turn / length))

    def forget_moving(self) -> None:
        """Forget the poses of moving frames, because time jumped: they are of another time with the same stamps."""
        for frame in self._frames.values():
            frame.forget()

    def lookup(self, target: str, source: str, stamp: int) -> Pose:
        """What takes points of `source` to `target`.

        Args:
            stamp: nanoseconds; 0 for the newest for which everything is known.

        Raises:
            LateTransformError: nothing is known about that time.
            NotYetError: the tree does not connect the frames.
        """
        up, down = self._way_up(source), self._way_up(target)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise NotYetError(
                f"TF does not connect {target} with the image's frame {source}: publish that transform, "
                "or set camera_height"
            )
        up, down = up[: up.index(common)], down[: down.index(common)]
        if not stamp:
            newest = [self._frames[name].stamps[-1:] for name in up + down if not self._frames[name].static]
            stamp = min((stamps[0] for stamps in newest if stamps), default=0)
        shift, turn = self._pose_in_ancestor(up, stamp)
        shift_target, turn_target = self._pose_in_ancestor(down, stamp)
        back = turn_target * (-1, -1, -1, 1)
        return Pose(_rotate(back, shift - shift_target), _product(back, turn))

    def _way_up(self, name: str) -> list[str]:
        """The names from a frame to the root."""
        way = [name.lstrip("/")]
        while (frame := self._frames.get(way[-1])) is not None and frame.parent not in way:
            way.append(frame.parent)
        return way

    def _pose_in_ancestor(self, way: list[str], stamp: int) -> Pose:
        """The pose of a way's first frame in the parent of its last."""
        shift, turn = np.zeros(3), np.array([0.0, 0, 0, 1])
        for name in way:
            translation, rotation = self._pose_at(name, stamp)
            shift, turn = translation + _rotate(rotation, shift), _product(rotation, turn)
        return Pose(shift, turn)

    def _pose_at(self, name: str, stamp: int) -> Pose:
        frame = self._frames[name]
        if frame.static:
            return frame.poses[0]
        link = f"transform from {name} to {frame.parent}"
        if not frame.stamps:
            raise LateTransformError(f"no {link} has arrived since time jumped: is its publisher running?")
        index = bisect_left(frame.stamps, stamp)
        if frame.stamps[index : index + 1] == [stamp]:
            return frame.poses[index]
        if index == len(frame.stamps):
            raise LateTransformError(
                f"the newest {link} is {(stamp - frame.stamps[-1]) / 1e9:.2f} s older than the image: "
                "is its publisher running, and on the camera's clock?"
            )
        if index == 0:
            raise LateTransformError(
                f"the oldest {link} is {(frame.stamps[0] - stamp) / 1e9:.2f} s newer than the image: "
                "is its publisher on the camera's clock?"
            )
        before, after = frame.stamps[index - 1], frame.stamps[index]
        if after - before > MAX_GAP:
            raise LateTransformError(
                f"the {link} was not published for {(after - before) / 1e9:.2f} s around the image: "
                f"publish it at least every {MAX_GAP / 1e9:g} s"
            )
        return _between(frame.poses[index - 1], frame.poses[index], (stamp - before) / (after - before))


def _between(a: Pose, b: Pose, share: float) -> Pose:
    """Between two poses, 0..1 of the way from one to the other: linear, and Shoemake's slerp (SIGGRAPH 1985)."""
    end = b.rotation if a.rotation @ b.rotation >= 0 else -b.rotation
    angle = np.arccos(min(1.0, a.rotation @ end))
    weights = (1 - share, share) if angle < 1e-6 else np.sin([(1 - share) * angle, share * angle]) / np.sin(angle)
    rotation = weights[0] * a.rotation + weights[1] * end
    return Pose((1 - share) * a.translation + share * b.translation, rotation / np.linalg.norm(rotation))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of quaternions x y z w: the rotation b, then a."""
    return np.append(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3]), a[3] * b[3] - a[:3] @ b[:3])


def _rotate(q: np.ndarray, point: np.ndarray) -> np.ndarray:
    return point + 2 * np.cross(q[:3], np.cross(q[:3], point) + q[3] * point)
