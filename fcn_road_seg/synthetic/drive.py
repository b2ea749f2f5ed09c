"""The two sequences: one continuous drive, and independent scenes for training."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fcn_road_seg.frames.sample import Sample, Samples
from fcn_road_seg.synthetic.camera import KITTI, Camera
from fcn_road_seg.synthetic.layout import SCENES, make_street
from fcn_road_seg.synthetic.own_vehicle import OwnVehicle
from fcn_road_seg.synthetic.render import SyntheticFrame, render
from fcn_road_seg.synthetic.weather import WEATHERS, make_light

SCENE_SHARES = {"residential": 0.5, "country": 0.16, "urban": 0.18, "avenue": 0.16}
STRETCH = 1000.0
"""Metres: streets come in multiples of this, so that the first frames do not depend on how many there are."""
WEATHER_SHARES = {"sun": 0.58, "overcast": 0.18, "dusk": 0.06, "night": 0.06, "fog": 0.05, "wet": 0.07}


def choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the names at random, each with its share."""
    names = list(shares)
    return names[int(rng.choice(len(names), p=list(shares.values())))]


def wrapped(i: int, count: int) -> int:
    """The index that `i`, which may be negative, means in a sequence of `count` frames.

    Raises:
        IndexError: it is not within them.
    """
    if not -count <= i < count:
        raise IndexError(f"index {i} is not within the {count} frames")
    return i % count


class SyntheticDrive:
    """One continuous drive along one street; `drive[i]` renders frame `i`, always the same.

    Args:
        seed: chooses the street, the light and the traffic.
        frames: length of the sequence.
        camera: of any size.
        rate: frames per second.
        speed: of the camera, m/s.
        weather: "random" or one of `WEATHERS`.
        scene: "random" or one of `SCENES`.

    Raises:
        ValueError: the weather or scene is unknown, or a number is out of range.
        IndexError: on access, beyond the last frame.
    """

    def __init__(
        self,
        seed: int = 0,
        frames: int = 100,
        camera: Camera = KITTI,
        rate: float = 10.0,
        speed: float = 8.0,
        weather: str = "random",
        scene: str = "random",
    ):
        if rate <= 0 or speed < 0 or frames < 0:
            raise ValueError("rate must be positive; speed and frames must not be negative")
        if weather not in ("random", *WEATHERS):
            raise ValueError(f"unknown weather {weather!r}; choose from random, {', '.join(WEATHERS)}")
        if scene not in ("random", *SCENES):
            raise ValueError(f"unknown scene {scene!r}; choose from random, {', '.join(SCENES)}")
        rng = np.random.default_rng([seed, 0])
        drawn = choose(rng, SCENE_SHARES), choose(rng, WEATHER_SHARES)
        self.scene = drawn[0] if scene == "random" else scene
        self.weather = drawn[1] if weather == "random" else weather
        self.seed, self.frames, self.camera, self.rate, self.speed = seed, frames, camera, rate, speed
        length = STRETCH * max(1, math.ceil(frames / rate * speed / STRETCH))
        self.street = make_street(np.random.default_rng([seed, 1]), self.scene, length, speed)
        self.light = make_light(np.random.default_rng([seed, 2]), self.weather)
        self.vehicle = OwnVehicle([seed, 4], camera) if camera.windscreen else None

    def __len__(self) -> int:
        return self.frames

    def on_street(self, i: int) -> tuple[float, float, float]:
        """Arc length and lateral offset (metres) and yaw against the street (radians) of the camera at frame `i`."""
        seconds = i / self.rate
        sway = 2 * np.pi / 11 * seconds
        drift = 0.12 * 2 * np.pi / 11 * np.cos(sway)
        yaw = float(np.arctan2(drift, max(self.speed, 3)))
        return seconds * self.speed, self.street.lane + 0.12 * np.sin(sway), yaw

    def pose(self, i: int) -> tuple[float, float, float]:
        """The camera's x, y (metres) and heading (radians) in the world at frame `i`."""
        s, d, yaw = self.on_street(wrapped(i, self.frames))
        x, y, heading = self.street.centreline.at(s)
        return float(x - d * np.sin(heading)), float(y + d * np.cos(heading)), float(heading + yaw)

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> SyntheticFrame:
        i = wrapped(i, self.frames)
        s, d, yaw = self.on_street(i)
        rng = np.random.default_rng([self.seed, 3, i])
        seconds = i / self.rate
        return render(self.street, self.light, self.camera, s, d, yaw, seconds=seconds, rng=rng, vehicle=self.vehicle)


class SyntheticRoad(Samples):
    """Independent random scenes for training; `scenes[i]` renders sample `i`, always the same.

    The street, the weather and the pose on the street are random; the camera's height, pitch and focal length vary
    around those of `camera`.

    Args:
        count: length of the sequence.
        seed: another seed gives other scenes.
        camera: the camera to vary; its image size stays.

    Raises:
        IndexError: on access, beyond the last sample.
    """

    def __init__(self, count: int, seed: int = 0, camera: Camera = KITTI):
        self.count, self.seed, self.camera = count, seed, camera

    def __len__(self) -> int:
        return self.count

    def frame(self, i: int, instances: bool = False) -> SyntheticFrame:
        """Render scene `i`, with its `instances` if asked for."""
        i = wrapped(i, self.count)
        rng = np.random.default_rng([self.seed, 17, i])
        zoom = rng.uniform(0.85, 1.2)
        camera = replace(
            self.camera,
            fx=self.camera.fx * zoom,
            fy=self.camera.fy * zoom,
            camera_height=self.camera.camera_height * rng.uniform(0.85, 1.2),
            pitch=self.camera.pitch + float(np.clip(rng.normal(0, 0.015), -0.04, 0.04)),
        )
        street = make_street(rng, choose(rng, SCENE_SHARES), 30.0)
        light = make_light(rng, choose(rng, WEATHER_SHARES))
        s, d = rng.uniform(0, 30), street.lane + rng.normal(0, 0.2)
        yaw = rng.normal(0, 0.02)
        return render(street, light, camera, s, d, yaw, seconds=s / 8.0, rng=rng, instances=instances)

    def __getitem__(self, i: int) -> Sample:
        frame = self.frame(i)
        return Sample(frame.image, frame.road.astype(np.uint8), f"synthetic_{self.seed}_{wrapped(i, self.count):06d}")
