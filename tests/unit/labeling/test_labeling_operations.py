"""Operations on a segment, on shapes whose answer is known."""

import numpy as np
import pytest

from labeling.domain.operations import fill_holes, interpolate, remove_islands, smooth
from labeling.domain.runs import Part, cropped
from radloop.errors import Invalid

SHAPE = (40, 36, 30)
ONE = (1.0, 1.0, 1.0)


def whole(part: Part, shape=SHAPE) -> np.ndarray:
    array = np.zeros(shape, bool)
    if part.mask.size:
        array[tuple(slice(s, s + n) for s, n in zip(part.start, part.mask.shape, strict=True))] = part.mask
    return array


def ball(center, radius, spacing=ONE) -> np.ndarray:
    grid = np.indices(SHAPE).astype(float)
    return sum(((axis - n) * mm) ** 2 for axis, n, mm in zip(grid, center, spacing, strict=True)) <= radius**2


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_comes_back_from_every_third_slice(axis):
    full = ball((20, 18, 15), 12)
    drawn = np.moveaxis(np.zeros_like(full), axis, 0)
    of_full = np.moveaxis(full, axis, 0)
    inside = np.flatnonzero(of_full.any(axis=(1, 2)))
    kept = [*inside[::3], inside[-1]]
    drawn[kept] = of_full[kept]
    drawn = np.moveaxis(drawn, 0, axis)
    found = whole(interpolate(cropped(drawn), axis, ONE))
    assert agreement(found, full) > 0.97 > agreement(drawn, full)
    assert np.array_equal(np.moveaxis(found, axis, 0)[kept], of_full[kept]), "what was drawn stays"


def test_a_cone_is_half_as_wide_half_way():
    drawn = np.zeros(SHAPE, bool)
    drawn[10:30, 8:28, 5] = True
    drawn[15:25, 13:23, 15] = True
    found = whole(interpolate(cropped(drawn), 2, ONE))
    assert found[:, 18, 10].sum() in (14, 15, 16)
    widths = found[:, 18, 5:16].sum(axis=0)
    assert (np.diff(widths) <= 0).all()
    assert not found[:, :, :5].any() and not found[:, :, 16:].any(), "nothing beyond the ends"


def test_distances_are_in_mm_of_the_plane():
    drawn = np.zeros(SHAPE, bool)
    drawn[10:30, 16:20, 5] = True  # 20 x 4 mm by voxels of 1 x 4 mm is 20 x 16 mm
    drawn[19:21, 16:20, 7] = True
    found = whole(interpolate(cropped(drawn), 2, (1.0, 4.0, 1.0)))
    assert found[:, 17, 6].sum() > whole(interpolate(cropped(drawn), 2, ONE))[:, 17, 6].sum()


def test_two_slices_that_share_nothing_are_joined_by_a_slanted_body():
    drawn = np.zeros(SHAPE, bool)
    drawn[4:10, 4:10, 5] = True
    drawn[24:30, 24:30, 15] = True
    found = whole(interpolate(cropped(drawn), 2, ONE))
    for k in range(6, 15):
        i, j = (float(axis.mean()) for axis in np.nonzero(found[:, :, k]))
        assert (i, j) == pytest.approx((6.5 + 2 * (k - 5), 6.5 + 2 * (k - 5)), abs=0.75)
        assert found[:, :, k].sum() == pytest.approx(36, abs=12)


def test_a_part_that_ends_does_not_move_the_other():
    drawn = np.zeros(SHAPE, bool)
    drawn[5:11, 5:11, [5, 9]] = True
    drawn[25:31, 5:11, 5] = True
    found = whole(interpolate(cropped(drawn), 2, ONE))
    assert found[5:11, 5:11, 5:10].all()
    assert not found[12:24].any()


@pytest.mark.parametrize("slices", [[], [7]])
def test_one_slice_is_too_few(slices):
    drawn = np.zeros(SHAPE, bool)
    drawn[5:9, 5:9, slices] = True
    with pytest.raises(Invalid, match="interpolate-needs-slices"):
        interpolate(cropped(drawn), 2, ONE)


def test_slices_without_a_gap_stay_as_they_are():
    drawn = ball((20, 18, 15), 6)
    assert np.array_equal(whole(interpolate(cropped(drawn), 2, ONE)), drawn)


def surface(array: np.ndarray) -> int:
    return sum(int(np.diff(np.pad(array, 1).astype(int), axis=axis).__abs__().sum()) for axis in range(3))


def test_smoothing_takes_roughness_and_keeps_the_volume():
    clean = ball((20, 18, 15), 10)
    rough = clean ^ (np.random.default_rng(2).random(SHAPE) < 0.15) & ball((20, 18, 15), 11) & ~ball((20, 18, 15), 8)
    found = whole(smooth(cropped(rough), ONE, SHAPE))
    assert surface(found) < 0.8 * surface(rough)
    assert found.sum() == pytest.approx(rough.sum(), rel=0.05)
    assert agreement(found, clean) > agreement(rough, clean)


def test_smoothing_keeps_a_thin_vessel():
    vessel = np.zeros(SHAPE, bool)
    vessel[18:20, 10, :] = True
    found = whole(smooth(cropped(vessel), ONE, SHAPE))
    assert found.any(axis=(0, 1)).all()
    assert found.sum() == pytest.approx(vessel.sum(), rel=0.5)


def test_smoothing_stays_in_the_image():
    corner = np.zeros(SHAPE, bool)
    corner[:6, :6, :6] = True
    corner[-6:, -6:, -6:] = True
    found = smooth(cropped(corner), ONE, SHAPE)
    assert all(s >= 0 and s + n <= length for s, n, length in zip(found.start, found.mask.shape, SHAPE, strict=True))
    assert agreement(whole(found), corner) > 0.9
    assert whole(found)[1, 1, 1] and whole(found)[-2, -2, -2], "nothing is displaced"


def test_slices_far_apart_hardly_touch_one_another():
    disc = np.zeros(SHAPE, bool)
    disc[10:30, 10:30, 15] = True
    found = whole(smooth(cropped(disc), (0.5, 0.5, 5.0), SHAPE))
    assert set(np.flatnonzero(found.any(axis=(0, 1)))) == {15}
    assert found.sum() == pytest.approx(disc.sum(), rel=0.05)


def test_the_largest_piece_is_kept():
    pieces = ball((10, 10, 10), 5) | ball((30, 30, 20), 3)
    pieces[20, 20, 15] = True
    assert np.array_equal(whole(remove_islands(cropped(pieces), ONE)), ball((10, 10, 10), 5))


def test_pieces_above_a_size_are_kept():
    pieces = ball((10, 10, 10), 5) | ball((30, 30, 20), 3)
    pieces[20, 20, 15] = True
    spacing = (2.0, 2.0, 2.0)
    small_ml = ball((30, 30, 20), 3).sum() * 8 / 1000
    kept = whole(remove_islands(cropped(pieces), spacing, min_ml=small_ml))
    assert np.array_equal(kept, ball((10, 10, 10), 5) | ball((30, 30, 20), 3))
    with pytest.raises(Invalid, match="islands-all-smaller"):
        remove_islands(cropped(pieces), spacing, min_ml=100.0)


def test_what_touches_by_a_corner_is_one_piece():
    pieces = np.zeros(SHAPE, bool)
    pieces[5, 5, 5] = pieces[6, 6, 6] = True
    assert whole(remove_islands(cropped(pieces), ONE)).sum() == 2


def test_holes_in_slices_and_holes_in_space():
    shell = ball((20, 18, 15), 10) & ~ball((20, 18, 15), 6)
    solid = ball((20, 18, 15), 10)
    assert np.array_equal(whole(fill_holes(cropped(shell), None)), solid)
    tube = shell.copy()
    tube[20, 18, :] = False  # open to both ends along k
    in_space = whole(fill_holes(cropped(tube), None))
    assert np.array_equal(in_space, tube), "what leaks out is no hole"
    solid[20, 18, [5, 25]] = False  # at the poles there is nothing around it
    assert np.array_equal(whole(fill_holes(cropped(tube), 2)), solid), "in a slice it is one"
    assert not np.array_equal(whole(fill_holes(cropped(tube), 0)), solid)


def test_a_hole_does_not_leak_by_a_corner():
    ring = np.zeros(SHAPE, bool)
    ring[10:13, 10:13, 5] = True
    ring[11, 11, 5] = ring[10, 10, 5] = False
    filled = whole(fill_holes(cropped(ring), 2))
    assert filled[11, 11, 5] and not filled[10, 10, 5]


def test_a_bay_at_the_edge_of_the_image_stays_open():
    bay = np.zeros(SHAPE, bool)
    bay[:5, :5, 3] = True
    bay[0, 2, 3] = False
    assert np.array_equal(whole(fill_holes(cropped(bay), 2)), bay)


def test_nothing_stays_nothing():
    nothing = cropped(np.zeros(SHAPE, bool))
    for done in (smooth(nothing, ONE, SHAPE), remove_islands(nothing, ONE), fill_holes(nothing, 2)):
        assert not done.mask.any()
