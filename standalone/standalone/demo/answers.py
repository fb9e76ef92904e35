"""What the simulated readers draw: the expert mask, a little different each time, and now and then grossly wrong.

Whether a first answer carries a gross error, and which, follows from the demo's seed and the identity of the case and
reading, so the report can tell afterwards which submissions were wrong on purpose. A reader who gets a label back
answers with the expert mask as it is.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import ndimage

from standalone.demo.phantom import random_of

SMALLEST_SHIFT = 3
LARGEST_SHIFT = 5
STRAY_RADIUS = 3
STRAY_DISTANCE = 6


class GrossError(StrEnum):
    """The errors that are planted."""

    MISSING_SEGMENT = "missing-segment"
    SHIFTED = "shifted"
    STRAY_COMPONENT = "stray-component"
    SWAPPED_SEGMENTS = "swapped-segments"


@dataclass(frozen=True)
class ReadingOf:
    """Which answer is asked for: case, reading ("first", "second", "adjudication") and attempt, from 1."""

    case_id: str
    reading: str
    attempt: int


def planted_error(seed: int, share: float, asked: ReadingOf) -> GrossError | None:
    """Tell which gross error an answer carries, if any.

    Parameters
    ----------
    seed
        Seed of the demo.
    share
        Share of first attempts that carry an error, 0..1. An adjudication never does: who decides looks twice.
    asked
        The answer asked for.
    """
    if asked.attempt > 1 or asked.reading == "adjudication":
        return None
    random = random_of("gross-error", seed, asked.case_id, asked.reading)
    if random.random() >= share:
        return None
    return list(GrossError)[int(random.integers(len(GrossError)))]


def answer(seed: int, share: float, asked: ReadingOf, expert: np.ndarray) -> np.ndarray:
    """Draw the mask a reader submits.

    Parameters
    ----------
    seed, share, asked
        As in `planted_error`.
    expert
        Expert mask, uint8, axes (i, j, k).

    Returns
    -------
    numpy.ndarray
        uint8, same shape. The expert mask itself for first readings, adjudications and corrections; with a reader's own
        boundary for second readings; with the planted error on top, where there is one.
    """
    mask = expert
    if asked.reading == "second" and asked.attempt == 1:
        mask = with_own_boundary(mask, random_of("boundary", seed, asked.case_id))
    error = planted_error(seed, share, asked)
    if error is not None:
        mask = with_error(error, mask, random_of("error-shape", seed, asked.case_id, asked.reading))
    return mask


def with_error(error: GrossError, mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Plant a gross error in a mask of shape (i, j, k); the mask given is not changed."""
    values = [int(value) for value in np.unique(mask) if value]
    match error:
        case GrossError.MISSING_SEGMENT:
            return np.where(mask == random.choice(values), 0, mask).astype(np.uint8)
        case GrossError.SHIFTED:
            return _shifted(mask, random)
        case GrossError.STRAY_COMPONENT:
            return _with_stray_component(mask, int(random.choice(values)), random)
        case GrossError.SWAPPED_SEGMENTS:
            table = np.arange(256, dtype=np.uint8)
            table[values] = values[::-1]
            return table[mask]


def _shifted(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Move everything by 3 to 5 voxels along one axis, towards the side with more room, so that the least is lost."""
    axis = int(random.integers(3))
    distance = int(random.integers(SMALLEST_SHIFT, LARGEST_SHIFT + 1))
    occupied = np.nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[0]
    room_below, room_above = occupied[0], mask.shape[axis] - 1 - occupied[-1]
    sign = 1 if room_above >= room_below else -1
    moved = np.zeros_like(mask)
    source, target = [slice(None)] * 3, [slice(None)] * 3
    source[axis], target[axis] = (
        (slice(None, -distance), slice(distance, None)) if sign > 0 else (slice(distance, None), slice(None, -distance))
    )
    moved[tuple(target)] = mask[tuple(source)]
    return moved


def _with_stray_component(mask: np.ndarray, value: int, random: np.random.Generator) -> np.ndarray:
    """Add a ball of one segment away from all others; where a crop has no room that far off, as far as it goes."""
    room = ndimage.distance_transform_edt(mask == 0)
    inner = np.zeros(mask.shape, dtype=bool)
    inner[tuple(slice(STRAY_RADIUS - 1, n - STRAY_RADIUS + 1) for n in mask.shape)] = True
    far = inner & (room >= min(STRAY_DISTANCE + STRAY_RADIUS, room[inner].max()))
    places = np.argwhere(far)
    centre = places[int(random.integers(len(places)))]
    distance = np.sqrt(((np.indices(mask.shape) - centre[:, None, None, None]) ** 2).sum(axis=0))
    return np.where((distance < STRAY_RADIUS) & (mask == 0), value, mask).astype(np.uint8)


def with_own_boundary(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw the mask again as another careful reader would: every boundary a fraction of a voxel off, smoothly.

    The grid is moved by a smooth random field of half a voxel (standard deviation) and each segment keeps its largest
    part, so that no error is made that a person would not make.
    """
    field = np.stack([ndimage.gaussian_filter(random.standard_normal(mask.shape), 3) for _ in range(3)])
    field *= 0.5 / field.std()
    moved = ndimage.map_coordinates(mask, np.indices(mask.shape) + field, order=0, mode="nearest").astype(np.uint8)
    for value in np.unique(moved[moved > 0]):
        parts, count = ndimage.label(moved == value)
        if count > 1:
            sizes = ndimage.sum_labels(moved == value, parts, index=range(1, count + 1))
            moved[(parts > 0) & (parts != 1 + int(np.argmax(sizes)))] = 0
    return without_holes(moved)


def without_holes(mask: np.ndarray) -> np.ndarray:
    """Close the holes of each segment."""
    filled = mask.copy()
    for value in np.unique(mask[mask > 0]):
        filled[ndimage.binary_fill_holes(mask == value) & (mask == 0)] = value
    return filled
