"""Repositories of de-identification, on SQL: the site's profiles, and what they changed in which instances."""

from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables import CHANGES, HELD, INSTANCES, SITE_PROFILES, STUDIES
from ingest.domain.changes import Changes, report
from radloop.errors import NotFound
from radloop.sql import Database, upsert


class SqlChanges:
    """`ports.ChangesMade`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def remember(self, changes: Changes) -> None:
        row = {"digest": changes.digest, "body": changes.text}
        upsert(self._connection, CHANGES, row, keys=("digest",), update=False)


class SqlSiteProfiles:
    """`ports.SiteProfiles`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def fingerprint(self, label: str) -> str | None:
        return self._connection.execute(
            sa.select(SITE_PROFILES.c.fingerprint).where(SITE_PROFILES.c.label == label)
        ).scalar()

    def remember(self, label: str, fingerprint: str, body: str, at: float) -> None:
        row = {"label": label, "fingerprint": fingerprint, "body": body, "at": at}
        self._connection.execute(SITE_PROFILES.insert().values(**row))


class Reports:
    """Reads what de-identification did to a study.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_key: str) -> dict[str, Any]:
        """Return the report of a study: no value of it, and no identifier.

        Raises
        ------
        NotFound
            There is no such study (any more).
        """
        counted = (
            sa.select(INSTANCES.c.changes, CHANGES.c.body, sa.func.count().label("number"))
            .outerjoin(CHANGES, CHANGES.c.digest == INSTANCES.c.changes)
            .where(INSTANCES.c.study_key == study_key)
            .group_by(INSTANCES.c.changes, CHANGES.c.body)
        )
        held = (
            sa.select(HELD.c.reason, HELD.c.released, sa.func.count().label("number"))
            .where(HELD.c.study_key == study_key)
            .group_by(HELD.c.reason, HELD.c.released)
            .order_by(HELD.c.reason, HELD.c.released)
        )
        with self._database.begin(read_only=True) as connection:
            known = connection.execute(sa.select(STUDIES.c.study_key).where(STUDIES.c.study_key == study_key)).first()
            if known is None:
                raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
            rows = connection.execute(counted).all()
            looked_at = [
                {"reason": row.reason, "released": bool(row.released), "instances": row.number}
                for row in connection.execute(held)
            ]
        return {
            "study_key": study_key,
            "instances": sum(row.number for row in rows),
            "without_report": sum(row.number for row in rows if row.body is None),
            "profiles": report((Changes.read(row.body), row.number) for row in rows if row.body is not None),
            "held": looked_at,
        }
