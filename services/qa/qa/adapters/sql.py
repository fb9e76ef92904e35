"""Repositories and the unit of work on SQL."""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Self

import sqlalchemy as sa
from pydantic import TypeAdapter

from qa.adapters import tables
from qa.adapters.sql_gold import SqlGold
from qa.domain.measurement import Measurement, Population
from qa.domain.model import LabelVersion, Outcome, Project, Review, ReviewState
from qa.ports import KnownCase, KnownPrediction, ListedReview, Order, ReaderScore
from radloop.messages import Envelope
from radloop.references import Split
from radloop.sql import SqlUnitOfWork, upsert

POPULATION_LIMIT = 500
"""Approved labels compared with, the newest first: more would not move a median."""

_PROJECT, _REVIEW, _LABEL = TypeAdapter(Project), TypeAdapter(Review), TypeAdapter(LabelVersion)
_CASE, _PREDICTION = TypeAdapter(KnownCase), TypeAdapter(KnownPrediction)
_MEASUREMENT = TypeAdapter(Measurement)


_QUEUE = (
    ReviewState.HELD_FOR_REVIEWER,
    ReviewState.AWAITING_ADJUDICATION,
    ReviewState.AWAITING_SECOND,
    ReviewState.RETURNED,
    ReviewState.CHECKING,
)
"""What comes first in order of priority; decided reviews come last."""

_LOOKS_LIKE = {
    ReviewState.AWAITING_GOLD: ReviewState.AWAITING_SECOND,
    ReviewState.GOLD_SCORED: ReviewState.APPROVED,
}
"""Readers may count reviews: a second reading that no review waits for would be known to be gold."""

_OF_REVIEW = tables.reviews.c
_ORDERS = {
    Order.ID: (_OF_REVIEW.review_id,),
    Order.NEWEST: (_OF_REVIEW.created_at.desc(), _OF_REVIEW.review_id),
    Order.PRIORITY: (
        sa.case({state.value: place for place, state in enumerate(_QUEUE)}, value=_OF_REVIEW.state, else_=len(_QUEUE)),
        _OF_REVIEW.created_at,
        _OF_REVIEW.review_id,
    ),
}


def _text(adapter: TypeAdapter[Any], value: Any) -> str:
    return adapter.dump_json(value).decode()


class _Repository:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _documents(self, query: sa.Select[Any], adapter: TypeAdapter[Any]) -> list[Any]:
        return [adapter.validate_json(row.document) for row in self._connection.execute(query)]

    def _document(self, query: sa.Select[Any], adapter: TypeAdapter[Any]) -> Any:
        return next(iter(self._documents(query.limit(1), adapter)), None)


class SqlProjects(_Repository):
    """Versions of projects."""

    _table = tables.projects

    def get(self, project_id: str, version: int) -> Project | None:
        """Return one version."""
        columns = self._table.c
        query = sa.select(columns.document).where(columns.project_id == project_id, columns.project_version == version)
        return self._document(query, _PROJECT)

    def newest(self, project_id: str) -> Project | None:
        """Return the newest version."""
        columns = self._table.c
        query = sa.select(columns.document).where(columns.project_id == project_id)
        return self._document(query.order_by(columns.project_version.desc()), _PROJECT)

    def save(self, project: Project) -> None:
        """Keep a version; the same again changes nothing."""
        values = {
            "project_id": project.project_id,
            "project_version": project.project_version,
            "document": _text(_PROJECT, project),
        }
        upsert(self._connection, self._table, values, keys=("project_id", "project_version"))


class SqlCases(_Repository):
    """Cases and predictions."""

    def get(self, case_id: str) -> KnownCase | None:
        """Return a case."""
        columns = tables.cases.c
        return self._document(sa.select(columns.document).where(columns.case_id == case_id), _CASE)

    def save(self, case: KnownCase) -> None:
        """Keep a case."""
        values = {"case_id": case.case_id, "study_key": case.study_key, "document": _text(_CASE, case)}
        upsert(self._connection, tables.cases, values, keys=("case_id",))

    def prediction(self, prediction_id: str) -> KnownPrediction | None:
        """Return a prediction."""
        columns = tables.predictions.c
        query = sa.select(columns.document).where(columns.prediction_id == prediction_id)
        return self._document(query, _PREDICTION)

    def newest_prediction(self, case_id: str, round_id: str = "") -> KnownPrediction | None:
        """Return the prediction of a case that was heard of last; one that the round asked for comes before all others."""
        columns = tables.predictions.c
        asked = sa.case((columns.round_id == round_id, 1), else_=0) if round_id else sa.literal(0)
        query = sa.select(columns.document).where(columns.case_id == case_id)
        return self._document(query.order_by(asked.desc(), columns.number.desc()), _PREDICTION)

    def save_prediction(self, prediction: KnownPrediction) -> None:
        """Keep a prediction; when it is said again, the round that asked last counts."""
        values = {
            "prediction_id": prediction.prediction_id,
            "case_id": prediction.case_id,
            "study_key": prediction.study_key,
            "round_id": prediction.round_id,
            "document": _text(_PREDICTION, prediction),
        }
        upsert(self._connection, tables.predictions, values, keys=("prediction_id",))


class SqlReviews(_Repository):
    """Reviews."""

    _table = tables.reviews

    def get(self, review_id: str) -> Review | None:
        """Return a review."""
        query = sa.select(self._table.c.document).where(self._table.c.review_id == review_id)
        return self._document(query, _REVIEW)

    def of_case(self, case_id: str) -> Sequence[Review]:
        """Return the reviews of a case, oldest first."""
        columns = self._table.c
        query = sa.select(columns.document).where(columns.case_id == case_id).order_by(columns.number)
        return self._documents(query, _REVIEW)

    def save(self, review: Review) -> None:
        """Keep a review, with when it changed and, the first time, when it began."""
        now, columns = time.time(), self._table.c
        changing = {
            "state": review.state.value,
            "prediction_id": review.prediction_id,
            "changed_at": now,
            "document": _text(_REVIEW, review),
        }
        changed = self._connection.execute(
            self._table.update().where(columns.review_id == review.review_id).values(**changing)
        )
        if changed.rowcount:
            return
        values = {
            "review_id": review.review_id,
            "project_id": review.project_id,
            "case_id": review.case_id,
            "study_key": review.study_key,
            "created_at": now,
        }
        self._connection.execute(self._table.insert().values(**values, **changing))

    def listed(self, review_id: str) -> ListedReview | None:
        """Return a review as a list shows it."""
        rows = self._connection.execute(sa.select(self._table).where(self._table.c.review_id == review_id)).all()
        return next(iter(self._listed(rows)), None)

    def page(
        self,
        project_id: str,
        *,
        states: Collection[ReviewState] = (),
        search: str = "",
        order: Order = Order.ID,
        after: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, Sequence[ListedReview]]:
        """Return how many reviews of a project there are, and a page of them."""
        columns = self._table.c
        where = [columns.project_id == project_id]
        if states:
            where.append(columns.state.in_([state.value for state in states]))
        if search:
            begins = [column.startswith(search, autoescape=True) for column in (columns.case_id, columns.review_id)]
            where.append(sa.or_(*begins))
        total = self._connection.execute(sa.select(sa.func.count()).select_from(self._table).where(*where)).scalar_one()
        query = sa.select(self._table).where(*where, columns.review_id > after).order_by(*_ORDERS[order])
        return total, self._listed(self._connection.execute(query.offset(offset).limit(limit)).all())

    def _listed(self, rows: Sequence[Any]) -> list[ListedReview]:
        """Read rows of reviews, with all their labels in one query."""
        columns = tables.labels.c
        query = sa.select(columns.review_id, columns.document).where(
            columns.review_id.in_([row.review_id for row in rows])
        )
        labels: dict[str, list[LabelVersion]] = {row.review_id: [] for row in rows}
        for row in self._connection.execute(query.order_by(columns.number)):
            labels[row.review_id].append(_LABEL.validate_json(row.document))
        return [
            ListedReview(
                _REVIEW.validate_json(row.document), row.created_at, row.changed_at, tuple(labels[row.review_id])
            )
            for row in rows
        ]

    def counts(self, project_id: str | None) -> dict[str, int]:
        """Return how many reviews stand in each state."""
        columns = self._table.c
        query = sa.select(columns.state, sa.func.count().label("number")).group_by(columns.state)
        if project_id is not None:
            query = query.where(columns.project_id == project_id)
        found = {row.state: row.number for row in self._connection.execute(query)}
        for state, looks in _LOOKS_LIKE.items():
            found[looks.value] = found.get(looks.value, 0) + found.get(state.value, 0)
        return {state.value: found.get(state.value, 0) for state in ReviewState if state not in _LOOKS_LIKE}


class SqlLabels(_Repository):
    """Label versions."""

    _table = tables.labels

    def __init__(self, connection: sa.Connection, cause: Envelope | None) -> None:
        super().__init__(connection)
        self._cause = cause

    def get(self, label_version_id: str) -> LabelVersion | None:
        """Return a label version."""
        query = sa.select(self._table.c.document).where(self._table.c.label_version_id == label_version_id)
        return self._document(query, _LABEL)

    def of_review(self, review_id: str) -> Sequence[LabelVersion]:
        """Return the labels of a review in order of arrival."""
        columns = self._table.c
        query = sa.select(columns.document).where(columns.review_id == review_id).order_by(columns.number)
        return self._documents(query, _LABEL)

    def save(self, label: LabelVersion) -> None:
        """Keep a label version; the first time with when it came and which event brought it."""
        changing = {
            "outcome": label.outcome.value,
            "mean_agreement": label.mean_agreement,
            "document": _text(_LABEL, label),
        }
        columns = self._table.c
        changed = self._connection.execute(
            self._table.update().where(columns.label_version_id == label.label_version_id).values(**changing)
        )
        if changed.rowcount:
            return
        self._connection.execute(
            self._table.insert().values(
                label_version_id=label.label_version_id,
                review_id=label.review_id,
                project_id=label.project_id,
                study_key=label.study_key,
                reader=label.reader,
                received_at=time.time(),
                cause=json.dumps(asdict(self._cause)) if self._cause else "",
                **changing,
            )
        )

    def cause(self, label_version_id: str) -> Envelope | None:
        """Return the envelope of the event that brought a label."""
        query = sa.select(self._table.c.cause).where(self._table.c.label_version_id == label_version_id)
        stored = self._connection.execute(query).scalar()
        return Envelope(**json.loads(stored)) if stored else None

    def next_to_check(self, prediction_wait_s: float) -> LabelVersion | None:
        """Return the oldest label that waits for its checks, but none that waits for its prediction."""
        columns, review, now = self._table.c, tables.reviews.c, time.time()
        # Received long after now: the clock was set back since.
        waited = (columns.received_at <= now - prediction_wait_s) | (columns.received_at > now + prediction_wait_s)
        known = sa.exists().where(tables.predictions.c.prediction_id == review.prediction_id)
        query = (
            sa.select(columns.document)
            .join(tables.reviews, review.review_id == columns.review_id)
            .where(
                columns.outcome == Outcome.CHECKING.value,
                (review.prediction_id == "") | known | waited,
            )
            .order_by(columns.number)
        )
        return self._document(query, _LABEL)

    def scores(self, project_id: str) -> Sequence[ReaderScore]:
        """Return the score of every reader of a project."""
        columns = self._table.c
        counted = {
            outcome.value: sa.func.sum(sa.case((columns.outcome == outcome.value, 1), else_=0)).label(outcome.value)
            for outcome in (Outcome.RETURNED, Outcome.APPROVED, Outcome.SUPPORTED, Outcome.OVERRULED)
        }
        query = (
            sa.select(
                columns.reader,
                columns.project_id,
                sa.func.count().label("submitted"),
                *counted.values(),
                sa.func.avg(columns.mean_agreement).label("mean_agreement"),
            )
            .where(columns.project_id == project_id, columns.reader != "")
            .group_by(columns.reader, columns.project_id)
            .order_by(columns.reader)
        )
        return [ReaderScore(**row._mapping) for row in self._connection.execute(query)]


class SqlApprovals(_Repository):
    """The newest approved label of each case."""

    _table = tables.approvals

    def sequence(self, case_id: str) -> int:
        """Return how often a label of the case was approved."""
        query = sa.select(self._table.c.sequence).where(self._table.c.case_id == case_id)
        return self._connection.execute(query).scalar() or 0

    def save(self, label: LabelVersion, *, split: Split, sequence: int, mean_prediction_dice: float | None) -> None:
        """Replace the case's approved label."""
        values = {
            "case_id": label.case_id,
            "project_id": label.project_id,
            "study_key": label.study_key,
            "label_version_id": label.label_version_id,
            "split": split.value,
            "sequence": sequence,
            "mean_prediction_dice": mean_prediction_dice,
            "approved_at": time.time(),
            "measurement": _text(_MEASUREMENT, label.measurement),
        }
        upsert(self._connection, self._table, values, keys=("case_id",))

    def population(self, project_id: str, without_case: str) -> Population:
        """Return the approved labels of a project without those of one case and of test cases."""
        columns = self._table.c
        query = (
            sa.select(columns.measurement, columns.mean_prediction_dice)
            .where(
                columns.project_id == project_id,
                columns.case_id != without_case,
                columns.split != Split.TEST.value,
            )
            .order_by(columns.approved_at.desc(), columns.case_id)
            .limit(POPULATION_LIMIT)
        )
        rows = self._connection.execute(query).all()
        return Population(
            labels=[_MEASUREMENT.validate_json(row.measurement) for row in rows],
            prediction_dice=[row.mean_prediction_dice for row in rows if row.mean_prediction_dice is not None],
        )


class SqlWithdrawn(_Repository):
    """Studies that must stay forgotten."""

    def contains(self, study_key: str) -> bool:
        """Whether a study was withdrawn."""
        query = sa.select(tables.withdrawn.c.study_key).where(tables.withdrawn.c.study_key == study_key)
        return self._connection.execute(query).first() is not None

    def forget(self, study_key: str) -> None:
        """Delete every row of a study and remember its key."""
        upsert(self._connection, tables.withdrawn, {"study_key": study_key}, keys=("study_key",))
        of_study = (tables.cases, tables.predictions, tables.reviews, tables.labels, tables.approvals)
        for table in (*of_study, tables.gold_cases, tables.gold_readings):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))


class QaSqlUnitOfWork(SqlUnitOfWork):
    """The transaction of this service with its repositories."""

    def __enter__(self) -> Self:
        """Begin."""
        super().__enter__()
        self.projects = SqlProjects(self.connection)
        self.cases = SqlCases(self.connection)
        self.reviews = SqlReviews(self.connection)
        self.labels = SqlLabels(self.connection, self.cause)
        self.approvals = SqlApprovals(self.connection)
        self.gold = SqlGold(self.connection)
        self.withdrawn = SqlWithdrawn(self.connection)
        return self
