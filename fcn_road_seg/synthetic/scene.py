"""The description of a synthetic street: its surface, its sides, and the things that stand along it."""

from dataclasses import dataclass, field

from fcn_road_seg.synthetic.ground import Band, Kerb
from fcn_road_seg.synthetic.road import Centreline, SideRoad
from fcn_road_seg.synthetic.textures import Ripmap


@dataclass
class RoadLook:
    """The asphalt: texture name, display colour, strengths of its grain, blotches, wear and dirty edges; its paint."""

    texture: str = "asphalt"
    colour: tuple = (122, 119, 112)
    contrast: float = 0.2
    blotches: float = 0.1
    wear: float = 0.05
    wheel_tracks: tuple = ()
    paint: tuple = (216, 216, 210)
    paint_wear: float = 0.3
    dirt: float = 0.1


@dataclass
class Mark:
    """A painted line at offset `d`: width, dash and gap lengths (gap 0: solid), from `first` to `last`; metres."""

    d: float
    width: float = 0.12
    dash: float = 0.0
    gap: float = 0.0
    start: float = 0.0
    first: float = -1e6
    last: float = 1e6


@dataclass
class Side:
    """One side of the road; distances are metres beyond the road's edge.

    Attributes:
        side: +1 left, -1 right.
        bands: strips of ground, from the edge outwards.
        bays: (first s, last s) of parking bays, `bay_width` deep, level with the road but not road.
        driveways: (first s, last s, Band) of drives across everything beyond the kerb.
        rails: distances of tram rails.
        lot: depth of a forecourt or car park right beside the road.
    """

    side: int
    kerb: Kerb
    bands: list[Band]
    bays: list = field(default_factory=list)
    bay_width: float = 0.0
    bay_material: Band | None = None
    bay_lines: bool = False
    driveways: list = field(default_factory=list)
    rails: tuple = ()
    face_tone: float = 0.55
    lot: float = 0.0


@dataclass
class Thing:
    """Something that stands or moves along the street; the kinds are those of `objects.draw`.

    `s`, `d`: its middle; `speed` along the street in m/s; `yaw` relative to the street. Metres, radians.
    """

    kind: str
    s: float
    d: float
    length: float = 0.5
    width: float = 0.5
    height: float = 1.0
    z: float = 0.0
    yaw: float = 0.0
    look: object = 0
    colour: object = "green"
    speed: float = 0.0
    floors: int = 2
    roof: float = 0.0
    stem: float = 2.5
    trunk: float = 0.15
    arm: float = 0.0
    ends: bool = True


@dataclass
class Street:
    """A street of some length with everything on it; made by `layout.make_street`."""

    kind: str
    centreline: Centreline
    edges: tuple
    side_roads: list[SideRoad]
    road: RoadLook
    defects: Ripmap
    markings: list[Mark]
    decals: list  # painted polygons (arrows, crossings), each N x 2: s, d
    sides: dict[int, Side]
    things: list[Thing]
    lane: float
    hills: float
