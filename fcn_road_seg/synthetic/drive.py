"""The two sequences: a continuous drive for the demo and the tests, independent scenes for training."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.synthetic.camera import KITTI
from fcn_road_seg.synthetic.layout import SCENES, make_street
from fcn_road_seg.synthetic.render import render
from fcn_road_seg.synthetic.weather import WEATHERS, make_light

SCENE_SHARES = {"residential": 0.5, "country": 0.16, "urban": 0.18, "avenue": 0.16}
STRETCH = 1000.0  # metres; streets are laid out in such lengths, so `frames` does not change the first of them
WEATHER_SHARES = {"sun": 0.58, "overcast": 0.18, "dusk": 0.06, "night": 0.06, "fog": 0.05, "wet": 0.07}


def _choose(rng, shares):
    names = list(shares)
    return names[int(rng.choice(len(names), p=list(shares.values())))]


def _index(i, count):
    if not -count <= i < count:
        raise IndexError(f"index {i} is not within the {count} frames")
    return i % count


class SyntheticDrive(Sequence):
    """One continuous drive along one street; `drive[i]` is a `SyntheticFrame`, the same whenever it is asked for.

    Args:
        seed: which street, light and traffic.
        frames: length of the sequence.
        camera: the `Camera`; any size.
        rate: frames per second.
        speed: of the camera, m/s.
        weather: "random" or one of `WEATHERS`.
        scene: "random" or one of `SCENES`.

    Raises:
        ValueError: for an unknown weather or scene, or a rate that is not positive.
        IndexError: beyond the last frame.
    """

    def __init__(self, seed=0, frames=100, camera=KITTI, rate=10.0, speed=8.0, weather="random", scene="random"):
        if rate <= 0 or speed < 0 or frames < 0:
            raise ValueError("rate must be positive; speed and frames must not be negative")
        if weather not in ("random", *WEATHERS):
            raise ValueError(f"unknown weather {weather!r}; choose from random, {', '.join(WEATHERS)}")
        if scene not in ("random", *SCENES):
            raise ValueError(f"unknown scene {scene!r}; choose from random, {', '.join(SCENES)}")
        rng = np.random.default_rng([seed, 0])
        drawn = _choose(rng, SCENE_SHARES), _choose(rng, WEATHER_SHARES)
        self.scene = drawn[0] if scene == "random" else scene
        self.weather = drawn[1] if weather == "random" else weather
        self.seed, self.frames, self.camera, self.rate, self.speed = seed, frames, camera, rate, speed
        length = STRETCH * max(1, math.ceil(frames / rate * speed / STRETCH))
        self.street = make_street(np.random.default_rng([seed, 1]), self.scene, length, speed)
        self.light = make_light(np.random.default_rng([seed, 2]), self.weather)

    def __len__(self):
        return self.frames

    def on_street(self, i):
        """Arc length and lateral offset (metres) and yaw against the street (radians) of the camera at frame `i`."""
        seconds = i / self.rate
        sway = 2 * np.pi / 11 * seconds
        drift = 0.12 * 2 * np.pi / 11 * np.cos(sway)
        yaw = float(np.arctan2(drift, max(self.speed, 3)))
        return seconds * self.speed, self.street.lane + 0.12 * np.sin(sway), yaw

    def pose(self, i):
        """Where the camera is at frame `i` in the world: x, y (metres) and heading (radians)."""
        s, d, yaw = self.on_street(_index(i, self.frames))
        x, y, heading = self.street.centreline.at(s)
        return float(x - d * np.sin(heading)), float(y + d * np.cos(heading)), float(heading + yaw)

    def __getitem__(self, i):
        i = _index(i, self.frames)
        return render(
            self.street,
            self.light,
            self.camera,
            *self.on_street(i),
            seconds=i / self.rate,
            rng=np.random.default_rng([self.seed, 3, i]),
        )


class SyntheticRoad(Sequence):
    """Independent random scenes for training; `[i]` is a `Sample`, the same whenever it is asked for.

    Camera height, pitch, focal length and principal point vary around `camera`; so do the street, the pose on it
    and the weather.

    Args:
        count: length of the sequence.
        seed: another seed gives other scenes.
        camera: the `Camera` to vary; its width and height are kept.
    """

    def __init__(self, count, seed=0, camera=KITTI):
        self.count, self.seed, self.camera = count, seed, camera

    def __len__(self):
        return self.count

    def frame(self, i):
        """The `SyntheticFrame` of scene `i`."""
        i = _index(i, self.count)
        rng = np.random.default_rng([self.seed, 17, i])
        zoom = rng.uniform(0.85, 1.2)
        camera = replace(
            self.camera,
            fx=self.camera.fx * zoom,
            fy=self.camera.fy * zoom,
            camera_height=self.camera.camera_height * rng.uniform(0.85, 1.2),
            pitch=self.camera.pitch + float(np.clip(rng.normal(0, 0.015), -0.04, 0.04)),
        )
        street = make_street(rng, _choose(rng, SCENE_SHARES), 30.0)
        light = make_light(rng, _choose(rng, WEATHER_SHARES))
        s, d = rng.uniform(0, 30), street.lane + rng.normal(0, 0.2)
        return render(street, light, camera, s, d, rng.normal(0, 0.02), seconds=s / 8.0, rng=rng)

    def __getitem__(self, i):
        frame = self.frame(i)
        return Sample(frame.image, frame.road.astype(np.uint8), f"synthetic_{self.seed}_{_index(i, self.count):06d}")
