"""The description of a synthetic street: its surface, its sides, and the things that stand along it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fcn_road_seg.synthetic.road import Centreline, SideRoad
from fcn_road_seg.synthetic.textures import Ripmap

Colour = tuple[float, float, float]
"""RGB."""


@dataclass
class RoadLook:
    """Look of the carriageway.

    Attributes:
        texture: name of a surface, see `textures.surface`.
        colour: RGB display colour, 0-255, in full light.
        contrast, blotches, wear, dirt: strengths of the grain, of large blotches, of wheel tracks and of dirty edges.
        wheel_tracks: lateral offsets of the lanes' middles in metres.
        paint: RGB display colour of the markings.
        paint_wear: how much of the paint has worn off, 0-1.
    """

    texture: str = "asphalt"
    colour: Colour = (122, 119, 112)
    contrast: float = 0.2
    blotches: float = 0.1
    wear: float = 0.05
    wheel_tracks: tuple[float, ...] = ()
    paint: Colour = (216, 216, 210)
    paint_wear: float = 0.3
    dirt: float = 0.1


@dataclass
class Mark:
    """A painted line at lateral offset `d`, from arc length `first` to `last`; all in metres.

    Attributes:
        width: of the line.
        dash, gap: lengths of the dashes and gaps; a gap of 0 makes it solid.
        start: arc length at which a dash begins.
    """

    d: float
    width: float = 0.12
    dash: float = 0.0
    gap: float = 0.0
    start: float = 0.0
    first: float = -1e6
    last: float = 1e6


@dataclass(frozen=True)
class Band:
    """A strip beside the road, from the previous band's end to `end` metres beyond the edge.

    Attributes:
        material: one of `ground.MATERIALS`.
        tint: RGB factors on its colour.
    """

    end: float
    material: str
    tint: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Kerb:
    """Kerb stones: height and width in metres, and the display colour (0-255) of their top."""

    height: float
    width: float
    colour: Colour


@dataclass
class Side:
    """One side of the road; distances are metres beyond the road's edge.

    Attributes:
        side: +1 left, -1 right.
        kerb: the kerb stones along the edge.
        bands: strips of ground, from the edge outwards.
        bays: (first s, last s) of parking bays, `bay_width` deep, level with the road but not part of it.
        bay_material: their paving; bay_lines: whether lines separate them.
        driveways: (first s, last s, Band) of drives that cross everything beyond the kerb.
        rails: distances of tram rails.
        face_tone: brightness of the kerb's face as a share of its top's.
        lot: depth of a forecourt or car park right beside the road.
    """

    side: int
    kerb: Kerb
    bands: list[Band]
    bays: list[tuple[float, float]] = field(default_factory=list)
    bay_width: float = 0.0
    bay_material: Band | None = None
    bay_lines: bool = False
    driveways: list[tuple[float, float, Band]] = field(default_factory=list)
    rails: tuple[float, ...] = ()
    face_tone: float = 0.55
    lot: float = 0.0


@dataclass
class Thing:
    """Something that stands or moves along the street; lengths in metres.

    Attributes:
        kind: one of those that `objects.draw` knows.
        s, d: arc length and lateral offset of its middle.
        length, width, height: along the street, across it, and above `z`.
        z: height of its foot above the road.
        yaw: relative to the street, radians.
        look: variant of its picture; the body of a car.
        colour: RGB paint of a car (0-255), or one of `foliage.LEAF_TONES`.
        speed: along the street, m/s.
        floors, roof: storeys of a house, and the height of its gable roof.
        stem, trunk: height and radius of a tree's trunk.
        arm: how far a lamp reaches to the left.
        ends: whether the ends of a hedge or a wall of leaves are drawn.
    """

    kind: str
    s: float
    d: float
    length: float = 0.5
    width: float = 0.5
    height: float = 1.0
    z: float = 0.0
    yaw: float = 0.0
    look: int | str = 0
    colour: str | Colour = "green"
    speed: float = 0.0
    floors: int = 2
    roof: float = 0.0
    stem: float = 2.5
    trunk: float = 0.15
    arm: float = 0.0
    ends: bool = True


class Placed(NamedTuple):
    """A thing with its position (metres) and heading (radians) in the ground frame."""

    thing: Thing
    x: float
    y: float
    heading: float


@dataclass
class Street:
    """A street with everything on it; made by `layout.make_street`.

    Attributes:
        kind: one of `layout.SCENES`.
        edges: lateral offsets of the left and right edge at the centreline's samples, float64 N each, metres.
        road, defects: look of the carriageway, and its cracks, patches and covers.
        markings, decals: painted lines, and painted polygons (arrows, crossings) of (s, d) points.
        sides: by side, +1 left, -1 right.
        lane: lateral offset at which the camera drives, metres.
        hills: height of the far tree line, radians.
    """

    kind: str
    centreline: Centreline
    edges: tuple[np.ndarray, np.ndarray]
    side_roads: list[SideRoad]
    road: RoadLook
    defects: Ripmap
    markings: list[Mark]
    decals: list[list[tuple[float, float]]]
    sides: dict[int, Side]
    things: list[Thing]
    lane: float
    hills: float
