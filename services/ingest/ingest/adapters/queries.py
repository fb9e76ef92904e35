"""What the HTTP side shows: read-only views over the index, as plain dictionaries."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.sql_cases import stored_case
from ingest.adapters.sql_studies import noted_refusal
from ingest.adapters.tables import CASES, DIFFERENCES, HELD, INSTANCES, PROJECTS, REFUSALS, SERIES, STUDIES, TOMBSTONES
from ingest.ports import StoredCase
from radloop.errors import NotFound
from radloop.sql import Database

_STUDY_COLUMNS = [STUDIES.c.study_key, STUDIES.c.state, STUDIES.c.waiting, STUDIES.c.received_at]


class Queries:
    """Views over the index.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._database.begin(read_only=True) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def status(self) -> dict[str, Any]:
        """Return counts, and the projects whose routing is known here."""
        with self._database.begin(read_only=True) as connection:

            def count(table: sa.Table, *where: Any) -> int:
                return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()

            by_state = sa.select(STUDIES.c.state, sa.func.count().label("number")).group_by(STUDIES.c.state)
            projects = sa.select(PROJECTS.c.project_id, PROJECTS.c.project_version).order_by(PROJECTS.c.project_id)
            return {
                "studies": {row.state: row.number for row in connection.execute(by_state)},
                "waiting": count(STUDIES, STUDIES.c.waiting),
                "instances": count(INSTANCES),
                "cases": count(CASES),
                "held": count(HELD, sa.not_(HELD.c.released)),
                "rejections": count(REFUSALS),
                "rejections_unsaid": count(REFUSALS, sa.not_(REFUSALS.c.said)),
                "withdrawn": count(TOMBSTONES),
                "projects": [dict(row) for row in connection.execute(projects).mappings()],
            }

    def studies(self, state: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """Return studies in order of key, after one."""
        counts = (
            sa.select(INSTANCES.c.study_key, sa.func.count().label("instances"))
            .group_by(INSTANCES.c.study_key)
            .subquery()
        )
        query = (
            sa.select(*_STUDY_COLUMNS, sa.func.coalesce(counts.c.instances, 0).label("instances"))
            .outerjoin(counts, counts.c.study_key == STUDIES.c.study_key)
            .where(STUDIES.c.study_key > after)
            .order_by(STUDIES.c.study_key)
        )
        return self._rows((query.where(STUDIES.c.state == state) if state else query).limit(limit))

    def study(self, study_key: str) -> dict[str, Any]:
        """Return all that is known of a study, without its identity.

        Raises
        ------
        NotFound
            When it is not here (any more).
        """
        found = self._rows(sa.select(*_STUDY_COLUMNS).where(STUDIES.c.study_key == study_key))
        if not found:
            raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
        series = (
            sa.select(SERIES.c.series_key, sa.func.count(INSTANCES.c.sop_key).label("instances"))
            .outerjoin(INSTANCES, INSTANCES.c.series_key == SERIES.c.series_key)
            .where(SERIES.c.study_key == study_key)
            .group_by(SERIES.c.series_key)
        )
        differences = (
            sa.select(DIFFERENCES.c.sop_key, DIFFERENCES.c.keywords, DIFFERENCES.c.at)
            .join(INSTANCES, INSTANCES.c.sop_key == DIFFERENCES.c.sop_key)
            .where(INSTANCES.c.study_key == study_key)
        )
        return found[0] | {
            "series": self._rows(series),
            "cases": [case_summary(one) for one in self._cases(CASES.c.study_key == study_key)],
            "rejections": self.rejections(study_key),
            "quarantine": self.quarantine(study_key),
            "differences": [row | {"keywords": json.loads(row["keywords"])} for row in self._rows(differences)],
        }

    def sealed_identity(self, study_key: str) -> str:
        """Return a study's encrypted identity.

        Raises
        ------
        NotFound
            When the study is not here (any more).
        """
        rows = self._rows(sa.select(STUDIES.c.identity).where(STUDIES.c.study_key == study_key))
        if not rows:
            raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
        return str(rows[0]["identity"])

    def rejections(self, study_key: str | None = None) -> list[dict[str, Any]]:
        """Return what was refused and why, newest first."""
        query = sa.select(REFUSALS).order_by(REFUSALS.c.at.desc())
        with self._database.begin(read_only=True) as connection:
            rows = connection.execute(
                query.where(REFUSALS.c.study_key == study_key) if study_key else query.limit(1000)
            )
            noted = [noted_refusal(row) for row in rows]
        return [
            {
                "rejection_id": one.rejection_id,
                "study_key": one.refusal.study_key,
                "series_key": one.refusal.series_key,
                "reason": one.refusal.reason.value,
                "detail": one.refusal.detail,
                "instance_count": one.refusal.instance_count,
                "said": one.said,
            }
            for one in noted
        ]

    def quarantine(self, study_key: str | None = None) -> list[dict[str, Any]]:
        """Return what waits for a person."""
        query = sa.select(
            HELD.c.held_id.label("id"),
            HELD.c.reason,
            HELD.c.detail,
            HELD.c.sop_key,
            HELD.c.series_key,
            HELD.c.study_key,
            HELD.c.at,
        ).where(sa.not_(HELD.c.released))
        return self._rows((query.where(HELD.c.study_key == study_key) if study_key else query).order_by(HELD.c.at))

    def case(self, case_id: str) -> StoredCase:
        """Return a case.

        Raises
        ------
        NotFound
            When it is not here (any more).
        """
        found = self._cases(CASES.c.case_id == case_id)
        if not found:
            raise NotFound("case-unknown", expected="the id of a case formed here", got="another id")
        return found[0]

    def cases_of_series(self, project_id: str, series_keys: Sequence[str]) -> list[StoredCase]:
        """Return the cases of a project that were formed from these series, in order of phase."""
        return self._cases(CASES.c.project_id == project_id, CASES.c.series_key.in_(series_keys))

    def _cases(self, *where: Any) -> list[StoredCase]:
        query = sa.select(CASES).where(*where).order_by(CASES.c.project_id, CASES.c.series_key, CASES.c.phase)
        with self._database.begin(read_only=True) as connection:
            return [stored_case(row) for row in connection.execute(query)]


def case_summary(stored: StoredCase) -> dict[str, Any]:
    """Return what a list shows of a case."""
    case = stored.case
    return {
        "case_id": case.case_id,
        "project_id": case.project_id,
        "series_keys": list(case.series_keys),
        "phase": case.phase,
        "phase_count": case.phase_count,
        "revision": stored.revision,
        "split": stored.split.value,
        "patient_key": stored.patient_key,
        "shape": list(case.shape),
    }
