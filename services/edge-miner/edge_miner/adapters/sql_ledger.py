"""The ledger on SQL: one row for each case of each round, found by (round, state) while the round collects."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from edge_miner.adapters import tables as t
from edge_miner.domain.batch import Line
from edge_miner.domain.messages import FlagReason
from edge_miner.domain.model import PENDING, EntryState
from edge_miner.domain.pool import PoolMember
from edge_miner.ports import EligibleCase, LedgerEntry, MaskToExamine, NewEntry
from radloop.references import Arm, ObjectRef

_c = t.entries.c
_NOTHING_KNOWN = {"scores": "{}", "volumes": "{}", "computed": "{}", "dice": "{}", "prediction_id": ""}


class SqlLedger:
    """The ledger on SQL."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def enter(self, round_id: str, entries: Sequence[NewEntry]) -> None:
        """Write down the cases of a new round."""
        blank = {
            "arm": "",
            "rank": 0,
            "pool_rank": 0,
            "inclusion_probability": 0.0,
            "reasons": "[]",
            "mined_as_well": False,
            "started_from_model": False,
            **_NOTHING_KNOWN,
        }
        self._connection.execute(
            t.entries.insert(),
            [
                {
                    "round_id": round_id,
                    "case_id": entry.case_id,
                    "study_key": entry.study_key,
                    "patient_key": entry.patient_key,
                    "state": str(entry.state),
                    **blank,
                }
                for entry in entries
            ],
        )

    def settle(self, round_id: str, case_id: str, state: EntryState) -> bool:
        """Note where a pending case stands now; return False for one that is not in the round or pending no more."""
        return self._set_state(round_id, case_id, state, _c.state.in_(PENDING))

    def leave(self, round_id: str, case_id: str) -> bool:
        """Note that a case is no longer eligible; return False for one that is not in the round."""
        return self._set_state(round_id, case_id, EntryState.GONE, _c.state != EntryState.GONE)

    def _set_state(self, round_id: str, case_id: str, state: EntryState, only: sa.ColumnElement[bool]) -> bool:
        statement = t.entries.update().where(_c.round_id == round_id, _c.case_id == case_id, only)
        return self._connection.execute(statement.values(state=str(state))).rowcount > 0

    def any_in(self, round_id: str, states: Sequence[EntryState]) -> bool:
        """Whether any case of the round stands in one of these states."""
        query = sa.select(_c.case_id).where(_c.round_id == round_id, _c.state.in_(states)).limit(1)
        return self._connection.execute(query).first() is not None

    def to_ask(self, round_id: str, limit: int) -> Sequence[EligibleCase]:
        """Return cases whose prediction is still to be asked for, by ascending case id, and mark them as waiting."""
        query = sa.select(_c.case_id, _c.study_key, _c.patient_key)
        query = query.where(_c.round_id == round_id, _c.state == EntryState.TO_ASK).order_by(_c.case_id).limit(limit)
        cases = [EligibleCase(*row) for row in self._connection.execute(query)]
        self._connection.execute(
            t.entries.update()
            .where(_c.round_id == round_id, _c.case_id.in_([case.case_id for case in cases]))
            .values(state=str(EntryState.WAITING))
        )
        return cases

    def to_examine(self, round_id: str, limit: int) -> Sequence[MaskToExamine]:
        """Return predictions whose parts are still to be counted."""
        p = t.predictions.c
        query = (
            sa.select(p.case_id, p.model_digest, p.prediction_id, p.mask_key, p.mask_digest, p.mask_size_bytes)
            .select_from(self._with_predictions())
            .where(_c.round_id == round_id, _c.state == EntryState.TO_EXAMINE)
            .limit(limit)
        )
        return [
            MaskToExamine(case_id, model_digest, prediction_id, ObjectRef(key, digest, size_bytes))
            for case_id, model_digest, prediction_id, key, digest, size_bytes in self._connection.execute(query)
        ]

    def _with_predictions(self) -> sa.FromClause:
        """Join entries with what their round's own model said."""
        p = t.predictions.c
        same = (p.case_id == _c.case_id) & (p.model_digest == t.rounds.c.model_digest)
        return t.entries.join(t.rounds, t.rounds.c.round_id == _c.round_id).join(t.predictions, same)

    def pool(self, round_id: str) -> Sequence[PoolMember]:
        """Return the cases whose prediction is in or failed, with what the round's model said of them."""
        p = t.predictions.c
        query = (
            sa.select(_c.case_id, _c.study_key, _c.patient_key, p.failed, p.scores, p.volumes, p.prediction_id)
            .select_from(self._with_predictions())
            .where(_c.round_id == round_id, _c.state.in_((EntryState.READY, EntryState.FAILED)))
        )
        return [
            PoolMember(case_id, study_key, patient_key, failed, json.loads(scores), json.loads(volumes), prediction_id)
            for case_id, study_key, patient_key, failed, scores, volumes, prediction_id in self._connection.execute(
                query
            )
        ]

    def record(self, round_id: str, lines: Sequence[Line], members: Mapping[str, PoolMember]) -> None:
        """Write the lines of the draw and the ranking, with the members' scores as they are now."""
        statement = t.entries.update().where(
            _c.round_id == sa.bindparam("of_round"), _c.case_id == sa.bindparam("of_case")
        )
        self._connection.execute(
            statement,
            [
                {
                    "of_round": round_id,
                    "of_case": line.case_id,
                    "arm": str(line.arm or ""),
                    "rank": line.rank,
                    "pool_rank": line.pool_rank,
                    "inclusion_probability": line.inclusion_probability,
                    "reasons": json.dumps(line.reasons),
                    "mined_as_well": line.mined_as_well,
                    "computed": json.dumps(dict(line.computed), allow_nan=False),
                    "scores": json.dumps(dict(members[line.case_id].scores), allow_nan=False),
                    "volumes": json.dumps(dict(members[line.case_id].volumes), allow_nan=False),
                    "prediction_id": members[line.case_id].prediction_id,
                }
                for line in lines
            ],
        )

    def label(self, case_id: str, prediction_id: str, dice: Mapping[int, float], started_from_model: bool) -> None:
        """Note, wherever a flag rests on this prediction, how well it agrees with the approved label."""
        statement = t.entries.update().where(
            _c.case_id == case_id, _c.prediction_id == prediction_id, _c.arm != "", _c.state == EntryState.READY
        )
        self._connection.execute(
            statement.values(dice=json.dumps(dict(dice), allow_nan=False), started_from_model=started_from_model)
        )

    def withdraw(self, study_key: str) -> None:
        """Take everything that is known of a study's cases out of every round; that they were there stays."""
        statement = t.entries.update().where(_c.study_key == study_key)
        self._connection.execute(statement.values(state=str(EntryState.GONE), patient_key="", **_NOTHING_KNOWN))

    def counts(self, round_id: str) -> Mapping[EntryState, int]:
        """Return the number of cases by where they stand."""
        query = sa.select(_c.state, sa.func.count()).where(_c.round_id == round_id).group_by(_c.state)
        return {EntryState(state): count for state, count in self._connection.execute(query)}

    def flagged(self, round_id: str) -> Sequence[LedgerEntry]:
        """Return the flagged cases of a round by rank."""
        query = sa.select(t.entries).where(_c.round_id == round_id, _c.rank > 0).order_by(_c.rank)
        return [_entry(row) for row in self._connection.execute(query)]

    def entries(self, round_id: str) -> Sequence[LedgerEntry]:
        """Return the whole ledger of a round: flagged cases by rank, then the others by pool rank and case id."""
        order = (_c.rank == 0, _c.rank, _c.pool_rank == 0, _c.pool_rank, _c.case_id)
        rows = self._connection.execute(sa.select(t.entries).where(_c.round_id == round_id).order_by(*order))
        return [_entry(row) for row in rows]


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(
        study_key=row.study_key,
        patient_key=row.patient_key,
        state=EntryState(row.state),
        line=Line(
            case_id=row.case_id,
            arm=Arm(row.arm) if row.arm else None,
            rank=row.rank,
            pool_rank=row.pool_rank,
            inclusion_probability=row.inclusion_probability,
            reasons=tuple(FlagReason(reason) for reason in json.loads(row.reasons)),
            mined_as_well=row.mined_as_well,
            computed=json.loads(row.computed),
        ),
        scores=json.loads(row.scores),
        volumes=json.loads(row.volumes),
        prediction_id=row.prediction_id,
        dice={int(value): dice for value, dice in json.loads(row.dice).items()},
        started_from_model=row.started_from_model,
    )
