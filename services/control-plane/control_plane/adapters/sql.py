"""Repositories and unit of work on SQL: what handlers write. What people read is put together in `adapters/views.py`."""

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

import sqlalchemy as sa
from pydantic import TypeAdapter

from control_plane.adapters import tables
from control_plane.adapters.catalogue_views import SqlCatalogueViews
from control_plane.adapters.curve_views import SqlCurveViews
from control_plane.adapters.views import SqlViews
from control_plane.domain import messages
from control_plane.domain.configuration import ProjectSettings, Segment
from control_plane.domain.project import Project
from control_plane.ports import RegisteredModel, Wish, WishKind
from radloop.references import CaseDice, ObjectRef
from radloop.sql import SqlUnitOfWork, upsert

SETTINGS: TypeAdapter[ProjectSettings] = TypeAdapter(ProjectSettings)


class SqlProjects:
    """Projects; every version is kept as JSON, so that a label can always be read by the version it names."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str) -> Project | None:
        """Return a project at its newest version."""
        versions = tables.project_versions
        query = (
            sa.select(versions.c.version, versions.c.settings)
            .where(versions.c.project_id == project_id)
            .order_by(versions.c.version)
        )
        history = [(row.version, SETTINGS.validate_python(row.settings)) for row in self._connection.execute(query)]
        if not history:
            return None
        ever: dict[Segment, None] = {}
        for _, settings in history:
            ever |= dict.fromkeys(settings.segments)
        version, settings = history[-1]
        return Project(project_id, version, settings, tuple(ever))

    def with_model_name(self, model_name: str) -> str | None:
        """Return the id of the project whose models have this name."""
        query = sa.select(tables.projects.c.project_id).where(tables.projects.c.model_name == model_name)
        return self._connection.execute(query).scalar()

    def save(self, project: Project, by: str) -> None:
        """Add a version."""
        row = {
            "project_id": project.project_id,
            "version": project.version,
            "model_name": project.settings.model_name,
        }
        upsert(self._connection, tables.projects, row, keys=("project_id",))
        self._connection.execute(
            tables.project_versions.insert().values(
                project_id=project.project_id,
                version=project.version,
                settings=SETTINGS.dump_python(project.settings, mode="json"),
                configured_by=by,
                configured_at=time.time(),
            )
        )


class SqlWishes:
    """What people asked for."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def newest(self, project_id: str) -> Wish | None:
        """Return the newest wish for a model, or None when there was none."""
        wishes = tables.wishes
        query = sa.select(wishes.c.sequence, wishes.c.model_digest).where(wishes.c.project_id == project_id)
        row = self._connection.execute(query.order_by(wishes.c.sequence.desc()).limit(1)).first()
        return Wish(row.sequence, row.model_digest) if row else None

    def add(self, said: messages.ModelPromoted, kind: WishKind, by: str) -> None:
        """Remember a wish for a model."""
        self._connection.execute(
            tables.wishes.insert().values(
                project_id=said.project_id,
                sequence=said.sequence,
                kind=kind.value,
                model_digest=said.model_digest,
                wished_by=by,
                wished_at=time.time(),
            )
        )

    def add_training_request(self, said: messages.TrainingRequested, by: str) -> None:
        """Remember that a run was asked for."""
        self._connection.execute(
            tables.training_requests.insert().values(
                request_id=said.request_id, project_id=said.project_id, requested_by=by, requested_at=time.time()
            )
        )


class SqlStudies:
    """Studies, cases, rejections and withdrawals."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, study: messages.StudyIngested) -> None:
        """Remember a study or its next revision; a repeat changes nothing."""
        known = tables.studies
        same = sa.and_(known.c.study_key == study.study_key, known.c.project_id == study.project_id)
        revision = self._connection.execute(sa.select(known.c.revision).where(same)).scalar()
        shared = {"study_key": study.study_key, "project_id": study.project_id, "patient_key": study.patient_key}
        shared["split"] = study.split.value
        if revision is None:
            self._connection.execute(known.insert().values(**shared, site=study.site, revision=study.revision))
        elif revision < study.revision:
            self._connection.execute(known.update().where(same).values(revision=study.revision))
        for case in study.cases:
            row = {**shared, "case_id": case.case_id}
            upsert(self._connection, tables.cases, row, keys=("case_id",), update=False)

    def add_rejection(self, rejection: messages.StudyRejected) -> None:
        """Remember a rejection; a repeat changes nothing."""
        row = {
            "rejection_id": rejection.rejection_id,
            "site": rejection.site,
            "reason": rejection.reason.value,
            "instance_count": rejection.instance_count,
        }
        upsert(self._connection, tables.rejections, row, keys=("rejection_id",), update=False)

    def withdraw(self, withdrawal: messages.StudyWithdrawn) -> None:
        """Remember that a study must be forgotten, for ever."""
        row = {"study_key": withdrawal.study_key, "site": withdrawal.site, "reason": withdrawal.reason.value}
        upsert(self._connection, tables.withdrawn_studies, row, keys=("study_key",), update=False)

    def is_withdrawn(self, study_key: str) -> bool:
        """Whether the study must be forgotten."""
        withdrawn = tables.withdrawn_studies
        query = sa.select(withdrawn.c.study_key).where(withdrawn.c.study_key == study_key)
        return self._connection.execute(query).first() is not None

    def cases_of(self, study_key: str) -> list[str]:
        """Return the ids of a study's cases, as far as any event has named them."""
        named = [tables.cases, tables.predictions, tables.flags, tables.approvals, tables.dataset_items]
        query = sa.union(*(sa.select(table.c.case_id).where(table.c.study_key == study_key) for table in named))
        return sorted(self._connection.execute(query).scalars())

    def withdraw_cases(self, study_key: str, case_ids: Iterable[str]) -> None:
        """Remember which cases belong to a withdrawn study."""
        for case_id in case_ids:
            row = {"case_id": case_id, "study_key": study_key}
            upsert(self._connection, tables.withdrawn_cases, row, keys=("case_id",), update=False)

    def withdrawn_among(self, case_ids: Iterable[str]) -> set[str]:
        """Return those of the cases whose study must be forgotten."""
        withdrawn = tables.withdrawn_cases
        query = sa.select(withdrawn.c.case_id).where(withdrawn.c.case_id.in_(list(case_ids)))
        return set(self._connection.execute(query).scalars())

    def forget(self, study_key: str) -> None:
        """Delete the study and its cases; the withdrawal itself stays."""
        for table in (tables.cases, tables.studies):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))


class SqlRounds:
    """Predictions, flags and approved labels."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add_prediction(self, prediction: messages.PredictionMade) -> None:
        """Remember a prediction; it outweighs a failure of the same prediction."""
        row = dataclasses.asdict(prediction) | {"failure": None}
        upsert(self._connection, tables.predictions, row, keys=("prediction_id",))

    def add_failed_prediction(self, failure: messages.PredictionFailed) -> None:
        """Remember a failure, unless the prediction was made after all."""
        row = dataclasses.asdict(failure)
        row["failure"] = row.pop("reason").value
        upsert(self._connection, tables.predictions, row, keys=("prediction_id",), update=False)

    def add_flag(self, flag: messages.EdgeCaseFlagged) -> None:
        """Remember a flag; a repeat changes nothing."""
        row = dataclasses.asdict(flag) | {"arm": flag.arm.value}
        upsert(self._connection, tables.flags, row, keys=("round_id", "case_id"), update=False)

    def add_approval(self, approval: messages.LabelApproved) -> None:
        """Remember an approval; a repeat changes nothing."""
        row = dataclasses.asdict(approval) | {
            "source": approval.source.value,
            "arm": approval.arm.value if approval.arm else None,
            "prediction_dice": {score.name: score.value for score in approval.prediction_dice},
        }
        upsert(self._connection, tables.approvals, row, keys=("case_id", "sequence"), update=False)

    def forget(self, study_key: str) -> None:
        """Delete everything about a study."""
        for table in (tables.predictions, tables.flags, tables.approvals):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))


class SqlRegistry:
    """Dataset versions, runs, models and deployments."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add_dataset(self, started: messages.TrainingStarted) -> None:
        """Remember a dataset version; the same version again changes nothing."""
        known = tables.datasets
        query = sa.select(known.c.digest).where(
            known.c.project_id == started.project_id, known.c.digest == started.dataset_version
        )
        if self._connection.execute(query).first() is not None:
            return
        self._connection.execute(known.insert().values(project_id=started.project_id, digest=started.dataset_version))
        version = {"project_id": started.project_id, "dataset_version": started.dataset_version}
        rows = [
            version
            | dataclasses.asdict(item)
            | {"split": item.split.value, "arm": item.arm.value if item.arm else None}
            for item in started.items
        ]
        if rows:
            self._connection.execute(tables.dataset_items.insert(), rows)

    def _run(self, run_id: str, project_id: str, **known: Any) -> None:
        upsert(self._connection, tables.runs, {"run_id": run_id, "project_id": project_id, **known}, keys=("run_id",))

    def run_started(self, started: messages.TrainingStarted) -> None:
        """Remember what a run is; its end may have been heard before."""
        self._run(
            started.run_id,
            started.project_id,
            run_number=started.run_number,
            dataset_version=started.dataset_version,
            plan_digest=started.plan_digest,
            request_id=started.request_id,
        )

    def run_waits(self, waiting: messages.TrainingWaiting) -> None:
        """Remember what a run's job waits for, unless something newer is known; its start may not have been heard yet."""
        query = sa.select(tables.runs.c.wait_sequence).where(tables.runs.c.run_id == waiting.run_id)
        if (self._connection.execute(query).scalar() or 0) < waiting.sequence:
            self._run(
                waiting.run_id,
                waiting.project_id,
                run_number=waiting.run_number,
                waits_for=waiting.waits_for.value,
                scheduler_said=waiting.scheduler_said,
                waiting_since_s=waiting.since_s,
                wait_sequence=waiting.sequence,
            )

    def run_ended_with_model(self, trained: messages.ModelTrained) -> None:
        """Remember a run's model; its start may not have been heard yet."""
        self._run(
            trained.run_id,
            trained.project_id,
            run_number=trained.run_number,
            dataset_version=trained.dataset_version,
            plan_digest=trained.plan_digest,
            model_digest=trained.model_digest,
        )

    def run_failed(self, failed: messages.TrainingFailed) -> None:
        """Remember why a run ended without a model; its start may not have been heard yet."""
        self._run(failed.run_id, failed.project_id, failure=failed.reason.value, attempts=failed.attempts)

    def add_trained_model(self, trained: messages.ModelTrained) -> None:
        """Remember a model; one that was heard of by its deployment gains its run."""
        row = {
            "project_id": trained.project_id,
            "digest": trained.model_digest,
            "model_name": trained.model_name,
            "bundle": dataclasses.asdict(trained.bundle),
            "run_id": trained.run_id,
            "run_number": trained.run_number,
            "dataset_version": trained.dataset_version,
            "plan_digest": trained.plan_digest,
            "train_patient_count": trained.train_patient_count,
            "comparison": _comparison(trained.comparison),
            "duration_s": trained.duration_s,
        }
        upsert(self._connection, tables.models, row, keys=("project_id", "digest"))

    def add_candidate(self, deployed: messages.ModelDeployed) -> None:
        """Remember the candidate of a deployment as a model; one that is known stays as it is."""
        if deployed.candidate_bundle is None:
            return
        row = {
            "project_id": deployed.project_id,
            "digest": deployed.candidate_digest,
            "model_name": deployed.model_name,
            "bundle": dataclasses.asdict(deployed.candidate_bundle),
        }
        upsert(self._connection, tables.models, row, keys=("project_id", "digest"), update=False)

    def add_dice(self, project_id: str, digest: str, part: str, dice: Sequence[CaseDice]) -> None:
        """Remember per-case Dice of one part; once heard, it stays as it is."""
        known = tables.case_dice
        query = sa.select(known.c.case_id).where(
            known.c.project_id == project_id, known.c.model_digest == digest, known.c.part == part
        )
        if dice and self._connection.execute(query.limit(1)).first() is None:
            model = {"project_id": project_id, "model_digest": digest, "part": part}
            self._connection.execute(known.insert(), [model | dataclasses.asdict(row) for row in dice])

    def forget_dice(self, case_ids: Iterable[str]) -> None:
        """Delete the Dice of these cases, of every model."""
        known = tables.case_dice
        self._connection.execute(known.delete().where(known.c.case_id.in_(list(case_ids))))

    def model(self, project_id: str, digest: str) -> RegisteredModel | None:
        """Return a model of a project."""
        models = tables.models
        query = sa.select(models.c.bundle).where(models.c.project_id == project_id, models.c.digest == digest)
        bundle = self._connection.execute(query).scalar()
        return RegisteredModel(project_id, digest, ObjectRef(**bundle)) if bundle else None

    def add_deployment(self, site: str, deployed: messages.ModelDeployed) -> None:
        """Remember a deployment; a repeat changes nothing."""
        row = {
            "site": site,
            "project_id": deployed.project_id,
            "sequence": deployed.sequence,
            "outcome": deployed.outcome.value,
            "serving_digest": deployed.serving_digest,
            "candidate_digest": deployed.candidate_digest,
            "previous_digest": deployed.previous_digest,
            "wish_sequence": deployed.wish_sequence,
        }
        upsert(self._connection, tables.deployments, row, keys=("site", "project_id", "sequence"), update=False)

    def served(self, project_id: str) -> dict[str, list[str]]:
        """Return by site the digest that served after each deployment, oldest first; empty strings where none did."""
        known = tables.deployments
        query = (
            sa.select(known.c.site, known.c.serving_digest)
            .where(known.c.project_id == project_id)
            .order_by(known.c.site, known.c.sequence)
        )
        history: dict[str, list[str]] = {}
        for row in self._connection.execute(query):
            history.setdefault(row.site, []).append(row.serving_digest)
        return history

    def answered(self, project_id: str) -> dict[str, int]:
        """Return by site the sequence of the newest wish it has answered; 0 where it has answered none."""
        known = tables.deployments
        query = sa.select(known.c.site, sa.func.max(known.c.wish_sequence).label("newest"))
        rows = self._connection.execute(query.where(known.c.project_id == project_id).group_by(known.c.site))
        return {row.site: row.newest for row in rows}


def _comparison(comparison: messages.Comparison) -> dict[str, Any]:
    """Write a comparison as JSON; a bound that one patient cannot give (not finite) is null, which JSON can carry."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(comparison).items()
    }


class SqlControlPlane(SqlUnitOfWork):
    """The control plane's unit of work."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.projects = SqlProjects(self.connection)
        self.wishes = SqlWishes(self.connection)
        self.studies = SqlStudies(self.connection)
        self.rounds = SqlRounds(self.connection)
        self.registry = SqlRegistry(self.connection)
        self.views = SqlViews(self.connection)
        self.catalogue = SqlCatalogueViews(self.connection)
        self.curves = SqlCurveViews(self.connection)
        return self

    @property
    def site(self) -> str:
        """Site whose service said the event being handled: the first part of ``/<site>/<service>``."""
        return self.cause.source.strip("/").split("/")[0] if self.cause else ""
