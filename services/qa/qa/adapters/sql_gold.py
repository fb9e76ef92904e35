"""Gold cases and their readings on SQL."""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict

import sqlalchemy as sa
from pydantic import TypeAdapter

from qa.adapters import tables
from qa.domain.gold import GoldCase, GoldReading, ScoredReading
from qa.domain.model import Project
from radloop.auth import pseudonym
from radloop.sql import upsert

_CASE, _READING = tables.gold_cases.c, tables.gold_readings.c
_COLUMNS = (_CASE.case_id, _CASE.study_key, _CASE.project_id, _CASE.label_version_id)
_PROJECT = TypeAdapter(Project)


class SqlGold:
    """Gold cases, and who was asked for them."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, case_id: str) -> GoldCase | None:
        """Return a gold case."""
        return next(iter(self._cases(_CASE.case_id == case_id)), None)

    def of_project(self, project_id: str) -> Sequence[GoldCase]:
        """Return the gold cases of a project, in order of case id."""
        return self._cases(_CASE.project_id == project_id)

    def unread(self, project_id: str, reader: str) -> Sequence[GoldCase]:
        """Return the gold cases that a reader made no label of and was not asked for, in order of case id."""
        labels, reviews = tables.labels.c, tables.reviews.c
        labelled = (
            sa.select(reviews.case_id)
            .join(tables.labels, labels.review_id == reviews.review_id)
            .where(labels.project_id == project_id, labels.reader == reader)
        )
        asked = sa.select(_READING.case_id).where(_READING.project_id == project_id, _READING.asked_of == reader)
        return self._cases(_CASE.project_id == project_id, _CASE.case_id.not_in(labelled), _CASE.case_id.not_in(asked))

    def save(self, case: GoldCase) -> None:
        """Keep a gold case; it replaces what was kept of the case."""
        upsert(self._connection, tables.gold_cases, asdict(case), keys=("case_id",))

    def drop(self, case_id: str) -> None:
        """Forget that a case is gold."""
        self._connection.execute(tables.gold_cases.delete().where(_CASE.case_id == case_id))

    def reading(self, review_id: str) -> GoldReading | None:
        """Return the gold reading a review asked for."""
        row = self._connection.execute(
            sa.select(*(column for column in _READING if column is not _READING.scored_at)).where(
                _READING.review_id == review_id
            )
        ).first()
        return GoldReading(**row._mapping) if row else None

    def save_reading(self, reading: GoldReading) -> None:
        """Keep a gold reading; with its score, also when that was."""
        scored_at = None if reading.mean_dice is None else time.time()
        values = asdict(reading) | {"scored_at": scored_at}
        upsert(self._connection, tables.gold_readings, values, keys=("review_id",))

    def scored(self, project_id: str) -> Sequence[ScoredReading]:
        """Return the gold readings of a project that have a score, oldest first."""
        query = (
            sa.select(_READING.asked_of, _READING.scored_at, _READING.mean_dice)
            .where(_READING.project_id == project_id, _READING.mean_dice.is_not(None))
            .order_by(_READING.scored_at, _READING.review_id)
        )
        return [ScoredReading(*row) for row in self._connection.execute(query)]

    def readers(self, project_id: str) -> Collection[str]:
        """Return the pseudonyms of all who are known to be able to read: a project's members, and who submitted a label."""
        labels, projects = tables.labels.c, tables.projects.c
        submitted = sa.select(labels.reader).where(labels.project_id == project_id, labels.reader != "").distinct()
        newest = (
            sa.select(projects.document)
            .where(projects.project_id == project_id)
            .order_by(projects.project_version.desc())
            .limit(1)
        )
        document = self._connection.execute(newest).scalar()
        members = _PROJECT.validate_json(document).members if document else ()
        return {pseudonym(member.subject) for member in members} | set(self._connection.execute(submitted).scalars())

    def _cases(self, *where: sa.ColumnElement[bool]) -> list[GoldCase]:
        query = sa.select(*_COLUMNS).where(*where).order_by(_CASE.case_id)
        return [GoldCase(*row) for row in self._connection.execute(query)]
