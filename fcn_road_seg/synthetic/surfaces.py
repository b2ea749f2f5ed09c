"""Streets of brick and gravel: as the road's own surface, and beside an asphalt road as what is not road."""

from dataclasses import replace

from fcn_road_seg.synthetic.plan import Plan
from fcn_road_seg.synthetic.scene import Band, Colour, Kerb
from fcn_road_seg.synthetic.textures import noise

SURFACES: dict[str, tuple[str, ...]] = {
    "brick": ("residential", "residential", "urban", "avenue"),
    "brick_pavement": ("residential", "urban", "avenue"),
    "gravel": ("country",),
    "gravel_shoulder": ("country", "country", "residential"),
}
"""Scenes by name, with the kinds of street that are paved so."""
BRICKS: tuple[Colour, ...] = ((150, 104, 86), (132, 92, 80), (158, 122, 98), (126, 112, 104), (140, 132, 126))
GRAVELS: tuple[Colour, ...] = ((158, 148, 130), (140, 134, 126), (168, 150, 122), (124, 112, 98))


def pave(plan: Plan, scene: str) -> None:
    """Change the surfaces of a street whose sides are drawn.

    Args:
        plan: changed in place; every choice comes from its generator.
        scene: a key of `SURFACES`.
    """
    {"brick": _brick, "brick_pavement": _brick_pavement, "gravel": _gravel, "gravel_shoulder": _gravel_shoulder}[scene](
        plan
    )


def _varied(plan: Plan, colours: tuple[Colour, ...]) -> Colour:
    tone = plan.rng.uniform(0.82, 1.12)
    red, green, blue = plan.pick(colours)
    return red * tone, green * tone, blue * tone


def _brick(plan: Plan) -> None:
    rng = plan.rng
    plan.road = replace(
        plan.road,
        texture=plan.pick(("herringbone", "herringbone", "bricks", "cobble")),
        colour=_varied(plan, BRICKS),
        contrast=rng.uniform(0.24, 0.4),
        blotches=rng.uniform(0.08, 0.2),
        wear=rng.uniform(0.0, 0.06),
    )
    for side in plan.sides.values():
        first = side.bands[0]
        if first.material == "asphalt" and rng.random() < 0.4:  # the pavement is paved as the road is
            side.bands[0] = replace(first, material="bricks", tint=(rng.uniform(0.8, 1.1),) * 3)
        if rng.random() < 0.5:
            side.kerb = Kerb(float(rng.choice((0.0, 0.02, 0.05))), side.kerb.width, side.kerb.colour)


def _brick_pavement(plan: Plan) -> None:
    rng = plan.rng
    material = plan.pick(("bricks_red", "bricks_red", "bricks", "bricks_grey"))
    level = plan.pick((0.0, 0.0, 0.03, 0.1))
    for side in plan.sides.values():
        tint: Colour = (rng.uniform(0.75, 1.1),) * 3
        if rng.random() < 0.4:  # as bright as the road
            tint = (plan.road.colour[1] / 124 * rng.uniform(0.92, 1.08),) * 3
        end = max(side.bands[0].end, rng.uniform(1.2, 3.0))
        side.bands = [Band(end, material, tint)] + [replace(b, end=max(b.end, end + 0.1)) for b in side.bands[1:]]
        side.kerb = Kerb(level, plan.pick((0.1, 0.14)), side.kerb.colour)
        if side.bays:
            side.bay_material = Band(0, material, tint)


def _gravel(plan: Plan) -> None:
    rng = plan.rng
    plan.road = replace(
        plan.road,
        texture=plan.pick(("stones", "stones", "gravel")),
        colour=_varied(plan, GRAVELS),
        contrast=rng.uniform(0.3, 0.45),
        blotches=rng.uniform(0.1, 0.26),
        wear=rng.uniform(0.06, 0.2),
        dirt=rng.uniform(0.0, 0.3),
    )
    count = len(plan.edges[0])
    ragged = [rng.uniform(0.06, 0.2) * noise(rng, count, 2, 3)[:, 0] for _ in plan.edges]
    plan.edges = plan.edges[0] + ragged[0], plan.edges[1] + ragged[1]
    for side in plan.sides.values():
        side.kerb = Kerb(0.0, 0.0, side.kerb.colour)
        material = plan.pick(("grass", "dry_grass", "soil"))
        side.bands = [replace(side.bands[0], material=material)] + side.bands[1:]


def _gravel_shoulder(plan: Plan) -> None:
    rng = plan.rng
    for side in plan.sides.values():
        side.kerb = Kerb(0.0, 0.0, side.kerb.colour)
        end = rng.uniform(0.8, 3.5)
        tone = plan.road.colour[1] / 143 * rng.uniform(0.9, 1.15) if rng.random() < 0.5 else rng.uniform(0.8, 1.15)
        band = Band(end, plan.pick(("chippings", "chippings", "gravel")), (tone * 1.02, tone, tone * 0.96))
        side.bands = [band] + [replace(b, end=b.end + end) for b in side.bands[1:]]
        side.bays, side.rails = [], ()
