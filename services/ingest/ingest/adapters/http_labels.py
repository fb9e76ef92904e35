"""The HTTP side of labels that exist already: which case one belongs to, by what stands outside, and its mask without names."""

import base64
import dataclasses
import gzip
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ingest.adapters.label_objects import read_label_object
from ingest.adapters.originals import Originals
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.uploads import files_of
from radloop.auth import Principal, Role
from radloop.errors import Invalid, NotFound
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
_FAST = 1


def make_labels_router(
    *, unit_of_work: Callable[..., Any], originals: Originals, site_key: SiteKeyFile, largest_upload_bytes: int
) -> APIRouter:
    """Return the endpoints under ``/v1/labels``."""
    router = APIRouter(prefix="/v1/labels")

    def importer(principal: Asking, project_id: str) -> Principal:
        with unit_of_work(read_only=True) as uow:
            project = uow.projects.get(project_id)
        principal.with_members(project_id, project.members if project else ()).require(
            project_id, Role.SITE_ADMIN, Role.PROJECT_LEAD
        )
        if project is None:
            raise NotFound(
                "project-unknown",
                expected="a configured project",
                got="another id",
                do="wait a moment, or configure it",
            )
        return principal

    async def file_of(request: Request, _importer: Annotated[Principal, Depends(importer)]) -> bytes:
        files = await files_of(request, largest_upload_bytes)
        if len(files) != 1:
            raise Invalid("label-count", expected="one part `file`", got=str(len(files)), do="ask for each by itself")
        return files[0]

    @router.post("/match", openapi_extra=_DOCS)
    def match(
        principal: Annotated[Principal, Depends(importer)], project_id: str, data: Annotated[bytes, Depends(file_of)]
    ) -> dict[str, Any]:
        """Find the cases that a DICOM SEG or RT structure set was made on, and return its mask alone. Nothing is kept of it.

        `mask` is a DICOM file, gzip, base64: geometry, segment numbers, pixels or contours; no name, date, UID or text of the
        original. Names of segments are answered to whoever sent them, so that they can be matched to the project's.
        """
        label = read_label_object(data)
        found = originals.by_references(site_key.ring, project_id, label.references)
        with unit_of_work() as uow:
            for target in [stored.case.case_id for stored in found.cases] or [project_id]:
                uow.audit(principal.subject, "match-label", target)
            uow.commit()
        return {
            "kind": label.kind,
            "segmentation_type": label.segmentation_type,
            "segments": [dataclasses.asdict(segment) for segment in label.segments],
            **found.as_dict(),
            "mask": base64.b64encode(gzip.compress(label.mask, _FAST)).decode("ascii"),
        }

    return router


_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
