"""Draws a random street: residential, country, urban or avenue, of asphalt, brick or gravel."""

import numpy as np

from fcn_road_seg.synthetic.plan import Plan
from fcn_road_seg.synthetic.plots import plots, woods
from fcn_road_seg.synthetic.road import SideRoad
from fcn_road_seg.synthetic.road_defects import road_defects
from fcn_road_seg.synthetic.roadside import Roadside
from fcn_road_seg.synthetic.scene import Street
from fcn_road_seg.synthetic.surfaces import SURFACES, pave

SCENES = ("residential", "country", "urban", "avenue", *SURFACES)


def make_street(rng: np.random.Generator, scene: str, length: float = 100.0, speed: float = 8.0) -> Street:
    """Draw a random street.

    Args:
        rng: the same state gives the same street.
        scene: one of `SCENES`.
        length: metres that can be driven from arc length 0 on; another 400 m are visible.
        speed: m/s of the traffic.

    Raises:
        ValueError: the scene is unknown.
    """
    if scene not in SCENES:
        raise ValueError(f"unknown scene {scene!r}; choose from {', '.join(SCENES)}")
    kind = str(rng.choice(SURFACES[scene])) if scene in SURFACES else scene
    plan = Plan(rng, kind, length)
    if kind != "country" or rng.random() < 0.3:
        s = rng.uniform(-30, 70)
        while s < plan.last:
            plan.side_roads.append(SideRoad(s, int(rng.choice((-1, 1))), rng.uniform(2.3, 3.6), rng.uniform(2.5, 6)))
            s += rng.uniform(55, 190)
    marks, decals = plan.markings()
    for side in (1, -1):
        plan.sides[side] = plan.side(side)
    flaws = 1.0
    if scene in SURFACES:
        pave(plan, scene)
    if scene in ("brick", "gravel"):  # neither painted nor patched
        marks, decals, flaws = [], [], 0.0
    roadside = Roadside(plan)
    for side in (1, -1):
        roadside.park(side)
        roadside.furniture(side)
        (woods if kind == "country" else plots)(roadside, side)
    lane = roadside.traffic(speed)
    return Street(
        scene,
        plan.centreline,
        plan.edges,
        plan.side_roads,
        plan.road,
        road_defects(rng, flaws * rng.uniform(0, 2.0)),
        marks,
        decals,
        plan.sides,
        roadside.things,
        lane,
        rng.uniform(0.006, 0.03),
    )
