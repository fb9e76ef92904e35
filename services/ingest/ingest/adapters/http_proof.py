"""The proof that a study was forgotten, as far as this service can give it: the tombstone, and what is left here."""

from collections.abc import Callable
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends

from ingest.adapters.tables import TOMBSTONES
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.errors import NotFound
from radloop.http import authenticated
from radloop.remains_http import Remains
from radloop.sql import Database

Asking = Annotated[Principal, Depends(authenticated)]

NOT_SEEN = (
    "Backups made before the withdrawal contain the study: whoever keeps them lets them expire.",
    "An object store that keeps versions keeps the deleted ones until its own rule removes them.",
    "Events that named the study's key stay in the event log for its retention; they hold no image and no identity.",
    "Dataset versions and models that contained it are listed by the trainer and the control plane; they are not rebuilt.",
    "Files that people exported are theirs: the audit trail says who exported what.",
)
"""What no service can see, in words for the page."""


class Proofs:
    """Reads what is left of a withdrawn study.

    Parameters
    ----------
    database : Database
    remains : Remains
        Of this service.
    """

    def __init__(self, database: Database, remains: Remains) -> None:
        self._database, self._remains = database, remains

    def of_study(self, study_key: str) -> dict[str, Any]:
        """Return when and why a study was withdrawn, and what is left of it here.

        Raises
        ------
        NotFound
            ``not-withdrawn``.
        """
        with self._database.begin(read_only=True) as connection:
            row = connection.execute(sa.select(TOMBSTONES).where(TOMBSTONES.c.study_key == study_key)).first()
        if row is None:
            raise NotFound(
                "not-withdrawn",
                expected="the key of a study that was withdrawn",
                got="another",
                do="list them: GET /v1/withdrawn",
            )
        left = self._remains.of_study(study_key)
        return {
            "study_key": study_key,
            "reason": row.reason,
            "withdrawn_at": row.at,
            "emptied": bool(row.empty),
            "refused_if_sent_again": True,
            "remains": left,
            "nothing_left": bool(row.empty) and not left["rows"] and not left["objects"],
            "not_seen_here": list(NOT_SEEN),
        }


def make_proof_router(proofs: Proofs, unit_of_work: Callable[..., Any]) -> APIRouter:
    """Return the endpoint; ``unit_of_work()`` opens a transaction, for the audit trail."""
    router = APIRouter(prefix="/v1")

    @router.get("/withdrawn/{study_key}/proof")
    def proof(study_key: str, principal: Asking) -> dict[str, Any]:
        """What is left of a withdrawn study in this service, and what it cannot see; `radloop withdrawn proof` asks all services."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        found = proofs.of_study(study_key)
        with unit_of_work() as uow:
            uow.audit(principal.subject, "view-proof", study_key)
            uow.commit()
        return found

    return router
