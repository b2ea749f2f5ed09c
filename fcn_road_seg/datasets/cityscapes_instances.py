"""The instances of Cityscapes' fine labels, in its official layout, see `cityscapes`."""

import json
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.datasets.cityscapes import INSTANCES, Cityscapes, class_ids
from fcn_road_seg.datasets.label_image import read_pixels
from fcn_road_seg.errors import first_line
from fcn_road_seg.files.input import read_text
from fcn_road_seg.frames.image_file import read_rgb
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample, InstanceSamples, row_distances
from fcn_road_seg.frames.sample import DatasetError

UNCOUNTED = ("caravan", "trailer")
"""Classes with instances that Cityscapes leaves out of its evaluation."""
WIDTH = 2048
"""Of the official frames, pixels."""
CAMERA = {"extrinsic": {"z": 1.22, "pitch": 0.038}, "intrinsic": {"fy": 2265.3, "v0": 513.1}}
"""In the form of the official camera files; taken for frames without one. It differs little between cities."""


def city_of(name: str) -> str:
    """The city in the name of a frame, such as aachen in aachen_000000_000019."""
    return name.partition("_")[0]


class CityscapesInstances(InstanceSamples):
    """The frames of one part of Cityscapes with their instances, read on demand.

    Groups whose members are not told apart are ignored for their class, caravans and trailers for all.

    Distances are those of the official camera files, ROOT/camera/PART/CITY/*_camera.json, or else of `CAMERA`.

    Args:
        root: see `Cityscapes`.
        part: "train" or "val".

    Raises:
        DatasetError: as `Cityscapes`, or a frame has no instanceIds.
    """

    def __init__(self, root: str | Path, part: str = "train"):
        frames = Cityscapes(root, part)
        self.names = frames.names
        self._cameras = Path(root) / "camera" / part
        self.frames: list[tuple[Path, Path]] = []
        for image, label in frames.frames:
            ids = label.with_name(label.name.replace("_labelIds", "_instanceIds"))
            if not ids.is_file():
                raise DatasetError(f"{image} has no label {ids}")
            self.frames.append((image, ids))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> InstanceSample:
        path, annotation = self.frames[index]
        image = read_rgb(path)
        ids = read_pixels(annotation, image)
        if ids.ndim != 2:
            raise DatasetError(f"{annotation} is a colour image, but instanceIds are one number per pixel")
        numbers = {class_ids()[name]: label for label, name in enumerate(INSTANCE_CLASSES)}
        uncounted = [class_ids()[name] for name in UNCOUNTED]
        instances: list[tuple[np.ndarray, int]] = []
        ignored: list[tuple[np.ndarray, int]] = []
        for value in np.unique(ids).tolist():
            number = value // INSTANCES if value >= INSTANCES else value
            if number in uncounted:
                ignored.append((ids == value, -1))
            elif number in numbers and value >= INSTANCES:
                instances.append((ids == value, numbers[number]))
            elif number in numbers:
                parts, of_part = cv2.connectedComponents((ids == value).astype(np.uint8))
                ignored += [(of_part == part, numbers[number]) for part in range(1, parts)]
        distances = self._row_distances(index, *ids.shape)
        return InstanceSample.of_lists(image, instances, ignored, self.names[index], distances)

    def _row_distances(self, index: int, height: int, width: int) -> np.ndarray:
        name = self.names[index]
        path = self._cameras / city_of(name) / f"{name}_camera.json"
        try:
            camera = json.loads(read_text(path)) if path.exists() else CAMERA
            where, lens = camera["extrinsic"], camera["intrinsic"]
            scale = width / WIDTH
            return row_distances(height, where["z"], where["pitch"], lens["fy"] * scale, lens["v0"] * scale)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path} is not a camera file of Cityscapes ({first_line(error)})") from None
