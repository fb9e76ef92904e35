"""How well a score finds the cases a model gets wrong: recall@k, AURC, AUGRC, worst-5 %.

Risk is ``1 - Dice`` (or any number that is higher where worse). Compare scores only under one model, inside one pool: across
models or centres these figures mix how well the model segments with how well the score ranks (selection.md, trap 8).
"""

import math
from dataclasses import dataclass

import numpy as np

from edge_miner.domain.ranking import Stream, descending_order, require_finite, tie_keys


def recall_at(scores: np.ndarray, risks: np.ndarray, fraction: float, seed: int) -> float:
    """Measure how many of the worst cases are among those with the highest scores.

    Parameters
    ----------
    scores : numpy.ndarray
        float64, shape ``(N,)``, higher = suspected worse, finite.
    risks : numpy.ndarray
        float64, shape ``(N,)``, higher = truly worse, finite.
    fraction : float
        Share of the pool that is bad, and that is flagged: ``k = ceil(fraction * N)`` of each, above 0, at most 1.
    seed : int
        Breaks ties; those of scores and those of risks by independent keys, else a constant score would seem to know.

    Returns
    -------
    float
        ``|bad and flagged| / k``; chance is ``k / N``; NaN for an empty pool.
    """
    count = _count_of(scores, risks)
    if count == 0:
        return math.nan
    k = math.ceil(round(fraction * count, 9))
    flagged = descending_order(scores, tie_keys(count, seed))[:k]
    bad = descending_order(risks, tie_keys(count, seed, Stream.RISK_TIES))[:k]
    return len(np.intersect1d(flagged, bad)) / k


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Area under a risk-coverage curve, with what chance and a perfect score would reach; lower is better.

    Attributes
    ----------
    area, chance, best : float
        In the unit of the risk.
    """

    area: float
    chance: float
    best: float

    @property
    def gain(self) -> float:
        """Return ``(chance - area) / (chance - best)``: 0 at chance, 1 at best; NaN where all risks are equal."""
        return (self.chance - self.area) / (self.chance - self.best) if self.chance > self.best else math.nan


def aurc(scores: np.ndarray, risks: np.ndarray) -> RiskCoverage:
    """Integrate the mean risk of the cases kept, over all shares kept, the least suspect first.

    Parameters
    ----------
    scores, risks : numpy.ndarray
        float64, shape ``(N,)``, N >= 1, finite, higher = worse.

    Returns
    -------
    RiskCoverage
        ``mean over j of (mean risk of the j lowest scores)``. Equal scores count with the mean over all their orders, so
        no seed is needed.

    References
    ----------
    Geifman, Uziel, El-Yaniv 2019, arXiv:1805.08206.
    """
    count = _count_of(scores, risks)
    kept = np.arange(1, count + 1)
    return RiskCoverage(
        area=float(np.mean(np.cumsum(_by_score(scores, risks)) / kept)),
        chance=float(np.mean(risks)),
        best=float(np.mean(np.cumsum(np.sort(risks)) / kept)),
    )


def augrc(scores: np.ndarray, risks: np.ndarray) -> RiskCoverage:
    """Integrate the risk still carried, as a share of the whole pool; weighs the few most trusted cases less than `aurc`.

    Parameters
    ----------
    scores, risks : numpy.ndarray
        float64, shape ``(N,)``, N >= 1, finite, higher = worse.

    Returns
    -------
    RiskCoverage
        ``mean over j of (sum of the risks of the j lowest scores) / N``; equal scores as in `aurc`.

    References
    ----------
    Traub et al. 2024, arXiv:2407.01032.
    """
    count = _count_of(scores, risks)
    return RiskCoverage(
        area=float(np.mean(np.cumsum(_by_score(scores, risks)))) / count,
        chance=float(np.mean(risks)) * (count + 1) / (2 * count),
        best=float(np.mean(np.cumsum(np.sort(risks)))) / count,
    )


def worst_mean(dices: np.ndarray, fraction: float = 0.05) -> float:
    """Return the mean of the lowest ``ceil(fraction * N)`` Dices (float64, shape ``(N,)``); NaN if there are none."""
    require_finite(dices)
    count = math.ceil(round(fraction * len(dices), 9))
    return float(np.mean(np.sort(dices)[:count])) if count else math.nan


def _by_score(scores: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """Return the risks in ascending order of score, those of equal scores replaced by their mean."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=risks) / counts
    return np.repeat(means, counts)


def _count_of(scores: np.ndarray, risks: np.ndarray) -> int:
    if scores.shape != risks.shape:
        raise ValueError(f"scores {scores.shape} and risks {risks.shape} must belong to the same cases")
    require_finite(scores)
    require_finite(risks)
    return len(scores)
