"""Streets of brick and gravel, on and beside the road."""

import numpy as np
import pytest

from fcn_road_seg.synthetic import CAMERAS, SyntheticDrive
from fcn_road_seg.synthetic.layout import make_street
from fcn_road_seg.synthetic.road import RoadRegion
from fcn_road_seg.synthetic.surfaces import SURFACES
from fcn_road_seg.synthetic.textures import surface

VGA = CAMERAS["vga"].resized(320, 240)


@pytest.mark.parametrize("scene", SURFACES)
def test_what_the_road_and_its_sides_are_made_of(scene):
    for seed in range(8):
        street = make_street(np.random.default_rng(seed), scene)
        beside = {side.bands[0].material for side in street.sides.values()}
        assert street.kind == scene
        if scene == "brick":
            assert street.road.texture in ("herringbone", "bricks", "cobble")
        elif scene == "gravel":
            assert street.road.texture in ("stones", "gravel") and beside <= {"grass", "dry_grass", "soil"}
        else:
            assert street.road.texture in ("asphalt", "asphalt_coarse", "cobble", "bricks")
            assert all(m.startswith("bricks" if scene == "brick_pavement" else ("gravel", "chippings")) for m in beside)
        if scene in ("brick", "gravel"):
            assert not street.markings and not street.decals
        for side in street.sides.values():
            ends = [band.end for band in side.bands]
            assert ends == sorted(ends)


@pytest.mark.parametrize("scene", ["brick_pavement", "gravel_shoulder"])
@pytest.mark.parametrize("seed", range(3))
def test_brick_and_gravel_beside_the_road_are_not_road(scene, seed):
    drive = SyntheticDrive(seed=seed, camera=VGA, scene=scene, weather="overcast")
    drive.street.things.clear()
    drive.street.side_roads.clear()
    frame = drive[3]
    region: RoadRegion = frame.road_region
    s0 = drive.on_street(3)[0]
    checked = 0
    for s in np.arange(s0 + 5, s0 + 15, 0.5):
        for side in (1, -1):
            edge = float(region.table(region.edge[side], np.float32(s)))
            for beyond, road in ((0.3, False), (-0.3, True)):
                x, y = region.to_ground(s, edge + side * beyond)
                column, row = VGA.project([[x, y, 0.0]])[0].round()
                if 0 <= column < VGA.width and 0 <= row < VGA.height:
                    assert frame.road[int(row), int(column)] == road
                    checked += 1
    assert checked > 20


@pytest.mark.parametrize("scene, camera", zip(SURFACES, ("robot", "windscreen", "robot", "windscreen"), strict=True))
def test_surfaces_are_deterministic(scene, camera):
    shape = CAMERAS[camera].resized(240, 160)
    frames = [SyntheticDrive(seed=9, camera=shape, scene=scene, weather="sun")[2] for _ in range(2)]
    np.testing.assert_array_equal(frames[0].image, frames[1].image)
    np.testing.assert_array_equal(frames[0].road, frames[1].road)


def test_herringbone_is_laid_in_steps_of_a_brick_s_width():
    ripmap = surface("herringbone")
    joints = ripmap.levels[0, 0] < 50
    assert 0.08 < joints.mean() < 0.3
    width = round(0.1 / ripmap.texel)

    def same(rows: int, columns: int) -> float:
        return float((joints == np.roll(joints, (rows, columns), (0, 1))).mean())

    assert same(width, width) > 0.98 and same(4 * width, 0) > 0.98
    assert same(width, 0) < 0.9 and same(2 * width, 0) < 0.9


def test_brick_shrinks_with_distance():
    """Joints lie further apart in the picture the nearer they are."""
    drive = SyntheticDrive(seed=9, camera=CAMERAS["hd"].resized(1280, 720), scene="brick", weather="overcast")
    drive.street.things.clear()
    drive.street.road.texture, drive.light.noise = "herringbone", 0.0
    frame = drive[0]
    points = frame.camera.ground_points()

    def detail(x0, x1):
        x = points[:, 640, 0]
        rows = np.flatnonzero((x > x0) & (x < x1))
        grey = frame.image[rows, 400:880, 1].astype(float)
        spectrum = np.abs(np.fft.rfft(grey - grey.mean(1, keepdims=True), axis=1)).mean(0)
        return (spectrum * np.arange(len(spectrum))).sum() / spectrum.sum()

    assert detail(4, 4.5) < detail(6, 7)
