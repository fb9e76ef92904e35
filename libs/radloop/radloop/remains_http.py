"""`/v1/studies/{study_key}/remains` of every service: what it still has of a study, for the proof that it was forgotten."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends

from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.http import authenticated
from radloop.objects import Objects
from radloop.sql.remains import events_of_study, rows_of_study


@dataclass(frozen=True)
class Remains:
    """What a service looks through.

    Attributes
    ----------
    service : str
        Its name: the first part of its objects' keys.
    metadata : sqlalchemy.MetaData
        Its tables: every one with a column ``study_key`` is counted.
    unit_of_work : callable
        ``unit_of_work(read_only=True)`` opens a transaction for reading.
    tombstone : str
        Table that says which studies are to be forgotten.
    kept : Mapping of str to str
        Tables that go on naming a study that was withdrawn, by what they say of it.
    objects : Objects, optional
        Where it keeps objects, if it does.
    indirect : Mapping of str to sqlalchemy.Select
        Tables without a column ``study_key``: by name, what selects their rows where a parameter ``study_key`` is given.
    """

    service: str
    metadata: sa.MetaData
    unit_of_work: Callable[..., Any]
    tombstone: str
    kept: Mapping[str, str] = field(default_factory=dict)
    objects: Objects | None = None
    indirect: Mapping[str, sa.Select[Any]] = field(default_factory=dict)

    def of_study(self, study_key: str) -> dict[str, Any]:
        """Return what is left: ``rows`` that should go with the study, ``kept`` ones that stay, ``objects`` and ``events``.

        ``forgets`` says whether the service has heard of the withdrawal.
        """
        with self.unit_of_work(read_only=True) as uow:
            rows = rows_of_study(uow.connection, self.metadata, study_key)
            for table, query in self.indirect.items():
                counted = sa.select(sa.func.count()).select_from(query.subquery())
                if number := uow.connection.execute(counted, {"study_key": study_key}).scalar_one():
                    rows[table] = number
            events = events_of_study(uow.connection, study_key)
        kept = {self.tombstone: "that it is to be forgotten, so that it stays so"} | dict(self.kept)
        objects = 0 if self.objects is None else sum(1 for _ in self.objects.keys(f"{self.service}/{study_key}/"))
        return {
            "service": self.service,
            "study_key": study_key,
            "forgets": self.tombstone in rows,
            "rows": {table: number for table, number in rows.items() if table not in kept},
            "kept": [
                {"table": table, "rows": number, "says": kept[table]} for table, number in rows.items() if table in kept
            ],
            "objects": objects,
            "events": dict(events),
        }


def remains_router(remains: Remains) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter(prefix="/v1", tags=["withdrawal"])

    @router.get("/studies/{study_key}/remains")
    def left(study_key: str, principal: Annotated[Principal, Depends(authenticated)]) -> dict[str, Any]:
        """Return how many rows, objects and waiting events this service has of a study; no content."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        found = remains.of_study(study_key)
        if found["rows"] or found["kept"]:
            # Of what was never here nothing is written: whatever was typed could name somebody.
            with remains.unit_of_work() as uow:
                uow.audit(principal.subject, "view-remains", study_key)
                uow.commit()
        return found

    return router
