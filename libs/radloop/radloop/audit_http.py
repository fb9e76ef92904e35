"""`/v1/audit` of every service: its part of the site's audit trail, for auditors and the site's administrators."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.http import authenticated
from radloop.sql.audit import AuditEntry, audit_entries

_COLUMNS = ("id", "at", "subject", "action", "target")
# Reading is an entry, too: with pages of one the end would never be reached.
_LEAST, _MOST = 10, 10_000
_DOCS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["entries", "next"],
                    "properties": {
                        "entries": {"type": "array", "items": {"type": "object", "required": list(_COLUMNS)}},
                        "next": {"type": ["integer", "null"]},
                    },
                }
            },
            "text/csv": {"schema": {"type": "string"}},
        },
        "description": "Entries in order.",
    }
}


class AuditFormat(StrEnum):
    """How entries are written."""

    JSON = "json"
    CSV = "csv"


def audit_router(unit_of_work: Callable[..., Any]) -> APIRouter:
    """Return the endpoint; ``unit_of_work()`` opens a transaction."""
    router = APIRouter(prefix="/v1", tags=["audit"])

    @router.get("/audit", responses=_DOCS, response_class=Response)
    def audit(
        principal: Annotated[Principal, Depends(authenticated)],
        after: Annotated[int, Query(ge=0, lt=2**63, description="next of the page before; 0 begins")] = 0,
        limit: Annotated[int, Query(ge=_LEAST, le=_MOST)] = 1000,
        format: AuditFormat = AuditFormat.JSON,
    ) -> Response:
        """Return entries of the audit trail, oldest first; `next` (in CSV the header X-Next) is null (empty) at the end.

        For the roles auditor and site-admin of the whole site. Reading it is an entry as well.
        """
        principal.require(EVERY_PROJECT, Role.AUDITOR, Role.SITE_ADMIN)
        with unit_of_work() as uow:
            found = audit_entries(uow.connection, after, limit + 1)
            entries = found[:limit]
            following = entries[-1].id if len(found) > limit else None
            uow.audit(principal.subject, f"audit-read-{format}", f"after {after}")
            uow.commit()
        if format is AuditFormat.CSV:
            headers = {"X-Next": "" if following is None else str(following)}
            return Response(as_csv(entries), media_type="text/csv", headers=headers)
        return JSONResponse({"entries": [_shown(entry) for entry in entries], "next": following})

    return router


def as_csv(entries: Sequence[AuditEntry]) -> str:
    """Write entries as CSV (RFC 4180) with a header line.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front: what is in it was chosen by somebody else.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for entry in entries:
        writer.writerow(_harmless(str(value)) for value in _shown(entry).values())
    return text.getvalue()


def _shown(entry: AuditEntry) -> dict[str, Any]:
    return asdict(entry) | {"at": entry.at.isoformat(timespec="milliseconds")}


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
