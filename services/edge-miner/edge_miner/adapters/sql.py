"""The repositories on SQL, and the unit of work that holds them. Tables stand in `adapters/tables.py`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Self

import sqlalchemy as sa

from edge_miner.adapters import tables as t
from edge_miner.adapters.sql_ledger import SqlLedger
from edge_miner.domain.messages import ConfiguredMember, MemberRole, SelectionPolicy
from edge_miner.domain.model import (
    COLLECTING,
    Case,
    EntryState,
    Prediction,
    Project,
    Round,
    RoundKind,
    RoundState,
    entry_state,
)
from edge_miner.ports import EligibleCase
from radloop.references import ObjectRef, Split
from radloop.sql import SqlUnitOfWork, upsert


class SqlProjects:
    """Projects on SQL."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str) -> Project | None:
        """Return a project, or None."""
        row = self._connection.execute(sa.select(t.projects).where(t.projects.c.project_id == project_id)).first()
        return _project(row) if row else None

    def put(self, project: Project) -> None:
        """Keep a project, replacing what was kept."""
        values = {
            "project_id": project.project_id,
            "project_version": project.project_version,
            "selection": json.dumps(asdict(project.selection)),
            "always_present": json.dumps(project.always_present),
            "members": json.dumps([[member.subject, member.role] for member in project.members]),
            "serving_digest": project.serving_digest,
            "deployment_sequence": project.deployment_sequence,
        }
        upsert(self._connection, t.projects, values, keys=("project_id",))

    def all(self) -> Sequence[Project]:
        """Return every project."""
        return [
            _project(row) for row in self._connection.execute(sa.select(t.projects).order_by(t.projects.c.project_id))
        ]


def _project(row: Any) -> Project:
    return Project(
        project_id=row.project_id,
        project_version=row.project_version,
        selection=SelectionPolicy(**json.loads(row.selection)),
        always_present=tuple(json.loads(row.always_present)),
        members=tuple(ConfiguredMember(subject, MemberRole(role)) for subject, role in json.loads(row.members)),
        serving_digest=row.serving_digest,
        deployment_sequence=row.deployment_sequence,
    )


def _eligible(project_id: str) -> sa.ColumnElement[bool]:
    """Return the condition behind `Case.eligible`, in the order of the index ``cases_eligible``."""
    c = t.cases.c
    return (c.project_id == project_id) & (c.split == Split.TRAIN) & (c.labelled == sa.false()) & (c.open_in == "")


class SqlCases:
    """Cases, approvals and withdrawals on SQL."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, case_id: str) -> Case | None:
        """Return a case, or None."""
        row = self._connection.execute(sa.select(t.cases).where(t.cases.c.case_id == case_id)).first()
        if row is None:
            return None
        return Case(
            row.case_id, row.project_id, row.study_key, row.patient_key, Split(row.split), row.labelled, row.open_in
        )

    def add(self, case: Case, now: float) -> None:
        """Keep a new case, giving it the next number; one that is there stays as it is."""
        values = asdict(case) | {"split": str(case.split), "arrived_at": now}
        upsert(self._connection, t.cases, values, keys=("case_id",), update=False)

    def approve(self, case_id: str, study_key: str) -> None:
        """Remember that the case has an approved label, whether the case is known yet or not."""
        values = {"case_id": case_id, "study_key": study_key}
        upsert(self._connection, t.approved_cases, values, keys=("case_id",), update=False)
        self._connection.execute(t.cases.update().where(t.cases.c.case_id == case_id).values(labelled=True))

    def approved(self, case_id: str) -> bool:
        """Whether the case ever had a label approved."""
        query = sa.select(t.approved_cases.c.case_id).where(t.approved_cases.c.case_id == case_id)
        return self._connection.execute(query).first() is not None

    def open(self, case_ids: Sequence[str], round_id: str) -> None:
        """Mark cases as being before the readers."""
        self._connection.execute(t.cases.update().where(t.cases.c.case_id.in_(case_ids)).values(open_in=round_id))

    def reopen_pool(self, round_id: str) -> None:
        """Give the cases a round flagged back to the pool."""
        self._connection.execute(t.cases.update().where(t.cases.c.open_in == round_id).values(open_in=""))

    def eligible(self, project_id: str) -> Sequence[EligibleCase]:
        """Return the cases that may be flagged, by ascending case id."""
        c = t.cases.c
        query = sa.select(c.case_id, c.study_key, c.patient_key).where(_eligible(project_id)).order_by(c.case_id)
        return [EligibleCase(*row) for row in self._connection.execute(query)]

    def eligible_by_patient(self, project_id: str, up_to_case: int) -> Mapping[str, int]:
        """Return the number of eligible cases of each patient, among cases numbered up to ``up_to_case``."""
        c = t.cases.c
        query = sa.select(c.patient_key, sa.func.count().label("case_count")).where(
            _eligible(project_id), c.number <= up_to_case
        )
        return {row.patient_key: row.case_count for row in self._connection.execute(query.group_by(c.patient_key))}

    def eligible_count(self, project_id: str) -> int:
        """Return the number of cases that may be flagged."""
        query = sa.select(sa.func.count()).select_from(t.cases).where(_eligible(project_id))
        return int(self._connection.execute(query).scalar_one())

    def newest(self, project_id: str) -> tuple[int, float]:
        """Return number and time of arrival of the project's newest case; (0, 0.0) if it has none."""
        c = t.cases.c
        query = sa.select(c.number, c.arrived_at).where(c.project_id == project_id).order_by(c.number.desc()).limit(1)
        row = self._connection.execute(query).first()
        return (row.number, row.arrived_at) if row else (0, 0.0)

    def withdraw(self, study_key: str) -> None:
        """Forget a study's cases and labels, and remember never to take them again."""
        upsert(self._connection, t.withdrawn_studies, {"study_key": study_key}, keys=("study_key",))
        for table in (t.cases, t.approved_cases):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))

    def withdrawn(self, study_key: str) -> bool:
        """Whether a study is to stay forgotten."""
        query = sa.select(t.withdrawn_studies).where(t.withdrawn_studies.c.study_key == study_key)
        return self._connection.execute(query).first() is not None


class SqlPredictions:
    """Predictions on SQL."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, case_id: str, model_digest: str) -> Prediction | None:
        """Return a prediction, or None."""
        c = t.predictions.c
        query = sa.select(t.predictions).where(c.case_id == case_id, c.model_digest == model_digest)
        row = self._connection.execute(query).first()
        if row is None:
            return None
        return Prediction(
            case_id=row.case_id,
            study_key=row.study_key,
            project_id=row.project_id,
            model_digest=row.model_digest,
            prediction_id=row.prediction_id,
            failed=row.failed,
            scores=json.loads(row.scores),
            volumes=json.loads(row.volumes),
            mask=ObjectRef(row.mask_key, row.mask_digest, row.mask_size_bytes) if row.mask_key else None,
        )

    def put(self, prediction: Prediction) -> None:
        """Keep a prediction, replacing that of the same case and model."""
        mask = prediction.mask
        values = {
            "case_id": prediction.case_id,
            "model_digest": prediction.model_digest,
            "study_key": prediction.study_key,
            "project_id": prediction.project_id,
            "prediction_id": prediction.prediction_id,
            "failed": prediction.failed,
            "scores": json.dumps(dict(prediction.scores), allow_nan=False),
            "volumes": json.dumps(dict(prediction.volumes), allow_nan=False),
            "mask_key": mask.key if mask else "",
            "mask_digest": mask.digest if mask else "",
            "mask_size_bytes": mask.size_bytes if mask else 0,
        }
        upsert(self._connection, t.predictions, values, keys=("case_id", "model_digest"))

    def of_model(self, project_id: str, model_digest: str) -> Mapping[str, EntryState]:
        """Return where each case stands that the model has predicted on, by case id."""
        c = t.predictions.c
        query = sa.select(c.case_id, c.failed, c.mask_key)
        query = query.where(c.project_id == project_id, c.model_digest == model_digest)
        return {
            case_id: entry_state(failed=failed, mask_waits=bool(mask_key))
            for case_id, failed, mask_key in self._connection.execute(query)
        }

    def forget_case(self, case_id: str) -> None:
        """Forget what any model said of a case."""
        self._connection.execute(t.predictions.delete().where(t.predictions.c.case_id == case_id))

    def forget_study(self, study_key: str) -> None:
        """Forget what any model said of a study's cases."""
        self._connection.execute(t.predictions.delete().where(t.predictions.c.study_key == study_key))


_ROUND_FIELDS = tuple(field.name for field in fields(Round))
_BEFORE_READERS = (RoundKind.MODEL, RoundKind.COLD_START)


class SqlRounds:
    """Rounds on SQL."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, round_id: str) -> Round | None:
        """Return a round, or None."""
        return next(iter(self._where(t.rounds.c.round_id == round_id)), None)

    def put(self, each: Round) -> None:
        """Keep a round, replacing what was kept."""
        values = asdict(each) | {"kind": str(each.kind), "state": str(each.state)}
        upsert(self._connection, t.rounds, values, keys=("round_id",))

    def collecting(self, project_id: str) -> Round | None:
        """Return the project's open round, or None."""
        c = t.rounds.c
        found = self._where(c.project_id == project_id, c.kind == RoundKind.MODEL, c.state.in_(COLLECTING))
        return found[0] if found else None

    def flagged(self, project_id: str) -> Sequence[Round]:
        """Return the rounds of models, and the cold start, whose batches are before the readers."""
        c = t.rounds.c
        return self._where(c.project_id == project_id, c.kind.in_(_BEFORE_READERS), c.state == RoundState.FLAGGED)

    def last_number(self, project_id: str) -> int:
        """Return the highest number of a round that flagged something; 0 if none has."""
        c = t.rounds.c
        query = sa.select(sa.func.max(c.round_number)).where(
            c.project_id == project_id,
            c.kind == RoundKind.MODEL,
            c.state.in_((RoundState.FLAGGED, RoundState.SUPERSEDED)),
        )
        return self._connection.execute(query).scalar_one() or 0

    def any_of(self, project_id: str) -> bool:
        """Whether the project ever had a round of a model or a cold start."""
        c = t.rounds.c
        query = sa.select(c.position).where(c.project_id == project_id, c.kind.in_(_BEFORE_READERS)).limit(1)
        return self._connection.execute(query).first() is not None

    def open_rounds(self) -> Sequence[Round]:
        """Return every open round of every project."""
        return self._where(t.rounds.c.state.in_(COLLECTING))

    def of_project(self, project_id: str) -> Sequence[Round]:
        """Return a project's rounds in the order they were opened."""
        return self._where(t.rounds.c.project_id == project_id)

    def _where(self, *conditions: sa.ColumnElement[bool]) -> list[Round]:
        rows = self._connection.execute(sa.select(t.rounds).where(*conditions).order_by(t.rounds.c.position))
        return [
            Round(
                **{name: row[name] for name in _ROUND_FIELDS}
                | {"kind": RoundKind(row["kind"]), "state": RoundState(row["state"])}
            )
            for row in rows.mappings()
        ]


class EdgeMinerUnitOfWork(SqlUnitOfWork):
    """One transaction over everything this service owns."""

    def __enter__(self) -> Self:
        """Begin, and set the repositories."""
        super().__enter__()
        self.site = self._source.split("/")[1]
        self.projects = SqlProjects(self.connection)
        self.cases = SqlCases(self.connection)
        self.predictions = SqlPredictions(self.connection)
        self.rounds = SqlRounds(self.connection)
        self.ledger = SqlLedger(self.connection)
        return self
