"""Numbers the service takes from a mask itself, for whatever bundle made it."""

import numpy as np

from radloop.imaging import voxel_counts
from radloop.references import Score


def segment_volumes(mask: np.ndarray, affine: np.ndarray, values: tuple[int, ...]) -> tuple[Score, ...]:
    """Measure each segment.

    Parameters
    ----------
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``.
    affine : numpy.ndarray
        float64, shape ``(4, 4)``, voxel index to mm in any patient frame.
    values : tuple of int
        Segment values of the project, 1..255.

    Returns
    -------
    tuple of Score
        ``segment-<value>-ml`` in mL for each value, 0 where the segment is not there.
    """
    voxel_ml = abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]))) / 1000.0
    counts = voxel_counts(mask)
    return tuple(Score(f"segment-{value}-ml", counts.get(value, 0) * voxel_ml) for value in values)
