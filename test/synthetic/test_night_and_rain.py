"""Nights of headlamps and street lamps, and rain on the glass."""

import numpy as np
import pytest

from fcn_road_seg.synthetic import CAMERAS, Camera, SyntheticDrive
from fcn_road_seg.synthetic.lamps import dipped_beam
from fcn_road_seg.synthetic.own_vehicle import PERIOD, SWEEP, OwnVehicle
from fcn_road_seg.synthetic.rain_on_glass import RainOnGlass
from fcn_road_seg.synthetic.scene import Thing

HD = CAMERAS["hd"].resized(480, 270)
WINDSCREEN = CAMERAS["windscreen"].resized(480, 270)


def dark_drive(**options):
    """A night on a street where nothing stands."""
    drive = SyntheticDrive(seed=8, camera=HD, **{"scene": "country", "weather": "headlights", **options})
    drive.street.things.clear()
    drive.light.noise = 0.0
    return drive


def brightness(frame, x0, x1, y0=-1.2, y1=1.2):
    """Mean brightness of the ground between distances and offsets in metres."""
    points = frame.camera.ground_points()
    x, y = points[..., 0], points[..., 1]
    return frame.image[(x > x0) & (x < x1) & (y > y0) & (y < y1)].mean()


@pytest.mark.parametrize("seed", range(4))
def test_a_night_is_dark_above_and_bright_in_the_cone(seed):
    drive = SyntheticDrive(seed=seed, camera=HD, scene="country", weather="headlights")
    drive.street.things.clear()
    frame = drive[0]
    sky = frame.image[: HD.height // 3].mean()
    assert sky < 30 and brightness(frame, 6, 14) > 3 * sky
    assert brightness(frame, 6, 14) > 50


def test_the_beam_fades_ahead_and_to_the_sides():
    frame = dark_drive()[0]
    near, middle, far = (brightness(frame, *x) for x in ((6, 10), (18, 25), (50, 80)))
    assert near > 1.4 * middle > 1.4 * 1.2 * far
    assert brightness(frame, 6, 10) > 1.5 * brightness(frame, 6, 10, 6, 9)


def test_the_cut_off_rises_to_the_right():
    assert dipped_beam(80.0, -6.0) > 1.2 * dipped_beam(80.0, 6.0)
    np.testing.assert_allclose(dipped_beam(9.0, -3.0), dipped_beam(9.0, 3.0), rtol=0.02)
    x = np.linspace(4, 100, 50)
    ahead = dipped_beam(x, np.zeros(50))
    assert ahead.dtype == np.float32 and (np.diff(ahead) <= 1e-6).all() and 0.5 < ahead.max() <= 1.1
    assert dipped_beam(0.5, 0.0) < 0.05  # behind the lamps


def test_a_street_lamp_lights_the_ground_below_it():
    drive = dark_drive(scene="residential")
    without = drive[0]
    s, d, _ = drive.on_street(0)
    drive.street.things.append(Thing("lamp", s + 25, d + 3, height=6.0, arm=0.0))
    with_lamp = drive[0]
    assert brightness(with_lamp, 23, 27, 1, 3) > 1.35 * brightness(without, 23, 27, 1, 3)
    np.testing.assert_allclose(brightness(with_lamp, 5, 7), brightness(without, 5, 7), rtol=0.03)
    np.testing.assert_array_equal(with_lamp.road, with_lamp.road & without.road)


def test_oncoming_lamps_dazzle_and_parked_cars_are_dark():
    drive = dark_drive()
    s, d, _ = drive.on_street(0)
    values = {"length": 4.4, "width": 1.8, "height": 1.5, "look": "saloon", "colour": (60, 60, 60), "yaw": np.pi}
    drive.street.things[:] = [Thing("car", s + 25, d + 3, speed=-8.0, **values)]
    x, y = drive[0].road_region.to_ground(s + 22.8, d + 3 - 0.72)
    column, row = HD.project([[x, y, 0.7]])[0].round().astype(int)
    assert drive[0].image[row, column].min() > 230
    drive.street.things[0].speed = 0.0
    assert drive[0].image[row - 3 : row + 4, column - 3 : column + 4].max() < 180


def test_windows_are_lit_at_night_only():
    def bright(weather):
        drive = SyntheticDrive(seed=1, camera=HD, scene="urban", weather=weather)
        drive.street.things[:] = [t for t in drive.street.things if t.kind == "house"]
        return (drive[0].image[: int(HD.horizon) - 3].max(-1) > 110).mean()

    assert 0.001 < bright("headlights") < 0.1
    assert bright("night") == 0


@pytest.mark.parametrize("weather", ["headlights", "rain", "rainy_night"])
@pytest.mark.parametrize("camera", [WINDSCREEN, CAMERAS["robot"].resized(240, 180)], ids=["windscreen", "robot"])
def test_new_weathers_are_deterministic(weather, camera):
    first, second = (SyntheticDrive(seed=6, camera=camera, weather=weather) for _ in range(2))
    second[2]
    for name in ("image", "road", "own_vehicle"):
        np.testing.assert_array_equal(getattr(first[9], name), getattr(second[9], name))


def test_rain_blurs_the_picture_and_leaves_the_truth():
    rain = SyntheticDrive(seed=5, camera=HD, weather="rain", scene="urban")
    rain.light.noise, rain.light.rain = 0.0, 1.0
    wet = rain[7]
    rain.light.rain = 0.0
    dry = rain[7]
    np.testing.assert_array_equal(wet.road, dry.road)
    changed = (np.abs(wet.image.astype(int) - dry.image).max(-1) > 25).mean()
    assert 0.01 < changed < 0.4


def test_a_drop_shows_the_scene_upside_down():
    camera = Camera.of_view(640, 480, 60)
    rain = RainOnGlass(3, camera, 1.0, None)
    column, row, radius, _ = min(rain.drops(0.0), key=lambda drop: abs(drop[1] - 240) - 5 * drop[2])
    canvas = np.full((480, 640, 3), 255, np.uint8)
    canvas[round(row) :] = 0  # a white sky over black ground, with the horizon through the drop
    rain.draw(canvas, 0.0)
    column, row, half = round(column), round(row), round(radius / 2)
    part = canvas[:, column - 1 : column + 2].mean((1, 2))
    assert part[row + half] > 150 > 100 > part[row - half]


def test_more_rain_is_more_drops():
    counts = [len(RainOnGlass(1, WINDSCREEN, amount, OwnVehicle(1, WINDSCREEN)).drops(5.0)) for amount in (0.1, 0.5, 1)]
    assert counts[0] > 50 and counts[0] < 0.7 * counts[1] < 0.7 * counts[2]


def test_the_wiper_clears_what_it_passes():
    vehicle = OwnVehicle(4, WINDSCREEN)
    rain = RainOnGlass(2, WINDSCREEN, 1.0, vehicle)

    def within(seconds):
        """How many drops are in the middle of the wiper's sector."""
        drops = rain.drops(seconds)
        across, up = drops[:, 0] - vehicle.pivot[0], vehicle.pivot[1] - drops[:, 1]
        angle, away = np.arctan2(up, across), np.hypot(across, up) / vehicle.length
        return ((angle > 0.6) & (angle < 1.6) & (away > 0.2) & (away < 0.9)).sum()

    before, after = within(4 * PERIOD - 0.01), within(4 * PERIOD + SWEEP)
    assert before > 30 and after < 0.4 * before


def test_the_wiper_moves_in_the_rain_and_is_not_road():
    drive = SyntheticDrive(seed=7, camera=WINDSCREEN, weather="rain", scene="country")
    parked, moving = drive[round(1.5 * drive.rate)], drive[round(3 * PERIOD * drive.rate + 2)]
    moved = moving.own_vehicle & ~parked.own_vehicle
    assert moved[int(WINDSCREEN.horizon) - 20 : int(WINDSCREEN.horizon) + 20].any()
    assert not (moving.road & moving.own_vehicle).any()
