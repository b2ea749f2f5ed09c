"""Independent scenes for training from the cameras, streets and weathers of many countries and robots."""

import numpy as np

from fcn_road_seg.frames.sample import Sample, Samples
from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.drive import SCENE_SHARES, WEATHER_SHARES, choose, wrapped
from fcn_road_seg.synthetic.layout import make_street
from fcn_road_seg.synthetic.own_vehicle import OwnVehicle
from fcn_road_seg.synthetic.render import SyntheticFrame, render
from fcn_road_seg.synthetic.weather import make_light

SHAPES: dict[str, tuple[int, int]] = {"16x9": (832, 468), "4x3": (640, 480), "5x4": (640, 512)}
"""Width and height of the frames in pixels, by the name of their shape."""
MOUNT_SHARES = {"roof": 0.35, "windscreen": 0.4, "robot": 0.25}
NEW_SCENE_SHARES = {"brick": 0.25, "brick_pavement": 0.25, "gravel": 0.25, "gravel_shoulder": 0.25}
NEW_WEATHER_SHARES = {"headlights": 0.4, "rain": 0.4, "rainy_night": 0.2}


class SyntheticWorld(Samples):
    """Independent random scenes from random cameras of one shape; `scenes[i]` renders sample `i`, always the same.

    The camera is on a car's roof, behind a windscreen or on a low robot. Half of the streets and half of the weathers
    are drawn as `SyntheticRoad` draws them; the others are of brick or gravel, at night among lamps, or in rain.
    The own vehicle is not road.

    Args:
        count: length of the sequence.
        shape: a key of `SHAPES`; all frames have its size.
        seed: another seed gives other scenes.

    Raises:
        ValueError: the shape is unknown.
        IndexError: on access, beyond the last sample.
    """

    def __init__(self, count: int, shape: str = "16x9", seed: int = 0):
        if shape not in SHAPES:
            raise ValueError(f"unknown shape {shape!r}; choose from {', '.join(SHAPES)}")
        self.count, self.shape, self.seed = count, shape, seed

    def __len__(self) -> int:
        return self.count

    def frame(self, i: int) -> SyntheticFrame:
        """Render scene `i`."""
        i = wrapped(i, self.count)
        key = [self.seed, 19, list(SHAPES).index(self.shape), i]
        rng = np.random.default_rng(key)
        camera = _draw_camera(rng, *SHAPES[self.shape])
        scene = choose(rng, SCENE_SHARES if rng.random() < 0.5 else NEW_SCENE_SHARES)
        street = make_street(rng, scene, 30.0)
        light = make_light(rng, choose(rng, WEATHER_SHARES if rng.random() < 0.5 else NEW_WEATHER_SHARES))
        s, d = rng.uniform(0, 30), street.lane + rng.normal(0, 0.25)
        vehicle = OwnVehicle([*key, 4], camera) if camera.windscreen else None
        return render(street, light, camera, s, d, rng.normal(0, 0.03), seconds=s / 8.0, rng=rng, vehicle=vehicle)

    def __getitem__(self, i: int) -> Sample:
        frame = self.frame(i)
        name = f"synthetic_{self.shape}_{self.seed}_{wrapped(i, self.count):06d}"
        return Sample(frame.image, frame.road.astype(np.uint8), name)


def _draw_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    mount = choose(rng, MOUNT_SHARES)
    degrees, low, high = {"roof": (50, 1.3, 2.0), "windscreen": (52, 1.2, 1.5), "robot": (56, 0.3, 1.0)}[mount]
    view, up = rng.uniform(degrees, degrees + 32), rng.uniform(low, high)
    pitch = rng.uniform(-0.05, 0.06) if mount == "windscreen" else rng.uniform(-0.03, 0.13)
    return Camera.of_view(width, height, view, camera_height=up, pitch=pitch, windscreen=mount == "windscreen")
