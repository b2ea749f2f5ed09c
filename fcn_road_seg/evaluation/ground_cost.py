"""What each output in metres costs per frame."""

import time

import numpy as np

from fcn_road_seg.ground import GroundTables, PointCloud, RoadBoundary, RoadGrid, RoadScan


def measure_cost(tables: GroundTables, repeats: int = 50) -> dict[str, float]:
    """Median milliseconds of each output, measured in turn, so that other work on the machine troubles all alike.

    Args:
        tables: of the camera; the mask is a straight road of 8 m.

    Returns:
        {"points", "grid", "scan", "boundary": milliseconds}.
    """
    road = np.abs(np.nan_to_num(tables.xy[..., 1] - tables.origin[1], nan=99)) < 4
    mask = road.view(np.uint8) * np.uint8(255)
    cloud, grid, scan, boundary = (
        PointCloud(tables.optical_points()),
        RoadGrid(tables),
        RoadScan(tables),
        RoadBoundary(tables),
    )
    outputs = {
        "points": lambda: cloud(mask, mask),
        "grid": lambda: grid(mask),
        "scan": lambda: scan(mask),
        "boundary": lambda: boundary(mask).polygon(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in outputs}
    for _ in range(repeats):
        for name, output in outputs.items():
            start = time.perf_counter()
            output()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values) * 1e3) for name, values in seconds.items()}
