"""Tasks on SQL: the worklist, the next task, and saving without losing a race."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from labeling.adapters.tables import drafts, exclusions, labels, tasks
from labeling.domain.messages import Reader
from labeling.domain.states import TaskState
from labeling.domain.task import ADJUDICATION_PRIORITY, READING_PRIORITY, Task
from labeling.domain.vocabulary import FlagReason, Reading, ReturnReason, SkipReason
from labeling.ports import Filter, Place
from radloop.errors import Busy
from radloop.references import Arm
from radloop.sql import upsert

_URGENCY = (tasks.c.priority, tasks.c.round_number, tasks.c.rank, tasks.c.task_id)


class SqlTasks:
    """Tasks in one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, task_id: str) -> Task | None:
        """Return the task, or None. Nobody changes it meanwhile: one transaction writes at a time."""
        return self._first(sa.select(tasks).where(tasks.c.task_id == task_id))

    def add(self, task: Task) -> None:
        """Keep a new task."""
        self._connection.execute(tasks.insert().values(**_row(task), row_version=task.row_version))
        self._exclude(task)

    def save(self, task: Task) -> None:
        """Keep what has changed; raise `Busy` when somebody else was first."""
        known = sa.and_(tasks.c.task_id == task.task_id, tasks.c.row_version == task.row_version)
        change = tasks.update().where(known).values(**_row(task), row_version=task.row_version + 1)
        if self._connection.execute(change).rowcount != 1:
            raise Busy("task-changed", expected="the task as it was read", got="a newer one", do="try again")
        task.row_version += 1
        self._exclude(task)

    def of_case(self, case_id: str) -> Sequence[Task]:
        """Return all tasks of a case, oldest first."""
        return self._all(
            sa.select(tasks).where(tasks.c.case_id == case_id).order_by(tasks.c.created_at, tasks.c.task_id)
        )

    def of_study(self, study_key: str) -> Sequence[Task]:
        """Return all tasks of a study."""
        return self._all(sa.select(tasks).where(tasks.c.study_key == study_key))

    def held_in(self, project_id: str, reader: str, now: datetime) -> Task | None:
        """Return a task of the project the reader holds an unexpired lease on."""
        return self._first(
            sa.select(tasks)
            .where(tasks.c.project_id == project_id, tasks.c.reader == reader, tasks.c.state == TaskState.LEASED)
            .where(tasks.c.lease_expires_at > now.timestamp())
            .order_by(*_URGENCY)
        )

    def returned_to(self, project_id: str, reader: Reader) -> Task | None:
        """Return the most urgent task that waits for the reader, of those they have the role for."""
        return self._first(
            sa.select(tasks)
            .where(tasks.c.project_id == project_id, tasks.c.reader == reader.pseudonym)
            .where(tasks.c.state == TaskState.RETURNED, tasks.c.priority.in_(_priorities(reader)))
            .order_by(*_URGENCY)
        )

    def takeable(self, project_id: str, reader: Reader) -> Task | None:
        """Return the most urgent open task the reader may take."""
        return self._first(_takeable(project_id, reader).order_by(*_URGENCY))

    def outdated(self, project_id: str, before_round: int) -> Sequence[Task]:
        """Return open first readings of older rounds, those that readers reported excepted, that have no draft."""
        drafted = sa.exists().where(drafts.c.task_id == tasks.c.task_id)
        return self._all(
            sa.select(tasks)
            .where(tasks.c.project_id == project_id, tasks.c.state == TaskState.OPEN)
            .where(tasks.c.reading == Reading.FIRST, tasks.c.round_number < before_round)
            .where(sa.or_(tasks.c.arm.is_(None), tasks.c.arm != Arm.REPORTED), ~drafted)
        )

    def expired(self, now: datetime, limit: int) -> Sequence[Task]:
        """Return tasks whose lease has run out."""
        return self._all(
            sa.select(tasks)
            .where(tasks.c.state == TaskState.LEASED, tasks.c.lease_expires_at <= now.timestamp())
            .order_by(tasks.c.lease_expires_at)
            .limit(limit)
        )

    def leased_beyond(self, project_id: str, time: datetime) -> Sequence[Task]:
        """Return the project's tasks whose lease lasts longer than until a time."""
        return self._all(
            sa.select(tasks)
            .where(tasks.c.state == TaskState.LEASED, tasks.c.lease_expires_at > time.timestamp())
            .where(tasks.c.project_id == project_id)
        )

    def page(self, wanted: Filter, after: Place | None, limit: int) -> Sequence[Task]:
        """Return the tasks after a place, most urgent first. Each part is one walk along an index."""
        everything = sa.select(tasks).where(tasks.c.project_id == wanted.project_id)
        parts = [everything]
        if wanted.visible_to is not None:
            own = everything.where(tasks.c.reader == wanted.visible_to.pseudonym)
            parts = [own, _takeable(wanted.project_id, wanted.visible_to)]
        found: list[Task] = []
        for part in parts:
            if wanted.reader:
                part = part.where(tasks.c.reader == wanted.reader)
            if wanted.state is not None:
                part = part.where(tasks.c.state == wanted.state)
            if after is not None:
                part = part.where(sa.tuple_(*_URGENCY) > sa.tuple_(*(sa.literal(value) for value in after)))
            found += self._all(part.order_by(*_URGENCY).limit(limit))
        return sorted(found, key=lambda task: task.place)[:limit]

    def count(self, project_id: str) -> dict[TaskState, int]:
        """Return the number of tasks by state; of all projects when the id is empty."""
        query = sa.select(tasks.c.state, sa.func.count()).group_by(tasks.c.state)
        if project_id:
            query = query.where(tasks.c.project_id == project_id)
        return {TaskState(state): count for state, count in self._connection.execute(query)}

    def _exclude(self, task: Task) -> None:
        for reader in task.excluded_readers:
            values = {"task_id": task.task_id, "reader": reader}
            upsert(self._connection, exclusions, values, keys=("task_id", "reader"))

    def _first(self, query: sa.Select[Any]) -> Task | None:
        return next(iter(self._all(query.limit(1))), None)

    def _all(self, query: sa.Select[Any]) -> list[Task]:
        rows = self._connection.execute(query).all()
        excluded: dict[str, list[str]] = {row.task_id: [] for row in rows}
        if rows:
            pairs = sa.select(exclusions).where(exclusions.c.task_id.in_(list(excluded))).order_by(exclusions.c.reader)
            for pair in self._connection.execute(pairs):
                excluded[pair.task_id].append(pair.reader)
        return [task_of_row(row, tuple(excluded[row.task_id])) for row in rows]


def _priorities(reader: Reader) -> list[int]:
    return [ADJUDICATION_PRIORITY] * reader.may_adjudicate + [READING_PRIORITY] * reader.may_read


def _takeable(project_id: str, reader: Reader) -> sa.Select[Any]:
    return sa.select(tasks).where(tasks.c.project_id == project_id, takeable(project_id, reader))


def takeable(project_id: str, reader: Reader) -> sa.ColumnElement[bool]:
    """Tell open tasks the reader may take: by role, not excluded, no other reading of the case answered or in hand."""
    me, other = reader.pseudonym, tasks.alias("other")
    excluded = sa.exists().where(exclusions.c.task_id == tasks.c.task_id, exclusions.c.reader == me)
    answered = sa.exists().where(
        labels.c.case_id == tasks.c.case_id, labels.c.reader == me, labels.c.task_id != tasks.c.task_id, ~labels.c.saved
    )
    in_hand = sa.select(other.c.case_id).where(
        other.c.project_id == project_id, other.c.reader == me, other.c.state == TaskState.LEASED
    )
    return sa.and_(
        tasks.c.state == TaskState.OPEN,
        tasks.c.priority.in_(_priorities(reader)),
        ~excluded,
        ~answered,
        tasks.c.case_id.not_in(in_hand),
    )


def _row(task: Task) -> dict[str, Any]:
    expires = task.lease_expires_at
    return {
        "task_id": task.task_id,
        "case_id": task.case_id,
        "study_key": task.study_key,
        "project_id": task.project_id,
        "reading": task.reading,
        "state": task.state,
        "priority": task.priority,
        "round_number": task.round_number,
        "rank": task.rank,
        "round_id": task.round_id,
        "arm": task.arm,
        "flag_reasons": json.dumps(task.flag_reasons),
        "show_proposal": task.show_proposal,
        "prediction_id": task.prediction_id,
        "score": task.score,
        "review_id": task.review_id,
        "label_version_ids": json.dumps(task.label_version_ids),
        "reader": task.reader,
        "lease_id": task.lease_id,
        "lease_expires_at": expires.timestamp() if expires else None,
        "attempt": task.attempt,
        "returned": json.dumps(task.returned),
        "skip_reason": task.skip_reason,
        "created_at": task.created_at.timestamp(),
    }


def task_of_row(row: Any, excluded: tuple[str, ...]) -> Task:
    """Return the task a row of the table stands for."""
    expires = row.lease_expires_at
    return Task(
        task_id=row.task_id,
        case_id=row.case_id,
        study_key=row.study_key,
        project_id=row.project_id,
        reading=Reading(row.reading),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        state=TaskState(row.state),
        round_id=row.round_id,
        round_number=row.round_number,
        rank=row.rank,
        arm=Arm(row.arm) if row.arm else None,
        flag_reasons=tuple(FlagReason(name) for name in json.loads(row.flag_reasons)),
        show_proposal=row.show_proposal,
        prediction_id=row.prediction_id,
        score=row.score,
        review_id=row.review_id,
        label_version_ids=tuple(json.loads(row.label_version_ids)),
        excluded_readers=excluded,
        reader=row.reader,
        lease_id=row.lease_id,
        lease_expires_at=datetime.fromtimestamp(expires, UTC) if expires is not None else None,
        attempt=row.attempt,
        returned=tuple(ReturnReason(name) for name in json.loads(row.returned)),
        skip_reason=SkipReason(row.skip_reason) if row.skip_reason else None,
        row_version=row.row_version,
    )
