"""Drafts: an append-only journal for each task and reader, that survives whatever becomes of the lease."""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, ValidationError

from labeling.adapters.access import READERS
from labeling.adapters.api import Api
from labeling.adapters.forms import bounded
from labeling.domain.messages import AppendDraft
from radloop.auth import Principal, pseudonym
from radloop.errors import Invalid
from radloop.http import authenticated

_PAGE = 500

Who = Annotated[Principal, Depends(authenticated)]


class DraftAppend(BaseModel):
    """Entries to append after the sequence number you know."""

    lease_id: str
    after_sequence: int = Field(ge=0)
    entries: list[Any] = Field(min_length=1)


class DraftEntryView(BaseModel):
    """One entry of a journal."""

    sequence: int
    at: datetime
    entry: Any


class DraftView(BaseModel):
    """Your journal of a task; ``sequence`` is that of its last entry, 0 for none."""

    sequence: int
    entries: list[DraftEntryView]


class DraftAppended(BaseModel):
    """How far the journal goes now."""

    sequence: int


def router(api: Api) -> APIRouter:
    """Return the endpoints of drafts."""
    routes = APIRouter(prefix="/v1/tasks", tags=["drafts"])

    async def appended(request: Request) -> DraftAppend:
        body = b"".join([chunk async for chunk in bounded(request, api.limits.draft_request)])
        try:
            return DraftAppend.model_validate_json(body)
        except ValidationError as error:
            raise Invalid(
                "draft-unreadable",
                expected='{"lease_id", "after_sequence", "entries": [...]}, at least one entry',
                got="something else",
                do="see /openapi.json",
            ) from error

    @routes.get("/{task_id}/draft")
    def read_draft(principal: Who, task_id: str, after: Annotated[int, Query(ge=0)] = 0) -> DraftView:
        """Return your own journal of a task after a sequence number, whether or not you hold a lease."""
        reader = api.acting(task_id, principal, *READERS)
        with api.unit_of_work() as uow:
            last = uow.drafts.last(task_id, reader.pseudonym)
            found = uow.drafts.entries(task_id, reader.pseudonym, after, _PAGE)
            uow.audit(principal.subject, "draft-viewed", task_id)
            uow.commit()
        views = [DraftEntryView(sequence=e.sequence, at=e.made_at, entry=json.loads(e.entry)) for e in found]
        return DraftView(sequence=last, entries=views)

    @routes.post(
        "/{task_id}/draft",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": DraftAppend.model_json_schema()}},
            }
        },
    )
    def append_draft(principal: Who, task_id: str, draft: Annotated[DraftAppend, Depends(appended)]) -> DraftAppended:
        """Append to your journal. 409 ``draft-sequence`` tells the current number when another window was first."""
        entries = tuple(json.dumps(entry, separators=(",", ":")) for entry in draft.entries)
        largest = max(len(entry.encode()) for entry in entries)
        if largest > api.limits.draft_entry:
            raise Invalid(
                "draft-entry-too-large",
                expected=f"entries of at most {api.limits.draft_entry} bytes",
                got=f"one of {largest} bytes",
                do="append what changed, not the whole label; or compress it",
            )
        reader = api.acting(task_id, principal, *READERS)
        api.dispatcher.dispatch(AppendDraft(draft.lease_id, task_id, reader, draft.after_sequence, entries))
        with api.unit_of_work(read_only=True) as uow:
            return DraftAppended(sequence=uow.drafts.last(task_id, pseudonym(principal.subject)))

    return routes
