"""Learning curve and arms: means over patients with their uncertainty, from per-case Dice. Pure functions of plain rows.

The unit is the patient, never the case: cases of one patient are averaged first, so that two halves of one head do not count
twice. Mined against control follows selection.md section 9 (b1): a difference within each round, pooled over rounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from radloop.references import CaseDice

CONFIDENCE = 0.95
# Below this many control patients a difference between the arms is noise (selection.md, section 9).
CONTROLS_NEEDED = 20


@dataclass(frozen=True)
class Interval:
    """A mean over patients with its two-sided 95 % t interval.

    `low` and `high` are None for fewer than two patients. They may lie outside 0..1: nothing is clipped.
    """

    mean: float
    low: float | None
    high: float | None
    patients: int


def t_interval(values: Sequence[float]) -> Interval | None:
    """Compute the mean and its two-sided 95 % t interval; None for no values.

    Parameters
    ----------
    values : sequence of float
        One value per patient. No finite-population correction is made: for draws from a small pool it is conservative.
    """
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, None, None, 1)
    standard_error = float(array.std(ddof=1)) / np.sqrt(array.size)
    half = float(stdtrit(array.size - 1, 0.5 + CONFIDENCE / 2)) * standard_error
    return Interval(mean, mean - float(half), mean + float(half), int(array.size))


def _by_patient(rows: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Average (patient, case, value) rows over a patient's cases; a case's own rows are averaged before."""
    cases: dict[str, dict[str, list[float]]] = {}
    for patient, case, value in rows:
        cases.setdefault(patient, {}).setdefault(case, []).append(value)
    return {
        patient: float(np.mean([np.mean(values) for values in by_case.values()])) for patient, by_case in cases.items()
    }


def per_segment(dice: Iterable[CaseDice]) -> dict[int, Interval]:
    """Average Dice over patients, segment by segment; a patient's cases are averaged first.

    Returns
    -------
    dict of int to Interval
        By segment value, ascending; only segments that occur.
    """
    rows: dict[int, list[tuple[str, str, float]]] = {}
    for row in dice:
        rows.setdefault(row.segment, []).append((row.patient_key, row.case_id, row.dice))
    intervals = {segment: t_interval(list(_by_patient(rows[segment]).values())) for segment in sorted(rows)}
    return {segment: interval for segment, interval in intervals.items() if interval is not None}


def over_segments(dice: Iterable[CaseDice]) -> Interval | None:
    """Average Dice over segments within a case, then cases within a patient, then patients; None for no rows."""
    return t_interval(list(_by_patient((row.patient_key, row.case_id, row.dice) for row in dice).values()))


@dataclass(frozen=True)
class ArmsDifference:
    """How much worse the mined cases were than the control cases, before correction.

    Attributes
    ----------
    mean : float
        Mean of (1 - Dice | mined) - (1 - Dice | control), pooled over rounds; above 0: mining finds worse cases.
    low, high : float or None
        95 % bootstrap interval over patients within round and arm; None while fewer than two patients are in an arm.
    mined_patients, control_patients : int
        Patients behind it, summed over rounds.
    known : bool
        Whether `CONTROLS_NEEDED` control patients are reached; before that the difference is not yet known.
    """

    mean: float
    low: float | None
    high: float | None
    mined_patients: int
    control_patients: int
    known: bool


def arms_difference(
    rounds: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, seed: int = 0, draws: int = 2000
) -> ArmsDifference | None:
    """Pool mined against control over rounds; None when no round has both.

    Parameters
    ----------
    rounds : mapping
        Round id -> (Dice per mined patient, Dice per control patient), Dice before correction.
    seed, draws : int
        Of the stratified bootstrap.

    References
    ----------
    selection.md section 9 (b1): weights ``n_m * n_c / (n_m + n_c)``.
    """
    pairs = [
        (np.asarray(mined, dtype=np.float64), np.asarray(control, dtype=np.float64))
        for _, (mined, control) in sorted(rounds.items())
        if len(mined) and len(control)
    ]
    if not pairs:
        return None
    weights = np.array([mined.size * control.size / (mined.size + control.size) for mined, control in pairs])
    weights /= weights.sum()
    mean = float(sum(weight * (c.mean() - m.mean()) for weight, (m, c) in zip(weights, pairs, strict=True)))
    mined_patients, control_patients = sum(m.size for m, _ in pairs), sum(c.size for _, c in pairs)
    low = high = None
    if mined_patients > 1 and control_patients > 1:
        rng = np.random.default_rng(seed)
        drawn = np.zeros(draws)
        for weight, (mined, control) in zip(weights, pairs, strict=True):
            drawn += weight * (_resampled_means(rng, control, draws) - _resampled_means(rng, mined, draws))
        low, high = (float(edge) for edge in np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]))
    return ArmsDifference(mean, low, high, mined_patients, control_patients, control_patients >= CONTROLS_NEEDED)


def _resampled_means(rng: np.random.Generator, values: np.ndarray, draws: int) -> np.ndarray:
    return rng.choice(values, size=(draws, values.size), replace=True).mean(axis=1)


def patient_values(rows: Iterable[tuple[str, str, float]]) -> list[float]:
    """Average (patient, case, Dice) rows over each patient's cases; one value per patient, in the patients' order."""
    averaged = _by_patient(rows)
    return [averaged[patient] for patient in sorted(averaged)]
