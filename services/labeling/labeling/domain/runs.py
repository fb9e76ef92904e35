"""Runs: a set of voxels as the flat list ``[gap, length, gap, length, ...]`` a browser and the service exchange.

They follow the linear index ``i + I * (j + J * k)``, i fastest; the first gap counts from 0, each other from the end of the run
before. Decoded only in the box that holds them, so that a stroke in a large volume costs what the stroke is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radloop.errors import Invalid


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a volume that holds a set of voxels.

    Attributes
    ----------
    mask : numpy.ndarray
        bool, shape ``(i, j, k)`` of the box, in which its axes are those of the volume.
    start : tuple of int
        Index (i, j, k) of the box's first voxel in the volume.
    """

    mask: np.ndarray
    start: tuple[int, int, int]


def decode_runs(runs: Sequence[Any], shape: tuple[int, int, int]) -> Part:
    """Return the voxels that runs stand for, in the smallest box; an empty box of shape ``(0, 0, 0)`` for none.

    Raises
    ------
    Invalid
        ``runs-unreadable``: an odd number of entries, one that is no whole number, a negative gap, a length below 1, or voxels
        beyond the shape.
    """
    numbers = _numbers(runs)
    if numbers.size == 0:
        return Part(np.zeros((0, 0, 0), bool), (0, 0, 0))
    gaps, lengths = numbers[0::2], numbers[1::2]
    voxels = int(np.prod(shape, dtype=np.int64))
    # Each is bounded before they are summed, so that no sum runs over.
    if gaps.min() < 0 or lengths.min() < 1 or max(gaps.max(), lengths.max()) > voxels:
        raise _unreadable(f"gaps of 0 or more and lengths of 1 or more, {voxels} voxels in all", "others")
    ends = np.cumsum(gaps + lengths)
    if int(ends[-1]) > voxels:
        raise _unreadable(f"at most {voxels} voxels, those of the shape", "runs that go on behind the last")
    starts = ends - lengths
    columns, rows, _ = shape
    first, last = int(starts[0]) // (columns * rows), int(ends[-1] - 1) // (columns * rows)
    offset = first * columns * rows
    edges = np.zeros((last - first + 1) * columns * rows + 1, np.int8)
    edges[starts - offset] += 1
    edges[ends - offset] -= 1  # apart from the line before: one run may begin where another ends
    filled = np.cumsum(edges[:-1], dtype=np.int8).view(bool)
    slab = filled.reshape((columns, rows, last - first + 1), order="F")
    return cropped(slab, (0, 0, first))


def encode_runs(part: Part, shape: tuple[int, int, int]) -> list[int]:
    """Return the runs of a part of a volume; the same voxels always give the same runs, none of them empty or touching."""
    if part.mask.size == 0:
        return []
    columns, rows, _ = shape
    lines = np.pad(part.mask.transpose(2, 1, 0), ((0, 0), (0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(lines, axis=2)
    begins, ends = (_linear(np.nonzero(steps == edge), part.start, columns, rows) for edge in (1, -1))
    if begins.size == 0:
        return []
    apart = np.concatenate(([True], begins[1:] != ends[:-1]))  # a run that goes on in the next row is one run
    begins, ends = begins[apart], ends[np.concatenate((apart[1:], [True]))]
    runs = np.empty(2 * begins.size, np.int64)
    runs[0::2] = begins - np.concatenate(([0], ends[:-1]))
    runs[1::2] = ends - begins
    return [int(number) for number in runs.tolist()]


def cropped(mask: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Part:
    """Return the smallest box around the voxels of a mask that itself begins at ``start``."""
    box, begins = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if line.size == 0:
            return Part(np.zeros((0, 0, 0), bool), (0, 0, 0))
        box.append(slice(int(line[0]), int(line[-1]) + 1))
        begins.append(start[axis] + int(line[0]))
    i, j, k = begins
    return Part(mask[tuple(box)], (i, j, k))


def _linear(at: tuple[np.ndarray, ...], start: tuple[int, int, int], columns: int, rows: int) -> np.ndarray:
    k, j, i = at
    return (i + start[0]) + columns * ((j + start[1]) + rows * (k + start[2]))


def _numbers(runs: Sequence[Any]) -> np.ndarray:
    try:
        numbers = np.asarray(runs if len(runs) else np.zeros(0, np.int64))
    except (ValueError, OverflowError) as error:
        raise _unreadable("a flat list of whole numbers", "something else") from error
    # An integer too large for 64 bits makes an array of objects or floats; true and false make one of their own.
    if numbers.ndim != 1 or numbers.dtype != np.int64 or numbers.size % 2:
        raise _unreadable("a flat list of whole numbers, gap and length in turn", "something else")
    return numbers


def _unreadable(expected: str, got: str) -> Invalid:
    return Invalid("runs-unreadable", expected=expected, got=got, do="send [gap, length, ...] over i + I*(j + J*k)")
