"""Colours of the ground in full light: carriageway, kerbs and everything beside the road."""

import numpy as np

from fcn_road_seg.synthetic.scene import Colour, Side, Street
from fcn_road_seg.synthetic.textures import Pixels, surface

# Texture, RGB display colour in full sun, contrast of the texture.
MATERIALS: dict[str, tuple[str, Colour, float]] = {
    "asphalt": ("asphalt", (122, 119, 112), 0.22),
    "asphalt_coarse": ("asphalt_coarse", (126, 122, 114), 0.22),
    "slabs": ("slabs", (160, 155, 146), 0.34),
    "plates": ("plates", (166, 162, 154), 0.30),
    "bricks": ("bricks", (150, 124, 112), 0.30),
    "bricks_grey": ("bricks", (142, 138, 132), 0.28),
    "bricks_red": ("herringbone", (150, 106, 88), 0.32),
    "cobble": ("cobble", (132, 128, 122), 0.42),
    "concrete": ("concrete", (178, 174, 164), 0.18),
    "grass": ("grass", (74, 88, 38), 0.50),
    "dry_grass": ("grass", (128, 118, 66), 0.42),
    "gravel": ("gravel", (148, 138, 120), 0.34),
    "chippings": ("stones", (152, 144, 132), 0.40),
    "soil": ("soil", (104, 84, 60), 0.50),
    "ballast": ("gravel", (88, 78, 68), 0.60),
}


def material_colour(name: str, pixels: Pixels, tint: Colour = (1, 1, 1), roughness: float = 0.10) -> np.ndarray:
    """Display colours of a material in full light at `pixels`, float32 N x 3, 0-255."""
    texture, albedo, contrast = MATERIALS[name]
    tone = 1 + np.float32(contrast) * surface(texture).sample(pixels)
    tone += np.float32(roughness) * surface("macro").sample(pixels)
    return tone[:, None] * (np.array(albedo, np.float32) * np.array(tint, np.float32))


def shade_road(
    street: Street, pixels: Pixels, width: np.ndarray, inside: np.ndarray, painted: np.ndarray
) -> np.ndarray:
    """Colours of the carriageway: asphalt, wear, defects and markings.

    Args:
        street: the street.
        pixels: its road pixels.
        width: float32 N, metres that a pixel covers across the road.
        inside: float32 N, distance to the nearer edge in metres, positive on the road.
        painted: float32 N, share of each pixel that painted polygons cover.

    Returns:
        float32 N x 3, display colours in full light, 0-255.
    """
    look = street.road
    tone = 1 + np.float32(look.contrast) * surface(look.texture).sample(pixels)
    tone += np.float32(look.blotches) * surface("macro").sample(pixels)
    tone += np.float32(0.8) * street.defects.sample(pixels)
    wear = np.zeros_like(tone)
    for lane in look.wheel_tracks:  # darker oil between two lighter, polished wheel tracks
        offset = np.abs(pixels.d - np.float32(lane))
        wear += np.exp(-(((offset - np.float32(0.75)) / np.float32(0.28)) ** 2))
        wear -= np.float32(0.7) * np.exp(-((offset / np.float32(0.3)) ** 2))
    tone += np.float32(look.wear) * wear
    dirt = np.exp(-np.maximum(inside, 0) / np.float32(0.22)) * np.float32(look.dirt)
    tone -= dirt * (1 + surface("soil").sample(pixels))
    colour = tone[:, None] * np.array(look.colour, np.float32)

    paint = painted.copy()
    for mark in street.markings:
        across = (np.float32(mark.width / 2) - np.abs(pixels.d - np.float32(mark.d))) / width
        cover = np.clip(across + 0.5, 0, np.minimum(1, mark.width / width))
        if mark.gap:
            period = np.float32(mark.dash + mark.gap)
            reach = np.repeat(pixels.reach, np.diff(pixels.starts)).astype(np.float32)
            phase = np.abs((pixels.s - np.float32(mark.start)) % period - period / 2)
            inside = np.clip((np.float32(mark.dash / 2) - phase) / reach + 0.5, 0, 1)
            inside = np.where(reach > period, np.float32(mark.dash) / period, inside)
            cover *= inside
        cover *= (pixels.s > mark.first) & (pixels.s < mark.last)
        np.maximum(paint, cover, out=paint)
    worn = np.clip(
        1
        - look.paint_wear
        * (0.5 + surface("asphalt_coarse").sample(pixels) * 1.4 + 0.8 * surface("macro").sample(pixels)),
        0,
        1,
    )
    paint *= worn
    colour += paint[:, None] * (np.array(look.paint, np.float32) - colour)
    return colour


def shade_side(side: Side, pixels: Pixels, flat: np.ndarray, raised: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Colours beyond one edge of the road.

    Args:
        side: the side of the road.
        pixels: its pixels; `s` and `d` are those of the raised surface.
        flat, raised: float32 N, distances beyond the edge on the road plane and on the raised surface, metres.
        width: float32 N, metres of lateral distance that a pixel covers.

    Returns:
        float32 N x 3, display colours in full light, 0-255.
    """
    colour = material_colour(side.bands[0].material, pixels, side.bands[0].tint)
    for previous, band in zip(side.bands, side.bands[1:], strict=False):
        start = previous.end
        chosen, where = pixels.subset(raised > start - width)
        cover = np.clip((raised[where] - start) / width[where] + 0.5, 0, 1)[:, None]
        colour[where] += cover * (material_colour(band.material, chosen, band.tint) - colour[where])

    kerb_at = np.zeros_like(flat)
    for first, last in side.bays:
        inside = (pixels.s > first) & (pixels.s < last)
        kerb_at[inside] = side.bay_width
        chosen, where = pixels.subset(inside & (flat < side.bay_width))
        paving = side.bay_material or side.bands[0]
        colour[where] = material_colour(paving.material, chosen, paving.tint)
        if side.bay_lines:
            phase = (chosen.s - np.float32(first)) % 5.5
            line = (phase < 0.12) | (np.abs(flat[where] - side.bay_width + 0.06) < 0.05)
            colour[where[line]] = (205, 205, 200)
        gutter = where[flat[where] < 0.16]
        colour[gutter] = np.array(side.kerb.colour) * 0.8
    for first, last, paving in side.driveways:
        inside = (pixels.s > first) & (pixels.s < last)
        chosen, where = pixels.subset(inside & (raised > side.kerb.width))
        colour[where] = material_colour(paving.material, chosen, paving.tint)

    # Tram rails lie flush in their bed.
    for rail in side.rails:
        cover = np.clip((np.float32(0.035) - np.abs(raised - np.float32(rail))) / width + 0.5, 0, 1)
        colour += (np.float32(0.9) * cover)[:, None] * (np.array((148, 140, 130), np.float32) - colour)

    # The kerb has a light top and, where the raised surface has not begun, a darker face.
    joints = np.where(pixels.s % np.float32(1.0) < 0.015, np.float32(0.7), np.float32(1))
    tone = joints * (
        1 + np.float32(0.12) * surface("macro").sample(pixels) + np.float32(0.16) * surface("asphalt").sample(pixels)
    )
    top = np.clip((side.kerb.width - (raised - kerb_at)) / width + 0.5, 0, 1) * (flat > kerb_at - width)
    stone = np.array(side.kerb.colour, np.float32) * tone[:, None]
    colour += top[:, None] * (stone - colour)
    if side.kerb.height > 0:
        face = np.clip((kerb_at - raised) / width + 0.5, 0, 1) * np.clip((flat - kerb_at) / width + 0.5, 0, 1)
        colour += face[:, None] * (stone * np.float32(side.face_tone) - colour)
    return colour
