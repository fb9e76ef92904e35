"""What a reader lets the service do to one segment: pure functions from the voxels before to the voxels after.

Each works in the box that holds the voxels, whatever the size of the image, and returns a box of its own. Axes are (i, j, k);
spacing is in mm along them.
"""

import itertools
from enum import StrEnum

import numpy as np
from scipy import ndimage

from labeling.domain.runs import Part, cropped
from radloop.errors import Invalid

Spacing = tuple[float, float, float]

_FAINTEST = 0.25
"""Smoothing keeps a thin structure as large as it was, but takes no voxel with less of it around than this share."""


class Operation(StrEnum):
    """What can be done."""

    INTERPOLATE = "interpolate"
    SMOOTH = "smooth"
    REMOVE_ISLANDS = "remove-islands"
    FILL_HOLES = "fill-holes"


def interpolate(part: Part, axis: int, spacing_mm: Spacing) -> Part:
    """Fill the slices between those that have voxels.

    Between two slices the outline goes where their signed distances, mixed by how near each is, are zero (Herman, Zheng,
    Bucholtz 1992, doi:10.1109/38.135915). Where the two share no voxel, both are moved onto the straight line between their
    centres first, else nothing would be in between.

    Parameters
    ----------
    part : Part
        Drawn slices; they stay as they are.
    axis : int
        Normal to the slices.
    spacing_mm : tuple of float

    Returns
    -------
    Part

    Raises
    ------
    Invalid
        ``interpolate-needs-slices``: fewer than two slices have voxels.
    """
    planes = np.moveaxis(part.mask, axis, 0).copy()
    drawn = np.flatnonzero(planes.any(axis=(1, 2)))
    if drawn.size < 2:
        raise Invalid(
            "interpolate-needs-slices",
            expected="voxels of the segment in at least two slices of this view",
            got=f"{drawn.size}",
            do="outline it in a second slice, some slices away, then interpolate",
        )
    in_plane = [mm for other, mm in enumerate(spacing_mm) if other != axis]
    distances: dict[int, np.ndarray] = {}
    for first, last in itertools.pairwise(int(n) for n in drawn):
        if last - first < 2:
            continue
        shares = (np.arange(1, last - first) / (last - first)).astype(np.float32)
        if (planes[first] & planes[last]).any():
            for plane in (first, last):
                if plane not in distances:
                    distances[plane] = _signed_distance(planes[plane], in_plane)
            near, far = (1 - shares)[:, None, None], shares[:, None, None]
            planes[first + 1 : last] = near * distances[first] + far * distances[last] > 0
        else:
            planes[first + 1 : last] = _on_the_way(planes[first], planes[last], shares, in_plane)
    return Part(np.moveaxis(planes, 0, axis), part.start)


def smooth(part: Part, spacing_mm: Spacing, shape: tuple[int, int, int]) -> Part:
    """Smooth the surface: a Gaussian as wide as the finest spacing, cut so that the volume stays, but never above one half.

    Thin structures are kept by that; slices that lie far apart hardly touch one another.
    """
    if part.mask.size == 0:
        return part
    sigma = [min(spacing_mm) / mm for mm in spacing_mm]
    margin = 2
    padded = _padded(part, margin, shape).astype(np.float32)
    soft = ndimage.gaussian_filter(padded, sigma, mode="constant", truncate=3.0)
    count = int(part.mask.sum())
    as_many = float(np.partition(soft, soft.size - count, axis=None)[soft.size - count])
    threshold = float(np.clip(as_many, _FAINTEST, 0.5))
    # The image ends where it ends, however soft an edge at it is.
    starts = [start - margin for start in part.start]
    inside = [slice(max(0, -start), length - start) for start, length in zip(starts, shape, strict=True)]
    i, j, k = (max(0, start) for start in starts)
    return cropped(soft[tuple(inside)] >= threshold, (i, j, k))


def remove_islands(part: Part, spacing_mm: Spacing, min_ml: float | None = None) -> Part:
    """Keep the largest 26-connected piece, or every piece of at least ``min_ml`` millilitres.

    Raises
    ------
    Invalid
        ``islands-all-smaller``: no piece is that large.
    """
    if part.mask.size == 0:
        return part
    pieces, count = ndimage.label(part.mask, structure=np.ones((3, 3, 3), bool))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = np.zeros(count + 1, bool)
    if min_ml is None:
        kept[int(sizes.argmax())] = True
    else:
        sizes_ml = sizes * (float(np.prod(spacing_mm)) / 1000)
        kept = (sizes_ml >= min_ml) & (sizes > 0)
        if not kept.any():
            raise Invalid(
                "islands-all-smaller",
                expected=f"a piece of at least {min_ml:g} mL",
                got=f"{sizes_ml.max():.3g} mL, the largest",
                do="choose a smaller size, or keep the largest",
            )
    return cropped(kept[pieces], part.start)


def fill_holes(part: Part, axis: int | None) -> Part:
    """Fill what is enclosed: in each slice normal to ``axis``, or, where that is None, in three dimensions.

    Background is connected by faces (in a slice: edges), so that a hole may not leak out by a corner.
    """
    if part.mask.size == 0:
        return part
    padded = np.pad(~part.mask, 1, constant_values=True)
    structure = ndimage.generate_binary_structure(3, 1)
    if axis is not None:
        structure[tuple(slice(0, 3, 2) if other == axis else slice(None) for other in range(3))] = False
    pieces, count = ndimage.label(padded, structure=structure)
    outside = np.zeros(count + 1, bool)
    outside[0] = True
    for side in range(3):
        if side != axis:
            outside[np.take(pieces, (0, -1), axis=side)] = True
    inner = pieces[1:-1, 1:-1, 1:-1]
    return Part(part.mask | ~outside[inner], part.start)


def _signed_distance(plane: np.ndarray, spacing_mm: list[float]) -> np.ndarray:
    """Return the distance to the outline in mm, positive inside, float32."""
    padded = np.pad(plane, 1)  # a slice that is full has an outline, too: the edge of the box
    inside = ndimage.distance_transform_edt(padded, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~padded, sampling=spacing_mm)
    return (inside - outside).astype(np.float32)[1:-1, 1:-1]


def _on_the_way(first: np.ndarray, last: np.ndarray, shares: np.ndarray, spacing_mm: list[float]) -> np.ndarray:
    """Return the slices between two that share no voxel, bool, one for each share of the way from the first to the last."""
    centers = [np.array(ndimage.center_of_mass(plane)) for plane in (first, last)]
    outlines = [np.argwhere(plane) for plane in (first, last)]
    half = 1 + max(int(np.abs(at - np.floor(c)).max()) for at, c in zip(outlines, centers, strict=True))
    # Both around their own centre on a canvas of one size, mixed there, and put where the centre has come to.
    distances = []
    for at, center in zip(outlines, centers, strict=True):
        canvas = np.zeros((2 * half + 1, 2 * half + 1), bool)
        canvas[tuple((at - np.floor(center).astype(int) + half).T)] = True
        distances.append(_signed_distance(canvas, spacing_mm))
    slices = np.zeros((shares.size, *first.shape), bool)
    for plane, share in zip(slices, shares, strict=True):
        mixed = np.argwhere((1 - share) * distances[0] + share * distances[1] > 0)
        at = mixed - half + np.floor((1 - share) * centers[0] + share * centers[1]).astype(int)
        at = at[((at >= 0) & (at < plane.shape)).all(axis=1)]
        plane[tuple(at.T)] = True
    return slices


def _padded(part: Part, margin: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the mask with a margin; where the image ends the mask goes on, as if the image did."""
    mask = part.mask
    for axis in range(3):
        at_the_ends = part.start[axis] == 0, part.start[axis] + part.mask.shape[axis] == shape[axis]
        for side, at_the_end in enumerate(at_the_ends):
            widths = [(0, 0)] * 3
            widths[axis] = (0, margin) if side else (margin, 0)
            mask = np.pad(mask, widths, mode="edge" if at_the_end else "constant")
    return mask
