"""One picture of a street from one pose, with its exact road mask."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fcn_road_seg.synthetic import objects
from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.ground import Pixels, shade_road, shade_side
from fcn_road_seg.synthetic.painter import Painter
from fcn_road_seg.synthetic.road import RoadRegion
from fcn_road_seg.synthetic.shadows import ShadowMaps
from fcn_road_seg.synthetic.textures import surface
from fcn_road_seg.synthetic.weather import draw_sky, expose


@dataclass(frozen=True)
class SyntheticFrame:
    """A rendered frame with its exact truth.

    Attributes:
        image: uint8 H x W x 3, RGB.
        road: bool H x W: the drivable surface that is visible (markings are road; pavements, kerbs, verges,
            parking bays and driveways are not, nor is what cars, people and poles hide).
        camera: the `Camera` that saw it.
        road_region: the `RoadRegion` in the camera's ground frame, in metres.
    """

    image: np.ndarray
    road: np.ndarray
    camera: Camera
    road_region: RoadRegion


@lru_cache(maxsize=4)
def _ground_grid(camera, top):
    """x, y (float32 N) of the ground pixels from row `top` down, and each row's footprint in metres."""
    points = camera.ground_points()[top:].astype(np.float32)
    x, y = np.ascontiguousarray(points[..., 0]).ravel(), np.ascontiguousarray(points[..., 1]).ravel()
    row_x = points[:, 0, 0].astype(np.float64)
    slant = row_x**2 + camera.camera_height**2
    return x, y, slant / (camera.fy * camera.camera_height), np.sqrt(slant) / camera.fx


def render(street, light, camera, s, d, yaw=0.0, seconds=0.0, rng=None):
    """Render `street` from arc length `s`, offset `d` (metres), turned by `yaw` (radians) against the street.

    Args:
        street: `scene.Street`; light: `weather.Light`; camera: `Camera`.
        seconds: time, for what moves.
        rng: numpy Generator of the sensor noise.

    Returns:
        SyntheticFrame.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    region = RoadRegion(street.centreline, street.edges, street.side_roads, s, d, yaw)
    heading = float(street.centreline.at(s)[2]) + yaw
    canvas = np.zeros((camera.height, camera.width, 3), np.uint8)
    covered = np.zeros((camera.height, camera.width), np.uint8)
    road = np.zeros((camera.height, camera.width), bool)
    foot = draw_sky(canvas, camera, light, heading, street.hills)
    covered[:foot] = 255

    sun_angle = light.azimuth - heading
    sun = (
        light.sun * 1.25,
        (
            math.cos(light.elevation) * math.cos(sun_angle),
            math.cos(light.elevation) * math.sin(sun_angle),
            math.sin(light.elevation),
        ),
    )
    placed = _place(street, region, s, seconds)
    maps = ShadowMaps(sun_angle, light.elevation)
    for thing, x, y, turn in placed:
        if thing.kind != "car" and -30 < x < 115:
            objects.cast(maps, thing, x, y, turn)
    shade = {
        id(thing): float(maps.shade_at((x - 1.0, y))[0])
        for thing, x, y, _ in placed
        if thing.kind in ("car", "person", "cyclist")
    }
    for thing, x, y, turn in placed:
        if thing.kind == "car" and -10 < x < 115:
            objects.cast(maps, thing, x, y, turn)
    maps.soften()

    if foot < camera.height:
        road[foot:] = _ground(canvas[foot:], street, light, camera, region, maps, placed, foot)
    painter = Painter(canvas, covered, camera, light)
    for thing, x, y, turn in placed:
        distance = math.hypot(x, y)
        if x + thing.length < 0.3 or distance > objects.reach(thing.kind) or not _in_view(camera, thing, x, y):
            continue
        tone = light.ambient.astype(np.float32)
        if light.headlights:
            tone = tone + np.float32(_beam(x, y)) * np.float32((1.0, 0.96, 0.86)) * 0.7 * _lamp_strength(light)
        sunshine = 1 - shade.get(id(thing), 0.0)
        objects.draw(painter, thing, x, y, turn, tone, (sun[0] * sunshine, sun[1]), seconds)
    for thing, x, y, turn in placed:  # the ground right under a car is not visible road
        if thing.kind == "car" and 0.3 < x < 80:
            _cover_footprint(painter, thing, x, y, turn)
    if light.wet and foot < camera.height:
        _mirror(canvas, road & (covered < 128), covered, camera, light, foot)
    painter.shine()
    road &= covered < 128
    return SyntheticFrame(expose(canvas, light, rng), road, camera, region)


def _place(street, region, s, seconds):
    """The things around, far to near: (thing, x, y, heading) in the ground frame."""
    things = [t for t in street.things if s - 35 < t.s + t.speed * seconds < s + 345]
    if not things:
        return []
    along = np.array([t.s + t.speed * seconds for t in things])
    points = region.to_ground(along, [t.d for t in things]).astype(float)
    turns = region.table(region.turn, along.astype(np.float32)) + np.array([t.yaw for t in things])
    # Long things hide what stands behind them up to their far end, so this end decides the order.
    long = np.array([t.length / 2 if t.kind != "car" else 0.0 for t in things])
    inner = np.array([t.d - np.sign(t.d) * t.width / 2 if t.kind != "car" else t.d for t in things])
    far = region.to_ground(along + long, inner)
    order = np.argsort(-np.hypot(far[:, 0], far[:, 1]), kind="stable")
    return [(things[k], points[k, 0], points[k, 1], float(turns[k])) for k in order]


def _in_view(camera, thing, x, y):
    size = max(thing.length, thing.width, 1) + 2
    left, right = camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    return -right * (x + size) - size < y < left * (x + size) + size


def _ground(canvas, street, light, camera, region, maps, placed, top):
    """Shade the ground rows of `canvas` in place; returns the bool road mask of these rows, occluders ignored."""
    rows, columns = canvas.shape[:2]
    x, y, reach, spread = _ground_grid(camera, top)
    s, d = region.to_road(x, y)
    flat = {side: region.outside(side, s, d) for side in (1, -1)}
    within = region.within(x, s)
    road = (flat[1] < 0) & (flat[-1] < 0) & within
    starts = np.arange(rows + 1) * columns
    everything = Pixels(s, d, np.arange(x.size), starts, reach, spread)
    pixel = np.repeat(spread.astype(np.float32), columns) * np.sqrt(1 + (y / np.float32(camera.camera_height)) ** 2)

    colour = np.zeros((x.size, 3), np.float32)
    chosen, where = everything.subset((flat[1] < pixel) & (flat[-1] < pixel))
    across = np.repeat(spread.astype(np.float32), columns)[where]
    painted = _painted(street, region, camera, top, region.s0)[where]
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
        sides = shade_side(ground, chosen, (beyond, raised), pixel[where])
        cover = np.clip(beyond / pixel[where] + 0.5, 0, 1)[:, None]
        mixed = colour[where]
        colour[where] = np.where(cover < 1, mixed + cover * (sides - mixed), sides)

    lit = np.float32(1) - maps.sample(maps.sun, x.reshape(rows, -1), y.reshape(rows, -1)).ravel()
    contact = maps.sample(maps.contact, x.reshape(rows, -1), y.reshape(rows, -1)).ravel()
    sky = np.float32(1) - np.float32(0.93) * contact
    lamp = None
    if light.headlights:
        lamp = _beam(x, y) * _lamp_strength(light)
        for thing, lx, ly, _ in placed:
            if thing.kind == "lamp" and 0 < lx < 90:
                away = (x - np.float32(lx)) ** 2 + (y - np.float32(ly + thing.arm)) ** 2
                lamp += np.float32(0.25) * _lamp_strength(light) * np.exp(away / np.float32(-45))
    dark = np.where(road, np.float32(1 - 0.3 * light.wet), np.float32(1 - 0.15 * light.wet)) if light.wet else 1
    haze = (1 - np.exp(-light.haze * np.hypot(x, y))).astype(np.float32)
    for k in range(3):
        level = (light.ambient[k] + light.sun[k] * lit) * sky
        if lamp is not None:
            level = level + lamp * np.float32((1.0, 0.94, 0.8)[k])
        channel = colour[:, k] * level * dark
        channel += (light.haze_colour[k] - channel) * haze
        colour[:, k] = channel
    canvas[:] = np.clip(colour, 0, 255).astype(np.uint8).reshape(rows, columns, 3)
    return road.reshape(rows, columns)


def _lamp_strength(light):
    """Lamps lose against what is left of the daylight."""
    return np.float32(1.3 * max(0.1, 1 - 2 * float(light.ambient.mean())))


def _beam(x, y):
    """Light of the camera car's own dipped headlamps on things and ground at x, y (metres)."""
    x = np.maximum(x, 0.1)
    reach = 1 / (1 + (x / 26) ** 2) * (1 - np.exp(-((x / 5) ** 2)))
    return (reach * np.exp(-(((y + 0.02 * x) / (1.6 + 0.3 * x)) ** 2))).astype(np.float32)


def _painted(street, region, camera, top, s):
    """Share (float32 N) of each ground pixel that the street's painted polygons cover."""
    cover = np.zeros((camera.height, camera.width), np.uint8)
    painter = Painter(None, cover, camera, None)
    for outline in street.decals:
        if s - 6 < outline[0][0] < s + 90:
            points = region.to_ground(*np.array(outline, np.float32).T)
            painter.polygon([(float(u), float(v), 0.0) for u, v in points], None)
    return cover[top:].ravel().astype(np.float32) * np.float32(1 / 255)


def _cover_footprint(painter, thing, x, y, turn):
    corners = objects.footprint(x, y, turn, thing.length, thing.width, 0.94)
    if corners[:, 0].min() < 0.4:
        corners[:, 0] = np.maximum(corners[:, 0], 0.4)
    pixels = np.array([painter.pixel(u, v, 0.0) for u, v in corners])
    cv2.fillPoly(painter.covered, [np.int32(np.round(pixels * 8))], 255, cv2.LINE_8, 3)


def _mirror(canvas, road, covered, camera, light, foot):
    """Reflections on wet ground: what stands above the horizon, upside down and smeared."""
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
