"""A street to drive along: empty but for a parked car at its end, and seen from any pose."""

import math
from dataclasses import replace

import numpy as np

from fcn_road_seg.synthetic.camera import KITTI, Camera
from fcn_road_seg.synthetic.car_shapes import PAINTS, SIZES
from fcn_road_seg.synthetic.layout import make_street
from fcn_road_seg.synthetic.render import SyntheticFrame, render
from fcn_road_seg.synthetic.scene import Thing
from fcn_road_seg.synthetic.vehicle import Pose
from fcn_road_seg.synthetic.weather import make_light


class SyntheticCourse:
    """A street that a vehicle can drive along at will; the same arguments and pose give the same frame.

    It has no junctions and no traffic, and no car stands on it but one that is parked in its middle. The world's origin
    is in the middle of the road where the street begins, its x axis along the road there (REP-103). Off the street, or
    with the back to its direction, the camera sees grass after 40 m.

    Args:
        seed: chooses the street and the light.
        length: metres to the parked car.
        camera: of any size, at the vehicle's origin.
        weather: one of `WEATHERS`.
        scene: one of `SCENES`.

    Attributes:
        parked: the car that is parked in the middle of the road, `length` metres from the start to its middle.

    Raises:
        ValueError: the weather or scene is unknown.
    """

    def __init__(
        self,
        seed: int = 0,
        length: float = 250.0,
        camera: Camera = KITTI,
        weather: str = "overcast",
        scene: str = "country",
    ):
        street = make_street(np.random.default_rng([seed, 1]), scene, length)
        self.seed, self.length, self.camera, self.weather, self.scene = seed, length, camera, weather, scene
        self.light = make_light(np.random.default_rng([seed, 2]), weather)
        left, right = (np.interp(length, street.centreline.s, edge) for edge in street.edges)
        long, wide, high = SIZES["estate"]
        middle = float(left + right) / 2
        self.parked = Thing("car", length, middle, long, wide, high, look="estate", colour=PAINTS[5])
        half_road = max(float(np.abs(edge).max()) for edge in street.edges)
        things = [
            thing
            for thing in street.things
            if not thing.speed and (thing.kind != "car" or abs(thing.d) - thing.width / 2 > half_road)
        ]
        self.street = replace(street, side_roads=[], things=[*things, self.parked])
        self._origin = Pose(*map(float, street.centreline.at(0.0)))

    def on_street(self, pose: Pose) -> tuple[float, float, float]:
        """Arc length and offset to the left of the centreline (metres), and yaw against it (radians), of a pose."""
        x, y, heading = self._origin.compose(pose)
        line = self.street.centreline
        nearest = int(np.argmin(np.hypot(line.x - x, line.y - y)))
        turn, dx, dy = float(line.heading[nearest]), x - float(line.x[nearest]), y - float(line.y[nearest])
        s = float(line.s[nearest]) + dx * math.cos(turn) + dy * math.sin(turn)
        yaw = heading - float(line.at(s)[2])
        return s, dy * math.cos(turn) - dx * math.sin(turn), math.remainder(yaw, math.tau)

    def margin(self, pose: Pose) -> float:
        """Metres from a pose to the nearer edge of the road; negative off the road."""
        s, d, _ = self.on_street(pose)
        left, right = (float(np.interp(s, self.street.centreline.s, edge)) for edge in self.street.edges)
        return min(left - d, d - right)

    def frame(self, pose: Pose, number: int = 0) -> SyntheticFrame:
        """What the camera sees from a pose; the number chooses the sensor's noise."""
        rng = np.random.default_rng([self.seed, 3, number])
        s, d, yaw = self.on_street(pose)
        return render(self.street, self.light, self.camera, s, d, yaw, seconds=0.0, rng=rng)
