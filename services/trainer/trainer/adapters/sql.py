"""Repositories and the unit of work on SQL."""

from collections.abc import Sequence
from typing import Any, Self

import sqlalchemy as sa
from pydantic import TypeAdapter

from radloop.references import Arm, Split
from radloop.sql import SqlUnitOfWork, upsert
from trainer.adapters import tables
from trainer.domain.messages import ProjectConfigured
from trainer.domain.model import (
    ACTIVE,
    UNFINISHED,
    ApprovedLabel,
    DatasetVersion,
    Run,
    RunState,
    ServingModel,
    TrainingCase,
)
from trainer.domain.policy import Situation

_PROJECT, _CASE = TypeAdapter(ProjectConfigured), TypeAdapter(TrainingCase)
_LABEL, _SERVING = TypeAdapter(ApprovedLabel), TypeAdapter(ServingModel)
_DATASET, _RUN = TypeAdapter(DatasetVersion), TypeAdapter(Run)


def _text(adapter: TypeAdapter[Any], value: Any) -> str:
    return adapter.dump_json(value).decode()


class _Repository:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _all(self, query: sa.Select[Any], adapter: TypeAdapter[Any]) -> list[Any]:
        return [adapter.validate_json(document) for document in self._connection.execute(query).scalars()]

    def _one(self, query: sa.Select[Any], adapter: TypeAdapter[Any]) -> Any:
        return next(iter(self._all(query.limit(1), adapter)), None)


class SqlProjects(_Repository):
    """Newest version of each project."""

    _table = tables.projects

    def get(self, project_id: str) -> ProjectConfigured | None:
        """Return a project."""
        return self._one(sa.select(self._table.c.document).where(self._table.c.project_id == project_id), _PROJECT)

    def ids(self) -> Sequence[str]:
        """Return the ids of all projects."""
        return list(self._connection.execute(sa.select(self._table.c.project_id)).scalars())

    def save(self, project: ProjectConfigured) -> None:
        """Keep a project, unless a newer version is known."""
        known = self.get(project.project_id)
        if known is None or known.project_version <= project.project_version:
            values = {
                "project_id": project.project_id,
                "project_version": project.project_version,
                "document": _text(_PROJECT, project),
            }
            upsert(self._connection, self._table, values, keys=("project_id",))


class SqlLabels(_Repository):
    """Cases, their newest approved labels, and why they were read."""

    def case(self, case_id: str) -> TrainingCase | None:
        """Return a case."""
        columns = tables.cases.c
        return self._one(sa.select(columns.document).where(columns.case_id == case_id), _CASE)

    def save_case(self, case: TrainingCase) -> None:
        """Keep a case."""
        values = {
            "case_id": case.case_id,
            "study_key": case.study_key,
            "project_id": case.project_id,
            "split": case.split.value,
            "document": _text(_CASE, case),
        }
        upsert(self._connection, tables.cases, values, keys=("case_id",))

    def label(self, case_id: str) -> ApprovedLabel | None:
        """Return the newest approved label of a case."""
        columns = tables.labels.c
        return self._one(sa.select(columns.document).where(columns.case_id == case_id), _LABEL)

    def save_label(self, label: ApprovedLabel, at: float) -> None:
        """Keep a label as new: no run has used it."""
        values = {
            "case_id": label.case_id,
            "study_key": label.study_key,
            "project_id": label.project_id,
            "used": False,
            "approved_at": at,
            "document": _text(_LABEL, label),
        }
        upsert(self._connection, tables.labels, values, keys=("case_id",))

    def save_flag(self, case_id: str, study_key: str, project_id: str, arm: Arm) -> None:
        """Keep why a case was read; the newest reason counts."""
        values = {"case_id": case_id, "study_key": study_key, "project_id": project_id, "arm": arm.value}
        upsert(self._connection, tables.flags, values, keys=("case_id",))

    def flags(self, project_id: str) -> dict[str, Arm]:
        """Return the arm of each flagged case."""
        columns = tables.flags.c
        query = sa.select(columns.case_id, columns.arm).where(columns.project_id == project_id)
        return {row.case_id: Arm(row.arm) for row in self._connection.execute(query)}

    def labelled(self, project_id: str) -> Sequence[tuple[TrainingCase, ApprovedLabel]]:
        """Return each case of a project that has an approved label."""
        query = (
            sa.select(tables.cases.c.document.label("kept_case"), tables.labels.c.document.label("label"))
            .join(tables.labels, tables.labels.c.case_id == tables.cases.c.case_id)
            .where(tables.labels.c.project_id == project_id)
        )
        rows = self._connection.execute(query)
        return [(_CASE.validate_json(row.kept_case), _LABEL.validate_json(row.label)) for row in rows]

    def mark_used(self, case_ids: Sequence[str]) -> None:
        """Note that a run uses the labels of these cases."""
        self._mark(case_ids, used=True)

    def mark_new(self, case_ids: Sequence[str]) -> None:
        """Note that no run uses the labels of these cases after all."""
        self._mark(case_ids, used=False)

    def _mark(self, case_ids: Sequence[str], *, used: bool) -> None:
        if case_ids:
            statement = tables.labels.update().where(tables.labels.c.case_id == sa.bindparam("case"))
            self._connection.execute(statement.values(used=used), [{"case": case_id} for case_id in case_ids])


class SqlRuns(_Repository):
    """Runs, dataset versions, requests, and the model that serves."""

    _table = tables.runs

    def get(self, run_id: str) -> Run | None:
        """Return a run."""
        return self._one(sa.select(self._table.c.document).where(self._table.c.run_id == run_id), _RUN)

    def save(self, run: Run) -> None:
        """Keep a run."""
        values = {
            "run_id": run.run_id,
            "project_id": run.project_id,
            "run_number": run.run_number,
            "state": run.state.value,
            "job_ended": run.job_ended,
            "dataset_version": run.dataset_version,
            "model_digest": run.model_digest,
            "document": _text(_RUN, run),
        }
        upsert(self._connection, self._table, values, keys=("run_id",))

    def of_project(self, project_id: str | None) -> Sequence[Run]:
        """Return the runs of a project (None: of all), oldest first."""
        query = sa.select(self._table.c.document).order_by(self._table.c.project_id, self._table.c.run_number)
        return self._all(query if project_id is None else query.where(self._table.c.project_id == project_id), _RUN)

    def to_look_after(self) -> Sequence[Run]:
        """Return the runs whose jobs need starting, watching or ending."""
        cancelled = (self._table.c.state == RunState.CANCELLED.value) & ~self._table.c.job_ended
        query = sa.select(self._table.c.document).where(self._table.c.state.in_([s.value for s in ACTIVE]) | cancelled)
        return self._all(query, _RUN)

    def by_model(self, model_digest: str) -> Run | None:
        """Return the newest run that trained a model."""
        query = sa.select(self._table.c.document).where(self._table.c.model_digest == model_digest)
        return self._one(query.order_by(self._table.c.run_number.desc()), _RUN)

    def situation(self, project_id: str, now: float) -> Situation:
        """Return what the policy looks at."""
        runs, labels, cases = self._table.c, tables.labels.c, tables.cases.c
        is_train = cases.split == Split.TRAIN.value
        is_new = is_train & ~labels.used
        counted = self._connection.execute(
            sa.select(
                sa.func.count().filter(is_train).label("train"),
                sa.func.count().filter(cases.split == Split.VALIDATION.value).label("validation"),
                sa.func.count().filter(is_new).label("new"),
                sa.func.max(labels.approved_at).filter(is_new).label("last"),
            )
            .select_from(tables.labels.join(tables.cases, cases.case_id == labels.case_id))
            .where(labels.project_id == project_id)
        ).one()
        numbers = self._connection.execute(
            sa.select(
                sa.func.count().label("runs"),
                sa.func.count().filter(runs.state.in_([state.value for state in UNFINISHED])).label("unfinished"),
            ).where(runs.project_id == project_id)
        ).one()
        return Situation(
            unfinished=bool(numbers.unfinished),
            runs=numbers.runs,
            train_labels=counted.train,
            validation_labels=counted.validation,
            new_labels=counted.new,
            since_last_s=abs(now - counted.last) if counted.last else 0.0,  # in the future: the clock was set back
            requested=bool(self.request(project_id)),
        )

    def dataset(self, digest: str) -> DatasetVersion | None:
        """Return a dataset version."""
        columns = tables.datasets.c
        return self._one(sa.select(columns.document).where(columns.digest == digest), _DATASET)

    def save_dataset(self, dataset: DatasetVersion) -> None:
        """Keep a dataset version; the same again changes nothing."""
        values = {
            "digest": dataset.digest,
            "project_id": dataset.project_id,
            "document": _text(_DATASET, dataset),
        }
        upsert(self._connection, tables.datasets, values, keys=("digest",), update=False)
        for study_key in {item.study_key for item in dataset.items}:
            row = {"digest": dataset.digest, "study_key": study_key}
            upsert(self._connection, tables.dataset_studies, row, keys=("digest", "study_key"), update=False)

    def datasets_with(self, study_key: str) -> Sequence[str]:
        """Return the digests of the dataset versions that contain a study."""
        columns = tables.dataset_studies.c
        query = sa.select(columns.digest).where(columns.study_key == study_key)
        return sorted(self._connection.execute(query).scalars())

    def request(self, project_id: str) -> str:
        """Return the oldest open request of a project, empty when there is none."""
        columns = tables.requests.c
        query = sa.select(columns.request_id).where(columns.project_id == project_id, columns.open)
        return self._connection.execute(query.order_by(columns.request_id).limit(1)).scalar() or ""

    def save_request(self, request_id: str, project_id: str) -> None:
        """Keep a request as open."""
        values = {"request_id": request_id, "project_id": project_id, "open": True}
        upsert(self._connection, tables.requests, values, keys=("request_id",), update=False)

    def close_requests(self, project_id: str) -> None:
        """Note that the open requests of a project are served."""
        statement = tables.requests.update().where(tables.requests.c.project_id == project_id)
        self._connection.execute(statement.values(open=False))

    def serving(self, project_id: str) -> ServingModel | None:
        """Return the model that serves a project."""
        columns = tables.serving.c
        return self._one(sa.select(columns.document).where(columns.project_id == project_id), _SERVING)

    def save_serving(self, project_id: str, model: ServingModel) -> None:
        """Keep which model serves, unless something newer is known."""
        known = self.serving(project_id)
        if known is None or known.sequence < model.sequence:
            values = {"project_id": project_id, "sequence": model.sequence, "document": _text(_SERVING, model)}
            upsert(self._connection, tables.serving, values, keys=("project_id",))


class SqlWithdrawn(_Repository):
    """Studies that must stay forgotten."""

    def contains(self, study_key: str) -> bool:
        """Whether a study was withdrawn."""
        query = sa.select(tables.withdrawn.c.study_key).where(tables.withdrawn.c.study_key == study_key)
        return self._connection.execute(query).first() is not None

    def forget(self, study_key: str, dataset_versions: Sequence[str]) -> None:
        """Delete the rows of a study; remember its key and the dataset versions that contained it."""
        upsert(self._connection, tables.withdrawn, {"study_key": study_key}, keys=("study_key",))
        for digest in dataset_versions:
            row = {"study_key": study_key, "digest": digest}
            upsert(self._connection, tables.withdrawn_datasets, row, keys=("study_key", "digest"), update=False)
        for table in (tables.cases, tables.labels, tables.flags):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))

    def listed(self, project_id: str) -> list[dict[str, Any]]:
        """Return the dataset versions of a project that contained a withdrawn study, with the models trained on them."""
        found, runs = tables.withdrawn_datasets.c, tables.runs.c
        query = (
            sa.select(found.study_key, found.digest, runs.model_digest)
            .join(tables.datasets, tables.datasets.c.digest == found.digest)
            .outerjoin(tables.runs, (runs.dataset_version == found.digest) & (runs.model_digest != ""))
            .where(tables.datasets.c.project_id == project_id)
            .order_by(found.study_key, found.digest)
        )
        return [
            {"study_key": row.study_key, "dataset_version": row.digest, "model_digest": row.model_digest or ""}
            for row in self._connection.execute(query)
        ]


class TrainerSqlUnitOfWork(SqlUnitOfWork):
    """The transaction of this service with its repositories."""

    def __enter__(self) -> Self:
        """Begin."""
        super().__enter__()
        self.projects = SqlProjects(self.connection)
        self.labels = SqlLabels(self.connection)
        self.runs = SqlRuns(self.connection)
        self.withdrawn = SqlWithdrawn(self.connection)
        return self
