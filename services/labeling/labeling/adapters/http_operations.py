"""Work on one segment that a browser leaves to the service: `/v1/tasks/{id}/operations`. Nothing is kept: the draft is the reader's."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, ValidationError

from labeling.adapters.access import READERS
from labeling.adapters.api import Api
from labeling.adapters.formats.compression import packed
from labeling.adapters.forms import bounded
from labeling.domain.model import Case
from labeling.domain.operations import Operation, fill_holes, interpolate, remove_islands, smooth
from labeling.domain.runs import Part, decode_runs, encode_runs
from labeling.ports import project_of
from radloop.auth import Principal, pseudonym
from radloop.errors import Invalid
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]
_FAST = 1


class OperationRequest(BaseModel):
    """The voxels of one segment, and what to do to them."""

    lease_id: str = ""
    """Checked where it is given: a reader whose lease is gone learns it now."""
    segment: int = Field(ge=1, le=255)
    axis: int = Field(default=2, ge=0, le=2)
    """Normal of the slices: 0, 1 or 2 for i, j or k."""
    shape: list[int] = Field(min_length=3, max_length=3)
    """Of the case, along (i, j, k)."""
    runs: list[Any]
    """``[gap, length, ...]`` over i + I*(j + J*k)."""
    min_ml: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """remove-islands: keep every piece of at least so many millilitres; else the largest alone."""
    in_3d: bool = False
    """fill-holes: what is enclosed in three dimensions, not in each slice."""


class OperationDone(BaseModel):
    """The voxels of the segment afterwards."""

    runs: list[int]


def router(api: Api) -> APIRouter:
    """Return the endpoint of operations."""
    routes = APIRouter(prefix="/v1/tasks", tags=["drafts"])

    async def wanted(request: Request) -> OperationRequest:
        body = b"".join([chunk async for chunk in bounded(request, api.limits.draft_request)])
        try:
            return OperationRequest.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise Invalid(
                "request-invalid",
                expected=first["msg"],
                got=f"something else in {'.'.join(str(part) for part in first['loc']) or 'the body'}",
                do="see what /openapi.json says of this call",
            ) from error

    schema = {"required": True, "content": {"application/json": {"schema": OperationRequest.model_json_schema()}}}

    @routes.post(
        "/{task_id}/operations/{operation}", response_model=OperationDone, openapi_extra={"requestBody": schema}
    )
    def operate(
        request: Request,
        principal: Who,
        task_id: str,
        operation: Operation,
        asked: Annotated[OperationRequest, Depends(wanted)],
    ) -> Response:
        """Return what becomes of one segment's voxels. Nothing is stored."""
        task, case = api.viewed(task_id, principal, f"segment-{operation}", *READERS)
        if asked.lease_id:
            task.check_lease(asked.lease_id, pseudonym(principal.subject), api.clock.now())
        _check(asked, case)
        i, j, k = case.shape
        done = _done(operation, decode_runs(asked.runs, (i, j, k)), asked, case)
        body = json.dumps({"runs": encode_runs(done, (i, j, k))}, separators=(",", ":")).encode()
        headers = {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers = packed(body, _FAST), headers | {"Content-Encoding": "gzip"}
        return Response(body, media_type="application/json", headers=headers)

    def _check(asked: OperationRequest, case: Case) -> None:
        with api.unit_of_work(read_only=True) as uow:
            project = project_of(case.project_id, uow)
        if asked.segment not in project.values:
            raise Invalid(
                "segment-unknown",
                expected=f"one of the values {', '.join(map(str, project.values))}",
                got=str(asked.segment),
                do="GET /v1/projects/{project_id}/segments lists them",
            )
        if tuple(asked.shape) != tuple(case.shape):
            raise Invalid(
                "shape-mismatch",
                expected="x".join(map(str, case.shape)),
                got="x".join(map(str, asked.shape)),
                do="send the voxels of this task's case: GET /v1/tasks/{task_id}",
            )

    return routes


def _done(operation: Operation, part: Part, asked: OperationRequest, case: Case) -> Part:
    si, sj, sk = case.spacing_mm
    i, j, k = case.shape
    if operation is Operation.INTERPOLATE:
        return interpolate(part, asked.axis, (si, sj, sk))
    if operation is Operation.SMOOTH:
        return smooth(part, (si, sj, sk), (i, j, k))
    if operation is Operation.REMOVE_ISLANDS:
        return remove_islands(part, (si, sj, sk), asked.min_ml)
    return fill_holes(part, None if asked.in_3d else asked.axis)
