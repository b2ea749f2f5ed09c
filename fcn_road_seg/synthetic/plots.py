"""Puts houses, gardens, hedges and woods beyond the pavement of a random street."""

import numpy as np

from fcn_road_seg.synthetic.roadside import LEAVES, Roadside
from fcn_road_seg.synthetic.scene import Band


def plots(roadside: Roadside, side: int) -> None:
    """Put houses, gardens, drives, hedges, walls and fences along one side (+1 left, -1 right)."""
    rng, pick, ground = roadside.rng, roadside.pick, roadside.sides[side]
    level = ground.kerb.height
    front = ground.bands[-2].end
    urban = roadside.kind == "urban"
    close = rng.random() < 0.3  # houses right at the pavement
    dense = rng.uniform(0.45, 1.0)
    favourite = pick(("hedge", "hedge", "wall", "fence", "railing", "none"))
    wooded = roadside.kind == "avenue" and rng.random() < 0.45
    end = roadside.first
    while end < roadside.last:
        plot = rng.uniform(9, 22) if not urban else rng.uniform(14, 34)
        middle, end = end + plot / 2, end + plot
        if not roadside.clear(side, middle, plot / 2):
            continue
        begin = end - plot
        if wooded or (not urban and rng.random() < 0.1):
            _wood(roadside, side, begin, end, middle, plot, front)
            continue
        built = rng.random() < dense
        setback = 0.15 if close else rng.uniform(2.5, 9)
        drive = None
        if not close and not urban and rng.random() < 0.45:
            drive = _drive(roadside, side, begin, plot, front, level)
        if built:
            _house(roadside, side, middle, plot, front + setback, level, attached=close)
            if drive and rng.random() < 0.4 and setback > 5:
                roadside.put(
                    "garage",
                    side,
                    sum(drive) / 2,
                    front + setback + 2,
                    length=3.2,
                    width=5,
                    z=level,
                    height=2.5,
                    look=int(rng.integers(20)),
                )
        if close and built:
            continue
        border = favourite if rng.random() < 0.7 else pick(("hedge", "wall", "fence", "railing", "none"))
        _border(roadside, side, begin, end, drive, front + (0.45 if border == "hedge" else 0.2), border, level)
        for _ in range(rng.poisson(0.9 if built else 2.5)):
            roadside.tree(
                side,
                rng.uniform(begin, end),
                front + rng.uniform(0.8, max(1.0, setback)),
                rng.uniform(2.5, 11) if rng.random() < 0.6 else rng.uniform(1.5, 3.5),
                level,
            )
        if not built:
            for _ in range(3):
                roadside.tree(side, rng.uniform(begin, end), front + rng.uniform(5, 25), rng.uniform(6, 15), level)
    _backdrop(roadside, side, step=26, start=front, away=(22, 30), length=38, height=(4, 12))


def _backdrop(
    roadside: Roadside,
    side: int,
    step: float,
    start: float,
    away: tuple[float, float],
    length: float,
    height: tuple[float, float],
) -> None:
    """Put walls of leaves, one every `step` metres, behind what stands along the street.

    Args:
        start, away: metres from the middle of the street, and the range of what is added to it.
        length, height: of a wall, metres; height is a range.
    """
    rng = roadside.rng
    for s in np.arange(roadside.first, roadside.last, step):
        roadside.put(
            "leafwall",
            side,
            s,
            start + rng.uniform(*away),
            length=length,
            width=1,
            height=rng.uniform(*height),
            look=int(rng.integers(3)),
            colour=roadside.pick(LEAVES),
            ends=False,
        )


def _wood(roadside: Roadside, side: int, begin: float, end: float, middle: float, plot: float, front: float) -> None:
    rng = roadside.rng
    for _ in range(3):
        roadside.bush(side, rng.uniform(begin, end), front + rng.uniform(0.5, 2), rng.uniform(1.2, 5))
    roadside.put(
        "leafwall",
        side,
        middle,
        front + rng.uniform(1, 3),
        length=plot * 1.3,
        width=1.5,
        z=0,
        height=rng.uniform(4, 10),
        look=int(rng.integers(3)),
        colour=roadside.pick(LEAVES),
        ends=False,
    )


def _drive(roadside: Roadside, side: int, begin: float, plot: float, front: float, level: float) -> tuple[float, float]:
    """Add a driveway, perhaps with a car on it; its first and last arc length."""
    rng = roadside.rng
    first = begin + rng.uniform(2, max(2.1, plot - 4))
    drive = (first, first + rng.uniform(2.6, 3.6))
    paved = roadside.plan.pavement()
    roadside.sides[side].driveways.append((*drive, Band(0, paved.material, paved.tint)))
    if rng.random() < 0.35:
        roadside.car(side, sum(drive) / 2, front + rng.uniform(3, 5), rng.choice((0.5, 1.5)) * np.pi, level)
    return drive


def _house(
    roadside: Roadside, side: int, middle: float, plot: float, front: float, level: float, attached: bool
) -> None:
    rng, urban = roadside.rng, roadside.kind == "urban"
    floors = int(rng.integers(3, 6)) if urban else int(rng.integers(1, 4))
    deep, share = rng.uniform(8, 12), rng.uniform(0.6, 0.85)
    long = plot * (1.0 if attached or urban and rng.random() < 0.6 else share)
    roadside.put(
        "house",
        side,
        middle,
        front + deep / 2,
        length=long,
        width=deep,
        z=level,
        height=2.9 * floors + 0.5,
        look=int(rng.integers(16)),
        floors=floors,
        roof=0.0 if urban and rng.random() < 0.6 else rng.uniform(2, 4.5),
    )


def _border(
    roadside: Roadside,
    side: int,
    first: float,
    last: float,
    drive: tuple[float, float] | None,
    beyond: float,
    kind: str,
    level: float,
) -> None:
    """Put a hedge, wall, fence or railing along the front of a plot, with a gap for the drive."""
    if kind == "none":
        return
    rng = roadside.rng
    parts = [(first, last)] if not drive else [(first, drive[0] - 0.2), (drive[1] + 0.2, last)]
    height = {
        "hedge": rng.uniform(0.7, 2.2),
        "wall": rng.uniform(0.4, 2.0),
        "fence": rng.uniform(0.8, 1.3),
        "railing": rng.uniform(0.8, 1.3),
    }[kind]
    look, colour = int(rng.integers(20)), roadside.pick(LEAVES)
    for a, b in parts:
        pieces = max(1, round((b - a) / 7))
        for k in range(pieces if b - a > 0.5 else 0):
            long = (b - a) / pieces
            roadside.put(
                kind,
                side,
                a + (k + 0.5) * long,
                beyond,
                length=long + 0.04,
                z=level,
                height=height,
                look=look,
                width=0.7 if kind == "hedge" else 0.25,
                colour=colour,
                ends=k == 0,
            )


def woods(roadside: Roadside, side: int) -> None:
    """Put woods and lone trees along one side (+1 left, -1 right) of a country road."""
    rng, pick = roadside.rng, roadside.pick
    near = roadside.sides[side].bands[-2].end
    wooded = rng.random() < 0.6
    s = roadside.first
    while s < roadside.last:
        long = rng.uniform(9, 15)
        if wooded:
            roadside.put(
                "leafwall",
                side,
                s,
                near + rng.uniform(0.5, 3),
                length=long * 1.35,
                width=2,
                height=rng.uniform(5, 13),
                look=int(rng.integers(3)),
                colour=pick(LEAVES[:7]),
                ends=False,
            )
            for _ in range(rng.integers(1, 4)):
                roadside.bush(side, s + rng.uniform(0, long), near + rng.uniform(0.4, 2.5), rng.uniform(1.5, 7))
            if rng.random() < 0.6:
                roadside.tree(side, s, near + rng.uniform(0, 2), rng.uniform(6, 15))
        elif rng.random() < 0.25:
            roadside.tree(side, s, near + rng.uniform(0.5, 14), rng.uniform(4, 13))
        if rng.random() < 0.03:
            wooded = not wooded
        s += long
    _backdrop(roadside, side, step=40, start=near, away=(45, 70), length=58, height=(5, 13))
