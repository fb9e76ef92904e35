"""What a structured report says of a segment: its volume and its longest diameter."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from radloop.imaging import segment_boxes, segment_voxels

_MANY = 2000
"""Hull vertices above which distances are taken in blocks."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Of one segment.

    Attributes
    ----------
    value : int
        Of the segment.
    volume_mm3 : float
        Number of voxels times the volume of a voxel.
    longest_diameter_mm : float
        Largest distance in 3-D between the centres of two of its voxels; 0 for a single voxel.
    """

    value: int
    volume_mm3: float
    longest_diameter_mm: float


def measurements(mask: np.ndarray, affine_lps: np.ndarray) -> dict[int, Measurement]:
    """Measure the segments of a mask, by value; those without voxels are left out.

    Parameters
    ----------
    mask : numpy.ndarray
        Label map (uint8) or segment bits (uint32), shape ``(I, J, K)``.
    affine_lps : numpy.ndarray
        float64, shape ``(4, 4)``: voxel index (i, j, k), zero-based, voxel centre, to patient coordinates (LPS, mm).

    Notes
    -----
    The volume is IBSI's voxel counting (reference manual, arXiv:1612.07003, section 3.1.2, feature YEKZ). The diameter is its maximum
    3-D diameter (section 3.1.11, feature L0JK), but between voxel centres: a measure of the voxels, whatever surface is drawn around them.
    """
    voxel_mm3 = abs(float(np.linalg.det(affine_lps[:3, :3])))
    found = {}
    for value, box in segment_boxes(mask).items():
        inside = segment_voxels(mask[box], value)
        count = int(inside.sum())
        points = _ends(inside) @ affine_lps[:3, :3].T
        found[value] = Measurement(value, count * voxel_mm3, longest_distance(points))
    return found


def _ends(inside: np.ndarray) -> np.ndarray:
    """Return the voxels that can end a longest diameter: the first and the last of each row along i, shape ``(n, 3)``.

    A voxel between two others of its row is never further from any point than both of them.
    """
    filled = inside.any(axis=0)
    first = inside.argmax(axis=0)[filled]
    last = inside.shape[0] - 1 - inside[::-1].argmax(axis=0)[filled]
    j, k = np.nonzero(filled)
    return np.unique(np.concatenate([np.stack([first, j, k], axis=1), np.stack([last, j, k], axis=1)]), axis=0).astype(
        np.float64
    )


def longest_distance(points: np.ndarray) -> float:
    """Return the largest distance between two points of shape ``(n, 3)``, n at least 1, in their unit.

    It lies between two vertices of their convex hull. Points in a plane or on a line have no hull in 3-D: they are projected on it first.
    """
    centred = points - points.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    rank = int((spread > 1e-9 * max(float(spread[0]), 1e-12)).sum()) if len(spread) else 0
    if rank == 0:
        return 0.0
    flat = centred @ axes[:rank].T
    if rank == 1:
        corners = points[[flat.argmin(), flat.argmax()]]
    else:
        try:
            corners = points[ConvexHull(flat).vertices]
        except QhullError:  # too nearly flat for Qhull: all of them then
            corners = points
    return max(float(cdist(corners[n : n + _MANY], corners).max()) for n in range(0, len(corners), _MANY))
