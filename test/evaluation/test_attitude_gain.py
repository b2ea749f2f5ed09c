"""What the vehicle's attitude gains in metres on a drive that brakes, crosses a speed bump and climbs a hill."""

import math

from fcn_road_seg.evaluation.attitude_gain import SOURCES, markdown_table, measure_gain
from fcn_road_seg.synthetic import Camera, PitchingDrive

CAMERA = Camera.of_size(414, 125)


def test_edges_at_20_m_are_several_times_nearer_to_the_truth():
    none, imu, orientation, *_ = measure_gain(PitchingDrive(), rate=1.1, camera=CAMERA).values()
    assert none["pitched"]["frames"] > 12
    assert none["pitched"]["median"] > 0.3 and none["pitched"]["p95"] > 1.5
    for found in (imu, orientation):
        assert found["pitched"]["median"] < none["pitched"]["median"] / 4
        assert found["pitched"]["p95"] < none["pitched"]["p95"] / 5
        assert found["all"]["p95"] < none["all"]["p95"] / 3


def test_a_hill_does_no_harm_but_where_level_is_horizontal():
    hill = measure_gain(PitchingDrive(slope=math.radians(3)), rate=1.0, camera=CAMERA)
    none, imu, _, horizontal, _ = (hill[source.name]["all"] for source in SOURCES)
    assert imu["p95"] < none["p95"] < horizontal["p95"]


def test_the_table_has_a_row_per_source(monkeypatch):
    figures = {"frames": 1, "median": 0.5, "p95": 1.0}
    errors = {source.name: {"all": figures, "pitched": figures} for source in SOURCES}
    monkeypatch.setattr("fcn_road_seg.evaluation.attitude_gain.measure_gain", lambda drive: errors)
    rows = markdown_table().splitlines()[2:]
    assert rows == [f"| {source.name} | 0.50, 1.00 | 0.50, 1.00 | 0.50, 1.00 |" for source in SOURCES]
