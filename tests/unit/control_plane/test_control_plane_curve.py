"""Means, intervals and the difference of the arms, against numbers worked by hand."""

import numpy as np
import pytest

from control_plane.domain.curve import arms_difference, over_segments, patient_values, per_segment, t_interval
from radloop.references import CaseDice


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        # t(0.975, 1) = 12.7062; sd 0.1 / sqrt(2)
        ([0.8, 0.9], 0.85, 12.7062 * 0.05),
        # t(0.975, 4) = 2.7764; sd of 1..5 is sqrt(2.5)
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 2.7764 * np.sqrt(2.5 / 5)),
        # t(0.975, 9) = 2.2622
        ([0.0] * 5 + [1.0] * 5, 0.5, 2.2622 * np.sqrt(10 * 0.25 / 9 / 10)),
        ([0.7, 0.7, 0.7], 0.7, 0.0),
    ],
)
def test_t_interval(values, mean, half):
    interval = t_interval(values)
    assert interval.mean == pytest.approx(mean)
    assert interval.high - interval.mean == pytest.approx(half, abs=1e-4)
    assert interval.mean - interval.low == pytest.approx(half, abs=1e-4)
    assert interval.patients == len(values)


def test_one_patient_has_no_interval_and_none_no_mean():
    one = t_interval([0.5])
    assert (one.mean, one.low, one.high, one.patients) == (0.5, None, None, 1)
    assert t_interval([]) is None
    assert over_segments([]) is None
    assert per_segment([]) == {}


def test_cases_of_a_patient_are_averaged_first():
    rows = [
        CaseDice("a1", "a", 1, 0.6), CaseDice("a1", "a", 2, 0.8),
        CaseDice("a2", "a", 1, 0.8), CaseDice("a2", "a", 2, 1.0),
        CaseDice("b1", "b", 1, 0.9), CaseDice("b1", "b", 2, 0.7),
    ]  # fmt: skip
    # Segment 1: a (0.6 + 0.8) / 2 = 0.7, b 0.9 -> 0.8. Counting cases would give 0.7667.
    assert per_segment(rows)[1].mean == pytest.approx(0.8)
    assert per_segment(rows)[2].mean == pytest.approx(0.8)
    # All: a1 0.7, a2 0.9 -> a 0.8; b 0.8.
    assert over_segments(rows).mean == pytest.approx(0.8)
    assert over_segments(rows).patients == 2


def test_patient_values():
    assert patient_values([("b", "b1", 0.5), ("a", "a1", 0.8), ("a", "a1", 1.0), ("a", "a2", 0.7)]) == pytest.approx(
        [0.8, 0.5]
    )


def test_the_arms_are_pooled_by_round():
    # Round 1: control 0.9, mined 0.7 -> 0.2, weight 2*2/4 = 1. Round 2: 0.8 - 0.75 = 0.05, weight 4*1/5 = 0.8.
    rounds = {
        "r1": ([0.6, 0.8], [0.9, 0.9]),
        "r2": ([0.75] * 4, [0.8]),
        "only mined": ([0.1], []),
    }
    found = arms_difference(rounds)
    assert found.mean == pytest.approx((1 * 0.2 + 0.8 * 0.05) / 1.8)
    assert (found.mined_patients, found.control_patients, found.known) == (6, 3, False)
    assert found.low <= found.mean <= found.high
    assert arms_difference(rounds) == found, "the same rows give the same interval"
    assert arms_difference({"r": ([0.5], [])}) is None


def test_twenty_controls_make_a_difference_known():
    rng = np.random.default_rng(3)
    rounds = {f"r{n}": (rng.normal(0.7, 0.05, 10).tolist(), rng.normal(0.85, 0.05, 4).tolist()) for n in range(5)}
    found = arms_difference(rounds)
    assert found.known and found.low > 0
    assert found.mean == pytest.approx(0.15, abs=0.05)


def test_the_interval_covers_no_difference():
    """With no difference between the arms the 95 % interval leaves 0 out in about 1 of 20 trials."""
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(200):
        rounds = {f"r{n}": (rng.normal(0.8, 0.1, 12).tolist(), rng.normal(0.8, 0.1, 6).tolist()) for n in range(4)}
        found = arms_difference(rounds, draws=400)
        missed += not found.low <= 0 <= found.high
    # The bootstrap is a little too narrow for small groups; 20 of 200 is 10 %.
    assert missed <= 24
