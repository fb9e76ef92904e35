"""DICOMweb, searching: QIDO-RS (PS3.18 section 10.6). Paths and answers are told in the service's page in docs."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from ingest.adapters.accepting import require_json
from ingest.adapters.answering import answered
from ingest.adapters.searching import Json, Search, Searches, read_search
from radloop.auth import Principal
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
Accept = Annotated[str | None, Header()]
Found = tuple[list[Json], bool]

_MORE = '299 radloop "There are more results than were asked for or can be given at a time; go on with offset."'
_NOT_FUZZY = '299 radloop "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def make_search_router(searches: Searches) -> APIRouter:
    """Return the endpoints of DICOMweb that search."""
    router = APIRouter(prefix="/dicom-web")

    def search(request: Request, level: str, find: Callable[[Search, str], Found]) -> Response:
        require_json(request.headers.get("accept"))
        wanted = read_search(request.query_params.multi_items(), level)
        found, more = find(wanted, door_of(request))
        warnings = [text for text, applies in ((_MORE, more), (_NOT_FUZZY, wanted.fuzzy)) if applies]
        headers = {"Cache-Control": "no-store"} | ({"Warning": ", ".join(warnings)} if warnings else {})
        return JSONResponse(found, media_type="application/dicom+json", headers=headers)

    @router.get("/studies", response_class=Response, responses=_DOCS)
    def search_studies(request: Request, principal: Asking, accept: Accept = None) -> Response:
        """Studies, the newest first, by attributes of the study."""
        return answered(partial(search, request, "study", partial(searches.studies, principal)))

    @router.get("/series", response_class=Response, responses=_DOCS)
    def search_series(request: Request, principal: Asking, accept: Accept = None) -> Response:
        """Series of all studies, by attributes of study and series."""
        return answered(partial(search, request, "series", partial(searches.series, principal, None)))

    @router.get("/studies/{study}/series", response_class=Response, responses=_DOCS)
    def search_series_of(request: Request, principal: Asking, study: str, accept: Accept = None) -> Response:
        """Series of one study."""
        return answered(partial(search, request, "series", partial(searches.series, principal, study)))

    @router.get("/studies/{study}/instances", response_class=Response, responses=_DOCS)
    def search_instances_of(request: Request, principal: Asking, study: str, accept: Accept = None) -> Response:
        """Instances of one study."""
        return answered(partial(search, request, "instance", partial(searches.instances, principal, study, None)))

    @router.get("/studies/{study}/series/{series}/instances", response_class=Response, responses=_DOCS)
    def search_instances_in(
        request: Request, principal: Asking, study: str, series: str, accept: Accept = None
    ) -> Response:
        """Instances of one series."""
        return answered(partial(search, request, "instance", partial(searches.instances, principal, study, series)))

    return router


def door_of(request: Request) -> str:
    """Return the address of DICOMweb as the client knows it; what stands before this service says so by X-Forwarded-Prefix."""
    prefix = request.headers.get("x-forwarded-prefix", "")
    base = f"{request.url.scheme}://{request.url.netloc}"
    return f"{base}{prefix if _PREFIX.fullmatch(prefix) else ''}/dicom-web"


_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "What was found.", "content": {"application/dicom+json": {}}},
    400: {"description": "The search cannot be read."},
    406: {"description": "Nothing that the Accept header names can be given."},
}
