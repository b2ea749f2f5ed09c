"""Synthetic frames with exact instances, for training and for tests of what does not depend on real pictures."""

import numpy as np

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample, InstanceSamples, row_distances
from fcn_road_seg.synthetic.camera import KITTI, Camera
from fcn_road_seg.synthetic.drive import SyntheticRoad, wrapped
from fcn_road_seg.synthetic.scene import Thing

ALL_CLASSES = -1


class SyntheticInstances(InstanceSamples):
    """The scenes of `SyntheticRoad` with their cars, lorries (trucks) and people.

    A cyclist is one picture, not a rider and a bicycle, and is ignored. Instances show the pixels that nothing hides.

    Args:
        count, seed, camera: as for `SyntheticRoad`.
        smallest: instances with fewer pixels are ignored.
    """

    def __init__(self, count: int, seed: int = 0, camera: Camera = KITTI, smallest: int = 12):
        self._scenes, self._smallest = SyntheticRoad(count, seed, camera), smallest
        self.names = [f"synthetic_{seed}_{i:06d}" for i in range(count)]

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, i: int) -> InstanceSample:
        i = wrapped(i, len(self))
        frame = self._scenes.frame(i, instances=True)
        assert frame.instances is not None
        instances: list[tuple[np.ndarray, int]] = []
        ignored: list[tuple[np.ndarray, int]] = []
        for number in np.unique(frame.instances[frame.instances > 0]).tolist():
            mask, label = frame.instances == number, label_of(frame.things[number - 1].thing)
            if label == ALL_CLASSES or mask.sum() < self._smallest:
                ignored.append((mask, label))
            else:
                instances.append((mask, label))
        camera = frame.camera
        distances = row_distances(camera.height, camera.camera_height, camera.pitch, camera.fy, camera.cy)
        return InstanceSample.of_lists(frame.image, instances, ignored, self.names[i], distances)


def label_of(thing: Thing) -> int:
    """The index in `INSTANCE_CLASSES` of a car, a person or a cyclist; `ALL_CLASSES` for what is not one of them."""
    if thing.kind == "car":
        return INSTANCE_CLASSES.index("truck" if thing.look == "lorry" else "car")
    return INSTANCE_CLASSES.index("person") if thing.kind == "person" else ALL_CLASSES
