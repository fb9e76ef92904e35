"""Repositories on the service's tables, the unit of work, and the queue of waiting predictions."""

import time
from dataclasses import asdict
from typing import Self

import sqlalchemy as sa

from inference.adapters import tables as t
from inference.domain.model import (
    Case,
    Model,
    PendingDeployment,
    Prediction,
    PredictionState,
    Project,
    Traffic,
)
from inference.ports import Claimed
from radloop.sql import Database, SqlUnitOfWork, upsert


class SqlProjects:
    """Projects in a table."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str) -> Project | None:
        """Return a project, or None."""
        row = self._connection.execute(t.projects.select().where(t.projects.c.project_id == project_id)).first()
        return t.project_of(row) if row else None

    def save(self, project: Project) -> None:
        """Insert or replace a project."""
        upsert(self._connection, t.projects, t.project_values(project), keys=("project_id",))

    def all(self) -> list[Project]:
        """Return all projects, by id."""
        return [t.project_of(row) for row in self._connection.execute(t.projects.select().order_by("project_id"))]


class SqlModels:
    """Models in a table."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str, model_digest: str) -> Model | None:
        """Return a model, or None."""
        row = self._connection.execute(
            t.models.select().where(t.models.c.project_id == project_id, t.models.c.model_digest == model_digest)
        ).first()
        return t.model_of(row) if row else None

    def save(self, model: Model) -> None:
        """Insert or replace a model; it keeps its place in the order."""
        values = t.model_values(model)
        identity = (t.models.c.project_id == model.project_id) & (t.models.c.model_digest == model.model_digest)
        if self._connection.execute(t.models.update().where(identity).values(values)).rowcount == 0:
            count = self._connection.execute(sa.select(sa.func.count()).select_from(t.models)).scalar_one()
            self._connection.execute(t.models.insert().values(**values, position=count + 1))

    def all(self, project_id: str | None = None) -> list[Model]:
        """Return all models, of one project if given, in the order they came."""
        query = t.models.select().order_by(t.models.c.position)
        if project_id is not None:
            query = query.where(t.models.c.project_id == project_id)
        return [t.model_of(row) for row in self._connection.execute(query)]

    def first_of_run(self, run_id: str) -> bool:
        """Remember a training run; return whether this is the first that is heard of it."""
        known = t.trained_runs.select().where(t.trained_runs.c.run_id == run_id)
        if self._connection.execute(known).first() is not None:
            return False
        self._connection.execute(t.trained_runs.insert().values(run_id=run_id))
        return True


class SqlTraffic:
    """Who serves, in a table."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, project_id: str) -> Traffic:
        """Return a project's traffic; an empty one for a project nobody served yet."""
        row = self._connection.execute(t.traffic.select().where(t.traffic.c.project_id == project_id)).first()
        return t.traffic_of(row) if row else Traffic(project_id)

    def save(self, traffic: Traffic) -> None:
        """Insert or replace."""
        upsert(self._connection, t.traffic, t.traffic_values(traffic), keys=("project_id",))

    def all(self) -> list[Traffic]:
        """Return the traffic of every project that ever had any, by project."""
        return [t.traffic_of(row) for row in self._connection.execute(t.traffic.select().order_by("project_id"))]


class SqlDeployments:
    """Candidates that wait to be loaded, in a table."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, candidate: PendingDeployment) -> None:
        """Queue a candidate; the database gives the id."""
        values = asdict(candidate)
        del values["deployment_id"]
        self._connection.execute(t.deployments.insert().values(**values | {"cause": candidate.cause.value}))

    def get(self, deployment_id: int) -> PendingDeployment | None:
        """Return a candidate that still waits, or None."""
        row = self._connection.execute(
            t.deployments.select().where(t.deployments.c.deployment_id == deployment_id)
        ).first()
        return t.deployment_of(row) if row else None

    def next(self) -> PendingDeployment | None:
        """Return the one that waits longest, or None."""
        row = self._connection.execute(t.deployments.select().order_by(t.deployments.c.deployment_id).limit(1)).first()
        return t.deployment_of(row) if row else None

    def of_project(self, project_id: str) -> list[PendingDeployment]:
        """Return a project's candidates, in the order they came."""
        query = t.deployments.select().where(t.deployments.c.project_id == project_id)
        return [t.deployment_of(row) for row in self._connection.execute(query.order_by(t.deployments.c.deployment_id))]

    def remove(self, deployment_id: int) -> None:
        """Take a candidate out of the queue."""
        self._connection.execute(t.deployments.delete().where(t.deployments.c.deployment_id == deployment_id))


class SqlCases:
    """Cases and withdrawn studies, in tables."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, case_id: str) -> Case | None:
        """Return a case, or None."""
        row = self._connection.execute(t.cases.select().where(t.cases.c.case_id == case_id)).first()
        return t.case_of(row) if row else None

    def add(self, case: Case) -> None:
        """Keep a case; one that is there stays as it is."""
        upsert(self._connection, t.cases, t.case_values(case), keys=("case_id",), update=False)

    def is_withdrawn(self, study_key: str) -> bool:
        """Whether a study is to stay forgotten."""
        query = sa.select(t.withdrawn.c.study_key).where(t.withdrawn.c.study_key == study_key)
        return self._connection.execute(query).first() is not None

    def withdraw(self, study_key: str) -> None:
        """Remember that a study is to be forgotten, remove its rows, and queue its objects for deletion."""
        upsert(
            self._connection,
            t.withdrawn,
            {"study_key": study_key, "objects_deleted": False},
            keys=("study_key",),
        )
        of_study = sa.select(t.predictions.c.prediction_id).where(t.predictions.c.study_key == study_key)
        self._connection.execute(t.waiting_rounds.delete().where(t.waiting_rounds.c.prediction_id.in_(of_study)))
        self._connection.execute(t.predictions.delete().where(t.predictions.c.study_key == study_key))
        self._connection.execute(t.cases.delete().where(t.cases.c.study_key == study_key))

    def objects_to_delete(self) -> list[str]:
        """Return the withdrawn studies whose objects may still be there."""
        query = sa.select(t.withdrawn.c.study_key).where(~t.withdrawn.c.objects_deleted)
        return list(self._connection.execute(query).scalars())

    def objects_deleted(self, study_key: str) -> None:
        """Remember that a withdrawn study's objects are gone."""
        self._connection.execute(
            t.withdrawn.update().where(t.withdrawn.c.study_key == study_key).values(objects_deleted=True)
        )


class SqlPredictions:
    """Predictions in a table."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, prediction_id: str) -> Prediction | None:
        """Return a prediction, or None."""
        row = self._connection.execute(
            t.predictions.select().where(t.predictions.c.prediction_id == prediction_id)
        ).first()
        return t.prediction_of(row) if row else None

    def save(self, prediction: Prediction) -> None:
        """Insert or replace a prediction. One that waits keeps its holder; one that is done has none."""
        values = t.prediction_values(prediction)
        if prediction.state is not PredictionState.WAITING:
            values |= {"held_by": "", "held_until": 0.0}
        identity = t.predictions.c.prediction_id == prediction.prediction_id
        if self._connection.execute(t.predictions.update().where(identity).values(values)).rowcount == 0:
            free = {"not_before": 0.0, "held_by": "", "held_until": 0.0}
            self._connection.execute(t.predictions.insert().values(**free | values))

    def wait_for(self, prediction_id: str, round_id: str) -> None:
        """Remember that a round waits for a prediction."""
        values = {"prediction_id": prediction_id, "round_id": round_id}
        upsert(self._connection, t.waiting_rounds, values, keys=("prediction_id", "round_id"), update=False)

    def waiting_rounds(self, prediction_id: str) -> list[str]:
        """Return the rounds that wait for a prediction, sorted, and forget that they do."""
        of_prediction = t.waiting_rounds.c.prediction_id == prediction_id
        query = sa.select(t.waiting_rounds.c.round_id).where(of_prediction).order_by("round_id")
        rounds = list(self._connection.execute(query).scalars())
        self._connection.execute(t.waiting_rounds.delete().where(of_prediction))
        return rounds

    def of_case(self, case_id: str, model_digest: str | None) -> list[Prediction]:
        """Return a case's predictions, of one model if given, oldest first."""
        query = t.predictions.select().where(t.predictions.c.case_id == case_id).order_by(t.predictions.c.position)
        if model_digest is not None:
            query = query.where(t.predictions.c.model_digest == model_digest)
        return [t.prediction_of(row) for row in self._connection.execute(query)]

    def asked_for(self) -> set[tuple[str, str]]:
        """Return the (project, digest) pairs that waiting predictions need."""
        query = sa.select(t.predictions.c.project_id, t.predictions.c.model_digest).distinct()
        waiting = query.where(t.predictions.c.state == PredictionState.WAITING.value)
        return {(row.project_id, row.model_digest) for row in self._connection.execute(waiting)}

    def counts(self) -> tuple[int, int]:
        """Return how many predictions wait, and how many of those a worker has at hand."""
        waiting = t.predictions.c.state == PredictionState.WAITING.value
        held = t.predictions.c.held_until > time.time()
        query = sa.select(sa.func.count()).select_from(t.predictions).where(waiting)
        total = self._connection.execute(query).scalar_one()
        in_flight = self._connection.execute(query.where(held)).scalar_one()
        return total - in_flight, in_flight


class InferenceSqlUnitOfWork(SqlUnitOfWork):
    """The service's repositories inside one transaction."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.projects = SqlProjects(self.connection)
        self.models = SqlModels(self.connection)
        self.traffic = SqlTraffic(self.connection)
        self.deployments = SqlDeployments(self.connection)
        self.cases = SqlCases(self.connection)
        self.predictions = SqlPredictions(self.connection)
        return self


_LONGEST_PAUSE_S = 60.0
"""No pause between two tries of a prediction is longer."""

_APART_S = 120.0
"""So far apart the clocks of two machines may be."""


def _is_over(until: sa.ColumnElement[float], now: float, longest_s: float) -> sa.ColumnElement[bool]:
    """Whether a wait has ended; one that would last far longer than any does was begun before the clock was set back."""
    return (until <= now) | (until > now + longest_s + _APART_S)


class SqlPredictionQueue:
    """The waiting predictions, as workers of any number of processes take them.

    Parameters
    ----------
    database : Database
    holder : str
        Name of this process's place; after a restart under the same name what it held is free at once.
    hold_s : float
        Seconds after which another process may take what this one held. Taking one twice costs time and nothing else:
        a prediction's bytes follow from its identity.
    """

    def __init__(self, database: Database, holder: str, hold_s: float) -> None:
        self._database, self._holder, self._hold_s = database, holder, hold_s

    def release_all(self) -> None:
        """Free what this place held before it was restarted."""
        with self._database.begin() as connection:
            connection.execute(
                t.predictions.update().where(t.predictions.c.held_by == self._holder).values(held_by="", held_until=0.0)
            )

    def claim(self) -> Claimed | None:
        """Take the next one: those a person waits for first, then in the order they were asked for."""
        now = time.time()
        first = (
            sa.select(t.predictions.c.position)
            .where(
                t.predictions.c.state == PredictionState.WAITING.value,
                _is_over(t.predictions.c.not_before, now, _LONGEST_PAUSE_S),
                _is_over(t.predictions.c.held_until, now, self._hold_s),
            )
            .order_by(t.predictions.c.urgent.desc(), t.predictions.c.position)
            .limit(1)
        )
        # An idle worker looks without the lock that writers need.
        with self._database.begin(read_only=True) as connection:
            if connection.execute(first).first() is None:
                return None
        with self._database.begin() as connection:
            position = connection.execute(first).scalar_one_or_none()
            if position is None:
                return None
            at_position = t.predictions.c.position == position
            connection.execute(
                t.predictions.update().where(at_position).values(held_by=self._holder, held_until=now + self._hold_s)
            )
            prediction = t.prediction_of(connection.execute(t.predictions.select().where(at_position)).one())
            case = SqlCases(connection).get(prediction.case_id)
            model = SqlModels(connection).get(prediction.project_id, prediction.model_digest)
            project = SqlProjects(connection).get(prediction.project_id)
        # A prediction is queued with its case and model, a model with its project.
        assert case is not None and model is not None and project is not None
        return Claimed(prediction, case, model, project)

    def put_back(self, prediction_id: str, delay_s: float, *, counts: bool) -> int:
        """Give one back, not to be taken for `delay_s`; return how often it failed."""
        identity = t.predictions.c.prediction_id == prediction_id
        with self._database.begin() as connection:
            connection.execute(
                t.predictions.update()
                .where(identity)
                .values(
                    held_by="",
                    held_until=0.0,
                    not_before=time.time() + min(delay_s, _LONGEST_PAUSE_S),
                    attempts=t.predictions.c.attempts + int(counts),
                )
            )
            return connection.execute(sa.select(t.predictions.c.attempts).where(identity)).scalar_one_or_none() or 0
