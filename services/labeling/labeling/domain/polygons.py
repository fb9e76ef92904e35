"""Which voxels a polygon covers."""

from collections.abc import Sequence

import numpy as np

_DIGITS = 6
"""Of a voxel: a point that was written on a voxel's centre is on it again after the way through millimetres."""


def filled(points: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Fill a closed polygon by the even-odd rule, at voxel centres.

    Parameters
    ----------
    points : numpy.ndarray
        float64, shape ``(n, 2)``: (i, j) in voxels, zero-based, voxel centres at whole numbers. The last point is joined to the
        first. A polygon that crosses itself, or returns on its own way (a "keyhole"), is filled by the same rule.
    shape : sequence of int
        Voxels along (i, j).

    Returns
    -------
    numpy.ndarray
        bool, shape ``(I, J)``. A centre on an edge is inside on the polygon's low side and outside on its high side, so that
        polygons side by side share no voxel and leave none out.

    References
    ----------
    Foley, van Dam, Feiner, Hughes: Computer Graphics, section 3.6 (scan-line fill, half-open spans).
    """
    columns, rows = int(shape[0]), int(shape[1])
    points = np.round(points, _DIGITS)
    ends = np.roll(points, -1, axis=0)
    upward = (points[:, 1] < ends[:, 1])[:, None]
    low, high = np.where(upward, points, ends), np.where(upward, ends, points)
    # Rows whose centres an edge crosses; its high end is not its own. A level edge crosses none.
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(int)
    count = np.maximum(np.clip(np.ceil(high[:, 1]), 0, rows).astype(int) - first, 0)
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    rise = high[edge, 1] - low[edge, 1]
    at = low[edge, 0] + (row - low[edge, 1]) * (high[edge, 0] - low[edge, 0]) / rise
    # One more column: crossings right of the image toggle nothing.
    column = np.clip(np.ceil(at), 0, columns).astype(int)
    toggles = np.zeros((rows, columns + 1), dtype=np.uint8)
    np.add.at(toggles, (row, column), 1)
    # Sums are right modulo 2 even where they pass 255.
    inside: np.ndarray = (np.cumsum(toggles[:, :columns], axis=1, dtype=np.uint8) & 1).astype(bool)
    return inside.T
