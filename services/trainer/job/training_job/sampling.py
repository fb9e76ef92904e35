"""Which case is drawn when. A pure function of seed and epoch, so that a resumed run draws what the killed one would have."""

from collections.abc import Sequence

import numpy as np


def epoch_order(weights: Sequence[float], draws: int, seed: int, epoch: int) -> np.ndarray:
    """Draw cases for one epoch, each as often as its weight says, up to rounding.

    Parameters
    ----------
    weights : sequence of float
        Above 0, one per case.
    draws : int
        Number of draws in the epoch.
    seed, epoch : int
        Decide the order; nothing else does.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(draws,)``: indices of cases, zero-based. A case of weight w out of the sum W comes
        ``draws * w / W`` times, rounded up or down (systematic sampling), in random order.
    """
    rng = np.random.default_rng([seed, epoch, 0])
    # Case order is shuffled first: otherwise neighbours in the list would be rounded together.
    order = rng.permutation(len(weights))
    share = np.cumsum(np.asarray(weights, dtype=np.float64)[order])
    points = (np.arange(draws) + rng.random()) * share[-1] / draws
    chosen = order[np.searchsorted(share, points, side="right").clip(max=len(weights) - 1)]
    return rng.permutation(chosen)


def step_rng(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """Return the generator of one step's augmentation; each of several processes that train together has its own."""
    return np.random.default_rng([seed, step, 1 + rank])
