"""Where a model is least sure: from the map of its entropy to a short list of places that are worth a look.

A boundary is always a shell of doubt, connected all around a structure, so that connected parts alone would give one place.
The map is averaged over the size of a lesion; its peaks are taken highest first, and each keeps the next ones at a distance.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from radloop.imaging import voxel_counts

NEAR_MM = 20.0
"""How far from what the model found a doubt still concerns it."""

APART_MM = 8.0
"""Two places are at least this far from one another."""

_AVERAGED_OVER_MM = 1.5
"""Standard deviation of the average: a thick doubt counts for more than a thin one."""

_FLOOR_NATS = 0.05
"""Below this nobody needs to look; a coin that falls on one side 99 times in a hundred has 0.056."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One place.

    Attributes
    ----------
    index : tuple of int
        Voxel (i, j, k), from 0: where the averaged entropy is highest.
    entropy_nats : float
        The averaged entropy there.
    voxels : int
        Connected voxels around it, no further than `APART_MM`, of at least half of its averaged entropy.
    segment : int
        Value of the segment of the model's mask with most of these, the lowest of equals; 0 where it has found nothing there.
    """

    index: tuple[int, int, int]
    entropy_nats: float
    voxels: int
    segment: int


def in_levels(entropy: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a map as 256 levels for a viewer.

    Parameters
    ----------
    entropy : numpy.ndarray
        float, shape ``(I, J, K)``, in nats; what is not finite, or negative, counts as 0.

    Returns
    -------
    levels : numpy.ndarray
        uint8, the same shape, i fastest in memory; the highest entropy is 255.
    nats_per_level : float
        Above 0, also for a map of nothing but 0.
    """
    levels = np.empty(entropy.shape, np.uint8, order="F")
    planes = range(entropy.shape[2])  # one by one: a whole map would be copied at each step
    highest = max(float(np.where(np.isfinite(entropy[:, :, k]), entropy[:, :, k], 0).max(initial=0)) for k in planes)
    nats_per_level = (highest if highest > 0 else 1.0) / 255
    for k in planes:
        plane = np.nan_to_num(entropy[:, :, k].astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        np.rint(np.maximum(plane, 0) / np.float32(nats_per_level), out=plane)
        levels[:, :, k] = np.minimum(plane, 255)
    return levels, nats_per_level


def places_of_doubt(
    entropy: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float], limit: int = 20
) -> list[Doubt]:
    """Find the places a model is least sure of, most uncertain first.

    Parameters
    ----------
    entropy : numpy.ndarray
        float, shape ``(I, J, K)``: voxel-wise predictive entropy in nats; what is not finite counts as 0.
    mask : numpy.ndarray
        The same shape: the model's label map (uint8) or segment bits (uint32). Where it is empty every doubt counts, else those
        inside it and within `NEAR_MM` of it.
    spacing_mm : tuple of float
        Along (i, j, k).
    limit : int
        Most places returned.

    Returns
    -------
    list of Doubt
        Empty where the model doubts nothing.
    """
    box = _box(entropy, mask, spacing_mm)
    if box is None:
        return []
    found = mask[box]
    values = np.nan_to_num(entropy[box].astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    averaged = ndimage.gaussian_filter(values, [_AVERAGED_OVER_MM / mm for mm in spacing_mm], mode="constant")
    candidates = averaged.copy()
    if found.any():
        candidates[ndimage.distance_transform_edt(found == 0, sampling=spacing_mm) > NEAR_MM] = 0.0
    start = np.array([part.start for part in box])
    places: list[Doubt] = []
    for peak in _peaks(candidates, spacing_mm, limit):
        around = _around(peak, averaged.shape, spacing_mm)
        voxels, segment = _extent(averaged, found, peak, around, spacing_mm)
        i, j, k = (int(n) for n in peak + start)
        places.append(Doubt((i, j, k), float(averaged[tuple(peak)]), voxels, segment))
    return places


def _box(entropy: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[slice, ...] | None:
    """Return where to look: what is doubtful at all, near the mask where there is one."""
    doubtful = _bounds(entropy > _FLOOR_NATS)
    if doubtful is None:
        return None
    near = _bounds(mask != 0)
    if near is None:
        near = [(0, length - 1) for length in mask.shape]
    else:
        reach = [int(np.ceil(NEAR_MM / mm)) for mm in spacing_mm]
        near = [(low - r, high + r) for (low, high), r in zip(near, reach, strict=True)]
    box = []
    for (low, high), (first, last), length, mm in zip(doubtful, near, mask.shape, spacing_mm, strict=True):
        margin = int(np.ceil(APART_MM / mm))  # the average and the extent of a place at the edge
        box.append(slice(max(0, max(low, first) - margin), min(length, min(high, last) + margin + 1)))
    return tuple(box) if all(part.start < part.stop for part in box) else None


def _bounds(where: np.ndarray) -> list[tuple[int, int]] | None:
    bounds = []
    for axis in range(where.ndim):
        line = np.flatnonzero(where.any(axis=tuple(other for other in range(where.ndim) if other != axis)))
        if line.size == 0:
            return None
        bounds.append((int(line[0]), int(line[-1])))
    return bounds


def _peaks(values: np.ndarray, spacing_mm: tuple[float, float, float], limit: int) -> list[np.ndarray]:
    """Return the highest voxels that are `APART_MM` from one another, highest first; ties by index."""
    local = (values == ndimage.maximum_filter(values, size=3, mode="constant")) & (values > _FLOOR_NATS)
    at = np.argwhere(local)
    at = at[np.argsort(-values[local], kind="stable")]
    taken: list[np.ndarray] = []
    while at.size and len(taken) < limit:
        taken.append(at[0])
        at = at[np.linalg.norm((at - at[0]) * spacing_mm, axis=1) >= APART_MM]
    return taken


def _around(peak: np.ndarray, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    reach = [int(APART_MM / mm) for mm in spacing_mm]
    return tuple(
        slice(max(0, int(n) - r), min(length, int(n) + r + 1)) for n, r, length in zip(peak, reach, shape, strict=True)
    )


def _extent(
    averaged: np.ndarray,
    found: np.ndarray,
    peak: np.ndarray,
    around: tuple[slice, ...],
    spacing_mm: tuple[float, float, float],
) -> tuple[int, int]:
    """Return how many voxels belong to a place, and the segment it belongs to."""
    start = np.array([part.start for part in around])
    offsets = [
        (np.arange(part.start, part.stop) - n) * mm for part, n, mm in zip(around, peak, spacing_mm, strict=True)
    ]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*offsets, indexing="ij", sparse=True)))
    high = (averaged[around] >= averaged[tuple(peak)] / 2) & (distance <= APART_MM)
    labels, _ = ndimage.label(high)
    place = labels == labels[tuple(peak - start)]
    counts = voxel_counts(found[around][place])
    return int(place.sum()), max(counts, key=lambda value: counts[value], default=0)
