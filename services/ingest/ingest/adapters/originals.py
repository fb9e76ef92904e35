"""From ids as they stand outside to cases: of a table's line, or of what a DICOM label refers to. Originals are asked for, never kept.

Every id is pseudonymised under each version of the site key and looked for under each. An Accession Number has no pseudonym:
it is in the vault, and found by opening the identity of each study that has a case of the project.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ingest.adapters.finding import opened
from ingest.adapters.label_objects import References
from ingest.adapters.queries import case_summary
from ingest.adapters.sql_cases import stored_case
from ingest.adapters.tables import CASES, INSTANCES, REFUSALS, SERIES, STUDIES
from ingest.adapters.vault import Vault
from ingest.domain.keys import KeyRing
from ingest.domain.pseudonyms import PatientIdentity
from ingest.ports import StoredCase
from radloop.objects import Objects
from radloop.sql import Database

_INSTANCES_ASKED = 500
"""Of a label that names no series: some of its images are enough to find theirs."""

NOTHING_NAMED = "nothing-named"
NOT_RECEIVED = "not-received"
NO_CASE = "no-case"


@dataclass(frozen=True, slots=True)
class OriginalIds:
    """What a line of a table says of one case, as it stands outside; empty where it says nothing. All that is said must hold."""

    series_instance_uid: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    issuer: str = ""
    phase: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The cases meant, or why there is none: `NOTHING_NAMED`, `NOT_RECEIVED`, `NO_CASE`, and the reasons for which it was refused."""

    cases: tuple[StoredCase, ...]
    why: str = ""
    rejected: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what is answered."""
        cases = [{"study_key": stored.case.study_key} | case_summary(stored) for stored in self.cases]
        return {"cases": cases, "why": self.why, "rejected": list(self.rejected)}


class Originals:
    """Finds cases of a project.

    Parameters
    ----------
    database : Database
    vault : Vault
    objects : Objects
        For manifests: which slices a case of several phases has.
    """

    def __init__(self, database: Database, vault: Vault, objects: Objects) -> None:
        self._database, self._vault, self._objects = database, vault, objects

    def by_ids(self, keys: KeyRing, project_id: str, rows: list[OriginalIds]) -> list[Found]:
        """Return what each line of a table means."""
        if not rows:
            return []
        with self._database.begin(read_only=True) as connection:
            accessions = (
                _accessions(connection, project_id, self._vault) if any(r.accession_number for r in rows) else {}
            )
            return [_of_row(connection, keys, project_id, row, accessions) for row in rows]

    def by_references(self, keys: KeyRing, project_id: str, references: References) -> Found:
        """Return the cases of the series, and of their phases those, that a label was made on."""
        series = [each.uid(uid) for each in map(keys.__getitem__, keys.versions) for uid in references.series]
        sop_keys = {
            each.uid(uid): frames
            for each in map(keys.__getitem__, keys.versions)
            for uid, frames in references.frames.items()
        }
        if not series and not sop_keys:
            return Found((), NOTHING_NAMED)
        with self._database.begin(read_only=True) as connection:
            if not series:
                some = sorted(sop_keys)[:_INSTANCES_ASKED]
                query = sa.select(INSTANCES.c.series_key).where(INSTANCES.c.sop_key.in_(some)).distinct()
                series = [row.series_key for row in connection.execute(query)]
            found = _cases(connection, project_id, CASES.c.series_key.in_(series))
            if not found:
                return _none(connection, series)
        if len(found) > 1 and sop_keys:
            meant = tuple(stored for stored in found if self._has_slices(stored, sop_keys))
            found = meant or found
        return Found(found)

    def _has_slices(self, stored: StoredCase, sop_keys: Mapping[str, set[int]]) -> bool:
        manifest = json.loads(self._objects.get(stored.case.manifest))
        named = ((sop_keys.get(one["sop_instance_uid"]), one["frame"]) for one in manifest["slices"])
        return any(frames is not None and (not frames or frame in frames) for frames, frame in named)


def _cases(connection: sa.Connection, project_id: str, *where: Any) -> tuple[StoredCase, ...]:
    query = sa.select(CASES).where(CASES.c.project_id == project_id, *where)
    return tuple(stored_case(row) for row in connection.execute(query.order_by(CASES.c.series_key, CASES.c.phase)))


def _none(connection: sa.Connection, series: list[str]) -> Found:
    known = connection.execute(sa.select(SERIES.c.series_key).where(SERIES.c.series_key.in_(series)).limit(1)).first()
    query = (
        sa.select(REFUSALS.c.reason).where(REFUSALS.c.series_key.in_(series), REFUSALS.c.series_key != "").distinct()
    )
    return Found((), NO_CASE if known else NOT_RECEIVED, tuple(sorted(row.reason for row in connection.execute(query))))


def _of_row(
    connection: sa.Connection, keys: KeyRing, project_id: str, row: OriginalIds, accessions: Mapping[str, list[str]]
) -> Found:
    each = [keys[version] for version in keys.versions]
    where: list[Any] = []
    series = [one.uid(row.series_instance_uid) for one in each] if row.series_instance_uid else []
    if series:
        where.append(CASES.c.series_key.in_(series))
    studies: list[Any] = []
    if row.study_instance_uid:
        studies.append(STUDIES.c.study_key.in_([one.uid(row.study_instance_uid) for one in each]))
    if row.patient_id:
        identity = PatientIdentity(row.issuer, row.patient_id)
        studies.append(STUDIES.c.patient.in_([one.patient(identity, "") for one in each]))
    if row.accession_number:
        studies.append(STUDIES.c.study_key.in_(accessions.get(row.accession_number, [])))
    if not where and not studies:
        return Found((), NOTHING_NAMED)
    if studies:
        where.append(CASES.c.study_key.in_(sa.select(STUDIES.c.study_key).where(*studies)))
    if row.phase is not None:
        where.append(CASES.c.phase == row.phase)
    found = _cases(connection, project_id, *where)
    if found:
        return Found(found)
    if series:
        return _none(connection, series)
    known = connection.execute(sa.select(STUDIES.c.study_key).where(*studies).limit(1)).first()
    return Found((), NO_CASE if known else NOT_RECEIVED)


def _accessions(connection: sa.Connection, project_id: str, vault: Vault) -> dict[str, list[str]]:
    of_project = sa.select(CASES.c.study_key).where(CASES.c.project_id == project_id)
    query = sa.select(STUDIES.c.study_key, STUDIES.c.identity).where(STUDIES.c.study_key.in_(of_project))
    found: dict[str, list[str]] = {}
    for study_key, who in opened(connection, query, vault):
        if number := who.get("accession_number", ""):
            found.setdefault(number, []).append(study_key)
    return found
