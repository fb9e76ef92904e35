"""The statuses that only DICOMweb has; those that all services share are in `radloop.http`."""

from collections.abc import Callable

from fastapi import Response
from fastapi.responses import JSONResponse

from ingest.adapters.accepting import NotAcceptable
from ingest.adapters.frame_index import Gone
from ingest.adapters.rendering import BadRendering
from ingest.adapters.searching import BadQuery
from radloop.errors import RadloopError

_STATUS: dict[type[RadloopError], int] = {Gone: 410, NotAcceptable: 406, BadQuery: 400, BadRendering: 400}


def answered(answer: Callable[[], Response]) -> Response:
    """Answer, or say in one of DICOMweb's own statuses why not."""
    try:
        return answer()
    except (Gone, NotAcceptable, BadQuery, BadRendering) as error:
        return JSONResponse(error.as_dict(), _STATUS[type(error)])
