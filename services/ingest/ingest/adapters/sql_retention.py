"""Repositories of retention, on SQL: which cases have a label or are asked for, what was given notice of, and all studies at once."""

from collections.abc import Iterator

import sqlalchemy as sa

from ingest.adapters.tables import CASES, FLAGGED_CASES, LABELLED_CASES, RETENTION_NOTICES, STUDIES
from ingest.domain.retention import KeptCase, KeptStudy
from radloop.sql import Database, upsert


class SqlUsedCases:
    """`ports.UsedCases`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def label(self, case_id: str, study_key: str) -> None:
        row = {"case_id": case_id, "study_key": study_key}
        upsert(self._connection, LABELLED_CASES, row, keys=("case_id",), update=False)

    def flag(self, case_id: str, study_key: str, at: float) -> None:
        upsert(
            self._connection,
            FLAGGED_CASES,
            {"case_id": case_id, "study_key": study_key, "at": at},
            keys=("case_id",),
        )

    def notice(self, study_key: str, why: str, at: float) -> None:
        row = {"study_key": study_key, "why": why, "at": at}
        upsert(self._connection, RETENTION_NOTICES, row, keys=("study_key",), update=False)

    def drop_notice(self, study_key: str) -> None:
        self._connection.execute(RETENTION_NOTICES.delete().where(RETENTION_NOTICES.c.study_key == study_key))

    def forget(self, study_key: str) -> None:
        for table in (LABELLED_CASES, FLAGGED_CASES, RETENTION_NOTICES):
            self._connection.execute(table.delete().where(table.c.study_key == study_key))


class Kept:
    """Reads what is kept, for the worker and for who wants to see first.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self) -> Iterator[KeptStudy]:
        """Return every study that is not waiting to be formed, with its cases."""
        studies = sa.select(STUDIES.c.study_key, STUDIES.c.received_at).where(sa.not_(STUDIES.c.waiting))
        cases = (
            sa.select(
                CASES.c.study_key,
                CASES.c.project_id,
                LABELLED_CASES.c.case_id.is_not(None).label("labelled"),
                FLAGGED_CASES.c.at.label("flagged_at"),
            )
            .outerjoin(LABELLED_CASES, LABELLED_CASES.c.case_id == CASES.c.case_id)
            .outerjoin(FLAGGED_CASES, FLAGGED_CASES.c.case_id == CASES.c.case_id)
        )
        found: dict[str, list[KeptCase]] = {}
        with self._database.begin(read_only=True) as connection:
            for row in connection.execute(cases):
                found.setdefault(row.study_key, []).append(KeptCase(row.project_id, bool(row.labelled), row.flagged_at))
            rows = connection.execute(studies.order_by(STUDIES.c.received_at, STUDIES.c.study_key)).all()
        for row in rows:
            yield KeptStudy(row.study_key, row.received_at, tuple(found.get(row.study_key, ())))

    def notices(self) -> dict[str, float]:
        """Return when notice was given, by study."""
        with self._database.begin(read_only=True) as connection:
            return {row.study_key: row.at for row in connection.execute(sa.select(RETENTION_NOTICES))}
