"""The named strategies: who goes before a reader first. Each is a pure function of (pool, sanity, seed).

An order is made of tiers: what failed goes before what is empty, that before what is ranked by a number, and what has no
number goes last, by chance. No strategy ever gives a number to a case whose scores are not finite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from edge_miner.domain.messages import FlagReason
from edge_miner.domain.pool import Pool
from edge_miner.domain.ranking import descending_order, rank_average, tie_keys
from edge_miner.domain.sanity import Sanity
from radloop.errors import Invalid

ENTROPY = "foreground-entropy"
DISAGREEMENT = "pairwise-dice"


class Tier(IntEnum):
    """Place in the order before any score."""

    FAILED = 0
    EMPTY = 1
    OUTLIER = 2
    RANKED = 3
    UNRANKED = 4


@dataclass(frozen=True)
class Ranking:
    """A pool in the order in which its cases deserve a reader.

    Attributes
    ----------
    order : numpy.ndarray
        int64, shape ``(N,)``: indices into the pool, worst first.
    tiers : numpy.ndarray
        int64, shape ``(N,)``: `Tier` of each case.
    values : numpy.ndarray
        float64, shape ``(N,)``: what ranked cases were ordered by, higher = worse; NaN where a case has no number.
    by_chance : bool
        The order owes nothing to any score.
    """

    order: np.ndarray
    tiers: np.ndarray
    values: np.ndarray
    by_chance: bool = False


def uncertainty(pool: Pool) -> np.ndarray:
    """Return the mean predictive entropy in nats on the mask dilated by 2 voxels; ``(N,)``, NaN where unknown.

    For an empty mask `inference` takes the neighbourhood of the voxel most likely to be foreground, so that an empty
    prediction is not the most certain one.
    """
    return pool.score(ENTROPY)


def uncertainty_and_disagreement(pool: Pool) -> np.ndarray:
    """Average the ranks of entropy and of the members' pairwise Dice; ``(N,)``, NaN where entropy is unknown.

    Entropy finds the tail, disagreement orders the whole pool. Without members in the model it is entropy alone, and so it
    is for the pool as a whole when some case lacks the disagreement: half of a pool cannot be ranked by another rule.
    """
    entropy, disagreement = pool.score(ENTROPY), pool.score(DISAGREEMENT)
    known = np.isfinite(entropy)
    if not known.any() or not np.isfinite(disagreement[known]).all():
        return entropy
    values = np.full(len(pool), np.nan)
    values[known] = rank_average(entropy[known], disagreement[known])
    return values


def _ranked(pool: Pool, tiers: np.ndarray, values: np.ndarray, seed: int) -> Ranking:
    values = np.where(pool.failed, np.nan, values)
    known = np.isfinite(values)
    tiers = np.where(pool.failed, Tier.FAILED, tiers)
    tiers = np.where(~known & (tiers == Tier.RANKED), Tier.UNRANKED, tiers)
    order = descending_order(np.where(known, values, 0.0), tie_keys(len(pool), seed), tiers)
    return Ranking(order=order, tiers=tiers, values=values, by_chance=not (known.any() or (tiers < Tier.RANKED).any()))


def random_order(pool: Pool, sanity: Sanity, seed: int) -> Ranking:
    """Shuffle: the baseline every other strategy is measured against."""
    del sanity
    count = len(pool)
    keys = tie_keys(count, seed)
    return Ranking(
        order=np.argsort(keys), tiers=np.full(count, Tier.UNRANKED), values=np.full(count, np.nan), by_chance=True
    )


def by_entropy(pool: Pool, sanity: Sanity, seed: int) -> Ranking:
    """Rank by foreground entropy, failed predictions first."""
    del sanity
    return _ranked(pool, np.full(len(pool), Tier.RANKED), uncertainty(pool), seed)


def _sane_first(pool: Pool, sanity: Sanity, values: np.ndarray, seed: int) -> Ranking:
    tiers = np.full(len(pool), int(Tier.RANKED))
    tiers[sanity.volume_outlier] = Tier.OUTLIER
    tiers[sanity.empty] = Tier.EMPTY
    return _ranked(pool, tiers, values, seed)


def by_entropy_and_sanity(pool: Pool, sanity: Sanity, seed: int) -> Ranking:
    """Rank by foreground entropy; failed, then empty predictions, then impossible volumes first."""
    return _sane_first(pool, sanity, uncertainty(pool), seed)


def by_entropy_and_disagreement(pool: Pool, sanity: Sanity, seed: int) -> Ranking:
    """Rank by the average rank of entropy and pairwise Dice, where there are members; sanity first."""
    return _sane_first(pool, sanity, uncertainty_and_disagreement(pool), seed)


Strategy = Callable[[Pool, Sanity, int], Ranking]

STRATEGIES: dict[str, Strategy] = {
    "random": random_order,
    "foreground-entropy": by_entropy,
    "entropy-and-sanity": by_entropy_and_sanity,
    "entropy-and-disagreement": by_entropy_and_disagreement,
}

DEFAULT_STRATEGY = "entropy-and-sanity"


def strategy_named(name: str) -> Strategy:
    """Return a strategy.

    Raises
    ------
    Invalid
        ``strategy-unknown``.
    """
    if name not in STRATEGIES:
        raise Invalid(
            "strategy-unknown",
            expected=f"one of {', '.join(STRATEGIES)}",
            got=name,
            do="set selection.strategy of the project to one of them",
        )
    return STRATEGIES[name]


def reasons_for(ranking: Ranking, sanity: Sanity, most_uncertain: int) -> list[tuple[FlagReason, ...]]:
    """Name why each case would be mined.

    Parameters
    ----------
    ranking, sanity : Ranking, Sanity
        Of the same pool.
    most_uncertain : int
        Number of cases, from the highest value down, that count as uncertain beside what else is wrong with them.

    Returns
    -------
    list of tuple of FlagReason
        One non-empty tuple for each case of the pool.
    """
    values = np.where(np.isfinite(ranking.values), ranking.values, -np.inf)
    uncertain = np.zeros(len(values), dtype=bool)
    uncertain[np.argsort(-values, kind="stable")[:most_uncertain]] = True
    uncertain &= np.isfinite(values)
    table = (
        (FlagReason.FAILED_PREDICTION, sanity.failed),
        (FlagReason.EMPTY_PREDICTION, sanity.empty),
        (FlagReason.COMPONENTS, sanity.components),
        (FlagReason.VOLUME_OUTLIER, sanity.volume_outlier),
        (FlagReason.UNCERTAIN, uncertain),
    )
    named = []
    for index in range(len(values)):
        reasons = tuple(reason for reason, holds in table if holds[index])
        if not reasons:
            reasons = (FlagReason.UNCERTAIN if np.isfinite(values[index]) else FlagReason.RANDOM,)
        named.append(reasons)
    return named
