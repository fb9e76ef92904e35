"""The HTTP door: parse, check the role, build a command, dispatch it, answer. Paths are those of the service's page in docs."""

import ipaddress
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.adapters.originals import OriginalIds, Originals
from ingest.adapters.queries import Queries, case_summary
from ingest.adapters.reception import Dispatch, Receiver
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.uploads import files_of, instances_in, instances_under, receive_all
from ingest.domain.messages import (
    CompleteStudies,
    FormAgain,
    ImportSplit,
    ProjectConfigured,
    ProposeRelease,
)
from ingest.domain.model import StudyState
from ingest.domain.pseudonyms import PatientIdentity
from radloop.auth import Principal, Role
from radloop.errors import Forbidden, Invalid, NotFound
from radloop.http import authenticated
from radloop.objects import Objects
from radloop.objects.serving import Presigned, object_response
from radloop.references import Split

SITE = "*"
_ANYBODY = (Role.READER, Role.REVIEWER, Role.PROJECT_LEAD, Role.SITE_ADMIN, Role.AUDITOR)

Asking = Annotated[Principal, Depends(authenticated)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FolderUpload(_Body):
    """A folder on this machine."""

    folder: Path


class OriginalRow(_Body):
    """What a line of a table says of one case, as it stands outside. All that is said must hold; ``phase`` counts from 0."""

    series_instance_uid: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    issuer: str = ""
    phase: int | None = Field(default=None, ge=0)


class SeriesToResolve(_Body):
    """Original Series Instance UIDs, as they stand outside, or lines of a table with any original ids."""

    project_id: str
    series: list[str] = Field(default_factory=list)
    rows: list[OriginalRow] = Field(default_factory=list, max_length=10_000)


class PatientSplit(_Body):
    """A patient as known outside, and the split to decide."""

    patient_id: str = Field(min_length=1)
    issuer: str = ""
    split: Split


class SplitList(_Body):
    """Splits to decide before the patients are seen."""

    patients: list[PatientSplit]


def make_router(
    *,
    dispatch: Dispatch,
    unit_of_work: Callable[..., Any],
    queries: Queries,
    originals: Originals,
    receiver: Receiver,
    objects: Objects,
    site_key: SiteKeyFile,
    largest_upload_bytes: int,
    dicom_address: Callable[[], dict[str, Any]],
    release_persons: int,
) -> APIRouter:
    """Return the service's endpoints, each bound to what it needs."""
    router = APIRouter(prefix="/v1")

    def project_of(project_id: str) -> ProjectConfigured | None:
        with unit_of_work(read_only=True) as uow:
            project: ProjectConfigured | None = uow.projects.get(project_id)
        return project

    def asking_in(principal: Principal, project_id: str) -> Principal:
        """Add the roles that the project's members list gives."""
        project = project_of(project_id)
        return principal.with_members(project_id, project.members if project else ())

    def audit(principal: Principal, action: str, *targets: str) -> None:
        with unit_of_work() as uow:
            for target in targets:
                uow.audit(principal.subject, action, target)
            uow.commit()

    def taken_in(principal: Principal, files: Iterable[bytes]) -> dict[str, Any]:
        """Receive files; which studies somebody sent to is on record."""
        found = receive_all(receiver, files).as_dict()
        audit(principal, "upload", *found["studies"])
        return found

    def uploader(principal: Asking) -> Principal:
        principal.require(SITE, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        return principal

    async def body_of(
        request: Request, _principal: Annotated[Principal, Depends(uploader)]
    ) -> list[bytes] | FolderUpload:
        if request.headers.get("content-type", "").startswith("application/json"):
            try:
                return FolderUpload.model_validate_json(await request.body())
            except ValidationError as error:
                raise Invalid("request-invalid", expected='{"folder": path}', got="other JSON") from error
        return await files_of(request, largest_upload_bytes)

    @router.post("/uploads", openapi_extra=_UPLOAD_DOCS)
    def upload(
        request: Request,
        principal: Annotated[Principal, Depends(uploader)],
        body: Annotated[list[bytes] | FolderUpload, Depends(body_of)],
    ) -> dict[str, Any]:
        """Take in a .dcm or .zip (multipart part `file`), or a folder of this machine (JSON, site administrator, loopback)."""
        if not isinstance(body, FolderUpload):
            return taken_in(principal, instances_in(body))
        principal.require(SITE, Role.SITE_ADMIN)
        if not _is_loopback(request):
            raise Forbidden(
                "folder-from-afar", expected="a request from this machine", got="another address", do="upload a zip"
            )
        return taken_in(principal, instances_under(body.folder))

    @router.get("/status")
    def status(principal: Asking) -> dict[str, Any]:
        """Counts of everything, the known projects and the DICOM address."""
        return queries.status() | {"dicom": dicom_address()}

    @router.post("/studies/{study_key}/complete")
    def complete(study_key: str, principal: Asking) -> dict[str, Any]:
        """Do not wait for the quiet time of this study; one that was rejected is formed again."""
        principal.require(SITE, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        dispatch(CompleteStudies(study_key))
        if queries.state(study_key) == StudyState.REJECTED:
            dispatch(FormAgain(study_key, principal.subject))
        return {"study_key": study_key}

    @router.post("/complete")
    def complete_all(principal: Asking) -> dict[str, Any]:
        """Do not wait for the quiet time of anything; `waiting` in /v1/status falls to 0 when all is formed."""
        principal.require(SITE, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        dispatch(CompleteStudies(None))
        return {"waiting": queries.status()["waiting"]}

    @router.post("/quarantine/{held_id}/release")
    def release(held_id: str, principal: Asking) -> dict[str, Any]:
        """Somebody has looked: let it in. Where two people have to, the first one's call only proposes it."""
        principal.require(SITE, Role.SITE_ADMIN)
        if release_persons > 1:
            with unit_of_work(read_only=True) as uow:
                held = uow.held.get(held_id)
            if held is None or held.proposed_by in ("", principal.subject):
                dispatch(ProposeRelease(held_id, principal.subject))
                return {"study_key": held.study_key if held else "", "released": False, "waits_for": "second-person"}
        return {"study_key": receiver.release(held_id, principal.subject), "released": True, "waits_for": None}

    @router.put("/projects/{project_id}/split")
    def import_split(project_id: str, body: SplitList, principal: Asking) -> dict[str, Any]:
        """Decide the split of patients before they are seen."""
        asking_in(principal, project_id).require(project_id, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        keys = site_key.ring
        with unit_of_work(read_only=True) as uow:
            named = [(keys.patient(_identity(patient), uow.patients), patient.split) for patient in body.patients]
        patients = tuple(
            (keys[version].patient_key(project_id, patient), version, split) for (patient, version), split in named
        )
        dispatch(ImportSplit(project_id, patients, principal.subject))
        return {"patients": len(patients)}

    @router.post("/cases/resolve")
    def resolve(body: SeriesToResolve, principal: Asking) -> dict[str, Any]:
        """Which cases were formed from series known outside by these UIDs; and of each row its cases, or why there is none."""
        asking_in(principal, body.project_id).require(body.project_id, Role.SITE_ADMIN, Role.PROJECT_LEAD)
        if project_of(body.project_id) is None:
            raise NotFound(
                "project-unknown",
                expected="a configured project",
                got="another id",
                do="wait a moment, or configure it",
            )
        keys = site_key.ring
        original = {keys[version].uid(series): series for version in keys.versions for series in body.series}
        found = queries.cases_of_series(body.project_id, list(original))
        cases = []
        for stored in found:
            series = original[stored.case.series_keys[0]]
            cases.append({"series": series, "study_key": stored.case.study_key} | case_summary(stored))
        known = {original[stored.case.series_keys[0]] for stored in found}
        rows = originals.by_ids(keys, body.project_id, [OriginalIds(**row.model_dump()) for row in body.rows])
        audit(principal, "resolve", body.project_id)
        return {
            "cases": cases,
            "unknown": [series for series in body.series if series not in known],
            "rows": [row.as_dict() for row in rows],
        }

    @router.get("/cases/{case_id}")
    def manifest(case_id: str, principal: Asking) -> Response:
        """The manifest of a case."""
        stored = queries.case(case_id)
        asking_in(principal, stored.case.project_id).require(stored.case.project_id, *_ANYBODY)
        audit(principal, "view-manifest", case_id)
        return Response(objects.get(stored.case.manifest), media_type="application/json")

    @router.get("/cases/{case_id}/volumes/{channel}")
    def volume(case_id: str, channel: int, principal: Asking, presigned: Presigned = False) -> Response:
        """One channel of a case as NIfTI."""
        stored = queries.case(case_id)
        asking_in(principal, stored.case.project_id).require(stored.case.project_id, *_ANYBODY)
        if not 0 <= channel < len(stored.case.volumes):
            raise NotFound("channel-unknown", expected=f"a channel below {len(stored.case.volumes)}", got=str(channel))
        audit(principal, "view", case_id)
        return object_response(objects, stored.case.volumes[channel], "application/octet-stream", presigned=presigned)

    return router


def _identity(patient: PatientSplit) -> PatientIdentity:
    return PatientIdentity(issuer=patient.issuer, patient_id=patient.patient_id)


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # no address at all
        return False


_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_UPLOAD_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "array", "items": _BINARY}},
                }
            },
            "application/json": {
                "schema": {"type": "object", "required": ["folder"], "properties": {"folder": {"type": "string"}}}
            },
        },
    }
}
