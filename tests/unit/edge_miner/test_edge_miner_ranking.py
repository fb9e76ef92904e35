"""Orders, ranks and the pool's arrays."""

import numpy as np
import pytest

from edge_miner.domain.pool import Pool, PoolMember, dice_by_segment
from edge_miner.domain.ranking import (
    Stream,
    descending_order,
    first_of_each,
    generator,
    mean_ranks,
    rank_average,
    tie_keys,
)
from radloop.errors import Invalid


def test_worst_first_ties_by_key_tiers_before_values() -> None:
    values = np.array([0.2, 0.9, 0.2, 0.5])
    keys = np.array([3, 1, 0, 2])
    assert descending_order(values, keys).tolist() == [1, 3, 2, 0]
    assert descending_order(values, keys, np.array([0, 1, 1, 1])).tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_ranked(bad: float) -> None:
    with pytest.raises(Invalid, match="score-not-finite"):
        descending_order(np.array([0.1, bad]), np.arange(2))
    with pytest.raises(Invalid, match="score-not-finite"):
        rank_average(np.array([0.1, bad]))


def test_ranks_share_ties() -> None:
    # 0.1 is best (1), the two 0.5 share (2 + 3) / 2, 0.9 is worst (4).
    assert mean_ranks(np.array([0.5, 0.1, 0.9, 0.5])).tolist() == [2.5, 1.0, 4.0, 2.5]


def test_rank_average_ignores_units() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([300.0, 100.0, 200.0])
    assert rank_average(first, second).tolist() == [2.0, 1.5, 2.5]
    assert rank_average(first * 1000, second / 7).tolist() == [2.0, 1.5, 2.5]


def test_a_patient_keeps_the_worst_case_only() -> None:
    order = np.array([4, 2, 0, 1, 3])
    patients = np.array([0, 1, 0, 2, 1])
    assert first_of_each(order, patients).tolist() == [4, 2, 3]


def test_keys_follow_seed_and_stream() -> None:
    assert sorted(tie_keys(50, 7)) == list(range(50))
    assert tie_keys(50, 7).tolist() == tie_keys(50, 7).tolist()
    assert tie_keys(50, 7).tolist() != tie_keys(50, 8).tolist()
    assert tie_keys(50, 7).tolist() != tie_keys(50, 7, Stream.RISK_TIES).tolist()
    assert generator(2**63 - 1, Stream.CONTROL).random() == generator(2**63 - 1, Stream.CONTROL).random()


def test_pool_arrays_do_not_depend_on_arrival() -> None:
    members = [
        PoolMember("c", "s1", "p2", scores={"foreground-entropy": 0.3, "components-segment-2": 4.0}),
        PoolMember("a", "s2", "p1", failed=True),
        PoolMember("b", "s3", "p2", volumes={"segment-1-ml": 2.5, "segment-1-mm": 9.0}),
    ]
    for pool in (Pool.of(members), Pool.of(members[::-1])):
        assert [member.case_id for member in pool.members] == ["a", "b", "c"]
        assert pool.patients.tolist() == [0, 1, 1]
        assert pool.failed.tolist() == [True, False, False]
        np.testing.assert_array_equal(pool.score("foreground-entropy"), [np.nan, np.nan, 0.3])
        np.testing.assert_array_equal(pool.volumes_ml()[1], [np.nan, 2.5, np.nan])
        assert list(pool.volumes_ml()) == [1] and list(pool.component_counts()) == [2]


def test_empty_pool() -> None:
    pool = Pool.of([])
    assert len(pool) == 0 and pool.volumes_ml() == {} and pool.patients.shape == (0,)


def test_dice_by_segment() -> None:
    assert dice_by_segment({"dice-segment-2": 0.5, "dice-mean": 1.0, "dice-segment-10": 0.25}) == {2: 0.5, 10: 0.25}
