"""The ground of one picture: materials under sun, shadows, lamps and haze, and reflections when it is wet."""

from functools import lru_cache

import cv2
import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.ground import shade_road, shade_side
from fcn_road_seg.synthetic.lamps import LOW, add_street_lamps, headlamps
from fcn_road_seg.synthetic.painter import Painter
from fcn_road_seg.synthetic.road import RoadRegion
from fcn_road_seg.synthetic.scene import Placed, Street
from fcn_road_seg.synthetic.shadows import ShadowMaps
from fcn_road_seg.synthetic.textures import TEXEL, Pixels, surface
from fcn_road_seg.synthetic.weather import Light


@lru_cache(maxsize=4)
def _ground_grid(camera: Camera, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y (float32 N) of the ground pixels from row `top` down, and their footprints per row in metres."""
    points = camera.ground_points()[top:].astype(np.float32)
    x, y = np.ascontiguousarray(points[..., 0]).ravel(), np.ascontiguousarray(points[..., 1]).ravel()
    row_x = points[:, 0, 0].astype(np.float64)
    slant = row_x**2 + camera.camera_height**2
    return x, y, slant / (camera.fy * camera.camera_height), np.sqrt(slant) / camera.fx


def draw_ground(
    canvas: np.ndarray,
    street: Street,
    light: Light,
    camera: Camera,
    region: RoadRegion,
    maps: ShadowMaps,
    placed: list[Placed],
    top: int,
) -> np.ndarray:
    """Draw the ground.

    Args:
        canvas: uint8 rows x W x 3 RGB, the rows from `top` down; changed in place.
        street, light, camera, region: of the picture.
        maps: the shadows of all things.
        placed: the things around.
        top: the first row that is ground only.

    Returns:
        bool rows x W, True on the road, regardless of what stands on it.
    """
    rows, columns = canvas.shape[:2]
    x, y, reach, spread = _ground_grid(camera, top)
    s, d = region.to_road(x, y)
    flat = {side: region.outside(side, s, d) for side in (1, -1)}
    within = region.within(x, s)
    road = (flat[1] < 0) & (flat[-1] < 0) & within
    starts = np.arange(rows + 1) * columns
    everything = Pixels(s, d, starts, reach, spread)
    pixel = np.repeat(spread.astype(np.float32), columns) * np.sqrt(1 + (y / np.float32(camera.camera_height)) ** 2)

    colour = np.zeros((x.size, 3), np.float32)
    chosen, where = everything.subset((flat[1] < pixel) & (flat[-1] < pixel))
    across = np.repeat(spread.astype(np.float32), columns)[where]
    painted = _painted(street, light, camera, region, top)[where]
    colour[where] = shade_road(street, chosen, across, -np.maximum(flat[1], flat[-1])[where], painted)
    for side in (1, -1):
        ground = street.sides[side]
        chosen, where = everything.subset(flat[side] > -pixel)
        share = np.float32(ground.kerb.height / camera.camera_height)
        cos, sin = region.table(region.cos, chosen.s), region.table(region.sin, chosen.s)
        back_x, back_y = -x[where] * share, -y[where] * share  # where the ray meets the raised surface
        chosen.s = chosen.s + back_x * cos + back_y * sin
        chosen.d = chosen.d + back_y * cos - back_x * sin
        raised = region.outside(side, chosen.s, chosen.d)
        beyond = flat[side][where]
        sides = shade_side(ground, chosen, beyond, raised, pixel[where])
        cover = np.clip(beyond / pixel[where] + 0.5, 0, 1)[:, None]
        mixed = colour[where]
        colour[where] = np.where(cover < 1, mixed + cover * (sides - mixed), sides)

    if camera.camera_height < LOW:
        _add_grit(colour, everything)

    lit = np.float32(1) - maps.sample(maps.sun, x.reshape(rows, -1), y.reshape(rows, -1)).ravel()
    contact = maps.sample(maps.contact, x.reshape(rows, -1), y.reshape(rows, -1)).ravel()
    sky = np.float32(1) - np.float32(0.93) * contact
    lamp, pools = None, None
    if light.headlights:
        lamp = headlamps(light, camera, x, y)
        pools = np.zeros_like(lamp) if light.beam else lamp
        add_street_lamps(pools, light, placed, x, y)
    dark = np.where(road, np.float32(1 - 0.3 * light.wet), np.float32(1 - 0.15 * light.wet)) if light.wet else None
    haze = (1 - np.exp(-light.haze * np.hypot(x, y))).astype(np.float32)
    for k in range(3):
        level = (light.ambient[k] + light.sun[k] * lit) * sky
        if lamp is not None:
            lamps = lamp * light.lamp_colour[k]
            if pools is not lamp:
                lamps = np.hypot(lamps, pools * light.street_colour[k])  # display values are powers of illuminance
            level = level + lamps
        channel = colour[:, k] * level
        if dark is not None:
            channel = channel * dark
        channel += (light.haze_colour[k] - channel) * haze
        colour[:, k] = channel
    canvas[:] = np.clip(colour, 0, 255).astype(np.uint8).reshape(rows, columns, 3)
    return road.reshape(rows, columns)


def _add_grit(colour: np.ndarray, pixels: Pixels) -> None:
    """Roughen ground so near that a pixel is finer than the textures; `colour` (float32 N x 3) is changed in place."""
    near = pixels.spread < TEXEL * 0.6
    chosen, where = pixels.subset(np.repeat(near, np.diff(pixels.starts)))
    if len(where):
        fine = np.repeat(np.clip(1.2 - 2 * pixels.spread / TEXEL, 0, 1), np.diff(pixels.starts))[where]
        tone = 1 + np.float32(0.3) * fine.astype(np.float32) * surface("grit").sample(chosen)
        colour[where] *= tone[:, None]


def _painted(street: Street, light: Light, camera: Camera, region: RoadRegion, top: int) -> np.ndarray:
    """Share of each ground pixel that the street's painted polygons cover, float32 N."""
    cover = np.zeros((camera.height, camera.width), np.uint8)
    painter = Painter(np.empty((0, 0, 3), np.uint8), cover, camera, light)  # without a colour, it draws no picture
    for outline in street.decals:
        if region.s0 - 6 < outline[0][0] < region.s0 + 90:
            points = region.to_ground(*np.array(outline, np.float32).T)
            painter.polygon([(float(u), float(v), 0.0) for u, v in points], None)
    return cover[top:].ravel().astype(np.float32) * np.float32(1 / 255)


def draw_reflections(
    canvas: np.ndarray, road: np.ndarray, covered: np.ndarray, camera: Camera, light: Light, foot: int
) -> None:
    """Draw the reflections on wet ground: what stands above the horizon, upside down and smeared.

    Args:
        canvas: uint8 H x W x 3 RGB, changed in place.
        road: bool H x W, visible road.
        covered: uint8 H x W, 255 where something hides the ground.
        camera, light: of the picture.
        foot: the first row that is ground only.
    """
    rows = np.arange(foot, camera.height, dtype=np.float32)
    source = np.clip(2 * camera.horizon - rows, 0, camera.height - 1)
    blurred = cv2.blur(canvas, (3, 41))
    mirrored = blurred[source.round().astype(int)].astype(np.float32)
    sine = np.clip((rows - camera.horizon) / camera.fy, 0, 1)
    share = (light.wet * 0.6 * (1 - sine / np.sqrt(1 + sine**2)) ** 4).astype(np.float32)
    x, y, _, _ = _ground_grid(camera, foot)
    pools = surface("macro").levels[0, 0]
    u, v = (y * 5 % pools.shape[1]).reshape(len(rows), -1), (x * 2 % pools.shape[0]).reshape(len(rows), -1)
    wet = cv2.remap(pools, u, v, cv2.INTER_LINEAR).astype(np.float32) / 255
    share = share[:, None] * np.clip(wet * 1.6, 0.25, 1) * (0.25 + 0.75 * road[foot:]) * (covered[foot:] < 128)
    part = canvas[foot:].astype(np.float32)
    canvas[foot:] = np.clip(part + (mirrored - part) * share[..., None], 0, 255).astype(np.uint8)
