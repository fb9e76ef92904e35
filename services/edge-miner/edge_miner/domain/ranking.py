"""Orders and ranks from arrays: ties broken by seeded keys, values that are not finite never ranked.

Everything here is a pure function of (arrays, seed). Cases must come in an order of their own (by case id), never in order of
arrival, so that the same pool gives the same ranking however its events were interleaved.
"""

from enum import IntEnum

import numpy as np

from radloop.errors import Invalid


class Stream(IntEnum):
    """Independent random streams of one round; each draw has its own, so that adding one never shifts another."""

    SAMPLE = 1
    CONTROL = 2
    TIES = 3
    PLACES = 4
    RISK_TIES = 5


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """Return the generator of one stream of a round's seed (0 or above)."""
    return np.random.default_rng([seed, int(stream)])


def tie_keys(count: int, seed: int, stream: Stream = Stream.TIES) -> np.ndarray:
    """Draw the keys that decide between equal values: a random permutation of 0..count-1, int64, shape ``(N,)``."""
    return generator(seed, stream).permutation(count)


def descending_order(values: np.ndarray, keys: np.ndarray, tiers: np.ndarray | None = None) -> np.ndarray:
    """Order cases from worst to best.

    Parameters
    ----------
    values : numpy.ndarray
        float64, shape ``(N,)``, one per case, higher = worse, finite.
    keys : numpy.ndarray
        int64, shape ``(N,)``: the lower key goes first among equal values (`tie_keys`).
    tiers : numpy.ndarray, optional
        int, shape ``(N,)``: a lower tier goes before a higher one whatever the values.

    Returns
    -------
    numpy.ndarray
        Indices into the pool, int64, shape ``(N,)``, worst first; empty for an empty pool.

    Raises
    ------
    Invalid
        ``score-not-finite``: a descending sort would put NaN first, so the worst-behaved case would win.
    """
    require_finite(values)
    if tiers is None:
        tiers = np.zeros(len(values), dtype=np.int64)
    return np.lexsort((keys, -values, tiers))


def require_finite(values: np.ndarray) -> None:
    """Refuse values that cannot be ranked.

    Raises
    ------
    Invalid
        ``score-not-finite``.
    """
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise Invalid(
            "score-not-finite",
            expected="one finite number per case",
            got=f"{bad} of {len(values)} not finite",
            do="treat such a case as a failed prediction; it has a reason of its own and no number",
        )


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Rank cases from best (1) to worst (N), equal values sharing their mean rank; float64, shape ``(N,)``.

    Raises
    ------
    Invalid
        ``score-not-finite``.
    """
    require_finite(values)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def rank_average(*scores: np.ndarray) -> np.ndarray:
    """Average the ranks of several scores of the same cases; higher = worse; float64, shape ``(N,)``.

    Ranks, not values: scores have different units, and only their orders are comparable (selection.md, measured reference).

    Raises
    ------
    Invalid
        ``score-not-finite``.
    """
    return np.mean([mean_ranks(score) for score in scores], axis=0)


def first_of_each(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Keep the first case of each group in an order: of one patient the worst, the rest deferred.

    Parameters
    ----------
    order : numpy.ndarray
        int64, shape ``(M,)``: indices into the pool.
    groups : numpy.ndarray
        int64, shape ``(N,)``: group (patient) of each case of the pool.

    Returns
    -------
    numpy.ndarray
        int64: the kept indices, in the given order.
    """
    _, first = np.unique(groups[order], return_index=True)
    return order[np.sort(first)]
