"""What the HTTP side asks of the index: counts, cases, single things. Pages for the operator are in `listings`."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.sql_cases import stored_case
from ingest.adapters.tables import CASES, HELD, INSTANCES, PROJECTS, REFUSALS, STUDIES, TOMBSTONES
from ingest.ports import StoredCase
from radloop.errors import NotFound
from radloop.sql import Database


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

    def state(self, study_key: str) -> str | None:
        """Return the state of a study; None when it is not here."""
        rows = self._rows(sa.select(STUDIES.c.state).where(STUDIES.c.study_key == study_key))
        return str(rows[0]["state"]) if rows else None

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
