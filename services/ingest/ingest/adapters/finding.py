"""Finds the studies of a patient, or of an accession number, as they are known outside; what it returns names nobody."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from ingest.adapters.listings import what_came
from ingest.adapters.tables import CASES, STUDIES
from ingest.adapters.vault import Vault
from ingest.domain.pseudonyms import PatientIdentity
from radloop.sql import Database


class Finding:
    """Looks into the index for people who know an original id.

    Parameters
    ----------
    database : Database
    vault : Vault
        Opens the sealed identities: an accession number is written nowhere else.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def of_patient(self, patients: Collection[str]) -> list[str]:
        """Return the studies of a patient, who is given by pseudonym under every key version."""
        query = sa.select(STUDIES.c.study_key).where(STUDIES.c.patient.in_(list(patients)))
        return self._keys(query)

    def of_other_issuers(self, identity: PatientIdentity) -> int:
        """Count studies of the same Patient ID under another issuer: whether it is the same person, only people know."""
        return sum(
            who.get("patient_id") == identity.patient_id and who.get("issuer", "") != identity.issuer
            for _, who in self._identities()
        )

    def of_accession_number(self, accession_number: str) -> list[str]:
        """Return the studies of an accession number; those received before it was sealed are not found."""
        return [key for key, who in self._identities() if who.get("accession_number") == accession_number]

    def what_hangs_on(self, study_keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the studies among these that are here, with counts of what belongs to each and the projects that have it."""
        keys = list(study_keys)
        query = sa.select(STUDIES.c.study_key, STUDIES.c.state, STUDIES.c.received_at)
        projects = sa.select(CASES.c.study_key, CASES.c.project_id).distinct().where(CASES.c.study_key.in_(keys))
        with self._database.begin(read_only=True) as connection:
            rows = connection.execute(query.where(STUDIES.c.study_key.in_(keys)).order_by(STUDIES.c.received_at)).all()
            came = what_came(connection, keys)
            taken: dict[str, list[str]] = {}
            for row in connection.execute(projects.order_by(CASES.c.project_id)):
                taken.setdefault(row.study_key, []).append(row.project_id)
        counts = ("series", "instances", "cases", "held")
        return [
            {"study_key": row.study_key, "state": row.state, "received_at": row.received_at}
            | {name: came[row.study_key][name] for name in counts}
            | {"projects": taken.get(row.study_key, [])}
            for row in rows
        ]

    def _keys(self, query: sa.Select[Any]) -> list[str]:
        with self._database.begin(read_only=True) as connection:
            return list(connection.execute(query.order_by(STUDIES.c.received_at)).scalars())

    def _identities(self) -> list[tuple[str, dict[str, Any]]]:
        """Open every sealed identity: some thousands a second, which a request that is made once in a while may take."""
        query = sa.select(STUDIES.c.study_key, STUDIES.c.identity).order_by(STUDIES.c.received_at)
        with self._database.begin(read_only=True) as connection:
            return opened(connection, query, self._vault)


def opened(
    connection: sa.Connection, query: sa.Select[tuple[str, str]], vault: Vault
) -> list[tuple[str, dict[str, Any]]]:
    """Return the studies of a query for key and sealed identity, each with whose it is outside."""
    return [(row.study_key, vault.open_fields(row.identity)) for row in connection.execute(query).all()]
