"""Means over patients with their intervals: a patient counts once, whatever number of images there is of them."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean over patients with its 95 % interval (Student's t); the bounds are NaN below two patients."""

    mean: float
    lower: float
    upper: float
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """Estimate a mean with its 95 % interval by Student's t; NaN throughout for no values."""
    count = len(values)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if count == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half, count)


def by_patient(case_dice: Sequence[Any], segment: int | None = None) -> list[float]:
    """Average Dice over the cases, and for no segment over the segments, of each patient, in the patients' order.

    Parameters
    ----------
    case_dice
        ``CaseDice`` entries.
    segment
        Only this segment; None for the mean of all.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for entry in case_dice:
        if segment in (None, entry.segment):
            values[entry.patient_key].append(entry.dice)
    return [float(np.mean(values[patient])) for patient in sorted(values)]
