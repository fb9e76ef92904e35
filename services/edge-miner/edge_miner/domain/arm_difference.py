"""Does mining find worse cases than chance? Mined against control, round by round.

It cannot tell whether mining trains better models: one model trained on both arms does not identify that (selection.md, 9 b2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radloop.errors import Invalid

ENOUGH_CONTROLS = 20
"""Control cases below which the honest answer is "not yet known": the interval is wider than any effect to be expected."""


@dataclass(frozen=True)
class ArmsOfRound:
    """What one round's two arms turned out to be worth.

    Attributes
    ----------
    mined_risks, control_risks : numpy.ndarray
        float64, shapes ``(n_m,)`` and ``(n_c,)``: 1 - Dice of the prediction before any correction.
    mined_patients, control_patients : numpy.ndarray
        Patient of each case, same shapes; no patient is in both arms of a round.
    """

    mined_risks: np.ndarray
    control_risks: np.ndarray
    mined_patients: np.ndarray
    control_patients: np.ndarray


@dataclass(frozen=True, slots=True)
class ArmDifference:
    """Mean risk of mined minus control cases, pooled over rounds.

    Attributes
    ----------
    difference : float
        Above 0 where mining found worse cases.
    low, high : float
        95 % bootstrap interval.
    p_value : float
        Two-sided, by permuting arms.
    mined_count, control_count : int
        Cases behind it.
    """

    difference: float
    low: float
    high: float
    p_value: float
    mined_count: int
    control_count: int

    @property
    def known(self) -> bool:
        """Whether there are enough controls to say anything."""
        return self.control_count >= ENOUGH_CONTROLS


def arm_difference(rounds: Sequence[ArmsOfRound], seed: int, resamples: int = 2000) -> ArmDifference | None:
    """Compare the arms.

    The differences of the rounds are pooled with weights ``n_m n_c / (n_m + n_c)``. The interval resamples patients within
    round and arm; the p-value shuffles the arms among the patients of each round, ``(1 + #{|d*| >= |d|}) / (1 + resamples)``.

    Parameters
    ----------
    rounds : sequence of ArmsOfRound
        Rounds in which one arm has no case yet are left out.
    seed : int
        Of the resampling.
    resamples : int
        Of either kind.

    Returns
    -------
    ArmDifference or None
        None if no round has cases in both arms.

    Raises
    ------
    Invalid
        ``patient-in-both-arms``.
    """
    whole = [arms for arms in rounds if len(arms.mined_risks) and len(arms.control_risks)]
    if not whole:
        return None
    weights = np.array([_weight(arms) for arms in whole])
    weights /= weights.sum()
    observed = float(weights @ [arms.mined_risks.mean() - arms.control_risks.mean() for arms in whole])
    chance = np.random.default_rng(seed)
    bootstrap = np.zeros(resamples)
    permuted = np.zeros(resamples)
    for weight, arms in zip(weights, whole, strict=True):
        mined = _patient_sums(arms.mined_risks, arms.mined_patients)
        control = _patient_sums(arms.control_risks, arms.control_patients)
        if np.intersect1d(arms.mined_patients, arms.control_patients).size:
            raise Invalid("patient-in-both-arms", expected="a patient in one arm of a round", got="one in both")
        bootstrap += weight * (
            _resampled_means(mined, chance, resamples) - _resampled_means(control, chance, resamples)
        )
        permuted += weight * _permuted_differences(mined, control, chance, resamples)
    low, high = np.quantile(bootstrap, [0.025, 0.975])
    # Rounding makes equal differences differ in the last digit.
    extreme = int(np.count_nonzero(np.abs(permuted) >= abs(observed) - 1e-12))
    return ArmDifference(
        difference=observed,
        low=float(low),
        high=float(high),
        p_value=(1 + extreme) / (1 + resamples),
        mined_count=sum(len(arms.mined_risks) for arms in whole),
        control_count=sum(len(arms.control_risks) for arms in whole),
    )


def _weight(arms: ArmsOfRound) -> float:
    mined, control = len(arms.mined_risks), len(arms.control_risks)
    return mined * control / (mined + control)


def _patient_sums(risks: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return float64 ``(patients, 2)``: sum of risks and number of cases of each patient."""
    _, inverse = np.unique(patients, return_inverse=True)
    return np.stack([np.bincount(inverse, weights=risks), np.bincount(inverse)], axis=1)


def _resampled_means(sums: np.ndarray, chance: np.random.Generator, resamples: int) -> np.ndarray:
    drawn = sums[chance.integers(0, len(sums), size=(resamples, len(sums)))].sum(axis=1)
    return drawn[:, 0] / drawn[:, 1]


def _permuted_differences(
    mined: np.ndarray, control: np.ndarray, chance: np.random.Generator, resamples: int
) -> np.ndarray:
    together = np.concatenate([mined, control])
    order = chance.permuted(np.tile(np.arange(len(together)), (resamples, 1)), axis=1)
    first = together[order[:, : len(mined)]].sum(axis=1)
    second = together[order[:, len(mined) :]].sum(axis=1)
    return first[:, 0] / first[:, 1] - second[:, 0] / second[:, 1]


@dataclass(frozen=True, slots=True)
class PoolPerformance:
    """What the control arm says of the serving model on the whole pool.

    Attributes
    ----------
    mean : float
        Mean Dice over the pool's patients, estimated.
    standard_error : float
        With the finite population correction; NaN with fewer than two controls.
    low, high : float
        95 % t interval, not clipped to 0..1; NaN with fewer than two controls.
    control_count, pool_count : int
        Patients drawn, and patients they were drawn from.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    control_count: int
    pool_count: int


def pool_performance(control_dices: np.ndarray, pool_count: int) -> PoolPerformance | None:
    """Estimate a model's mean Dice on the whole pool from the control arm alone.

    Parameters
    ----------
    control_dices : numpy.ndarray
        float64, shape ``(n_c,)``: Dice of the prediction before correction, one case per patient.
    pool_count : int
        Patients eligible when the arm was drawn, at least n_c.

    Returns
    -------
    PoolPerformance or None
        ``mean``, ``sd / sqrt(n_c) * sqrt(1 - n_c / N)``, and the interval by Student's t with n_c - 1 degrees of freedom
        (a bootstrap of fewer than 10 would be too narrow). None without controls.

    References
    ----------
    Cochran 1977, Sampling Techniques, section 2.6.
    """
    # scipy.stats takes a second to import, and only readers of the ledger need it.
    from scipy import stats

    count = len(control_dices)
    if count == 0:
        return None
    if pool_count < count:
        raise ValueError(f"{count} controls cannot come from a pool of {pool_count}")
    mean = float(np.mean(control_dices))
    error = half = math.nan
    if count > 1:
        error = float(np.std(control_dices, ddof=1)) / math.sqrt(count) * math.sqrt(1 - count / pool_count)
        half = float(stats.t.ppf(0.975, count - 1)) * error
    return PoolPerformance(mean, error, mean - half, mean + half, count, pool_count)


def performance_over_rounds(rounds: Sequence[PoolPerformance]) -> float:
    """Average rounds of one model version by pool size: ``sum N_t mean_t / sum N_t``; NaN without rounds.

    Trends over model versions belong to the fixed test set: the pool of a later round lacks the cases mined before it.
    """
    total = sum(each.pool_count for each in rounds)
    return sum(each.pool_count * each.mean for each in rounds) / total if total else math.nan
