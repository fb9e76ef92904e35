"""From a scored pool to a batch with its ledger: control first, then the miner, then a place for everybody.

Pure functions of (arrays, policy, seed). What they return is what the ledger keeps, so every number behind a flag can be
computed again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from edge_miner.domain.control import batch_sizes, draw_by_patient
from edge_miner.domain.messages import FlagReason
from edge_miner.domain.pool import Pool
from edge_miner.domain.ranking import Stream, first_of_each, generator
from edge_miner.domain.sanity import Sanity, examine
from edge_miner.domain.strategies import Tier, reasons_for, strategy_named
from radloop.references import Arm


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How many cases, how many of them by chance, and by which strategy the rest."""

    strategy: str
    batch_size: int
    control_fraction: float


@dataclass(frozen=True, slots=True)
class Frame:
    """The whole eligible pool a round's cases stand for, when its arms were drawn.

    Attributes
    ----------
    cases_of_patient : Mapping[str, int]
        Number of eligible cases of each patient, by patient key; at least those of the round's own cases.
    """

    cases_of_patient: Mapping[str, int]

    @property
    def case_count(self) -> int:
        """Eligible cases."""
        return sum(self.cases_of_patient.values())

    @property
    def patient_count(self) -> int:
        """Patients with an eligible case."""
        return len(self.cases_of_patient)


@dataclass(frozen=True, slots=True)
class Line:
    """One case's line in the ledger of a round.

    Attributes
    ----------
    case_id : str
    arm : Arm or None
        None if the case was not flagged.
    rank : int
        Place in the batch, from 1; 0 if not flagged.
    pool_rank : int
        Place in the strategy's order of the whole pool, from 1; 0 where only chance decided.
    inclusion_probability : float
        With which the case came into its arm; 0 where a ranking decided or it was not flagged.
    reasons : tuple of FlagReason
        Empty if not flagged.
    mined_as_well : bool
        A control case the miner would have taken too, had there been no control arm.
    computed : Mapping[str, float]
        Scores that only the pool as a whole gives: robust z of volume and of parts, and the value it was ranked by.
    """

    case_id: str
    arm: Arm | None
    rank: int
    pool_rank: int
    inclusion_probability: float
    reasons: tuple[FlagReason, ...]
    mined_as_well: bool
    computed: Mapping[str, float]


def compose_batch(
    pool: Pool, policy: BatchPolicy, always_present: Collection[int], frame: Frame, seed: int
) -> list[Line]:
    """Draw the control arm, mine the rest, and give every flagged case its place.

    1. Control patients are drawn uniformly from the whole pool, blind to every score, then one case of each.
    2. The miner takes the worst cases of the patients left, one of each; a patient's other cases wait for a later round.
    3. Control cases get random places among the mined ones: a place must not tell the arm, and an unfinished batch must
       not lack controls more often than mined cases.

    Parameters
    ----------
    pool : Pool
        Cases predicted by the round's model; at least one.
    policy : BatchPolicy
    always_present : collection of int
        Values of the segments every case contains.
    frame : Frame
        The eligible pool, of which `pool` may be a sample.
    seed : int
        Of all draws and ties.

    Returns
    -------
    list of Line
        One for each case of the pool, in the pool's order (by case id).

    Raises
    ------
    Invalid
        ``strategy-unknown``.
    """
    sanity = examine(pool, always_present)
    ranking = strategy_named(policy.strategy)(pool, sanity, seed)
    mined_count, control_count = batch_sizes(policy.batch_size, policy.control_fraction, len(np.unique(pool.patients)))

    control = draw_by_patient(pool.patients, control_count, seed)
    without_control = ranking.order[~np.isin(pool.patients[ranking.order], pool.patients[control])]
    mined = first_of_each(without_control, pool.patients)[:mined_count]
    would_mine = first_of_each(ranking.order, pool.patients)[:mined_count]

    places = _places(mined, control, seed)
    pool_ranks = np.zeros(len(pool), dtype=np.int64)
    pool_ranks[ranking.order] = np.arange(1, len(pool) + 1)
    pool_ranks[ranking.tiers == Tier.UNRANKED] = 0
    reasons = reasons_for(ranking, sanity, policy.batch_size)
    in_control, in_mined, wanted = set(control.tolist()), set(mined.tolist()), set(would_mine.tolist())

    lines = []
    for index, member in enumerate(pool.members):
        arm = Arm.CONTROL if index in in_control else Arm.MINED if index in in_mined else None
        probability = 0.0
        if arm is Arm.CONTROL:
            probability = min(1.0, control_count / frame.patient_count) / frame.cases_of_patient[member.patient_key]
        lines.append(
            Line(
                case_id=member.case_id,
                arm=arm,
                rank=places.get(index, 0),
                pool_rank=int(pool_ranks[index]),
                inclusion_probability=probability,
                reasons=_reasons(arm, reasons[index], by_chance=ranking.by_chance),
                mined_as_well=arm is Arm.CONTROL and index in wanted,
                computed=_computed(ranking.values, sanity, index),
            )
        )
    return lines


def draw_cold_start(pool: Pool, batch_size: int, seed: int) -> list[Line]:
    """Draw a first batch before there is any model: patients uniformly, one case of each.

    Parameters
    ----------
    pool : Pool
        All eligible cases; none of them predicted.
    batch_size : int
    seed : int

    Returns
    -------
    list of Line
        One for each case of the pool; the arm of those drawn is COLD_START.
    """
    patients, counts = np.unique(pool.patients, return_counts=True)
    drawn = draw_by_patient(pool.patients, min(batch_size, len(patients)), seed)
    places = {int(index): place for place, index in enumerate(drawn, start=1)}
    return [
        Line(
            case_id=member.case_id,
            arm=Arm.COLD_START if index in places else None,
            rank=places.get(index, 0),
            pool_rank=0,
            inclusion_probability=(
                len(drawn) / len(patients) / int(counts[pool.patients[index]]) if index in places else 0.0
            ),
            reasons=(FlagReason.RANDOM,) if index in places else (),
            mined_as_well=False,
            computed={},
        )
        for index, member in enumerate(pool.members)
    ]


def _places(mined: np.ndarray, control: np.ndarray, seed: int) -> dict[int, int]:
    """Return the place (from 1) of each flagged index: mined in their order, control at random places between them."""
    total = len(mined) + len(control)
    is_control = np.zeros(total, dtype=bool)
    is_control[generator(seed, Stream.PLACES).permutation(total)[: len(control)]] = True
    batch = np.zeros(total, dtype=np.int64)
    batch[is_control], batch[~is_control] = control, mined
    return {int(index): place for place, index in enumerate(batch, start=1)}


def _reasons(arm: Arm | None, mined_for: tuple[FlagReason, ...], *, by_chance: bool) -> tuple[FlagReason, ...]:
    if arm is None:
        return ()
    if arm is Arm.CONTROL or by_chance:
        return (FlagReason.RANDOM,)
    return mined_for


def _computed(values: np.ndarray, sanity: Sanity, index: int) -> dict[str, float]:
    if sanity.failed[index]:
        return {}
    computed = {
        "volume-robust-z": float(sanity.volume_z[index]),
        "components-robust-z": float(sanity.components_z[index]),
    }
    if np.isfinite(values[index]):
        computed["ranked-by"] = float(values[index])
    return computed
