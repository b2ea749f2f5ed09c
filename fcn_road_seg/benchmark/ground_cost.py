"""Time per frame of each ground output, without publishing it, and of min_region before them."""

from collections.abc import Callable, Iterable

import numpy as np

from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.ground import GroundTables, PointCloud, RoadBoundary, RoadGrid, RoadScan
from fcn_road_seg.postprocess.small_regions import without_small_regions


def time_outputs(
    tables: GroundTables, iterations: int, warm_up: int, track: Callable[[Iterable], Iterable] = iter
) -> dict[str, list[float]]:
    """Time the outputs interleaved, on the mask of a straight road 8 m wide; min_region on the same with crumbs.

    Returns:
        Seconds per call by output.
    """
    road = np.abs(np.nan_to_num(tables.xy[..., 1] - tables.origin[1], nan=99)) < 4
    mask = road.view(np.uint8) * np.uint8(255)
    cloud, grid = PointCloud(tables.optical_points()), RoadGrid(tables)
    scan, boundary = RoadScan(tables), RoadBoundary(tables)

    def polygon(_: int) -> object:
        found = boundary(mask)
        return None if found is None else found.polygon()

    crumbs = mask.copy()
    crumbs[::60, ::150] ^= 255

    outputs: dict[str, Callable[[int], object]] = {
        "min_region": lambda _: without_small_regions(crumbs, 0.5, 0.002),
        "points": lambda _: cloud(mask, mask),
        "grid": lambda _: grid(mask),
        "scan": lambda _: scan(mask),
        "boundary": polygon,
    }
    return dict(zip(outputs, interleaved(list(outputs.values()), iterations, warm_up, track), strict=True))
