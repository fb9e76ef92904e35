"""Which cases a round is judged on, where the pool is larger than the project's ``pool_sample``."""

import numpy as np

from edge_miner.domain.ranking import Stream, generator


def draw_sample(patients: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw cases so that patients stay equally likely.

    Every patient gives one random case before any gives a second. A later uniform draw over the sampled patients, one
    case each, is then uniform over the patients of the whole pool and over the cases of each: the control arm drawn from
    the sample is one drawn from the pool.

    Parameters
    ----------
    patients : numpy.ndarray
        int64, shape ``(N,)``: patient number of each eligible case, 0..P-1, cases in order of their ids.
    size : int
        Cases wanted; all are taken if there are no more.
    seed : int
        Seed of the round.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(min(N, size),)``: ascending indices of the cases taken.
    """
    count = len(patients)
    if count <= size:
        return np.arange(count)
    chance = generator(seed, Stream.SAMPLE)
    patient_keys = chance.permutation(int(patients.max()) + 1)
    shuffled = chance.permutation(count)
    by_patient = shuffled[np.argsort(patients[shuffled], kind="stable")]
    sorted_patients = patients[by_patient]
    starts = np.flatnonzero(np.r_[True, sorted_patients[1:] != sorted_patients[:-1]])
    turn = np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))
    order = by_patient[np.lexsort((patient_keys[sorted_patients], turn))]
    return np.sort(order[:size])
