"""Places of doubt, on arrays whose places are known."""

import numpy as np
import pytest

from labeling.domain.doubts import APART_MM, NEAR_MM, in_levels, places_of_doubt

SHAPE = (60, 50, 40)
SPACING = (1.0, 1.0, 1.0)


def ball(center, radius, spacing=SPACING, shape=SHAPE):
    grid = np.indices(shape).astype(float)
    distance = np.sqrt(sum(((axis - n) * mm) ** 2 for axis, n, mm in zip(grid, center, spacing, strict=True)))
    return distance <= radius


def test_the_most_uncertain_place_comes_first():
    mask = (ball((20, 20, 20), 8) * 1 + ball((40, 20, 20), 8) * 2).astype(np.uint8)
    entropy = np.where(ball((20, 20, 20), 4), 0.3, 0).astype(np.float32)
    entropy[ball((40, 20, 20), 4)] = 0.6
    first, second = places_of_doubt(entropy, mask, SPACING)
    assert (first.index, first.segment) == ((40, 20, 20), 2)
    assert (second.index, second.segment) == ((20, 20, 20), 1)
    assert 0.45 < first.entropy_nats <= 0.6
    assert first.entropy_nats > second.entropy_nats
    assert 0.5 * ball((40, 20, 20), 4).sum() < first.voxels < 2 * ball((40, 20, 20), 4).sum()


def test_a_shell_of_doubt_gives_places_all_around_it():
    mask = ball((30, 25, 20), 14).astype(np.uint8)
    entropy = (ball((30, 25, 20), 15) & ~ball((30, 25, 20), 13)).astype(np.float32) * 0.7
    places = places_of_doubt(entropy, mask, SPACING)
    assert 8 < len(places) <= 20
    found = np.array([place.index for place in places], dtype=float)
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)[~np.eye(len(found), dtype=bool)]
    assert distances.min() >= APART_MM
    assert (np.ptp(found, axis=0) > 14).all(), "on all sides of it"
    assert [p.entropy_nats for p in places] == sorted((p.entropy_nats for p in places), reverse=True)


def test_no_more_than_asked_for():
    mask = ball((30, 25, 20), 14).astype(np.uint8)
    entropy = (ball((30, 25, 20), 15) & ~ball((30, 25, 20), 13)).astype(np.float32)
    everything, few = places_of_doubt(entropy, mask, SPACING), places_of_doubt(entropy, mask, SPACING, limit=3)
    assert few == everything[:3]


def test_what_is_far_from_the_mask_is_left_out_unless_there_is_no_mask():
    shape = (120, 30, 30)
    entropy = np.where(ball((100, 15, 15), 4, shape=shape), 0.6, 0).astype(np.float32)
    mask = ball((20, 15, 15), 6, shape=shape).astype(np.uint8)
    assert 100 - 26 > NEAR_MM
    assert places_of_doubt(entropy, mask, SPACING) == []
    (place,) = places_of_doubt(entropy, np.zeros(shape, np.uint8), SPACING)
    assert (place.index, place.segment) == ((100, 15, 15), 0)


def test_distances_are_in_mm():
    spacing = (0.5, 0.5, 4.0)
    entropy = np.zeros(SHAPE, np.float32)
    entropy[28:33, 23:28, [10, 14]] = 0.6  # 16 mm apart along k
    entropy[28:33, 36:41, 10] = 0.6  # 6.5 mm from the first: the same place
    mask = (entropy > 0).astype(np.uint8)
    assert sorted(place.index[2] for place in places_of_doubt(entropy, mask, spacing)) == [10, 14]


def test_a_place_where_segments_overlap_is_of_the_one_with_most_of_it():
    organ, lesion = ball((22, 20, 20), 7), ball((30, 20, 20), 7)
    mask = np.where(organ, np.uint32(1), 0).astype(np.uint32) | np.where(lesion, np.uint32(1 << 31), 0).astype(
        np.uint32
    )
    entropy = np.where(ball((27, 20, 20), 4), 0.6, 0).astype(np.float32)
    (place, *_) = places_of_doubt(entropy, mask, SPACING)
    assert (organ & lesion)[place.index] and place.segment == 32
    label_map = np.where(lesion, 32, organ).astype(np.uint8)
    (same, *_) = places_of_doubt(entropy, label_map, SPACING)
    assert (same.index, same.segment) == (place.index, 32)


def test_a_place_at_the_edge_of_the_image():
    entropy = np.where(ball((0, 0, 39), 4), 0.6, 0).astype(np.float32)
    (place,) = places_of_doubt(entropy, (entropy > 0).astype(np.uint8), SPACING)
    assert np.abs(np.array(place.index) - (0, 0, 39)).max() <= 3


@pytest.mark.parametrize("value", [0.0, 0.04, np.nan])
def test_a_model_that_doubts_nothing(value):
    entropy = np.full(SHAPE, value, np.float32)
    assert places_of_doubt(entropy, np.ones(SHAPE, np.uint8), SPACING) == []


def test_what_is_not_finite_hides_nothing():
    entropy = np.where(ball((30, 25, 20), 4), 0.6, np.nan).astype(np.float32)
    (place,) = places_of_doubt(entropy, ball((30, 25, 20), 6).astype(np.uint8), SPACING)
    assert place.index == (30, 25, 20)


def test_levels_for_a_viewer():
    entropy = (np.random.default_rng(4).random(SHAPE) * 0.69).astype(np.float32)
    entropy[0, 0, :3] = np.nan, np.inf, -1.0
    levels, nats_per_level = in_levels(entropy)
    assert (levels.dtype, levels.max(), levels.flags.f_contiguous) == (np.uint8, 255, True)
    assert list(levels[0, 0, :3]) == [0, 0, 0]
    clean = np.where(np.isfinite(entropy), entropy, 0).clip(0)
    assert np.abs(levels * nats_per_level - clean).max() <= nats_per_level / 2 * 1.01


def test_levels_of_a_model_that_doubts_nothing():
    levels, nats_per_level = in_levels(np.zeros(SHAPE, np.float32))
    assert not levels.any() and nats_per_level > 0
