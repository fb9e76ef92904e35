"""DICOMweb, retrieving: WADO-RS of whole instances and of pictures (PS3.18 section 10.4), under pseudonymous UIDs."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import pydicom
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydicom.uid import ExplicitVRLittleEndian

from ingest.adapters.accepting import as_stored, picture_type
from ingest.adapters.answering import answered
from ingest.adapters.frame_index import FrameIndex
from ingest.adapters.multipart import Multipart
from ingest.adapters.parsing import is_compressed
from ingest.adapters.rendering import Rendering, read_rendering, render
from ingest.adapters.viewing import Views
from ingest.domain.model import Instance
from radloop.auth import Principal
from radloop.errors import NotFound, PermanentError
from radloop.http import authenticated
from radloop.objects import Objects

Asking = Annotated[Principal, Depends(authenticated)]
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"
_THUMBNAIL = (128, 128)
Shown = Annotated[str | None, Query()]


def _how(window: Shown = None, viewport: Shown = None, quality: Shown = None) -> Callable[[], Rendering]:
    return partial(read_rendering, window, viewport, quality)


How = Annotated[Callable[[], Rendering], Depends(_how)]


def make_retrieve_router(index: FrameIndex, objects: Objects, views: Views) -> APIRouter:
    """Return the endpoints of DICOMweb that give whole instances and pictures."""
    router = APIRouter(prefix="/dicom-web")

    def whole(request: Request, principal: Principal, find: Callable[[], Sequence[Instance]]) -> Response:
        stored = as_stored(request.headers.get("accept"))
        instances = find()
        for series in {instance.series_key for instance in instances}:
            views.seen(principal.subject, series)
        parts = Multipart("application/dicom")

        def files() -> Iterator[tuple[str, bytes]]:
            for instance in instances:
                syntax = instance.header.transfer_syntax_uid
                data = index.read(objects, instance)
                if not stored and is_compressed(syntax):
                    data, syntax = _decompressed(data), str(ExplicitVRLittleEndian)
                yield f"application/dicom; transfer-syntax={syntax}", data

        return StreamingResponse(parts.write(files()), headers={"Content-Type": parts.content_type})

    def picture(
        request: Request, principal: Principal, path: tuple[str, str, str], frame: str, how: Callable[[], Rendering]
    ) -> Response:
        media_type = picture_type(request.headers.get("accept"))
        rendering = how()
        instance = index.instance(principal, *path)
        number = int(frame) if frame.isascii() and frame.isdigit() and len(frame) < 10 else 0
        if not 1 <= number <= instance.header.frames:
            raise NotFound(
                "frame-unknown", expected=f"a frame number from 1 to {instance.header.frames}", got="another"
            )
        views.seen(principal.subject, instance.series_key)
        shown = render(index.read(objects, instance), instance.header, number, media_type, rendering)
        headers = {"Cache-Control": "private, max-age=60", "Vary": "Accept, Authorization, Cookie"}
        return Response(shown, media_type=media_type, headers=headers)

    @router.get("/studies/{study}", response_class=Response, responses=_FILES_DOCS)
    def get_study(request: Request, principal: Asking, study: str) -> Response:
        """All instances of a study, as DICOM files."""
        return answered(partial(whole, request, principal, lambda: index.study(principal, study)))

    @router.get("/studies/{study}/series/{series}", response_class=Response, responses=_FILES_DOCS)
    def get_series(request: Request, principal: Asking, study: str, series: str) -> Response:
        """All instances of a series, as DICOM files."""
        return answered(partial(whole, request, principal, lambda: index.series(principal, study, series)))

    @router.get(_INSTANCE, response_class=Response, responses=_FILES_DOCS)
    def get_instance(request: Request, principal: Asking, study: str, series: str, instance: str) -> Response:
        """One instance, as a DICOM file."""
        return answered(
            partial(whole, request, principal, lambda: [index.instance(principal, study, series, instance)])
        )

    @router.get(f"{_INSTANCE}/rendered", response_class=Response, responses=_PICTURE_DOCS)
    def get_rendered(
        request: Request,
        principal: Asking,
        study: str,
        series: str,
        instance: str,
        how: How,
    ) -> Response:
        """The first frame of an instance as JPEG or PNG."""
        return answered(partial(picture, request, principal, (study, series, instance), "1", how))

    @router.get(f"{_INSTANCE}/frames/{{frame}}/rendered", response_class=Response, responses=_PICTURE_DOCS)
    def get_rendered_frame(
        request: Request,
        principal: Asking,
        study: str,
        series: str,
        instance: str,
        frame: str,
        how: How,
    ) -> Response:
        """One frame of an instance as JPEG or PNG."""
        return answered(partial(picture, request, principal, (study, series, instance), frame, how))

    @router.get(f"{_INSTANCE}/thumbnail", response_class=Response, responses=_PICTURE_DOCS)
    def get_thumbnail(request: Request, principal: Asking, study: str, series: str, instance: str) -> Response:
        """The first frame of an instance, small."""
        small = partial(Rendering, edges=_THUMBNAIL)
        return answered(partial(picture, request, principal, (study, series, instance), "1", small))

    return router


def _decompressed(data: bytes) -> bytes:
    try:
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.decompress()
        written = io.BytesIO()
        ds.save_as(written, enforce_file_format=True)
    except Exception as error:  # every codec raises its own kinds
        raise PermanentError(
            "frame-undecodable",
            expected="pixel data that its transfer syntax's codec can decode",
            got="an error of the codec",
            do='ask for it as it is stored: Accept: multipart/related; type="application/dicom"; transfer-syntax=*',
        ) from error
    return written.getvalue()


_FILES_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "One part for each instance.", "content": {"multipart/related": {}}},
    406: {"description": "Nothing that the Accept header names can be given."},
    410: {"description": "The study was withdrawn."},
}
_PICTURE_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {"image/jpeg": {}, "image/png": {}}},
    400: {"description": "Window, viewport or quality cannot be read."},
    406: {"description": "Nothing that the Accept header names can be given."},
    410: {"description": "The study was withdrawn."},
}
