"""Coordinate frames that move or stand still, as TF publishes them, and the pose of one in another at a given time."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.history import JUMP, History


class Pose(NamedTuple):
    """Takes points of a frame to its parent: metres, and a quaternion x y z w of length 1."""

    translation: np.ndarray
    rotation: np.ndarray


@dataclass
class _Frame:
    """A frame's pose in its parent, if it is static, or its poses."""

    parent: str
    static: Pose | None
    moving: History[Pose] = field(default_factory=History)


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
        pose = Pose(shift, turn / length)
        frame = self._frames.get(child)
        if frame is None or (frame.parent, frame.static is not None) != (parent, static):
            frame = self._frames[child] = _Frame(parent, None)
        if static:
            frame.static = pose
            return
        if frame.moving.newest is not None and stamp < frame.moving.newest - JUMP:
            self.forget_moving()
        frame.moving.add(stamp, pose)

    def forget_moving(self) -> None:
        """Forget the poses of moving frames, because time jumped: they are of another time with the same stamps."""
        for frame in self._frames.values():
            frame.moving.clear()

    def lookup(self, target: str, source: str, stamp: int) -> Pose:
        """What takes points of `source` to `target`.

        Args:
            stamp: nanoseconds; 0 for the newest for which everything is known.

        Raises:
            LateTransformError: nothing is known about that time.
            NotYetError: the tree does not connect the frames.
        """
        ways = self._ways(target, source)
        if ways is None:
            raise NotYetError(
                f"TF does not connect {target} with the image's frame {source}: publish that transform, "
                "or set camera_height"
            )
        up, down = ways
        if not stamp:
            newest = [self._frames[name].moving.newest for name in self._moving(up + down)]
            stamp = min((stamp for stamp in newest if stamp is not None), default=0)
        shift, turn = self._pose_in_ancestor(up, stamp)
        shift_target, turn_target = self._pose_in_ancestor(down, stamp)
        back = turn_target * (-1, -1, -1, 1)
        return Pose(_rotate(back, shift - shift_target), _product(back, turn))

    def moving(self, target: str, source: str) -> str | None:
        """The name of a frame between two that moves, or ""; None if the tree does not connect them."""
        ways = self._ways(target, source)
        return None if ways is None else next(iter(self._moving(ways[0] + ways[1])), "")

    def _moving(self, names: list[str]) -> list[str]:
        return [name for name in names if self._frames[name].static is None]

    def _ways(self, target: str, source: str) -> tuple[list[str], list[str]] | None:
        """The frames from a source and from a target up to, but without, their nearest common ancestor."""
        up, down = self._way_up(source), self._way_up(target)
        common = next((frame for frame in up if frame in down), None)
        return None if common is None else (up[: up.index(common)], down[: down.index(common)])

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
        if frame.static is not None:
            return frame.static
        return _between(*frame.moving.around(stamp, f"transform from {name} to {frame.parent}"))


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
