"""Renders one picture of a street from one pose, with its exact road mask."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fcn_road_seg.synthetic import lamps, objects
from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.lit_ground import draw_ground, draw_reflections
from fcn_road_seg.synthetic.own_vehicle import OwnVehicle
from fcn_road_seg.synthetic.painter import Painter
from fcn_road_seg.synthetic.rain_on_glass import RainOnGlass
from fcn_road_seg.synthetic.road import RoadRegion
from fcn_road_seg.synthetic.scene import Placed, Street, Thing
from fcn_road_seg.synthetic.shadows import ShadowMaps, cast, footprint
from fcn_road_seg.synthetic.weather import Light, Sunlight, draw_sky, expose

MOVING = ("car", "person", "cyclist")
"""Kinds of things that have instances; a car may be a van or a lorry."""


@dataclass(frozen=True)
class SyntheticFrame:
    """A rendered frame with its exact truth.

    Attributes:
        image: uint8 H x W x 3, RGB.
        road: bool H x W, the visible drivable surface. Markings are road; pavements, kerbs, verges, parking bays
            and driveways are not, nor are pixels where cars, people or poles hide the road, or where the camera's own
            car does. Raindrops on the glass change nothing.
        camera: the `Camera` that saw it.
        road_region: the `RoadRegion` in the camera's ground frame, in metres.
        own_vehicle: bool H x W, what the camera sees of its own car: bonnet, dashboard, wiper and trim.
        instances: uint16 H x W, 0 or 1 + index in `things` of the car, person or cyclist that is seen there; None if it
            was not asked for.
        things: those that `instances` may show, with their places in the camera's ground frame.
    """

    image: np.ndarray
    road: np.ndarray
    camera: Camera
    road_region: RoadRegion
    own_vehicle: np.ndarray
    instances: np.ndarray | None = None
    things: tuple[Placed, ...] = ()


def render(
    street: Street,
    light: Light,
    camera: Camera,
    s: float,
    d: float,
    yaw: float,
    *,
    seconds: float,
    rng: np.random.Generator,
    vehicle: OwnVehicle | None = None,
    instances: bool = False,
) -> SyntheticFrame:
    """Render a street from one pose.

    Args:
        street, light, camera: what is seen, in which light, and by what.
        s, d: the camera's arc length and lateral offset on the street, metres.
        yaw: of the camera against the street, radians.
        seconds: time, for what moves.
        rng: of the sensor noise.
        vehicle: around the camera; None shows nothing of it.
        instances: whether the frame gets its `instances`, which takes longer.
    """
    region = RoadRegion(street.centreline, street.edges, street.side_roads, s, d, yaw)
    heading = float(street.centreline.at(s)[2]) + yaw
    canvas = np.zeros((camera.height, camera.width, 3), np.uint8)
    covered = np.zeros((camera.height, camera.width), np.uint8)
    road = np.zeros((camera.height, camera.width), bool)
    foot = draw_sky(canvas, camera, light, heading, street.hills)
    covered[:foot] = 255

    sun_angle = light.azimuth - heading
    sun = Sunlight(
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
            cast(maps, thing, x, y, turn)
    shade = {id(thing): float(maps.shade_at((x - 1.0, y))[0]) for thing, x, y, _ in placed if thing.kind in MOVING}
    for thing, x, y, turn in placed:
        if thing.kind == "car" and -10 < x < 115:
            cast(maps, thing, x, y, turn)
    maps.soften()

    if foot < camera.height:
        road[foot:] = draw_ground(canvas[foot:], street, light, camera, region, maps, placed, foot)
    painter = Painter(canvas, covered, camera, light)
    seen = np.zeros(covered.shape, np.uint16) if instances else None
    things = tuple(each for each in placed if each.thing.kind in MOVING)
    for thing, x, y, turn in placed:
        distance = math.hypot(x, y)
        if x + thing.length < 0.3 or distance > objects.reach(thing.kind) or not _in_view(camera, thing, x, y):
            continue
        tone = light.ambient.astype(np.float32)
        if light.headlights:
            tone = tone + lamps.on_thing(light, placed, thing, x, y)
        sunshine = 1 - shade.get(id(thing), 0.0)
        if seen is not None:
            painter.covered = np.zeros_like(covered)
        objects.draw(painter, thing, x, y, turn, tone, Sunlight(sun.light * sunshine, sun.direction), seconds)
        if seen is not None:
            number = next((i for i, each in enumerate(things, start=1) if each.thing is thing), 0)
            seen[painter.covered >= 128] = number  # what is nearer is drawn later
            painter.covered = cv2.max(covered, painter.covered, dst=covered)
    for thing, x, y, turn in placed:  # the ground right under a car is not visible road
        if thing.kind == "car" and 0.3 < x < 80:
            _cover_footprint(painter, thing, x, y, turn)
    if light.beam:  # lamps shine on wet ground too
        painter.shine()
    if light.wet and foot < camera.height:
        draw_reflections(canvas, road & (covered < 128), covered, camera, light, foot)
    if not light.beam:
        painter.shine()
    own = np.zeros_like(road)
    if vehicle:
        vehicle.draw_outside(canvas, light)
    if light.rain:
        rain = RainOnGlass(light.seed, camera, light.rain, vehicle)
        rain.draw(canvas, seconds)
    if vehicle:
        own = vehicle.draw_inside(canvas, light, seconds)
    road &= (covered < 128) & ~own
    if seen is not None:
        seen[own] = 0
    return SyntheticFrame(expose(canvas, light, rng), road, camera, region, own, seen, things)


def _place(street: Street, region: RoadRegion, s: float, seconds: float) -> list[Placed]:
    """The things around, from far to near."""
    things = [t for t in street.things if s - 35 < t.s + t.speed * seconds < s + 345]
    if not things:
        return []
    along = np.array([t.s + t.speed * seconds for t in things])
    points = region.to_ground(along, [t.d for t in things]).astype(float)
    turns = region.table(region.turn, along.astype(np.float32)) + np.array([t.yaw for t in things])
    # A long thing hides what stands behind it up to its far end, which therefore decides the order.
    long = np.array([t.length / 2 if t.kind != "car" else 0.0 for t in things])
    inner = np.array([t.d - np.sign(t.d) * t.width / 2 if t.kind != "car" else t.d for t in things])
    far = region.to_ground(along + long, inner)
    order = np.argsort(-np.hypot(far[:, 0], far[:, 1]), kind="stable")
    return [Placed(things[k], points[k, 0], points[k, 1], float(turns[k])) for k in order]


def _in_view(camera: Camera, thing: Thing, x: float, y: float) -> bool:
    size = max(thing.length, thing.width, 1) + 2
    left, right = camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    return -right * (x + size) - size < y < left * (x + size) + size


def _cover_footprint(painter: Painter, thing: Thing, x: float, y: float, turn: float) -> None:
    corners = footprint(x, y, turn, thing.length, thing.width, 0.94)
    if corners[:, 0].min() < 0.4:
        corners[:, 0] = np.maximum(corners[:, 0], 0.4)
    pixels = np.array([painter.pixel(u, v, 0.0) for u, v in corners])
    cv2.fillPoly(painter.covered, [np.round(pixels * 8).astype(np.int32)], 255, cv2.LINE_8, 3)
