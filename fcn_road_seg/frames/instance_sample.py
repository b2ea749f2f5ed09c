"""Frames whose vehicles and people are labelled one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

INSTANCE_CLASSES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Cityscapes' eight classes that have instances, in the order of their ids."""


@dataclass(frozen=True)
class InstanceSample:
    """One frame and its instances.

    Attributes:
        image: uint8 H x W x 3, RGB.
        masks: bool N x H x W, the visible pixels of each instance, none of them empty.
        labels: int64 N, indices in `INSTANCE_CLASSES`.
        ignored: bool K x H x W, regions in which detections are neither right nor wrong, such as groups whose members
            are not told apart.
        ignored_labels: int64 K, the class for which each region is ignored, -1 for all.
        name: of the frame in the data set.
        row_distances: float32 H, metres along flat ground to what each row shows of it, inf above the horizon; None if
            unknown.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    ignored_labels: np.ndarray
    name: str
    row_distances: np.ndarray | None = None

    @classmethod
    def of_lists(
        cls,
        image: np.ndarray,
        instances: Sequence[tuple[np.ndarray, int]],
        ignored: Sequence[tuple[np.ndarray, int]],
        name: str,
        row_distances: np.ndarray | None = None,
    ) -> "InstanceSample":
        """The sample of masks, bool H x W each, with their labels."""

        def stacked(regions: Sequence[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
            masks = np.stack([mask for mask, _ in regions]) if regions else np.zeros((0, *image.shape[:2]), bool)
            return masks, np.array([label for _, label in regions], np.int64)

        return cls(image, *stacked(instances), *stacked(ignored), name, row_distances)


class InstanceSamples(Protocol):
    """Frames with instances by index, read one at a time: a data set, or a list of `InstanceSample`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> InstanceSample: ...

    def __iter__(self) -> Iterator[InstanceSample]:
        return (self[i] for i in range(len(self)))


def row_distances(height: int, camera_height: float, pitch: float, fy: float, cy: float) -> np.ndarray:
    """`InstanceSample.row_distances` of a camera.

    Args:
        height: of the frame, pixels.
        camera_height: above the ground, metres.
        pitch: downwards, radians.
        fy, cy: of the pinhole model, pixels.
    """
    below = pitch + np.arctan((np.arange(height) + 0.5 - cy) / fy)
    return np.where(below > 0, camera_height / np.tan(np.maximum(below, 1e-6)), np.inf).astype(np.float32)
