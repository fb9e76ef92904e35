"""Repositories of what was decided, on SQL: cases, projects, splits and tombstones."""

import dataclasses
import json
from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables import CASES, PROJECTS, SPLITS, TOMBSTONES
from ingest.domain.messages import (
    CodedTerm,
    Member,
    PhaseRule,
    ProjectConfigured,
    Role,
    RoutingRule,
    Segment,
    SplitPolicy,
)
from ingest.domain.model import FormedCase
from ingest.domain.reasons import WithdrawReason
from ingest.ports import StoredCase
from radloop.references import ObjectRef, Split
from radloop.sql import upsert

# Asked for every instance, so built once.
_HAS_TOMBSTONE = sa.select(TOMBSTONES.c.study_key).where(TOMBSTONES.c.study_key == sa.bindparam("key"))


class SqlCases:
    """`ports.Cases`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, case_id: str) -> StoredCase | None:
        row = self._connection.execute(sa.select(CASES).where(CASES.c.case_id == case_id)).first()
        return None if row is None else stored_case(row)

    def of_study(self, study_key: str) -> list[StoredCase]:
        query = sa.select(CASES).where(CASES.c.study_key == study_key).order_by(CASES.c.project_id, CASES.c.phase)
        return [stored_case(row) for row in self._connection.execute(query)]

    def add(self, stored: StoredCase) -> None:
        case = stored.case
        row = {
            "case_id": case.case_id,
            "project_id": case.project_id,
            "study_key": case.study_key,
            "series_key": case.series_keys[0],
            "phase": case.phase,
            "revision": stored.revision,
            "patient_key": stored.patient_key,
            "split": stored.split.value,
            "body": json.dumps(dataclasses.asdict(case)),
        }
        self._connection.execute(CASES.insert().values(**row))


def stored_case(row: Any) -> StoredCase:
    """Read a row of the table of cases."""
    body = json.loads(row.body)
    for name in ("series_keys", "shape", "spacing_mm", "affine_lps"):
        body[name] = tuple(body[name])
    body["manifest"] = ObjectRef(**body["manifest"])
    body["volumes"] = tuple(ObjectRef(**volume) for volume in body["volumes"])
    return StoredCase(FormedCase(**body), row.revision, row.patient_key, Split(row.split))


class SqlProjects:
    """`ports.Projects`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str) -> ProjectConfigured | None:
        row = self._connection.execute(sa.select(PROJECTS).where(PROJECTS.c.project_id == project_id)).first()
        return None if row is None else _project(row)

    def save(self, project: ProjectConfigured) -> None:
        row = {
            "project_id": project.project_id,
            "project_version": project.project_version,
            "body": json.dumps(dataclasses.asdict(project)),
        }
        upsert(self._connection, PROJECTS, row, keys=("project_id",))

    def all(self) -> list[ProjectConfigured]:
        return [_project(row) for row in self._connection.execute(sa.select(PROJECTS).order_by(PROJECTS.c.project_id))]


def _project(row: Any) -> ProjectConfigured:
    body = json.loads(row.body)
    return ProjectConfigured(
        project_id=row.project_id,
        project_version=row.project_version,
        routing=tuple(RoutingRule(**rule) for rule in body["routing"]),
        split=SplitPolicy(**body["split"]),
        phases=PhaseRule(body["phases"]),
        members=tuple(Member(member["subject"], Role(member["role"])) for member in body["members"]),
        segments=tuple(_segment(segment) for segment in body.get("segments", ())),
        overlapping_segments=body.get("overlapping_segments", False),
    )


def _segment(body: dict[str, Any]) -> Segment:
    return Segment(**body | {name: CodedTerm(**body[name]) for name in ("type", "category")})


class SqlSplits:
    """`ports.Splits`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str, patient_key: str) -> Split | None:
        query = sa.select(SPLITS.c.split).where(SPLITS.c.project_id == project_id, SPLITS.c.patient_key == patient_key)
        value = self._connection.execute(query).scalar()
        return None if value is None else Split(value)

    def decide(self, project_id: str, patient_key: str, split: Split, *, imported: bool, key_version: int) -> None:
        row = {
            "project_id": project_id,
            "patient_key": patient_key,
            "split": split.value,
            "imported": imported,
            "key_version": key_version,
        }
        self._connection.execute(SPLITS.insert().values(**row))


class SqlTombstones:
    """`ports.Tombstones`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def has(self, study_key: str) -> bool:
        return self._connection.execute(_HAS_TOMBSTONE, {"key": study_key}).first() is not None

    def add(self, study_key: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        row = {"study_key": study_key, "reason": reason.value, "at": at, "empty": False, "key_version": key_version}
        self._connection.execute(TOMBSTONES.insert().values(**row))

    def mark_empty(self, study_key: str) -> None:
        self._connection.execute(TOMBSTONES.update().where(TOMBSTONES.c.study_key == study_key).values(empty=True))

    def next_full(self) -> str | None:
        """Return a withdrawn study whose objects are still to be deleted."""
        query = sa.select(TOMBSTONES.c.study_key).where(sa.not_(TOMBSTONES.c.empty)).order_by(TOMBSTONES.c.at)
        return self._connection.execute(query.limit(1)).scalar()
