"""Reasons that need no ranking: predictions that cannot be right, told from scores and volumes alone.

Statistics are those of the pool given, which never holds a validation or test case.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from edge_miner.domain.pool import Pool

OUTLIER_Z = 3.5
"""Robust z above which a volume or a number of parts is an outlier (Iglewicz and Hoaglin 1993, section 3)."""
MAD_TO_SD = 1.4826
"""Makes the median absolute deviation of a normal sample estimate its standard deviation."""
MIN_LOG_SD = 0.05
"""Least spread of log volume taken as real (5 %): else a pool of near-equal volumes makes every case an outlier."""
MIN_COUNT_SD = 0.3
"""Least spread of the number of parts: with it two parts more than the median are too many, one part more is not."""
MIN_CASES = 8
"""Cases below which no spread is estimated and nothing is an outlier."""


@dataclass(frozen=True)
class Sanity:
    """What is wrong with each case of a pool at first sight.

    Attributes
    ----------
    failed, empty, components, volume_outlier : numpy.ndarray
        bool, shape ``(N,)``.
    nothing_found : numpy.ndarray
        bool, shape ``(N,)``: no voxel of any segment. Suspect only where a segment is always present (then also ``empty``).
    volume_z, components_z : numpy.ndarray
        float64, shape ``(N,)``: largest absolute robust z of log volume, and largest robust z of the number of parts, over
        the segments; 0 where none can be told.
    """

    failed: np.ndarray
    empty: np.ndarray
    components: np.ndarray
    volume_outlier: np.ndarray
    nothing_found: np.ndarray
    volume_z: np.ndarray
    components_z: np.ndarray

    @property
    def suspect(self) -> np.ndarray:
        """bool, shape ``(N,)``: too many parts or a volume far from the pool's."""
        return self.components | self.volume_outlier


def robust_z(values: np.ndarray, min_sd: float) -> np.ndarray:
    """Measure how far each value lies from the median, in robust standard deviations.

    Parameters
    ----------
    values : numpy.ndarray
        float64, shape ``(N,)``; NaN where there is no value.
    min_sd : float
        Spread below which the values are taken as equal.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(N,)``: ``(x - median) / max(1.4826 MAD, min_sd)``; 0 where there is no value, and everywhere
        with fewer than 8 values.
    """
    known = np.isfinite(values)
    if np.count_nonzero(known) < MIN_CASES:
        return np.zeros(len(values))
    median = np.median(values[known])
    sd = max(MAD_TO_SD * float(np.median(np.abs(values[known] - median))), min_sd)
    return np.where(known, (np.where(known, values, median) - median) / sd, 0.0)


def examine(pool: Pool, always_present: Collection[int]) -> Sanity:
    """Find what is wrong with each case at first sight.

    Parameters
    ----------
    pool : Pool
        Cases predicted by one model.
    always_present : collection of int
        Values of the segments every case contains.
    """
    count = len(pool)
    volumes = {value: np.where(pool.failed, np.nan, volume) for value, volume in pool.volumes_ml().items()}
    empty = np.zeros(count, dtype=bool)
    total = np.zeros(count)
    volume_z = np.zeros(count)
    for value, volume in volumes.items():
        total += np.where(pool.failed, np.nan, volume)
        if value in always_present:
            empty |= volume == 0
        # Logarithm, as volumes spread by factors; an absent segment is no small one, so zeros stay out of the spread.
        logarithm = np.log(volume, out=np.full(count, np.nan), where=volume > 0)
        volume_z = np.maximum(volume_z, np.abs(robust_z(logarithm, MIN_LOG_SD)))
    components_z = np.zeros(count)
    for parts in pool.component_counts().values():
        counted = np.where(pool.failed | ~(parts > 0), np.nan, parts)
        components_z = np.maximum(components_z, robust_z(counted, MIN_COUNT_SD))
    return Sanity(
        failed=pool.failed,
        empty=empty,
        components=components_z > OUTLIER_Z,
        volume_outlier=volume_z > OUTLIER_Z,
        nothing_found=(total == 0) & bool(volumes),
        volume_z=volume_z,
        components_z=components_z,
    )
