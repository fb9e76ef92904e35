"""When a label made elsewhere lies on a case's voxels, and how it gets there: never by resampling.

A program may store the axes in another order or direction (NIfTI files are RAS, DICOM is LPS), or only a part of the image, or
more. All of that is exact. What lies between the voxels is refused, with how far.
"""

from collections.abc import Sequence

import numpy as np

from labeling.domain.labels import TOLERANCE_MM, affine_of
from labeling.domain.model import Case
from radloop.errors import Invalid
from radloop.imaging import Volume

SHARE_OF_A_VOXEL = 0.05
"""How far a voxel of a label may lie from the image's, as a share of its shortest edge: what writing positions in decimals costs."""

_AXES = ("columns", "rows", "slices")


def tolerance_mm(case: Case) -> float:
    """Return how far a voxel of a label that was made elsewhere may lie from the case's."""
    return max(TOLERANCE_MM, SHARE_OF_A_VOXEL * min(case.spacing_mm))


def on_grid(volume: Volume, case: Case) -> tuple[Volume, list[str]]:
    """Put a label onto the voxels of its case.

    Parameters
    ----------
    volume : Volume
        Whole numbers, 0 for background, shape ``(I, J, K)`` in any order and direction of axes.
    case : Case

    Returns
    -------
    volume : Volume
        The same values, shape and affine of the case; 0 where the label says nothing.
    notes : list of str
        What was different, for whoever decides; empty when nothing was.

    Raises
    ------
    Invalid
        ``label-geometry``: other spacing or directions, or shifted by a part of a voxel (`tolerance_mm`), or labelled voxels
        outside the image.
    """
    to_index = np.linalg.inv(affine_of(case)) @ volume.affine_lps
    steps = np.round(to_index[:3, :3])
    if not _is_signed_permutation(steps):
        raise _refused(volume, case, "the directions or the spacing differ")
    start = np.round(to_index[:3, 3])
    shape = np.array(volume.array.shape)
    off_mm = _off_mm(to_index, steps, start, shape, affine_of(case))
    if not off_mm <= tolerance_mm(case):
        raise _refused(volume, case, f"a voxel lies {off_mm:.3g} mm from the nearest of the image")
    notes = [f"voxels lie up to {off_mm:.2g} mm from the image's: taken as the same"] if off_mm > TOLERANCE_MM else []
    array, first = _turned(volume.array, steps.astype(int), start.astype(int), notes)
    return Volume(_cut(array, first, case, notes), affine_of(case)), notes


def _is_signed_permutation(steps: np.ndarray) -> bool:
    ones = np.abs(steps)
    return bool(np.isfinite(steps).all() and (ones.sum(axis=0) == 1).all() and (ones.sum(axis=1) == 1).all())


def _off_mm(to_index: np.ndarray, steps: np.ndarray, start: np.ndarray, shape: np.ndarray, affine: np.ndarray) -> float:
    """Return how far the worst corner lies from a voxel of the case."""
    last = shape - 1
    corners = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], dtype=float).T
    exact = to_index[:3, :3] @ corners + to_index[:3, 3:]
    off = exact - (steps @ corners + start[:, None])
    return float(np.linalg.norm(affine[:3, :3] @ off, axis=0).max())


def _turned(
    array: np.ndarray, steps: np.ndarray, start: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the array with the case's axes, and which voxel of the case its first one is."""
    axes = [int(np.flatnonzero(steps[axis])[0]) for axis in range(3)]
    signs = [int(steps[axis, axes[axis]]) for axis in range(3)]
    turned = array.transpose(axes)
    first = [int(start[n]) if signs[n] > 0 else int(start[n]) - turned.shape[n] + 1 for n in range(3)]
    flipped = tuple(n for n in range(3) if signs[n] < 0)
    if axes != [0, 1, 2]:
        notes.append("its axes are stored in another order: put in order, exactly")
    if flipped:
        notes.append(f"{' and '.join(_AXES[n] for n in flipped)} are stored the other way round: turned, exactly")
        turned = np.flip(turned, flipped)
    return turned, tuple(first)


def _cut(array: np.ndarray, first: Sequence[int], case: Case, notes: list[str]) -> np.ndarray:
    """Return the array cropped and padded to the case."""
    if tuple(array.shape) == tuple(case.shape) and not any(first):
        return array
    inside = tuple(
        slice(max(0, -begin), max(0, min(size, whole - begin)))
        for begin, size, whole in zip(first, array.shape, case.shape, strict=True)
    )
    part = array[inside]
    outside = int(np.count_nonzero(array)) - int(np.count_nonzero(part))
    if outside:
        raise Invalid(
            "label-geometry",
            expected="labelled voxels inside the case's image",
            got=f"{outside} of {np.count_nonzero(array)} outside of it",
            do="check that the label belongs to this case",
        )
    if part.shape != array.shape:
        notes.append(f"it reaches beyond the image, where nothing is labelled: cut to {_joined(part.shape)} voxels")
    if part.shape != tuple(case.shape):
        notes.append(
            f"it covers {_joined(part.shape)} of {_joined(case.shape)} voxels: the rest is taken as background"
        )
    whole = np.zeros(case.shape, dtype=array.dtype, order="F")
    place = tuple(slice(max(0, begin), max(0, begin) + size) for begin, size in zip(first, part.shape, strict=True))
    whole[place] = part
    return whole


def _refused(volume: Volume, case: Case, why: str) -> Invalid:
    affine = affine_of(case)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    origin_mm = float(np.linalg.norm(volume.affine_lps[:3, 3] - affine[:3, 3]))
    return Invalid(
        "label-geometry",
        expected=f"{_joined(case.shape)} voxels of {_mm(spacing)} mm, or a part of them, in any order of axes",
        got=f"{_joined(volume.array.shape)} voxels of {_mm(volume.spacing_mm)} mm, first voxels {origin_mm:.3g} mm apart: {why}",
        do="resample the label (nearest neighbour) onto the case's image yourself; nothing is resampled here",
    )


def _joined(shape: Sequence[int]) -> str:
    return "x".join(str(int(n)) for n in shape)


def _mm(spacing: Sequence[float]) -> str:
    return "x".join(f"{length:.4g}" for length in spacing)
