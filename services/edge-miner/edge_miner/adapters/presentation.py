"""How rounds and ledgers look as JSON, and the estimates computed from them. Read only."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from edge_miner.domain.arm_difference import ArmsOfRound, arm_difference, pool_performance
from edge_miner.domain.model import EntryState, Round, RoundKind
from edge_miner.ports import LedgerEntry
from radloop.references import Arm


def round_as_json(each: Round, counts: Mapping[EntryState, int]) -> dict[str, Any]:
    """Return a round with the number of its cases by where they stand."""
    shown = asdict(each) | {"kind": str(each.kind), "state": str(each.state)}
    # 63 bits do not fit a JSON reader's double.
    return shown | {"seed": str(each.seed), "cases": {str(state): count for state, count in counts.items()}}


def entry_as_json(entry: LedgerEntry) -> dict[str, Any]:
    """Return one line of a ledger: every number behind a flag."""
    line = entry.line
    return {
        "case_id": line.case_id,
        "study_key": entry.study_key,
        "patient_key": entry.patient_key,
        "state": str(entry.state),
        "arm": str(line.arm) if line.arm else None,
        "rank": line.rank,
        "pool_rank": line.pool_rank,
        "inclusion_probability": line.inclusion_probability,
        "reasons": [str(reason) for reason in line.reasons],
        "mined_as_well": line.mined_as_well,
        "scores": {**entry.scores, **line.computed},
        "volumes_ml": dict(entry.volumes),
        "prediction_id": entry.prediction_id,
        "dice": {str(value): dice for value, dice in entry.dice.items()},
        "mean_dice": _mean_dice(entry),
        "started_from_model": entry.started_from_model,
    }


def estimate_as_json(each: Round, entries: Sequence[LedgerEntry]) -> dict[str, Any] | None:
    """Return what a round's approved labels say so far: the model on the whole pool, and mined against control.

    Both use the Dice of the prediction before any correction. None for a round without a control arm.
    """
    if each.kind is not RoundKind.MODEL:
        return None
    controls = [dice for entry in _of_arm(entries, Arm.CONTROL) if (dice := _mean_dice(entry)) is not None]
    performance = pool_performance(np.array(controls), each.patient_count)
    difference = arm_difference([arms_of(entries)], seed=each.seed)
    return {
        "control_flagged": sum(1 for _ in _of_arm(entries, Arm.CONTROL)),
        "mined_flagged": sum(1 for _ in _of_arm(entries, Arm.MINED)),
        "pool_performance": _finite(asdict(performance)) if performance else None,
        "mined_minus_control": _finite(asdict(difference)) | {"known": difference.known} if difference else None,
    }


def pooled_estimate_as_json(rounds: Iterable[Sequence[LedgerEntry]], seed: int) -> dict[str, Any] | None:
    """Return mined against control over several rounds; None while no round has labels in both arms."""
    difference = arm_difference([arms_of(entries) for entries in rounds], seed=seed)
    return _finite(asdict(difference)) | {"known": difference.known} if difference else None


def arms_of(entries: Sequence[LedgerEntry]) -> ArmsOfRound:
    """Return the risks (1 - mean Dice over segments) of the cases of each arm whose label is approved."""
    arms = {
        arm: [
            (1 - dice, entry.patient_key) for entry in _of_arm(entries, arm) if (dice := _mean_dice(entry)) is not None
        ]
        for arm in (Arm.MINED, Arm.CONTROL)
    }
    return ArmsOfRound(
        mined_risks=np.array([risk for risk, _ in arms[Arm.MINED]]),
        control_risks=np.array([risk for risk, _ in arms[Arm.CONTROL]]),
        mined_patients=np.array([patient for _, patient in arms[Arm.MINED]], dtype=str),
        control_patients=np.array([patient for _, patient in arms[Arm.CONTROL]], dtype=str),
    )


def _of_arm(entries: Sequence[LedgerEntry], arm: Arm) -> Iterable[LedgerEntry]:
    return (entry for entry in entries if entry.line.arm is arm)


def _mean_dice(entry: LedgerEntry) -> float | None:
    return float(np.mean(list(entry.dice.values()))) if entry.dice else None


def _finite(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers with null where there is none: JSON knows no NaN."""
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in numbers.items()}
