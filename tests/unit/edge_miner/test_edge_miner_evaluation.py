"""The evaluation harness against numbers worked by hand (selection.md, sections 9 and 10)."""

import math

import numpy as np
import pytest

from edge_miner.domain.arm_difference import (
    ArmsOfRound,
    arm_difference,
    performance_over_rounds,
    pool_performance,
)
from edge_miner.domain.crossed_test import crossed_test
from edge_miner.domain.failure_detection import augrc, aurc, recall_at, worst_mean
from radloop.errors import Invalid


def test_recall_counts_the_worst_among_the_flagged() -> None:
    risks = np.array([0.9, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    scores = np.array([5.0, 1.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    # k = ceil(0.2 * 10) = 2: bad are cases 0 and 1, flagged 0 and 2.
    assert recall_at(scores, risks, 0.2, seed=1) == 0.5
    assert recall_at(risks, risks, 0.2, seed=1) == 1.0
    assert math.isnan(recall_at(np.array([]), np.array([]), 0.1, seed=1))


def test_recall_rounds_k_up_but_not_for_a_rounding_error() -> None:
    # 0.1 * 30 is 3.0000000000000004 in binary; k must be 3.
    scores = np.arange(30.0)
    risks = np.where(scores >= 27, 1.0, 0.0)
    assert recall_at(scores, risks, 0.1, seed=0) == 1.0
    # 11 cases: k = ceil(1.1) = 2.
    assert recall_at(np.arange(11.0), np.r_[1.0, np.zeros(9), 1.0], 0.1, seed=0) == 0.5


def test_a_constant_score_knows_nothing() -> None:
    recalls = [recall_at(np.zeros(100), np.zeros(100), 0.1, seed) for seed in range(400)]
    # Chance is 0.1 with sd 0.028 of one draw; keys shared by scores and risks would give 1.
    assert abs(np.mean(recalls) - 0.1) < 0.01


def test_recall_refuses_other_cases_and_nan() -> None:
    with pytest.raises(ValueError, match="same cases"):
        recall_at(np.zeros(3), np.zeros(4), 0.1, seed=0)
    with pytest.raises(Invalid, match="score-not-finite"):
        recall_at(np.array([np.nan, 1.0]), np.zeros(2), 0.5, seed=0)


@pytest.mark.parametrize(
    ("scores", "area", "gain"),
    [
        # risks 0, 0.3, 0.6; kept in order of score: means 0, 0.15, 0.3 -> 0.15; chance 0.3.
        ([1.0, 2.0, 3.0], 0.15, 1.0),
        # worst kept first: 0.6, 0.45, 0.3 -> 0.45.
        ([3.0, 2.0, 1.0], 0.45, -1.0),
        # all equal: the mean over all orders is the mean risk at every coverage.
        ([7.0, 7.0, 7.0], 0.3, 0.0),
        # first two tie at mean 0.15: 0.15, 0.15, 0.3 -> 0.2.
        ([1.0, 1.0, 3.0], 0.2, 2 / 3),
    ],
)
def test_aurc(scores: list[float], area: float, gain: float) -> None:
    curve = aurc(np.array(scores), np.array([0.0, 0.3, 0.6]))
    assert curve.area == pytest.approx(area)
    assert (curve.chance, curve.best) == pytest.approx((0.3, 0.15))
    assert curve.gain == pytest.approx(gain)


@pytest.mark.parametrize(
    ("scores", "area", "gain"),
    [
        # cumulative risk over N: 0, 0.1, 0.3 -> 0.1333; chance 0.3 * (3 + 1) / (2 * 3) = 0.2.
        ([1.0, 2.0, 3.0], 0.4 / 3, 1.0),
        # 0.2, 0.3, 0.3 -> 0.2667.
        ([3.0, 2.0, 1.0], 0.8 / 3, -1.0),
        ([7.0, 7.0, 7.0], 0.2, 0.0),
    ],
)
def test_augrc(scores: list[float], area: float, gain: float) -> None:
    curve = augrc(np.array(scores), np.array([0.0, 0.3, 0.6]))
    assert curve.area == pytest.approx(area)
    assert curve.chance == pytest.approx(0.2)
    assert curve.gain == pytest.approx(gain)


def test_gain_of_equal_risks_is_unknown() -> None:
    assert math.isnan(aurc(np.array([1.0, 2.0]), np.array([0.5, 0.5])).gain)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(20, 0.0), (21, 0.5), (40, 0.5), (1, 0.0)],  # lowest 1, 2, 2, 1 of 0, 1, 2, ...
)
def test_worst_five_percent(count: int, expected: float) -> None:
    assert worst_mean(np.arange(float(count))[::-1]) == expected


def test_worst_of_nothing() -> None:
    assert math.isnan(worst_mean(np.array([])))


def _arms(mined: list[float], control: list[float]) -> ArmsOfRound:
    return ArmsOfRound(
        np.array(mined),
        np.array(control),
        np.array([f"m{n}" for n in range(len(mined))]),
        np.array([f"c{n}" for n in range(len(control))]),
    )


def test_arm_difference_pools_rounds_by_their_information() -> None:
    # Round 1: 0.3 - 0.1 = 0.2, weight 2 * 2 / 4 = 1. Round 2: 0.5 - 0.2 = 0.3, weight 1 * 2 / 3 = 2/3.
    # (0.2 * 1 + 0.3 * 2/3) / (5/3) = 0.24.
    result = arm_difference([_arms([0.4, 0.2], [0.1, 0.1]), _arms([0.5], [0.1, 0.3])], seed=1)
    assert result is not None
    assert result.difference == pytest.approx(0.24)
    assert (result.mined_count, result.control_count) == (3, 4)
    assert not result.known
    assert result.low <= 0.24 <= result.high


def test_arm_difference_p_value_is_that_of_the_permutation_test() -> None:
    # 4 against 4 perfectly apart: 2 of the C(8, 4) = 70 labellings are as extreme.
    result = arm_difference([_arms([1.0] * 4, [0.0] * 4)], seed=3, resamples=20_000)
    assert result is not None
    assert result.p_value == pytest.approx(2 / 70, abs=0.004)
    assert (result.low, result.high) == (1.0, 1.0)  # no spread within an arm, so none to resample


def test_arm_difference_resamples_patients_not_cases() -> None:
    # Three cases of one patient carry one patient's information: every resample of the arm is the same.
    arms = ArmsOfRound(np.array([0.1, 0.5, 0.9]), np.array([0.2]), np.array(["a", "a", "a"]), np.array(["b"]))
    result = arm_difference([arms], seed=0)
    assert result is not None
    assert (result.low, result.high) == pytest.approx((0.3, 0.3))


def test_arm_difference_needs_both_arms_and_patients_apart() -> None:
    assert arm_difference([], seed=0) is None
    assert arm_difference([_arms([0.3], [])], seed=0) is None
    both = ArmsOfRound(np.array([0.1]), np.array([0.2]), np.array(["a"]), np.array(["a"]))
    with pytest.raises(Invalid, match="patient-in-both-arms"):
        arm_difference([both], seed=0)


def test_arm_difference_interval_covers() -> None:
    chance = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        mined, control = chance.normal(0.3, 0.1, 40), chance.normal(0.2, 0.1, 25)
        result = arm_difference([_arms(mined.tolist(), control.tolist())], seed=1, resamples=400)
        assert result is not None and result.known
        covered += result.low <= 0.1 <= result.high
    assert covered >= 176  # 0.95 of 200, less 4.5 standard deviations


def test_pool_performance_with_finite_population_correction() -> None:
    # sd of (0.8, 0.9) = 0.0707107; / sqrt(2) = 0.05; * sqrt(1 - 2/10) = 0.0447214; t(0.975, 1) = 12.7062.
    result = pool_performance(np.array([0.8, 0.9]), 10)
    assert result is not None
    assert result.mean == pytest.approx(0.85)
    assert result.standard_error == pytest.approx(0.0447214, abs=1e-6)
    assert result.high - result.mean == pytest.approx(12.7062 * 0.0447214, abs=1e-4)


def test_pool_performance_at_the_edges() -> None:
    everybody = pool_performance(np.array([0.2, 0.4, 0.9]), 3)
    assert everybody is not None and everybody.standard_error == 0.0 and everybody.low == everybody.high
    one = pool_performance(np.array([0.7]), 50)
    assert one is not None and one.mean == 0.7 and math.isnan(one.standard_error)
    assert pool_performance(np.array([]), 50) is None
    with pytest.raises(ValueError, match="cannot come from"):
        pool_performance(np.array([0.1, 0.2]), 1)


def test_performance_over_rounds_weighs_by_pool() -> None:
    first, second = pool_performance(np.array([0.8, 0.8]), 30), pool_performance(np.array([0.6, 0.6]), 10)
    assert first is not None and second is not None
    assert performance_over_rounds([first, second]) == pytest.approx((30 * 0.8 + 10 * 0.6) / 40)
    assert math.isnan(performance_over_rounds([]))


def test_crossed_test_by_hand() -> None:
    # Means by patient 2, 4; by seed 2, 4; no residual. MS_patient = MS_seed = 4, MS_residual = 0.
    # se^2 = 8 / 4 = 2; df = 8^2 / (4^2 + 4^2) = 2; t = 3 / sqrt(2); for 2 df p = 1 - t / sqrt(2 + t^2) = 0.16795.
    result = crossed_test(np.array([[1.0, 3.0], [3.0, 5.0]]))
    assert result.mean == 3.0
    assert result.standard_error == pytest.approx(math.sqrt(2))
    assert result.degrees_of_freedom == pytest.approx(2.0)
    assert result.p_value == pytest.approx(0.167950, abs=1e-6)
    assert result.high == pytest.approx(3 + 4.302653 * math.sqrt(2), abs=1e-5)


def test_crossed_test_never_calls_noise_certain() -> None:
    # Patients and seeds cancel out: only the residual is left, MS_residual = 4 with 1 df, se^2 = 4 / 4.
    result = crossed_test(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert (result.mean, result.standard_error, result.degrees_of_freedom) == (0.0, 1.0, 1.0)
    assert result.p_value == pytest.approx(1.0)


def test_crossed_test_without_any_spread() -> None:
    assert crossed_test(np.zeros((3, 4))).p_value == 1.0
    assert crossed_test(np.full((3, 4), 0.5)).p_value == 0.0
    with pytest.raises(ValueError, match="2 patients x 2 seeds"):
        crossed_test(np.zeros((1, 4)))


def test_crossed_test_holds_its_level_where_a_seed_test_does_not() -> None:
    from scipy import stats

    chance = np.random.default_rng(2)
    crossed = seeds_only = 0
    for _ in range(400):
        null = chance.normal(0, 1.5, (50, 1)) + chance.normal(0, 0.5, (1, 10)) + chance.normal(0, 2, (50, 10))
        crossed += crossed_test(null).p_value < 0.05
        seeds_only += stats.ttest_1samp(null.mean(axis=0), 0).pvalue < 0.05
    assert crossed / 400 < 0.09
    assert seeds_only / 400 > 0.12  # selection.md measured 0.19
