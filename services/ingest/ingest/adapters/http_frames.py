"""DICOMweb, reading: WADO-RS of frames and metadata (PS3.18 section 10.4) under pseudonymous UIDs.

Frames are decoded here, so that a browser needs no codec. Paths and answers are told in the service's page in docs.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from ingest.adapters.accepting import as_multipart, require_json
from ingest.adapters.answering import answered
from ingest.adapters.frame_index import FrameIndex
from ingest.adapters.frames import TRANSFER_SYNTAX_UID, attributes_of, bulk_of, frame_of
from ingest.adapters.http_search import door_of
from ingest.adapters.multipart import Multipart
from ingest.adapters.viewing import Views
from ingest.domain.model import Instance
from radloop.auth import Principal
from radloop.errors import Invalid, NotFound
from radloop.http import authenticated
from radloop.objects import Objects

FRESH_S = 60
"""How long a browser may show a frame again without asking, in seconds; then the entity tag saves the bytes."""
MOST_BYTES = 256 << 20
"""Largest answer with several frames; it is put together in memory."""

_OCTETS = f"application/octet-stream; transfer-syntax={TRANSFER_SYNTAX_UID}"
_SERIES = "/studies/{study}/series/{series}"

Asking = Annotated[Principal, Depends(authenticated)]
Accept = Annotated[str | None, Header()]


def make_frames_router(index: FrameIndex, objects: Objects, views: Views) -> APIRouter:
    """Return the endpoints of DICOMweb that read."""
    router = APIRouter(prefix="/dicom-web")

    read = partial(index.read, objects)

    def frames_of(principal: Principal, path: tuple[str, str, str], frames: str, request: Request) -> Response:
        numbers = _numbers(frames)
        multipart = as_multipart(request.headers.get("accept"), len(numbers))
        instance = index.instance(principal, *path)
        _check(instance, numbers)
        views.seen(principal.subject, instance.series_key)
        tag = (
            f'"{instance.object.digest.rpartition(":")[2][:32]}-{"m" if multipart else "s"}-{frames.replace(",", ".")}"'
        )
        headers = {
            "ETag": tag,
            "Cache-Control": f"private, max-age={FRESH_S}",
            "Vary": "Accept, Authorization, Cookie",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        data = read(instance)
        parts = [frame_of(data, instance.header, number) for number in numbers]
        if multipart:
            written = Multipart("application/octet-stream")
            body, content_type = b"".join(written.write((_OCTETS, part) for part in parts)), written.content_type
        else:
            (body,), content_type = parts, _OCTETS
        return Response(body, headers=headers | {"Content-Type": content_type})

    def metadata_of(principal: Principal, request: Request, instances: Sequence[Instance]) -> Response:
        require_json(request.headers.get("accept"))
        for series in {instance.series_key for instance in instances}:
            views.seen(principal.subject, series)
        door = door_of(request)
        found: list[dict[str, Any]] = [
            attributes_of(read(one), one.header, f"{door}{_path_of(one)}/bulkdata") for one in instances
        ]
        return JSONResponse(found, media_type="application/dicom+json", headers={"Cache-Control": "no-store"})

    def bulk(principal: Principal, path: tuple[str, str, str], tag: str, request: Request) -> Response:
        multipart = as_multipart(request.headers.get("accept"), 1)
        instance = index.instance(principal, *path)
        if not re.fullmatch(r"[0-9A-Fa-f]{8}", tag):
            raise NotFound("bulk-data-unknown", expected="an address that the metadata names", got="another")
        views.seen(principal.subject, instance.series_key)
        value = bulk_of(read(instance), instance.header, int(tag, 16))
        if not multipart:
            return Response(value, media_type="application/octet-stream")
        parts = Multipart("application/octet-stream")
        return Response(b"".join(parts.write([(_OCTETS, value)])), headers={"Content-Type": parts.content_type})

    @router.get(f"{_SERIES}/instances/{{instance}}/frames/{{frames}}", response_class=Response, responses=_FRAMES_DOCS)
    def get_frames(
        request: Request, principal: Asking, study: str, series: str, instance: str, frames: str
    ) -> Response:
        """Frames (from 1, separated by commas) of an instance, decoded: Explicit VR Little Endian, native."""
        return answered(partial(frames_of, principal, (study, series, instance), frames, request))

    @router.get("/studies/{study}/metadata", response_class=Response, responses=_METADATA_DOCS)
    def get_metadata_of_study(request: Request, principal: Asking, study: str, accept: Accept = None) -> Response:
        """Attributes of all instances of a study as DICOM JSON, without pixel data."""
        return answered(lambda: metadata_of(principal, request, index.study(principal, study)))

    @router.get(f"{_SERIES}/metadata", response_class=Response, responses=_METADATA_DOCS)
    def get_metadata(request: Request, principal: Asking, study: str, series: str, accept: Accept = None) -> Response:
        """Attributes of all instances of a series as DICOM JSON, without pixel data."""
        return answered(lambda: metadata_of(principal, request, index.series(principal, study, series)))

    @router.get(f"{_SERIES}/instances/{{instance}}/metadata", response_class=Response, responses=_METADATA_DOCS)
    def get_metadata_of_instance(
        request: Request, principal: Asking, study: str, series: str, instance: str, accept: Accept = None
    ) -> Response:
        """Attributes of one instance as DICOM JSON, without pixel data."""
        return answered(lambda: metadata_of(principal, request, [index.instance(principal, study, series, instance)]))

    @router.get(f"{_SERIES}/instances/{{instance}}/bulkdata/{{tag}}", response_class=Response, responses=_FRAMES_DOCS)
    def get_bulk_data(
        request: Request, principal: Asking, study: str, series: str, instance: str, tag: str
    ) -> Response:
        """One binary value of an instance, as its metadata names it."""
        return answered(partial(bulk, principal, (study, series, instance), tag, request))

    return router


def _numbers(frames: str) -> list[int]:
    parts = frames.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise Invalid("frames-unreadable", expected="frame numbers from 1, separated by commas", got="something else")
    return [int(part) for part in parts]


def _check(instance: Instance, numbers: Sequence[int]) -> None:
    header = instance.header
    if not all(1 <= number <= header.frames for number in numbers):
        raise NotFound("frame-unknown", expected=f"frame numbers from 1 to {header.frames}", got="others")
    size = header.rows * header.columns * header.samples_per_pixel * header.bits_allocated // 8
    if len(numbers) > 1 and len(numbers) * size > MOST_BYTES:
        raise Invalid(
            "frames-too-large",
            expected=f"at most {MOST_BYTES} bytes of frames at a time",
            got=f"{len(numbers) * size}",
            do="ask for fewer frames at a time",
        )


def _path_of(instance: Instance) -> str:
    return f"/studies/{instance.study_key}/series/{instance.series_key}/instances/{instance.sop_key}"


_FRAMES_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The frames.", "content": {"multipart/related": {}, "application/octet-stream": {}}},
    304: {"description": "The frames that the entity tag stands for."},
    406: {"description": "Nothing that the Accept header names can be given."},
    410: {"description": "The study was withdrawn."},
}
_METADATA_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "One object for each instance.", "content": {"application/dicom+json": {}}},
    406: {"description": "Nothing that the Accept header names can be given."},
    410: {"description": "The study was withdrawn."},
}
