"""Repositories of the site's key versions, on SQL: which there are, who is named under which, and what is encrypted with them."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from ingest.adapters.tables import (
    HELD,
    PATIENTS,
    PROJECTS,
    PULL_STUDIES,
    PULLS,
    REFUSED_PATIENTS,
    SERIES,
    SITE_KEYS,
    SPLITS,
    STUDIES,
    TOMBSTONES,
)
from ingest.adapters.tables_exports import ORIGINALS
from ingest.domain.messages import Sealed
from ingest.domain.reasons import WithdrawReason
from radloop.references import ObjectRef
from radloop.sql import upsert

_KEY = sa.bindparam("key")
_CURRENT = sa.select(sa.func.max(SITE_KEYS.c.version))
_KNOWS_STUDY = sa.union_all(
    sa.select(STUDIES.c.study_key).where(STUDIES.c.study_key == _KEY),
    sa.select(TOMBSTONES.c.study_key).where(TOMBSTONES.c.study_key == _KEY),
)
_IS_REFUSED = sa.select(REFUSED_PATIENTS.c.patient).where(
    REFUSED_PATIENTS.c.patient.in_(sa.bindparam("patients", expanding=True))
)
# Kind, table, the key of a row, and its encrypted text or the object that holds it.
_SEALED: tuple[tuple[str, sa.Table, Any, Any], ...] = (
    ("study", STUDIES, STUDIES.c.study_key, STUDIES.c.identity),
    ("series", SERIES, SERIES.c.series_key, SERIES.c.routing),
    ("held", HELD, HELD.c.held_id, HELD.c.object_key),
    ("pull", PULLS, PULLS.c.pull_id, PULLS.c.sealed),
    ("pull-study", PULL_STUDIES, PULL_STUDIES.c.entry_id, PULL_STUDIES.c.identity),
    ("original", ORIGINALS, ORIGINALS.c.sop_key, ORIGINALS.c.sealed),
)


class SqlPatients:
    """`ports.Patients`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def knows_study(self, study_key: str) -> bool:
        return self._connection.execute(_KNOWS_STUDY, {"key": study_key}).first() is not None

    def patient_version(self, patient: str) -> int | None:
        query = sa.select(PATIENTS.c.key_version).where(PATIENTS.c.patient == patient)
        return self._connection.execute(query).scalar()

    def knows_split(self, project_id: str, patient_key: str) -> bool:
        query = sa.select(SPLITS.c.split).where(SPLITS.c.project_id == project_id, SPLITS.c.patient_key == patient_key)
        return self._connection.execute(query).first() is not None

    def project_ids(self) -> list[str]:
        return list(self._connection.execute(sa.select(PROJECTS.c.project_id)).scalars())

    def remember(self, patient: str, key_version: int) -> None:
        row = {"patient": patient, "key_version": key_version}
        upsert(self._connection, PATIENTS, row, keys=("patient",), update=False)


class SqlRefusedPatients:
    """`ports.RefusedPatients`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def has(self, patients: Collection[str]) -> bool:
        return self._connection.execute(_IS_REFUSED, {"patients": list(patients)}).first() is not None

    def add(self, patient: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        row = {"patient": patient, "reason": reason.value, "at": at, "key_version": key_version}
        upsert(self._connection, REFUSED_PATIENTS, row, keys=("patient",), update=False)

    def remove(self, patients: Collection[str]) -> int:
        mine = REFUSED_PATIENTS.c.patient.in_(list(patients))
        return self._connection.execute(REFUSED_PATIENTS.delete().where(mine)).rowcount


class SqlSiteKeys:
    """`ports.SiteKeys`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def fingerprints(self) -> dict[int, str]:
        rows = self._connection.execute(sa.select(SITE_KEYS).order_by(SITE_KEYS.c.version))
        return {row.version: row.fingerprint for row in rows}

    def current(self) -> int:
        return self._connection.execute(_CURRENT).scalar() or 0

    def remember(self, version: int, fingerprint: str) -> None:
        self._connection.execute(SITE_KEYS.insert().values(version=version, fingerprint=fingerprint))

    def forget(self, version: int) -> None:
        self._connection.execute(SITE_KEYS.delete().where(SITE_KEYS.c.version == version))

    def needs(self) -> dict[int, dict[str, int]]:
        counted: dict[int, dict[str, int]] = {}
        named = (
            ("patients", PATIENTS),
            ("studies", STUDIES),
            ("splits", SPLITS),
            ("withdrawn studies", TOMBSTONES),
            ("refused patients", REFUSED_PATIENTS),
        )
        for what, table in named:
            self._count(
                counted,
                what,
                sa.select(table.c.key_version.label("version"), sa.func.count().label("number")).group_by(
                    table.c.key_version
                ),
            )
        for _kind, table, _key, _text in _SEALED:
            query = sa.select(table.c.vault_version.label("version"), sa.func.count().label("number"))
            query = query.where(_still(table)).group_by(table.c.vault_version)
            self._count(counted, "encrypted", query)
        return counted

    def _count(self, counted: dict[int, dict[str, int]], what: str, query: sa.Select[Any]) -> None:
        for row in self._connection.execute(query):
            of_version = counted.setdefault(row.version, {})
            of_version[what] = of_version.get(what, 0) + row.number


class SqlSealedThings:
    """`ports.SealedThings`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def older_than(self, version: int, limit: int) -> list[Sealed]:
        found: list[Sealed] = []
        for kind, table, key, text in _SEALED:
            query = sa.select(key.label("key"), text.label("text")).where(
                table.c.vault_version < version, _still(table)
            )
            rows = self._connection.execute(query.limit(limit - len(found)))
            found += [Sealed(kind, row.key, row.text) for row in rows]
            if len(found) == limit:
                break
        return found

    def replace(self, old: Sealed, text: str, version: int, ref: ObjectRef | None) -> bool:
        table, key, column = next((t, k, c) for kind, t, k, c in _SEALED if kind == old.kind)
        values: dict[str, Any] = {column.name: text, "vault_version": version}
        if ref is not None:
            values |= {"object_digest": ref.digest, "object_size": ref.size_bytes}
        unchanged = table.update().where(key == old.key, column == old.text, _still(table))
        return self._connection.execute(unchanged.values(**values)).rowcount == 1


def _still(table: sa.Table) -> Any:
    """What was released from quarantine is no longer there, nor is who a study was about once it was pulled."""
    if table is PULL_STUDIES:
        return PULL_STUDIES.c.identity != ""
    return sa.not_(table.c.released) if table is HELD else sa.true()
