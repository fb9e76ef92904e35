"""Repository of pulls and their studies, on SQL, and what their pages show."""

import dataclasses
import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables import HELD, INSTANCES, PULL_STUDIES, PULLS, SERIES
from ingest.domain.pulls import LEFT, Entry, Fate, Pull, PullState, Way
from radloop.sql.database import Database

_GOING = (PullState.PLANNED.value, PullState.RUNNING.value)
_SAMPLE = 10_000
"""Instances whose size is looked at for an estimate: the first in order of key, which is random."""


class SqlPulls:
    """`ports.Pulls`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, pull_id: str) -> Pull | None:
        row = self._connection.execute(sa.select(PULLS).where(PULLS.c.pull_id == pull_id)).first()
        return None if row is None else _pull(row)

    def save(self, pull: Pull) -> None:
        values = dataclasses.asdict(pull)
        sealed = {"sealed": values.pop("order"), "vault_version": values.pop("vault_version")}
        if (
            self._connection.execute(PULLS.update().where(PULLS.c.pull_id == pull.pull_id).values(**values)).rowcount
            == 0
        ):
            self._connection.execute(PULLS.insert().values(**values, **sealed))

    def going(self) -> list[Pull]:
        query = sa.select(PULLS).where(PULLS.c.state.in_(_GOING)).order_by(PULLS.c.created_at, PULLS.c.pull_id)
        return [_pull(row) for row in self._connection.execute(query)]

    def add_entries(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._connection.execute(PULL_STUDIES.insert(), [_entry_row(entry) for entry in entries])

    def entry(self, entry_id: str) -> Entry | None:
        row = self._connection.execute(sa.select(PULL_STUDIES).where(PULL_STUDIES.c.entry_id == entry_id)).first()
        return None if row is None else _entry(row)

    def save_entry(self, entry: Entry) -> None:
        update = PULL_STUDIES.update().where(PULL_STUDIES.c.entry_id == entry.entry_id)
        self._connection.execute(update.values(**_entry_row(entry)))

    def next_entry(self, pull_id: str, now: float) -> Entry | None:
        query = sa.select(PULL_STUDIES).where(
            PULL_STUDIES.c.pull_id == pull_id, PULL_STUDIES.c.fate.in_(LEFT), PULL_STUDIES.c.not_before <= now
        )
        # "retrieving" stands before "waiting".
        row = self._connection.execute(query.order_by(PULL_STUDIES.c.fate, PULL_STUDIES.c.position).limit(1)).first()
        return None if row is None else _entry(row)

    def counts(self, pull_id: str) -> dict[Fate, int]:
        query = sa.select(PULL_STUDIES.c.fate, sa.func.count()).where(PULL_STUDIES.c.pull_id == pull_id)
        return {Fate(fate): count for fate, count in self._connection.execute(query.group_by(PULL_STUDIES.c.fate))}

    def retry_failed(self, pull_id: str) -> None:
        failed = PULL_STUDIES.update().where(PULL_STUDIES.c.pull_id == pull_id, PULL_STUDIES.c.fate == Fate.FAILED)
        self._connection.execute(failed.values(fate=Fate.WAITING.value, attempts=0, not_before=0.0, ended_at=0.0))

    def present(self, study_keys: Collection[str]) -> int:
        here = sa.union(
            sa.select(INSTANCES.c.sop_key).where(INSTANCES.c.study_key.in_(study_keys)),
            sa.select(HELD.c.sop_key).where(HELD.c.study_key.in_(study_keys), sa.not_(HELD.c.released)),
        ).subquery()
        return self._connection.execute(sa.select(sa.func.count()).select_from(here)).scalar_one()

    def forget(self, study_key: str) -> None:
        rows = PULL_STUDIES.update().where(PULL_STUDIES.c.study_key == study_key)
        self._connection.execute(rows.values(fate=Fate.WITHDRAWN.value, identity=""))


class PullListings:
    """What the pages of pulls ask for: pseudonymous keys and counts.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def pulls(self, pull_id: str = "") -> list[tuple[Pull, dict[str, int]]]:
        """Return all pulls, the newest first, or one; each with its counts: studies by fate, and instances."""
        counts: dict[str, dict[str, int]] = {}
        by_fate = sa.select(
            PULL_STUDIES.c.pull_id,
            PULL_STUDIES.c.fate,
            sa.func.count().label("studies"),
            sa.func.sum(PULL_STUDIES.c.present).label("present"),
            sa.func.sum(PULL_STUDIES.c.expected).label("expected"),
        ).group_by(PULL_STUDIES.c.pull_id, PULL_STUDIES.c.fate)
        query = sa.select(PULLS).order_by(PULLS.c.created_at.desc(), PULLS.c.pull_id)
        if pull_id:
            by_fate, query = by_fate.where(PULL_STUDIES.c.pull_id == pull_id), query.where(PULLS.c.pull_id == pull_id)
        with self._database.begin(read_only=True) as connection:
            for row in connection.execute(by_fate):
                of_pull = counts.setdefault(row.pull_id, {"studies": 0, "instances": 0, "instances_expected": 0})
                of_pull[row.fate] = row.studies
                of_pull["studies"] += row.studies
                of_pull["instances"] += row.present or 0
                of_pull["instances_expected"] += row.expected or 0
            pulls = [_pull(row) for row in connection.execute(query)]
        nothing = {"studies": 0, "instances": 0, "instances_expected": 0}
        zero = {fate.value: 0 for fate in Fate}
        return [(pull, zero | nothing | counts.get(pull.pull_id, {})) for pull in pulls]

    def entries(self, pull_id: str, fates: Collection[str], offset: int, limit: int) -> list[Entry]:
        """Return a page of a pull's studies, in order; of some fates, or all."""
        query = sa.select(PULL_STUDIES).where(PULL_STUDIES.c.pull_id == pull_id)
        if fates:
            query = query.where(PULL_STUDIES.c.fate.in_(fates))
        with self._database.begin(read_only=True) as connection:
            rows = connection.execute(query.order_by(PULL_STUDIES.c.position).offset(offset).limit(limit))
            return [_entry(row) for row in rows]

    def mean_bytes(self) -> dict[str, float]:
        """Return the mean size of stored instances in bytes, by modality, from a sample."""
        some = sa.select(INSTANCES.c.series_key, INSTANCES.c.object_size).order_by(INSTANCES.c.sop_key).limit(_SAMPLE)
        sample = some.subquery()
        query = sa.select(SERIES.c.modality, sa.func.avg(sample.c.object_size)).join(
            sample, SERIES.c.series_key == sample.c.series_key
        )
        with self._database.begin(read_only=True) as connection:
            return {row[0]: float(row[1]) for row in connection.execute(query.group_by(SERIES.c.modality))}


def _pull(row: Any) -> Pull:
    values = row._asdict()
    sealed = values.pop("sealed")
    return Pull(**values | {"order": sealed, "state": PullState(row.state), "way": Way(row.way)})


def _entry(row: Any) -> Entry:
    return Entry(**row._asdict() | {"fate": Fate(row.fate), "refused": json.loads(row.refused)})


def _entry_row(entry: Entry) -> dict[str, Any]:
    return dataclasses.asdict(entry) | {"fate": entry.fate.value, "refused": json.dumps(dict(entry.refused))}
