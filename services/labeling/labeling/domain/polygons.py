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
    # One more column: crossings right of the image toggle nothing.
    toggles = np.zeros((rows, columns + 1), dtype=np.int64)
    points = np.round(points, _DIGITS)
    for (i0, j0), (i1, j1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if j0 == j1:
            continue
        (low_i, low_j), (high_i, high_j) = ((i0, j0), (i1, j1)) if j0 < j1 else ((i1, j1), (i0, j0))
        first, last = max(0, int(np.ceil(low_j))), min(rows, int(np.ceil(high_j)))
        crossed = np.arange(first, last)
        if not crossed.size:
            continue
        at = low_i + (crossed - low_j) * (high_i - low_i) / (high_j - low_j)
        toggles[crossed, np.clip(np.ceil(at), 0, columns).astype(int)] += 1
    inside: np.ndarray = np.cumsum(toggles[:, :columns], axis=1) % 2 == 1
    return inside.T
