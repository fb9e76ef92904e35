"""Objects to a browser: through the service, or from the store itself where the caller asks for it and the store can."""

from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import RedirectResponse

from radloop.objects.digests import checksum_of
from radloop.objects.port import Objects
from radloop.references import ObjectRef

PRESIGNED_S = 300
"""How long an address that is handed out is valid: long enough to begin a download."""

Presigned = Annotated[
    bool, Query(description="Answer 307 with an address of the object store, valid for five minutes, where it has one.")
]


def object_response(objects: Objects, ref: ObjectRef, media_type: str, *, presigned: bool) -> Response:
    """Answer with an object; who may see it has been checked and audited before.

    A redirect carries the digest, for the store does not verify what it gives.

    Raises
    ------
    NotFound, PermanentError, TemporaryError
        As `Objects.get`; behind a redirect the store answers itself.
    """
    url = objects.presigned_url(ref, PRESIGNED_S) if presigned else None
    if url is None:
        return Response(objects.get(ref), media_type=media_type)
    return RedirectResponse(url, headers={"Cache-Control": "no-store", "Repr-Digest": _repr_digest(ref)})


def _repr_digest(ref: ObjectRef) -> str:
    """Return the digest as RFC 9530 writes it."""
    return f"sha-256=:{checksum_of(ref.digest)}:"
