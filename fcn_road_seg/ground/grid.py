"""The road as cells of a nav_msgs/OccupancyGrid."""

import math

import numpy as np

from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.tables import GroundTables
from fcn_road_seg.postprocess.threshold import threshold_level

GRID_MODES = ("binary", "probability")
FREE, OCCUPIED, UNKNOWN = 0, 100, -1
MAX_CELLS = 4_000_000
PIXELS_PER_CELL = 40
"""Most pixels that a cell averages; near cells of a large image have hundreds."""


class RoadGrid:
    """Turns P(road) of a frame into cells of the ground frame.

    A cell averages the pixels whose centres are in it, or an even selection of them if there are many. Far away, where
    pixels are larger than cells, it takes the pixel that sees its centre. A cell is unknown if no pixel sees it, and
    where pixels are larger than `max_pixel_size`. For a level pinhole camera at height h with focal length f, a pixel
    covers (x^2 + h^2) / (f h) metres along the road at x metres, so cells are known up to about
    x = sqrt(max_pixel_size * f * h).

    Args:
        tables: of the camera and the road plane.
        resolution: side of a cell, metres.
        length: of the grid ahead of the ground frame's origin, metres.
        width: of the grid, half on each side of the origin, metres.
        mode: "binary" gives 0 (road) and 100 (not road); "probability" gives 100 times the probability of not road.
        max_pixel_size: the longer side of what a pixel may cover on the road, metres.

    Attributes:
        shape: (rows, columns), cells across and along the road. Row 0 is the rightmost, column 0 the nearest: the
            origin is the lower-left cell, as in nav_msgs/OccupancyGrid, whose width is `columns` and height `rows`.
        origin: x, y of the outer corner of cell (0, 0), metres; the orientation is the ground frame's.

    Raises:
        GroundError: an argument is out of range, or the camera does not see the grid.
    """

    def __init__(
        self,
        tables: GroundTables,
        resolution: float = 0.1,
        length: float = 40.0,
        width: float = 20.0,
        mode: str = "binary",
        max_pixel_size: float = 1.0,
    ):
        for name, value in (("resolution", resolution), ("length", length), ("width", width)):
            if not (math.isfinite(value) and value > 0):
                raise GroundError(f"the grid's {name} is {value:g} m, but must be above 0")
        if not max_pixel_size > 0:
            raise GroundError(f"max_pixel_size is {max_pixel_size:g} m, but must be above 0")
        if mode not in GRID_MODES:
            raise GroundError(f"grid_mode is {mode!r}; choose from {', '.join(GRID_MODES)}")
        rows, columns = max(1, round(width / resolution)), max(1, round(length / resolution))
        if rows * columns > MAX_CELLS:
            raise GroundError(f"a grid of {rows} x {columns} cells is too large: at most {MAX_CELLS} cells are allowed")
        self.shape, self.resolution, self.mode = (rows, columns), resolution, mode
        self.origin = (0.0, -rows * resolution / 2)
        self._check = tables.check

        xy, size = tables.xy.reshape(-1, 2), tables.pixel_size.ravel()
        pixels = np.flatnonzero(size <= max_pixel_size)
        cell = np.floor((xy[pixels].astype(np.float64) - self.origin) / resolution).astype(np.intp)
        inside = ((cell >= 0) & (cell < (columns, rows))).all(-1)
        pixels, cell = pixels[inside], cell[inside]
        cells = cell[:, 1] * columns + cell[:, 0]

        pixels, cells = _thin_out(PIXELS_PER_CELL, pixels, cells)
        counts = np.bincount(cells, minlength=rows * columns)
        empty = np.flatnonzero(counts == 0)
        x = self.origin[0] + (empty % columns + 0.5) * resolution
        y = self.origin[1] + (empty // columns + 0.5) * resolution
        centre = tables.pixel_indices(np.stack([x, y], -1))
        seen = (centre >= 0) & (size[centre] <= max_pixel_size)
        self._pixels = np.concatenate([pixels, centre[seen]])
        self._cells = np.concatenate([cells, empty[seen]])
        counts[empty[seen]] = 1
        if not len(self._cells):
            raise GroundError(f"the camera sees nothing of the {length:g} x {width:g} m of the grid")
        self._unknown = counts == 0
        self._share = 1 / np.maximum(counts, 1)

    def probability(self, probability: np.ndarray) -> np.ndarray:
        """Mean P(road) x 255 of each cell, float64 rows x columns, NaN where unknown; arguments as in `__call__`."""
        mean, unknown = self._mean(probability)
        mean[unknown] = np.nan
        return mean.reshape(self.shape)

    def __call__(self, probability: np.ndarray, threshold: float = 0.5, unseen: np.ndarray | None = None) -> np.ndarray:
        """The cells of a frame.

        Args:
            probability: P(road) x 255, uint8 height x width, of the tables' size.
            threshold: P(road), 0..1, from which the mean of a cell counts as road; "probability" ignores it.
            unseen: bool height x width, pixels of which this frame knows nothing; None if there are none.

        Returns:
            int8 rows x columns, C-contiguous: 0 (road) to 100 (not road), -1 unknown.

        Raises:
            GroundError: `probability` has another size or type.
        """
        mean, unknown = self._mean(probability, unseen)
        if self.mode == "binary":
            cells = (mean < threshold_level(threshold)).view(np.int8) * np.int8(OCCUPIED)
        else:
            mean *= -OCCUPIED / 255
            mean += OCCUPIED
            cells = np.rint(mean, out=mean).astype(np.int8)
        cells[unknown] = UNKNOWN
        return cells.reshape(self.shape)

    def _mean(self, probability: np.ndarray, unseen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The mean of each cell's pixels that this frame shows, float64, and which cells have none, bool."""
        self._check(probability)
        values, share, unknown = probability.reshape(-1).take(self._pixels), self._share, self._unknown
        if unseen is not None:
            shown = ~unseen.reshape(-1).take(self._pixels)
            count = np.bincount(self._cells, weights=shown, minlength=self._share.size)
            values, share, unknown = values * shown, 1 / np.maximum(count, 1), count == 0
        mean: np.ndarray = np.bincount(self._cells, weights=values, minlength=self._share.size)
        mean *= share
        return mean, unknown


def _thin_out(limit: int, pixels: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most `limit` pixels of each cell, evenly distributed."""
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells)
    rank = np.arange(len(cells)) - (np.cumsum(counts) - counts)[cells[order]]
    kept = np.sort(order[rank % np.ceil(counts / limit).astype(np.intp)[cells[order]] == 0])
    return pixels[kept], cells[kept]
