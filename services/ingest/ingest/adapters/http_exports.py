"""The HTTP door of what goes back: sending, downloading and re-identifying, each with a reason, each on record."""

import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ingest.adapters.export_lists import ExportLists
from ingest.adapters.exporting import Exporting
from ingest.adapters.reception import Dispatch
from ingest.adapters.vault import Vault
from ingest.domain.exports import Destination, ExportSource, ExportState, Form, export_id, newest_label, resolved_forms
from ingest.domain.messages import AskExport, NoteDisclosure, RetryExport
from ingest.ports import Clock
from radloop.auth import EVERY_PROJECT, Principal, Role
from radloop.dicom.files import written
from radloop.errors import NotFound
from radloop.http import authenticated

Asking = Annotated[Principal, Depends(authenticated)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Reason = Annotated[
    str, Field(min_length=1, max_length=500, description="Why; kept for the auditor, so name no patient.")
]

_MAY_SEND = (Role.SITE_ADMIN, Role.PROJECT_LEAD)
_MAY_LOOK = (*_MAY_SEND, Role.AUDITOR)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason


class Why(_Body):
    """Why an original identity is needed."""


class Sending(_Body):
    """What to send: the newest approved label of a case, or the label version or prediction that is named."""

    case_id: str
    destination: str
    forms: list[Form] = Field(default=[], description="Empty: what the destination is sent by itself.")
    source_id: str = ""


class Download(_Body):
    """In which form to download a case's label, or the label version or prediction that is named."""

    form: Form
    source_id: str = ""


def make_exports_router(
    *,
    dispatch: Dispatch,
    unit_of_work: Callable[..., Any],
    exporting: Exporting,
    lists: ExportLists,
    vault: Vault,
    destinations: Mapping[str, Destination],
    clock: Clock,
) -> APIRouter:
    """Return the endpoints, each bound to what it needs."""
    router = APIRouter(prefix="/v1")

    def asking_in(principal: Principal, project_id: str) -> Principal:
        """Add the roles that the project's members list gives."""
        with unit_of_work(read_only=True) as uow:
            project = uow.projects.get(project_id)
        return principal.with_members(project_id, project.members if project else ())

    def project_of(case_id: str, principal: Principal) -> str:
        """Return a case's project; that there is no such case, only those of the whole site are told."""
        with unit_of_work(read_only=True) as uow:
            stored = uow.cases.get(case_id)
        if stored is None:
            principal.require(EVERY_PROJECT, *_MAY_SEND)
            raise NotFound("case-unknown", expected="the id of a case formed here", got="another id")
        return str(stored.case.project_id)

    def check_export(export_id: str, principal: Principal, *roles: Role) -> None:
        """Check a role in an export's project; that there is no such export, only those of the whole site are told."""
        with unit_of_work(read_only=True) as uow:
            found = uow.exports.get(export_id)
        project_id = found.project_id if found else EVERY_PROJECT
        asking_in(principal, project_id).require(project_id, *roles)

    def source_of(case_id: str, source_id: str) -> ExportSource:
        with unit_of_work(read_only=True) as uow:
            sources: list[ExportSource] = uow.exports.sources_of(case_id)
        found = (
            next((one for one in sources if one.source_id == source_id), None) if source_id else newest_label(sources)
        )
        if found is None:
            raise NotFound(
                "nothing-to-export",
                expected="a case with an approved label, or one of its label versions or predictions",
                got="another id" if source_id else "a case without an approved label",
                do="wait until the label is approved",
            )
        return found

    def disclose(principal: Principal, action: str, target: str, reason: str) -> None:
        """Put on record, before anything is told, who is told it and why."""
        dispatch(NoteDisclosure(str(uuid.uuid4()), principal.subject, action, target, reason))

    @router.get("/destinations")
    def known(principal: Asking) -> dict[str, Any]:
        """Where labels can go: names, forms, and what goes there by itself."""
        return {
            "destinations": [
                {
                    "name": each.name,
                    "forms": list(each.forms),
                    "labelmap": each.labelmap,
                    "automatic": list(each.automatic),
                    "predictions": each.predictions,
                }
                for each in destinations.values()
            ]
        }

    @router.post("/exports", status_code=202)
    def ask(body: Sending, principal: Asking) -> dict[str, Any]:
        """Send a label, or a prediction where the destination takes it, under the original identity. What is on its way is not doubled."""
        project_id = project_of(body.case_id, principal)
        asking_in(principal, project_id).require(project_id, *_MAY_SEND)
        source = source_of(body.case_id, body.source_id)
        dispatch(AskExport(source, tuple(body.forms), body.destination, principal.subject, body.reason))
        with unit_of_work(read_only=True) as uow:
            project = uow.projects.get(project_id)
        overlapping = project is not None and project.overlapping_segments
        forms = resolved_forms(body.forms, destinations[body.destination], overlapping=overlapping)
        return {"exports": [export_id(source.source_id, form, body.destination) for form in forms]}

    @router.get("/exports")
    def exports(
        principal: Asking,
        case_id: Annotated[str, Query(max_length=64)] = "",
        state: ExportState | None = None,
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """What was and is to be sent, newest first, with the reason of what failed; of a case also for those of its project."""
        project_id = project_of(case_id, principal) if case_id else EVERY_PROJECT
        asking_in(principal, project_id).require(project_id, *_MAY_LOOK)
        return lists.exports(case_id=case_id, state=state, offset=offset, limit=limit)

    @router.get("/exports/{export_id}")
    def export(export_id: str, principal: Asking) -> dict[str, Any]:
        """One of them."""
        check_export(export_id, principal, *_MAY_LOOK)
        return lists.export(export_id)

    @router.post("/exports/{export_id}/retry")
    def retry(export_id: str, principal: Asking) -> dict[str, Any]:
        """Try at once what waits or failed."""
        check_export(export_id, principal, *_MAY_SEND)
        dispatch(RetryExport(export_id, principal.subject))
        return {"export_id": export_id}

    @router.post("/cases/{case_id}/export", response_class=Response, responses=_DICOM)
    def download(case_id: str, body: Download, principal: Asking) -> Response:
        """A case's label as one DICOM file under the original identity. By POST: a reason has no place in a URL."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        source = source_of(case_id, body.source_id)
        disclose(principal, "export-download", source.source_id, body.reason)
        data = written(exporting.written(source, body.form, clock()))
        # The name says nothing of the patient.
        headers = {"Content-Disposition": f'attachment; filename="{case_id}-{body.form}.dcm"'}
        return Response(data, media_type="application/dicom", headers=headers)

    @router.post("/cases/{case_id}/re-identify")
    def re_identify(case_id: str, body: Why, principal: Asking) -> dict[str, Any]:
        """Whose case it is, outside, and which series and instances it was formed of."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        originals = exporting.originals(case_id)
        disclose(principal, "re-identify", case_id, body.reason)
        instances = list(originals.instances.values())
        return dict(originals.study) | {
            "series_instance_uids": list(dict.fromkeys(one["series_instance_uid"] for one in instances)),
            "sop_instance_uids": [one["sop_instance_uid"] for one in instances],
        }

    @router.post("/studies/{study_key}/identity")
    def identity(study_key: str, body: Why, principal: Asking) -> dict[str, Any]:
        """Whose study it is, outside."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN)
        with unit_of_work(read_only=True) as uow:
            study = uow.studies.get(study_key)
        if study is None:
            raise NotFound("study-unknown", expected="the key of a study that was received", got="another key")
        fields = vault.open_fields(study.record.identity)
        disclose(principal, "re-identify", study_key, body.reason)
        return fields

    @router.get("/disclosures")
    def disclosures(principal: Asking, offset: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
        """Who was told whose case or study it is, when and why, newest first."""
        principal.require(EVERY_PROJECT, Role.SITE_ADMIN, Role.AUDITOR)
        return lists.disclosures(offset=offset, limit=limit)

    return router


_DICOM: dict[int | str, dict[str, Any]] = {200: {"content": {"application/dicom": {}}}}
