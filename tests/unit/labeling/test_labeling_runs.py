"""Runs of voxels: to and fro without loss, and nothing that is none is taken."""

import numpy as np
import pytest

from labeling.domain.runs import Part, cropped, decode_runs, encode_runs
from radloop.errors import Invalid

SHAPE = (7, 5, 4)


def whole(part: Part, shape=SHAPE) -> np.ndarray:
    array = np.zeros(shape, bool)
    if part.mask.size:
        array[tuple(slice(s, s + n) for s, n in zip(part.start, part.mask.shape, strict=True))] = part.mask
    return array


def by_hand(array: np.ndarray) -> list[int]:
    runs, last, at = [], 0, 0
    flat = array.ravel(order="F").tolist()
    while at < len(flat):
        if flat[at]:
            end = at
            while end < len(flat) and flat[end]:
                end += 1
            runs += [at - last, end - at]
            last = at = end
        else:
            at += 1
    return runs


@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_there_and_back(seed, density):
    array = np.random.default_rng(seed).random(SHAPE) < density
    runs = encode_runs(cropped(array), SHAPE)
    assert runs == by_hand(array)
    part = decode_runs(runs, SHAPE)
    assert np.array_equal(whole(part), array)
    if array.any():
        assert part.mask.any(axis=(1, 2))[[0, -1]].all(), "the smallest box"


def test_i_is_fastest_and_runs_go_on_over_rows_and_slices():
    array = np.zeros(SHAPE, bool)
    array[3, 0, 0] = array[5:, 4, 1] = array[:2, 0, 2] = True
    assert encode_runs(cropped(array), SHAPE) == [3, 1, 5 + 7 * (4 + 5 * 1) - 4, 4]


def test_runs_that_touch_are_taken_as_one():
    assert np.array_equal(whole(decode_runs([2, 3, 0, 4], SHAPE)), whole(decode_runs([2, 7], SHAPE)))
    assert encode_runs(decode_runs([2, 3, 0, 4], SHAPE), SHAPE) == [2, 7]


def test_none():
    assert decode_runs([], SHAPE).mask.size == 0
    assert encode_runs(decode_runs([], SHAPE), SHAPE) == []


@pytest.mark.parametrize(
    "runs",
    [
        [1],
        [0, 0],
        [-1, 2],
        [0, -1],
        [0, 141],
        [140, 1],
        [139, 1, 0, 1],
        [0, 2**62, 2**62, 2**62, 2**62, 2**62],
        [0, 2**70],
        [0.5, 1],
        [0.0, 1.0],
        [True, True],
        ["0", "1"],
        [None, 1],
        [[0, 1]],
        [[0], 1],
        [float("nan"), 1],
    ],
)
def test_what_is_no_set_of_voxels_is_refused(runs):
    with pytest.raises(Invalid, match="runs-unreadable"):
        decode_runs(runs, SHAPE)


def test_the_last_voxel_is_one_of_them():
    assert whole(decode_runs([139, 1], SHAPE))[6, 4, 3]
