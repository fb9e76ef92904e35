"""DICOMweb, storing: STOW-RS (PS3.18 section 10.5). What came is answered for instance by instance, as C-STORE does."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from ingest.adapters.dimse import OUT_OF_RESOURCES, STATUS
from ingest.adapters.multipart import UnreadableBody, UnsupportedMedia, parts_of
from ingest.adapters.parsing import uids_of
from ingest.adapters.reception import Fate, Outcome, Receiver
from ingest.adapters.uploads import body_of
from ingest.domain.reasons import RejectReason
from radloop.auth import Principal, Role
from radloop.errors import Invalid, RadloopError, TemporaryError
from radloop.http import authenticated

SITE = "*"
OTHER_STUDY = 0xA900
"""Error: Data Set does not match SOP Class; here: the instance is of another study than the address names."""
_STATUS: dict[type[RadloopError], int] = {UnreadableBody: 400, UnsupportedMedia: 415, Invalid: 413}


def make_store_router(receiver: Receiver, audit: Callable[[str, str], None], largest_bytes: int) -> APIRouter:
    """Return the endpoints of DICOMweb that store; ``audit(subject, study_key)`` notes who sent to which study."""
    router = APIRouter(prefix="/dicom-web")

    def sender(principal: Annotated[Principal, Depends(authenticated)]) -> Principal:
        principal.require(SITE, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        return principal

    Sending = Annotated[Principal, Depends(sender)]

    async def body(request: Request, _principal: Sending) -> bytes | Invalid:
        try:
            return await body_of(request, largest_bytes)
        except Invalid as error:
            return error

    def store(request: Request, principal: Principal, sent: bytes | Invalid, study: str | None) -> Response:
        try:
            if isinstance(sent, Invalid):
                raise sent
            files = list(parts_of(sent, request.headers.get("content-type", "")))
        except (UnreadableBody, UnsupportedMedia, Invalid) as error:
            return JSONResponse(error.as_dict(), _STATUS[type(error)])
        stored: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        studies: set[str] = set()
        with receiver.open("") as reception:
            for data in files:
                named = uids_of(data)
                try:
                    if study is not None and named is not None and named[0] != study:
                        raise _OtherStudy
                    outcome = reception.receive(data)
                except _OtherStudy:
                    failed.append(_item(named, OTHER_STUDY))
                except TemporaryError:
                    failed.append(_item(named, OUT_OF_RESOURCES))
                else:
                    reason = _failure(outcome)
                    (stored if reason is None else failed).append(_item(named, reason))
                    if outcome.fate is not Fate.REFUSED:
                        studies.add(outcome.study_key)
        for study_key in sorted(studies):
            audit(principal.subject, study_key)
        content = {}
        if stored:
            content["00081199"] = {"vr": "SQ", "Value": stored}
        if failed:
            content["00081198"] = {"vr": "SQ", "Value": failed}
        status = 200 if not failed else 202 if stored else 409
        return JSONResponse(content, status, media_type="application/dicom+json")

    @router.post("/studies", response_class=Response, responses=_DOCS)
    def store_any(request: Request, principal: Sending, sent: Annotated[Any, Depends(body)]) -> Response:
        """Take instances in, of whatever studies."""
        return store(request, principal, sent, None)

    @router.post("/studies/{study}", response_class=Response, responses=_DOCS)
    def store_in(request: Request, principal: Sending, study: str, sent: Annotated[Any, Depends(body)]) -> Response:
        """Take instances of one study in, named by its original Study Instance UID."""
        return store(request, principal, sent, study)

    return router


class _OtherStudy(Exception):
    pass


def _failure(outcome: Outcome) -> int | None:
    """Return the failure reason of an outcome, as C-STORE answers it; None for what was taken."""
    if outcome.fate is Fate.REFUSED or outcome.reason is RejectReason.PIXELS_DIFFER:
        assert outcome.reason is not None
        return STATUS[outcome.reason]
    return None


def _item(named: tuple[str, str, str] | None, failure: int | None) -> dict[str, Any]:
    """Return what is said of an instance, under the UIDs it came with: the sender knows no others."""
    item: dict[str, Any] = {}
    if named is not None:
        _, sop_class_uid, sop_instance_uid = named
        item["00081150"] = {"vr": "UI", "Value": [sop_class_uid]}
        item["00081155"] = {"vr": "UI", "Value": [sop_instance_uid]}
    if failure is not None:
        item["00081197"] = {"vr": "US", "Value": [failure]}
    return item


_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All were taken.", "content": {"application/dicom+json": {}}},
    202: {"description": "Some were taken; the answer says which were not, and why."},
    400: {"description": "The body is not in parts."},
    409: {"description": "None was taken; the answer says why."},
    413: {"description": "The body is too large."},
    415: {"description": "The body is no multipart/related of application/dicom."},
}
