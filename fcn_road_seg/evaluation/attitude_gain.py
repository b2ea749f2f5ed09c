"""What the attitude of the vehicle gains in metres: errors of the road's edges at 20 m on a drive whose pitch is known.

``python -m fcn_road_seg.evaluation.attitude_gain`` prints the table of docs/ground.md.
"""

from dataclasses import dataclass, replace
from math import radians

import numpy as np

from fcn_road_seg.evaluation.ground_errors import view
from fcn_road_seg.ground import Boundary, LevelView, tilt
from fcn_road_seg.ground.gravity import GravityFilter, LevelAverage, Vector
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.synthetic import Camera, PitchingDrive, RoadRegion, SyntheticDrive

DISTANCE = 18.0, 22.0
"""Metres ahead between which an edge is at 20 m."""
PITCHED = radians(0.3)
"""Pitch from which a frame counts as pitched, radians."""
START = 5.0
"""Seconds that the filter has before the first frame counts."""
SLOPE = radians(3.0)
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Source:
    """How the pitch is found: not at all, from an exact orientation or from accelerometer and gyroscope.

    Attributes:
        kind: "none", "orientation" or "filter".
        window: of the average that is level, seconds; 0.0: level is horizontal.
    """

    name: str
    kind: str
    window: float = 3.0


SOURCES = (
    Source("`none`", "none"),
    Source("`imu`, accelerometer and gyroscope", "filter"),
    Source("`imu` or `odom`, exact orientation", "orientation"),
    Source("`imu`, accelerometer and gyroscope, `attitude_window: 0.0`", "filter", window=0.0),
    Source("`imu` or `odom`, exact orientation, `attitude_window: 0.0`", "orientation", window=0.0),
)


def measure_gain(drive: PitchingDrive, rate: float = 5.0, seed: int = 100, camera: Camera | None = None) -> dict:
    """Errors of the edges at 20 m, per source of the attitude.

    The masks are exact, and nothing hides the road, so all that remains is the pitch: the camera turns with the
    vehicle and sinks when it dives, while the tables are those of the level vehicle.

    Args:
        drive: of the vehicle.
        rate: frames per second.
        seed: of the street.
        camera: KITTI's if None.

    Returns:
        {source: {"all", "pitched": {"frames", "median", "p95"}}}, metres; "pitched" are the frames in which the vehicle
        pitches by 0.3 degrees or more.
    """
    camera = camera or Camera()
    street = SyntheticDrive(seed=seed, frames=round(drive.seconds * rate), camera=camera, rate=rate, scene="country")
    level = view(camera)
    turned = LevelView(level.tables)
    times = np.arange(START, drive.seconds, 1 / rate)
    pitches, sinking = drive.pitch(times), drive.sinking(times)
    imu = drive.imu()
    directions = {source: _directions(source, drive, imu, times) for source in SOURCES}
    errors: dict[str, list[np.ndarray]] = {source.name: [] for source in SOURCES}
    for i, (time, pitch, sunk) in enumerate(zip(times, pitches, sinking, strict=True)):
        region = RoadRegion(
            street.street.centreline, street.street.edges, street.street.side_roads, *street.on_street(int(time * rate))
        )
        now = replace(camera, pitch=camera.pitch + pitch, camera_height=camera.camera_height - sunk)
        mask = region.on_road(now.ground_points()).view(np.uint8) * np.uint8(255)
        for source in SOURCES:
            if source.kind == "none":
                found = level.boundary(mask)
            else:
                probability, unseen = turned.image(mask, tilt(*directions[source][i]))
                found = level.boundary(threshold_mask(probability, 0.5), unseen)
            errors[source.name].append(_errors(region, found))
    pitched = np.abs(pitches) >= PITCHED
    return {name: {"all": _figures(rows), "pitched": _figures(rows, pitched)} for name, rows in errors.items()}


def _directions(
    source: Source, drive: PitchingDrive, imu: tuple[np.ndarray, np.ndarray], times: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The direction of gravity and that of the level vehicle, in the vehicle's frame, for each of `times`."""
    acceleration, rates = imu
    pitch = drive.pitch(drive.times) + drive.hill(drive.times)
    exact = np.stack([np.sin(pitch), np.zeros_like(pitch), -np.cos(pitch)], -1)
    gravity, average, step = GravityFilter(), LevelAverage(), 1 / drive.rate
    found: list[tuple[Vector, Vector]] = []
    for measured, rate, true in zip(acceleration.tolist(), rates.tolist(), exact.tolist(), strict=True):
        down = gravity(tuple(measured), tuple(rate), step) if source.kind == "filter" else tuple(true)
        found.append((down, average(down, tuple(measured), step, source.window)))
    chosen = [found[index] for index in np.rint(times * drive.rate).astype(int)]
    return [(np.array(down), np.array(level) if source.window else -UP) for down, level in chosen]


def _errors(region: RoadRegion, found: Boundary | None) -> np.ndarray:
    """Metres from each point of the edges that is found at 20 m to the true edge, float64 N."""
    if found is None:
        return np.empty(0)
    errors = []
    for side, points, seen in ((+1, found.left, found.left_seen), (-1, found.right, found.right_seen)):
        near = points[seen & (points[:, 0] >= DISTANCE[0]) & (points[:, 0] <= DISTANCE[1])]
        errors.append(np.abs(region.outside(side, *region.to_road(near[:, 0], near[:, 1]))))
    return np.concatenate(errors)


def _figures(rows: list[np.ndarray], chosen: np.ndarray | None = None) -> dict:
    frames = [row for i, row in enumerate(rows) if len(row) and (chosen is None or chosen[i])]
    errors = np.concatenate(frames)
    return {
        "frames": len(frames),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
    }


def markdown_table() -> str:
    """The errors on a level drive and on one with a hill, as a Markdown table."""
    level, hill = measure_gain(PitchingDrive()), measure_gain(PitchingDrive(slope=SLOPE))
    lines = [
        "| `attitude` | level drive, while it pitches: median, 95 % | all of it | drive with a hill |",
        "|---|---|---|---|",
    ]
    for name in level:
        columns = level[name]["pitched"], level[name]["all"], hill[name]["all"]
        lines.append(" | ".join([f"| {name}", *(f"{c['median']:.2f}, {c['p95']:.2f}" for c in columns)]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
