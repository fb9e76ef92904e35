"""Projects, cases, labels, drafts and all else on SQL, and the unit of work over them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import sqlalchemy as sa

from labeling.adapters import tables
from labeling.adapters.sql_tasks import SqlTasks
from labeling.adapters.sql_worklist import worklist
from labeling.domain.messages import CodedTerm, Member, Segment
from labeling.domain.model import (
    Action,
    Approval,
    Case,
    DraftEntry,
    HistoryEntry,
    LabelVersion,
    Prediction,
    Project,
    Report,
    Return,
)
from labeling.domain.vocabulary import LabelSource, MemberRole, Reading
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split
from radloop.sql import SqlUnitOfWork, upsert

DRAFTS_OF_STUDY = sa.select(tables.drafts.c.task_id).where(
    tables.drafts.c.task_id.in_(
        sa.select(tables.tasks.c.task_id).where(tables.tasks.c.study_key == sa.bindparam("study_key"))
    )
)
"""Entries of drafts of a study, which name only their task; `study_key` is a parameter."""


class LabelingUnitOfWork(SqlUnitOfWork):
    """One transaction over everything labeling keeps."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.projects = SqlProjects(self.connection)
        self.studies = SqlStudies(self.connection)
        self.cases = SqlCases(self.connection)
        self.predictions = SqlPredictions(self.connection)
        self.tasks = SqlTasks(self.connection)
        self.worklist = partial(worklist, self.connection)
        self.labels = SqlLabels(self.connection)
        self.drafts = SqlDrafts(self.connection)
        self.verdicts = SqlVerdicts(self.connection)
        self.reports = SqlReports(self.connection)
        self.uploads = SqlUploads(self.connection)
        self.history = SqlHistory(self.connection)
        return self


class _Repository:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _one(self, query: sa.Select[Any]) -> Any:
        return self._connection.execute(query).first()


class SqlProjects(_Repository):
    """Projects in their newest version."""

    def get(self, project_id: str) -> Project | None:
        """Return the project, or None."""
        row = self._one(sa.select(tables.projects).where(tables.projects.c.project_id == project_id))
        return _project(json.loads(row.body)) if row else None

    def all(self) -> Sequence[Project]:
        """Return all projects, in order of id."""
        query = sa.select(tables.projects.c.body).order_by(tables.projects.c.project_id)
        return [_project(json.loads(row.body)) for row in self._connection.execute(query)]

    def put(self, project: Project) -> None:
        """Keep this version in place of the former."""
        body = json.dumps(dataclasses.asdict(project))
        values = {"project_id": project.project_id, "version": project.version, "body": body}
        upsert(self._connection, tables.projects, values, keys=("project_id",))

    def keep_instructions(self, project_id: str, version: int, instructions: str) -> None:
        """Keep how a version of a project is to be read; a repeat changes nothing."""
        values = {"project_id": project_id, "version": version, "instructions": instructions}
        upsert(self._connection, tables.project_versions, values, keys=("project_id", "version"), update=False)

    def instructions(self, project_id: str, version: int) -> str | None:
        """Return how a version of a project is to be read; None where that version was never heard of."""
        known = tables.project_versions.c
        row = self._one(sa.select(known.instructions).where(known.project_id == project_id, known.version == version))
        return row.instructions if row else None

    def newest_round(self, project_id: str) -> int:
        """Return the highest round number heard of; 0 for none."""
        row = self._one(sa.select(tables.projects.c.newest_round).where(tables.projects.c.project_id == project_id))
        return row.newest_round if row else 0

    def round_heard(self, project_id: str, round_number: int) -> None:
        """Remember a round number, if it is the highest."""
        projects = tables.projects
        higher = sa.and_(projects.c.project_id == project_id, projects.c.newest_round < round_number)
        self._connection.execute(projects.update().where(higher).values(newest_round=round_number))


class SqlStudies(_Repository):
    """Withdrawn studies."""

    def withdrawn(self, study_key: str) -> bool:
        """Whether the study was withdrawn."""
        return self._one(sa.select(tables.tombstones).where(tables.tombstones.c.study_key == study_key)) is not None

    def withdraw(self, study_key: str) -> None:
        """Remember that for ever, and delete the study's rows; its tasks stay, cancelled."""
        upsert(self._connection, tables.tombstones, {"study_key": study_key, "purged": False}, keys=("study_key",))
        case_ids = sa.select(tables.cases.c.case_id).where(tables.cases.c.study_key == study_key)
        task_ids = sa.select(tables.tasks.c.task_id).where(tables.tasks.c.study_key == study_key)
        label_ids = sa.select(tables.labels.c.label_version_id).where(tables.labels.c.study_key == study_key)
        for table, condition in (
            (tables.drafts, tables.drafts.c.task_id.in_(task_ids)),
            (tables.exclusions, tables.exclusions.c.task_id.in_(task_ids)),
            (tables.approvals, tables.approvals.c.label_version_id.in_(label_ids)),
            (tables.returns, tables.returns.c.label_version_id.in_(label_ids)),
            (tables.history, tables.history.c.case_id.in_(case_ids)),
            (tables.labels, tables.labels.c.study_key == study_key),
            (tables.reports, tables.reports.c.study_key == study_key),
            (tables.predictions, tables.predictions.c.study_key == study_key),
            (tables.cases, tables.cases.c.study_key == study_key),
        ):
            self._connection.execute(table.delete().where(condition))

    def to_purge(self) -> str | None:
        """Return a withdrawn study whose objects may still be there."""
        row = self._one(sa.select(tables.tombstones.c.study_key).where(~tables.tombstones.c.purged).limit(1))
        return row.study_key if row else None

    def purged(self, study_key: str) -> None:
        """Remember that its objects are gone."""
        mine = tables.tombstones.c.study_key == study_key
        self._connection.execute(tables.tombstones.update().where(mine).values(purged=True))


class SqlCases(_Repository):
    """Cases by id."""

    def get(self, case_id: str) -> Case | None:
        """Return the case, or None."""
        return self.several([case_id]).get(case_id)

    def several(self, case_ids: Sequence[str]) -> Mapping[str, Case]:
        """Return those that are known, by id."""
        known = tables.cases.c
        rows = self._connection.execute(sa.select(known.case_id, known.body).where(known.case_id.in_(case_ids)))
        return {row.case_id: _case(json.loads(row.body)) for row in rows}

    def add(self, case: Case) -> None:
        """Keep a case; one that is known is left as it is, unless its series is still unknown."""
        cases = tables.cases
        values = {
            "case_id": case.case_id,
            "study_key": case.study_key,
            "body": json.dumps(dataclasses.asdict(case)),
            "project_id": case.project_id,
            "split": case.split,
            "series_key": case.series_key,
            "phase": case.phase,
        }
        upsert(self._connection, cases, values, keys=("case_id",), update=False)
        if case.series_key:
            unknown = sa.and_(cases.c.case_id == case.case_id, cases.c.series_key == "")
            self._connection.execute(cases.update().where(unknown).values(**values))

    def phases(self, project_id: str, series_keys: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Return the project's cases of each series as (phase, case id), in order of phase."""
        known = tables.cases.c
        query = sa.select(known.series_key, known.phase, known.case_id)
        mine = query.where(known.project_id == project_id, known.series_key.in_(series_keys))
        found: dict[str, list[tuple[int, str]]] = {}
        for row in self._connection.execute(mine.order_by(known.series_key, known.phase)):
            found.setdefault(row.series_key, []).append((row.phase, row.case_id))
        return found


class SqlPredictions(_Repository):
    """Predictions by id."""

    def get(self, prediction_id: str) -> Prediction | None:
        """Return the prediction, or None."""
        return self.several([prediction_id]).get(prediction_id)

    def several(self, prediction_ids: Sequence[str]) -> Mapping[str, Prediction]:
        """Return those that are known, by id."""
        query = sa.select(tables.predictions).where(tables.predictions.c.prediction_id.in_(prediction_ids))
        return {row.prediction_id: _prediction(row) for row in self._connection.execute(query)}

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction; one that is known is left as it is."""
        predictions, uncertainty = tables.predictions, prediction.uncertainty
        last = sa.select(sa.func.max(predictions.c.number)).where(predictions.c.case_id == prediction.case_id)
        values = {
            "prediction_id": prediction.prediction_id,
            "case_id": prediction.case_id,
            "study_key": prediction.study_key,
            **_mask_columns(prediction.mask),
            "uncertainty_key": uncertainty.key if uncertainty else None,
            "uncertainty_digest": uncertainty.digest if uncertainty else None,
            "uncertainty_size_bytes": uncertainty.size_bytes if uncertainty else None,
            "number": (self._connection.execute(last).scalar() or 0) + 1,
        }
        upsert(self._connection, predictions, values, keys=("prediction_id",), update=False)

    def newest_of_case(self, case_id: str) -> Prediction | None:
        """Return the prediction of the case that was heard of last, or None."""
        known = tables.predictions.c
        mine = sa.select(tables.predictions).where(known.case_id == case_id)
        row = self._one(mine.order_by(known.number.desc(), known.prediction_id).limit(1))
        return _prediction(row) if row else None


class SqlLabels(_Repository):
    """Label versions: rows are only ever inserted."""

    def get(self, label_version_id: str) -> LabelVersion | None:
        """Return the label version, or None."""
        row = self._one(sa.select(tables.labels).where(tables.labels.c.label_version_id == label_version_id))
        return _label(row) if row else None

    def add(self, label: LabelVersion) -> None:
        """Keep a label version."""
        values = {f.name: getattr(label, f.name) for f in dataclasses.fields(label)} | _mask_columns(label.mask)
        values["segments"] = json.dumps([dataclasses.asdict(status) for status in label.segments])
        values["made_at"] = label.made_at.timestamp()
        del values["mask"]
        self._connection.execute(tables.labels.insert().values(**values))

    def newest_of_task(self, task_id: str) -> LabelVersion | None:
        """Return the label version that answered the last attempt, or None."""
        mine = sa.select(tables.labels).where(tables.labels.c.task_id == task_id, ~tables.labels.c.saved)
        row = self._one(mine.order_by(tables.labels.c.attempt.desc()).limit(1))
        return _label(row) if row else None

    def versions_of_task(self, task_id: str) -> Sequence[LabelVersion]:
        """Return the label versions of a task, those that were only saved among them, oldest first."""
        labels = tables.labels
        mine = sa.select(labels).where(labels.c.task_id == task_id)
        # What was saved on the way to an attempt stands before it, whatever the clock said.
        ordered = mine.order_by(labels.c.attempt, labels.c.saved.desc(), labels.c.made_at, labels.c.label_version_id)
        return [_label(row) for row in self._connection.execute(ordered)]

    def of_case(self, case_id: str) -> Sequence[LabelVersion]:
        """Return the answers to a case, oldest first."""
        mine = sa.select(tables.labels).where(tables.labels.c.case_id == case_id, ~tables.labels.c.saved)
        ordered = mine.order_by(tables.labels.c.made_at, tables.labels.c.label_version_id)
        return [_label(row) for row in self._connection.execute(ordered)]

    def read_elsewhere(self, case_id: str, reader: str, task_id: str) -> bool:
        """Whether the reader answered another task of the case."""
        labels = tables.labels
        mine = sa.select(labels.c.label_version_id).where(labels.c.case_id == case_id, labels.c.reader == reader)
        elsewhere = mine.where(labels.c.task_id != task_id, ~labels.c.saved)
        return self._one(elsewhere.limit(1)) is not None


class SqlDrafts(_Repository):
    """Journals of readers."""

    def last(self, task_id: str, reader: str) -> int:
        """Return the sequence number of the last entry; 0 for an empty journal."""
        return self.last_of([task_id], reader).get(task_id, 0)

    def last_of(self, task_ids: Sequence[str], reader: str) -> Mapping[str, int]:
        """Return it for each of the tasks whose journal is not empty."""
        drafts = tables.drafts
        query = (
            sa.select(drafts.c.task_id, sa.func.max(drafts.c.sequence).label("last"))
            .where(drafts.c.task_id.in_(task_ids), drafts.c.reader == reader)
            .group_by(drafts.c.task_id)
        )
        return {row.task_id: row.last for row in self._connection.execute(query)}

    def entries(self, task_id: str, reader: str, after: int, limit: int) -> Sequence[DraftEntry]:
        """Return entries in order."""
        drafts = tables.drafts
        mine = sa.select(drafts).where(drafts.c.task_id == task_id, drafts.c.reader == reader)
        ordered = mine.where(drafts.c.sequence > after).order_by(drafts.c.sequence).limit(limit)
        return [DraftEntry(row.sequence, row.entry, _time(row.made_at)) for row in self._connection.execute(ordered)]

    def append(self, task_id: str, reader: str, entries: Sequence[DraftEntry]) -> None:
        """Append entries; two writers of one number: the primary key lets one of them through."""
        rows = [
            {
                "task_id": task_id,
                "reader": reader,
                "sequence": entry.sequence,
                "entry": entry.entry,
                "made_at": entry.made_at.timestamp(),
            }
            for entry in entries
        ]
        if rows:
            self._connection.execute(tables.drafts.insert(), rows)

    def any(self, task_id: str) -> bool:
        """Whether any reader has written a draft of the task."""
        drafts = tables.drafts
        return self._one(sa.select(drafts.c.sequence).where(drafts.c.task_id == task_id).limit(1)) is not None


class SqlVerdicts(_Repository):
    """What QA has said."""

    def approvals(self, case_id: str) -> Sequence[Approval]:
        """Return the approvals of a case."""
        rows = self._connection.execute(sa.select(tables.approvals).where(tables.approvals.c.case_id == case_id))
        return [Approval(**row._mapping) for row in rows]

    def approve(self, approval: Approval) -> None:
        """Keep an approval; a repeat changes nothing."""
        values = dataclasses.asdict(approval)
        upsert(self._connection, tables.approvals, values, keys=("review_id", "label_version_id"), update=False)

    def returned(self, review_id: str, label_version_id: str) -> bool:
        """Whether this return was heard before."""
        returns = tables.returns
        mine = sa.and_(returns.c.review_id == review_id, returns.c.label_version_id == label_version_id)
        return self._one(sa.select(returns.c.review_id).where(mine)) is not None

    def return_(self, returned: Return) -> None:
        """Keep a return."""
        values = dataclasses.asdict(returned) | {"reasons": json.dumps(returned.reasons)}
        upsert(self._connection, tables.returns, values, keys=("review_id", "label_version_id"), update=False)


class SqlReports(_Repository):
    """Cases that readers reported."""

    def get(self, report_id: str) -> Report | None:
        """Return the report, or None."""
        row = self._one(sa.select(tables.reports).where(tables.reports.c.report_id == report_id))
        return Report(**row._mapping) if row else None

    def add(self, report: Report) -> None:
        """Keep a report."""
        self._connection.execute(tables.reports.insert().values(**dataclasses.asdict(report)))


class SqlUploads(_Repository):
    """Objects announced and not yet referred to."""

    def begin(self, key: str, study_key: str, at: datetime) -> None:
        """Announce an object; a repeat moves the time."""
        values = {"key": key, "study_key": study_key, "begun_at": at.timestamp()}
        upsert(self._connection, tables.uploads, values, keys=("key",))

    def end(self, key: str) -> bool:
        """Forget the announcement; return whether there was one."""
        return bool(self._connection.execute(tables.uploads.delete().where(tables.uploads.c.key == key)).rowcount)

    def abandoned(self, before: datetime) -> str | None:
        """Return the key of an object announced before a time and never referred to."""
        uploads = tables.uploads
        old = sa.select(uploads.c.key).where(uploads.c.begun_at < before.timestamp())
        row = self._one(old.order_by(uploads.c.begun_at).limit(1))
        return row.key if row else None


class SqlHistory(_Repository):
    """What happened to cases."""

    def add(self, entry: HistoryEntry) -> None:
        """Append an entry."""
        values = dataclasses.asdict(entry) | {"at": entry.at.timestamp()}
        self._connection.execute(tables.history.insert().values(**values))

    def of_case(self, case_id: str) -> Sequence[HistoryEntry]:
        """Return what happened, oldest first."""
        mine = sa.select(tables.history).where(tables.history.c.case_id == case_id).order_by(tables.history.c.id)
        return [
            HistoryEntry(
                case_id=row.case_id,
                at=_time(row.at),
                action=Action(row.action),
                reader=row.reader,
                task_id=row.task_id,
                label_version_id=row.label_version_id,
                detail=row.detail,
                note=row.note,
            )
            for row in self._connection.execute(mine)
        ]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _mask(row: Any) -> ObjectRef:
    return ObjectRef(row.mask_key, row.mask_digest, row.mask_size_bytes)


def _mask_columns(mask: ObjectRef) -> dict[str, Any]:
    return {"mask_key": mask.key, "mask_digest": mask.digest, "mask_size_bytes": mask.size_bytes}


def _prediction(row: Any) -> Prediction:
    key = row.uncertainty_key
    uncertainty = ObjectRef(key, row.uncertainty_digest, row.uncertainty_size_bytes) if key else None
    return Prediction(row.prediction_id, row.case_id, row.study_key, _mask(row), uncertainty)


def _label(row: Any) -> LabelVersion:
    values = {f.name: getattr(row, f.name) for f in dataclasses.fields(LabelVersion) if f.name != "mask"}
    statuses = json.loads(row.segments)
    return LabelVersion(
        **values
        | {
            "mask": _mask(row),
            "segments": tuple(SegmentStatus(s["value"], SegmentState(s["state"])) for s in statuses),
            "source": LabelSource(row.source),
            "reading": Reading(row.reading),
            "arm": Arm(row.arm) if row.arm else None,
            "made_at": _time(row.made_at),
        }
    )


def _project(body: dict[str, Any]) -> Project:
    segments = tuple(
        Segment(**s | {"type": CodedTerm(**s["type"]), "category": CodedTerm(**s["category"])})
        for s in body["segments"]
    )
    members = tuple(Member(m["subject"], MemberRole(m["role"])) for m in body["members"])
    return Project(**body | {"segments": segments, "members": members})


def _case(body: dict[str, Any]) -> Case:
    numbers = {name: tuple(body[name]) for name in ("shape", "spacing_mm", "affine_lps")}
    objects = {
        "manifest": ObjectRef(**body["manifest"]),
        "volumes": tuple(ObjectRef(**ref) for ref in body["volumes"]),
    }
    return Case(**body | numbers | objects | {"split": Split(body["split"])})
