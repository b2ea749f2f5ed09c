"""Light at night: the camera car's headlamps, street lamps, and what they fall on."""

import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.scene import Placed, Thing
from fcn_road_seg.synthetic.weather import Light

HEADLAMP = np.array((1.0, 0.96, 0.86), np.float32)
"""RGB of the camera car's headlamps on things."""
Mount = tuple[float, float, float]
"""Metres from the camera's foot to the dipped headlamps: ahead, to both sides, up."""
CAR: Mount = (1.7, 0.62, 0.66)
LOW = 1.1
"""Metres: cameras lower than this are a robot's, whose lamps are beside the camera."""


def lamp_strength(light: Light) -> np.float32:
    """How bright lamps are compared with the daylight that is left."""
    return np.float32(1.3 * max(0.1, 1 - 2 * float(light.ambient.mean())))


def beam(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Light of the camera car's own headlamps on ground at x, y (metres), float32 of their shape."""
    x = np.maximum(x, 0.1)
    reach = 1 / (1 + (x / 26) ** 2) * (1 - np.exp(-((x / 5) ** 2)))
    return (reach * np.exp(-(((y + 0.02 * x) / (1.6 + 0.3 * x)) ** 2))).astype(np.float32)


def dipped_beam(x: np.ndarray | float, y: np.ndarray | float, mount: Mount = CAR) -> np.ndarray:
    """Light of dipped headlamps on ground at x, y (metres), float32 of their shape; about 1 at its brightest.

    The beam has a cut-off that rises to the right, as for traffic on the right. Display values
    are a power of illuminance.
    """
    ahead, beside, up = mount
    forward = np.maximum(np.asarray(x, np.float32) - np.float32(ahead), np.float32(0.05))
    total: np.ndarray = np.zeros(np.broadcast(forward, y).shape, np.float32)
    for side in (-beside, beside):
        across = np.asarray(y, np.float32) - np.float32(side)
        square = forward * forward + across * across + np.float32(up * up)
        down = np.float32(up) / np.sqrt(square)
        turn = across / forward
        kink = np.float32(0.011) - np.float32(0.05) * np.clip(-turn - np.float32(0.01), 0, np.float32(0.12))
        cut = 1 / (1 + np.exp(np.clip((kink - down) * np.float32(420), -30, 30)))
        spot = np.float32(3) * np.exp(-((turn / np.float32(0.17)) ** 2)) * np.exp(down * np.float32(-22))
        flood = np.float32(0.16) * np.exp(-((turn / np.float32(0.62)) ** 2)) * np.exp(down * np.float32(-4))
        total += cut * (spot + flood) * down / square
    return (np.float32(10) * total ** np.float32(0.36)).clip(0, np.float32(1.1))


def headlamps(light: Light, camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Light of the camera car's or robot's headlamps on ground at x, y (metres), float32 of their shape."""
    if not light.beam:
        return beam(x, y) * lamp_strength(light)
    mount = CAR if camera.camera_height >= LOW else (-0.4, 0.15, camera.camera_height + 0.1)
    return dipped_beam(x, y, mount) * np.float32(light.beam)


def add_street_lamps(total: np.ndarray, light: Light, placed: list[Placed], x: np.ndarray, y: np.ndarray) -> None:
    """Add the light of the street's lamps on ground at x, y (float32 N, metres) to `total`, in place."""
    share, spread = (np.float32(0.62), -70) if light.beam else (np.float32(0.25) * lamp_strength(light), -45)
    for thing, lamp_x, lamp_y, _ in placed:
        if thing.kind == "lamp" and (-8 if light.beam else 0) < lamp_x < 90:
            away = (x - np.float32(lamp_x)) ** 2 + (y - np.float32(lamp_y + thing.arm)) ** 2
            total += share * np.exp(away / np.float32(spread))


def on_thing(light: Light, placed: list[Placed], thing: Thing, x: float, y: float) -> np.ndarray:
    """RGB light of all lamps on a thing at x, y (metres), float32 3."""
    if not light.beam:
        return beam(x, y) * HEADLAMP * 0.7 * lamp_strength(light)
    # The cut-off leaves what is higher than the lamps in the dark; signs and posts send the light back.
    reach = np.exp(-((y / (2.0 + 0.33 * max(x, 0.0))) ** 2)) / (1 + (x / 24) ** 2)
    back = {"sign": 2.6, "post": 3.0, "lamp": 0.3}.get(thing.kind, 0.75 * min(1.0, 1.7 / max(thing.height, 0.1)))
    pool: np.ndarray = np.zeros(1, np.float32)
    add_street_lamps(pool, light, placed, np.array([x], np.float32), np.array([y], np.float32))
    low = min(1.0, 6.0 / max(thing.height, 0.1))
    return np.float32(light.beam * reach * back) * light.lamp_colour + 0.55 * low * pool * light.street_colour
