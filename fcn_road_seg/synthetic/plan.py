"""Draws the ground of a random street: its course, asphalt, markings, kerbs, pavements and verges."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from fcn_road_seg.synthetic.road import STEP, Centreline, SideRoad
from fcn_road_seg.synthetic.scene import Band, Kerb, Mark, RoadLook, Side
from fcn_road_seg.synthetic.textures import noise

T = TypeVar("T")

MARGIN = 70.0  # metres of street before arc length 0
ARROWS: dict[int, tuple[tuple[float, float], ...]] = {  # outlines along and across the lane, metres
    0: ((0, -0.08), (0, 0.08), (2.6, 0.08), (2.6, 0.32), (4.2, 0), (2.6, -0.32), (2.6, -0.08)),
    1: ((0, -0.08), (0, 0.08), (2.0, 0.08), (2.5, 0.45), (2.2, 0.6), (3.4, 1.0), (3.7, 0.1), (3.1, 0.25), (2.4, -0.08)),
}
PAVEMENTS = ("asphalt", "asphalt", "slabs", "plates", "bricks", "bricks_grey", "cobble", "concrete")


class Plan:
    """The ground of one street.

    Args:
        rng: every choice comes from it, in a fixed order.
        kind: one of `layout.SCENES`.
        length: metres that can be driven from arc length 0 on.

    Attributes:
        first, last: arc lengths between which things stand, metres.
        centreline, edges, side_roads, road, sides: see `scene.Street`.
        width: of the carriageway, metres; lanes: on it.
    """

    def __init__(self, rng: np.random.Generator, kind: str, length: float):
        self.rng, self.kind, self.length = rng, kind, length
        self.first, self.last = -MARGIN + 10, length + 410.0
        self.side_roads: list[SideRoad] = []
        self.sides: dict[int, Side] = {}
        n = int((length + 430 + MARGIN) / STEP)
        s = -MARGIN + np.arange(n) * STEP
        bend = np.zeros(n)
        if kind != "urban" or rng.random() < 0.5:
            amount = {"country": 0.38, "residential": 0.22, "urban": 0.15, "avenue": 0.16}[kind] * rng.random() ** 1.3
            for wavelength, share in ((rng.uniform(260, 500), 0.7), (rng.uniform(130, 220), 0.3)):
                bend += (
                    amount * share * 2 * np.pi / wavelength * np.cos(2 * np.pi * s / wavelength + rng.uniform(0, 6.3))
                )
        self.centreline = Centreline(bend, -MARGIN)
        self.width = {
            "residential": rng.uniform(5.2, 8.2),
            "country": rng.uniform(5.2, 7.5),
            "urban": rng.uniform(9, 14.5),
            "avenue": rng.uniform(5.8, 9),
        }[kind]
        ragged = {"country": rng.uniform(0.02, 0.14), "residential": rng.choice((0.0, 0.02, 0.06))}.get(kind, 0.01)
        edges = []
        for sign in (1, -1):
            wander = noise(rng, n, 2, 120 / STEP)[:, 0] * (0.25 if kind in ("residential", "country") else 0.02)
            edges.append(sign * (self.width / 2 + wander + ragged * noise(rng, n, 2, 1.3 / STEP)[:, 0]))
        self.edges = edges[0], edges[1]
        self.lanes = 2 if self.width < 8.8 else int(self.width // 3.1)
        self.road = self._look()

    def pick(self, options: Sequence[T]) -> T:
        """One of the options at random."""
        return options[int(self.rng.integers(len(options)))]

    def edge(self, side: int, s: float) -> float:
        """Lateral offset of the road's edge (+1 left, -1 right) at arc length `s`, metres."""
        return float(np.interp(s, self.centreline.s, self.edges[0 if side > 0 else 1]))

    def clear(self, side: int, s: float, half: float) -> bool:
        """Whether no road joins from this side between s - half and s + half."""
        return all(r.side != side or abs(r.s - s) > half + r.half_width + r.radius * 0.6 for r in self.side_roads)

    def _look(self) -> RoadLook:
        rng = self.rng
        grey = rng.uniform(88, 158) if self.kind != "urban" else rng.uniform(84, 140)
        warm = rng.uniform(-0.01, 0.06)
        colour = (grey * (1 + warm), grey, grey * (1 - warm * 1.1))
        step = self.width / self.lanes
        tracks = tuple(-self.width / 2 + step * (k + 0.5) for k in range(self.lanes))
        texture, contrast = self.pick(("asphalt", "asphalt", "asphalt_coarse")), rng.uniform(0.14, 0.34)
        if self.kind == "residential" and rng.random() < 0.06:
            texture, contrast = self.pick(("cobble", "bricks")), 0.32
        return RoadLook(
            texture=texture,
            colour=colour,
            contrast=contrast,
            blotches=rng.uniform(0.04, 0.16),
            wear=rng.uniform(0, 0.09),
            wheel_tracks=tracks,
            paint_wear=rng.uniform(0.05, 0.6),
            dirt=rng.uniform(0, 0.3),
        )

    def markings(self) -> tuple[list[Mark], list[list[tuple[float, float]]]]:
        """Draw painted lines, and polygons of (s, d) points."""
        rng, half, lanes = self.rng, self.width / 2, self.lanes
        marks: list[Mark] = []
        decals: list[list[tuple[float, float]]] = []
        dash, gap = self.pick(((3.0, 6.0), (4.0, 8.0), (6.0, 12.0), (3.0, 3.0), (1.5, 3.0)))
        thick = rng.uniform(0.1, 0.16)
        bare = {"residential": 0.72, "country": 0.2, "urban": 0.0, "avenue": 0.35}[self.kind]
        if rng.random() >= bare:
            for k in range(1, lanes):
                d = -half + self.width / lanes * k
                solid = (lanes > 2 and k == lanes // 2 and rng.random() < 0.6) or rng.random() < 0.08
                marks.append(Mark(d, thick, 0 if solid else dash, 0 if solid else gap, start=rng.uniform(0, 9)))
            if self.kind == "country" and rng.random() < 0.8 or self.kind == "urban" and rng.random() < 0.4:
                inset = rng.uniform(0.12, 0.35)
                marks += [Mark(half - inset - 0.25, thick), Mark(-half + inset + 0.25, thick)]
            if self.kind == "urban" and rng.random() < 0.6:
                for s in np.arange(rng.uniform(5, 40), self.last, rng.uniform(35, 70)):
                    for k in range((lanes + 1) // 2):
                        turn = self.pick((0, 0, 1)) if k else self.pick((0, -1))
                        centre = -half + self.width / lanes * (k + 0.5)
                        decals.append([(s + u, centre + v * (turn or 1)) for u, v in ARROWS[abs(turn)]])
        if self.kind != "country" and rng.random() < 0.3:
            s, long = rng.uniform(0, 60), rng.uniform(2.5, 4)
            while s < self.last:
                for d in np.arange(-half + 0.4, half - 0.6, 1.0):
                    decals.append([(s, d), (s, d + 0.5), (s + long, d + 0.5), (s + long, d)])
                s += rng.uniform(60, 160)
        return marks, decals

    def pavement(self) -> Band:
        """Draw a pavement's material and tint; often nearly the road's own tone."""
        rng = self.rng
        material = self.pick(PAVEMENTS)
        tone = rng.uniform(0.72, 1.18)
        if material == "asphalt" and rng.random() < 0.6:
            tone = self.road.colour[1] / 119 * rng.uniform(0.92, 1.1)
        warm = rng.uniform(-0.03, 0.05)
        return Band(0, material, (tone * (1 + warm), tone, tone * (1 - warm)))

    def side(self, side: int) -> Side:
        """Draw the kerb and the strips of ground of one side (+1 left, -1 right)."""
        rng, kind = self.rng, self.kind
        grey = rng.uniform(120, 196)
        kerb = Kerb(rng.uniform(0.05, 0.14), rng.uniform(0.1, 0.18), (grey, grey * 0.98, grey * 0.94))
        garden = Band(
            60,
            self.pick(("grass", "grass", "grass", "soil", "bricks_grey", "gravel", "dry_grass")),
            (rng.uniform(0.8, 1.2),) * 3,
        )
        walk = self.pavement()
        verge = Band(
            0, self.pick(("grass", "grass", "dry_grass", "soil", "gravel", "cobble")), (rng.uniform(0.75, 1.25),) * 3
        )
        result = Side(side, kerb, [], face_tone=rng.uniform(0.35, 0.75))
        if kind == "country":
            result.kerb = Kerb(0.0, 0.0, kerb.colour)
            shoulder = rng.uniform(0.15, 1.2)
            grass = rng.uniform(1.5, 5)
            result.bands = [
                Band(shoulder, self.pick(("gravel", "soil", "dry_grass")), verge.tint),
                Band(shoulder + grass, self.pick(("grass", "dry_grass")), verge.tint),
                Band(120, self.pick(("grass", "grass", "dry_grass", "soil")), garden.tint),
            ]
            if rng.random() < 0.2:  # a cycle path beyond the grass
                e = shoulder + grass
                result.bands[2:2] = [Band(e + 2.2, "asphalt", walk.tint)]
            return result
        if kind == "urban" and side > 0 and rng.random() < 0.35:  # tram tracks
            e = rng.uniform(0.3, 0.8)
            result.bands = [
                Band(e, "concrete", walk.tint),
                Band(e + 6.6, self.pick(("ballast", "grass")), (1, 1, 1)),
                Band(e + 9.5, walk.material, walk.tint),
                garden,
            ]
            result.rails = tuple(e + x for x in (0.9, 2.335, 4.2, 5.635))
            return result
        style = rng.random()
        width = rng.uniform(1.3, 3.2) if kind != "urban" else rng.uniform(2.2, 5)
        if kind == "avenue" or style < 0.22:
            strip = rng.uniform(1.6, 3.2) if kind == "avenue" else rng.uniform(0.8, 2.5)
            result.bands = [replace(verge, end=strip), replace(walk, end=strip + width), garden]
        elif style < 0.50 and kind != "country":
            bay = rng.uniform(1.9, 2.4)
            between = verge if rng.random() < 0.5 else walk
            result.bands = [replace(between, end=bay), replace(walk, end=bay + width), garden]
            result.bay_width = bay
            paved = self.pavement()
            result.bay_material = Band(0, self.pick(("cobble", "bricks", "bricks_grey", paved.material)), paved.tint)
            result.bay_lines = rng.random() < 0.3
            s = self.first
            while s < self.last:
                long = self.pick((11.0, 16.5, 22.0, 33.0, 44.0))
                if self.clear(side, s + long / 2, long / 2 + 4):
                    result.bays.append((s, s + long))
                s += long + rng.uniform(3, 14)
        elif style < 0.85:
            result.bands = [replace(walk, end=width), garden]
            if rng.random() < 0.15:
                result.kerb = Kerb(0.02, 0.15, kerb.colour)
        elif style < 0.93:  # a forecourt of nearly the road's own asphalt, behind a flush line of stones
            result.kerb = Kerb(float(rng.choice((0.0, 0.03))), kerb.width, kerb.colour)
            result.lot = rng.uniform(6, 14)
            tone = self.road.colour[1] / 119 * rng.uniform(0.9, 1.15)
            edge = rng.uniform(0.25, 0.6)
            material = self.pick(("asphalt", "asphalt", "asphalt_coarse", "bricks_grey"))
            result.bands = [
                Band(edge, self.pick(("cobble", "concrete", "plates", "asphalt")), walk.tint),
                Band(result.lot, material, (tone,) * 3),
                garden,
            ]
        else:
            result.kerb = Kerb(0.0, 0.12, kerb.colour)
            result.bands = [Band(rng.uniform(0.4, 1.5), verge.material, verge.tint), garden]
        if rng.random() < 0.25:  # a paved gutter on the pavement's side of the kerb
            first = result.bands[0]
            result.bands[:1] = [Band(0.5, "cobble", verge.tint), first]
        return result
