"""Puts cars, trees, lamps, signs and people along a random street."""

from typing import Any

import numpy as np

from fcn_road_seg.synthetic.car_shapes import KINDS, PAINTS, SIZES
from fcn_road_seg.synthetic.plan import Plan
from fcn_road_seg.synthetic.scene import Thing

LEAVES = ("green", "green", "green", "green", "olive", "olive", "olive", "autumn")


class Roadside:
    """The things along a `Plan`; every choice comes from the plan's generator.

    Attributes:
        things: all that have been put so far.
        parked: per side (+1 left, -1 right), whether cars are parked on the road itself.
    """

    def __init__(self, plan: Plan):
        self.plan, self.rng, self.kind, self.pick, self.clear = plan, plan.rng, plan.kind, plan.pick, plan.clear
        self.first, self.last, self.width, self.sides = plan.first, plan.last, plan.width, plan.sides
        self.things: list[Thing] = []
        self.parked = {1: False, -1: False}

    def put(self, kind: str, side: int, s: float, beyond: float, **values: Any) -> None:
        """Put a thing `beyond` metres outside the edge; `values`: see `Thing`."""
        self.things.append(Thing(kind, s, side * beyond + self.plan.edge(side, s), **values))

    def car(
        self,
        side: int,
        s: float,
        beyond: float,
        heading: float,
        z: float = 0.0,
        speed: float = 0.0,
        kinds: tuple[str, ...] = KINDS[:5],
    ) -> None:
        """Put a car of one of `kinds`."""
        rng = self.rng
        body = self.pick(kinds)
        length, width, height = np.array(SIZES[body]) * rng.uniform(0.95, 1.06, 3)
        self.put(
            "car",
            side,
            s,
            beyond,
            length=length,
            width=width,
            height=height,
            z=z,
            look=body,
            speed=speed,
            colour=tuple(np.clip(np.array(self.pick(PAINTS)) * rng.uniform(0.85, 1.1), 0, 255)),
            yaw=heading + rng.normal(0, 0.012),
        )

    def tree(self, side: int, s: float, beyond: float, size: float, z: float = 0.0, tones: str | None = None) -> None:
        """Put a tree; firs, which are broad at the foot, only well away from the road."""
        rng = self.rng
        look = int(rng.integers(12))
        if look % 4 == 3 and beyond < 0.3 * size + 0.5:
            look -= 1
        fir = look % 4 == 3
        height = size * rng.uniform(0.8, 1.25)
        self.put(
            "tree",
            side,
            s,
            beyond,
            height=height,
            z=z,
            look=look,
            width=height * (rng.uniform(0.4, 0.55) if fir else rng.uniform(0.6, 0.95)),
            stem=0.4 if fir else height * rng.uniform(0.18, 0.34),
            trunk=height * rng.uniform(0.012, 0.024),
            colour="fir" if fir else (tones or self.pick(LEAVES)),
        )

    def bush(self, side: int, s: float, beyond: float, height: float, z: float = 0.0) -> None:
        """Put a tree whose leaves reach to the ground; never a fir."""
        rng = self.rng
        width = height * rng.uniform(0.8, 1.3)
        self.put(
            "tree",
            side,
            s,
            max(beyond, width / 2 + 0.3),
            height=height,
            width=width,
            z=z - 0.15 * height,
            stem=0.0,
            trunk=0.05,
            colour=self.pick(LEAVES),
            look=int(rng.integers(3)) * 4 + int(rng.integers(3)),
        )

    def park(self, side: int) -> None:
        """Park cars along one side."""
        rng, ground = self.rng, self.sides[side]
        heading = 0.0 if side < 0 or rng.random() < 0.3 else np.pi
        level = ground.kerb.height
        density = rng.uniform(0.25, 0.95)
        if ground.lot:
            s = self.first
            while s < self.last:
                if rng.random() < density and self.clear(side, s, 3):
                    self.car(side, s, ground.lot - 2.6 + rng.normal(0, 0.15), rng.choice((0.5, 1.5)) * np.pi)
                s += rng.uniform(2.5, 3.2) if rng.random() < 0.8 else rng.uniform(5, 20)
            return
        if ground.bays:
            for first, last in ground.bays:
                for s in np.arange(first + 2.75, last - 2, 5.5):
                    if rng.random() < density:
                        self.car(
                            side,
                            s + rng.uniform(-0.3, 0.3),
                            ground.bay_width / 2 + rng.uniform(-0.12, 0.1),
                            heading if rng.random() < 0.9 else heading + np.pi,
                        )
            return
        mode = rng.random()
        if self.kind == "country" or mode < (0.3 if self.kind == "residential" else 0.55):
            return
        half_up = mode > 0.72 and ground.bands[0].end > 1.2
        if self.width < 6 and self.parked[-side]:
            return
        beyond = rng.uniform(0.0, 0.45) if half_up else -rng.uniform(1.0, 1.15)
        z = level / 2 if half_up else 0.0
        self.parked[side] = True
        s = self.first + rng.uniform(0, 10)
        while s < self.last:
            if rng.random() < density and self.clear(side, s, 4):
                self.car(side, s, beyond + rng.normal(0, 0.07), heading if rng.random() < 0.93 else heading + np.pi, z)
                s += rng.uniform(5.0, 6.6)
            else:
                s += rng.uniform(4, 22)

    def furniture(self, side: int) -> None:
        """Put lamps, signs, people, bins and trees in the verge along one side."""
        rng, ground = self.rng, self.sides[side]
        level, walk = ground.kerb.height, ground.bands[-2].end
        at_kerb = ground.bay_width + 0.5 if ground.bays else 0.5
        if self.kind != "country" and rng.random() < 0.6:
            for s in np.arange(self.first + rng.uniform(0, 30), self.last, rng.uniform(26, 42)):
                if self.clear(side, s, 1):
                    arm = -side * rng.uniform(0.5, 2)
                    self.put("lamp", side, s, at_kerb, height=rng.uniform(5, 8), z=level, arm=arm)
        for s in np.arange(self.first + rng.uniform(0, 60), self.last, rng.uniform(35, 120)):
            if self.clear(side, s, 1):
                self.put(
                    "sign",
                    side,
                    s,
                    max(0.6, at_kerb - 0.1),
                    height=rng.uniform(1.9, 2.7),
                    z=level,
                    look=int(rng.integers(9)),
                )
        if self.kind == "country":
            if rng.random() < 0.8:
                for s in np.arange(self.first, self.last, self.pick((25, 50))):
                    self.put("post", side, s, 0.75, height=1.0)
            if rng.random() < 0.15:
                for s in np.arange(self.first, self.last, 4.0):
                    self.put("guardrail", side, s, 1.1, length=4.0, height=0.78)
            return
        for s in np.sort(rng.uniform(self.first, self.last, rng.poisson((self.last - self.first) / 45))):
            speed = rng.choice((-1.3, 0, 1.3))
            self.put(
                "person",
                side,
                s,
                rng.uniform(min(0.6, walk / 2), max(0.7, walk - 0.3)),
                z=level,
                speed=speed,
                height=rng.uniform(1.5, 1.9),
                look=int(rng.integers(12)),
            )
        for s in rng.uniform(self.first, self.last, rng.poisson(4)):
            self.put("bin", side, s, walk - 0.4, z=level, height=1.05, look=int(rng.integers(3)))
        if rng.random() < 0.12:
            for s in np.arange(self.first, self.last, 2.2):
                if self.clear(side, s, 1):
                    self.put("bollard", side, s, 0.3, z=level, height=0.9)
        if self.kind == "avenue" or rng.random() < (0.3 if self.kind == "residential" else 0.45):
            step, size = rng.uniform(6.5, 14), rng.uniform(6, 14)
            tones = self.pick(LEAVES)
            place = ground.bands[0].end / 2 if self.kind == "avenue" else min(at_kerb + 0.3, walk)
            for s in np.arange(self.first + rng.uniform(0, step), self.last, step):
                if rng.random() < 0.9 and self.clear(side, s, 1.5) and not any(a < s < b for a, b in ground.bays):
                    self.tree(side, s + rng.uniform(-0.5, 0.5), place, size, level, tones)

    def traffic(self, speed: float) -> float:
        """Put moving cars and cyclists.

        Args:
            speed: of the camera, m/s.

        Returns:
            The lateral offset at which the camera drives, metres.
        """
        rng, half = self.rng, self.width / 2
        free_right = -half + (2.15 if self.parked[-1] else 0.1)
        free_left = half - (2.15 if self.parked[1] else 0.1)
        two_way = free_left - free_right > 4.8
        lanes = self.plan.lanes
        if lanes > 2:
            mine = free_right + (free_left - free_right) / lanes * (0.5 + int(rng.integers(max(1, lanes // 2))))
            other = half - self.width / lanes * 0.5
        else:
            mine = free_right + (free_left - free_right) * (0.28 if two_way else 0.5)
            other = free_right + (free_left - free_right) * 0.75
        mine = float(np.clip(mine + rng.normal(0, 0.15), free_right + 0.95, max(free_right + 0.95, free_left - 0.95)))
        busy = {"residential": 0.3, "country": 0.5, "urban": 0.85, "avenue": 0.5}[self.kind]
        if rng.random() < busy:
            self.car(-1, rng.uniform(12, 60), -(mine + half), 0.0, speed=speed, kinds=KINDS)
        if two_way or lanes > 2:
            reach = self.last
            while rng.random() < busy and reach > 40:
                self.car(
                    1, rng.uniform(30, reach), -(half - other), np.pi, speed=-rng.uniform(0.8, 1.3) * speed, kinds=KINDS
                )
                reach *= 0.8
        if lanes > 2 and rng.random() < 0.6:
            lane = free_right + (free_left - free_right) / lanes * 0.5
            if abs(lane - mine) > 2:
                self.car(
                    -1, rng.uniform(12, 50), -(lane + half), 0.0, speed=speed * rng.uniform(0.98, 1.1), kinds=KINDS
                )
        if rng.random() < 0.3 and self.kind != "country":
            self.put(
                "cyclist",
                -1,
                rng.uniform(12, 40),
                -0.7 if not self.parked[-1] else -2.6,
                height=1.75,
                speed=speed * 0.95,
                look=int(rng.integers(8)),
            )
        return mine
