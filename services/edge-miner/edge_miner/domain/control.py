"""The control arm: drawn first, uniformly over patients, from the whole eligible pool, blind to every score.

Drawing it from what the miner left over would estimate the easy remainder and not the pool (selection.md, trap 12).
"""

import numpy as np

from edge_miner.domain.ranking import Stream, generator

LEAST = 2
"""Below 20 cases a share of 10 % rounds to 0 or 1, from which no spread can be estimated."""


def batch_sizes(batch_size: int, control_fraction: float, patient_count: int) -> tuple[int, int]:
    """Divide a batch between miner and control.

    Parameters
    ----------
    batch_size : int
        Cases the project wants per round.
    control_fraction : float
        Share of the batch drawn at random, 0..1.
    patient_count : int
        Patients with at least one eligible case. A batch holds one case of a patient, so it cannot be larger.

    Returns
    -------
    (int, int)
        Mined and control cases: ``n_c = max(2, round(control_fraction * B))``, where the floor of 2 never takes the
        miner's only place; (0, 0) for an empty pool.
    """
    batch = max(0, min(batch_size, patient_count))
    control = max(min(LEAST, batch - 1), round(control_fraction * batch)) if batch else 0
    return batch - control, control


def draw_by_patient(patients: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw patients uniformly without replacement, then one case of each, uniformly.

    Parameters
    ----------
    patients : numpy.ndarray
        int64, shape ``(N,)``: patient number of each case, 0..P-1, every number taken.
    count : int
        Patients to draw, at most P.
    seed : int
        Seed of the round.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(min(count, P),)``: indices into the pool, in the order drawn.
    """
    if not len(patients):
        return np.zeros(0, dtype=np.int64)
    chance = generator(seed, Stream.CONTROL)
    drawn = chance.permutation(int(patients.max()) + 1)[:count]
    # The first case of each patient in a random order: a uniform choice among the patient's cases.
    shuffled = chance.permutation(len(patients))
    return shuffled[np.unique(patients[shuffled], return_index=True)[1]][drawn]
