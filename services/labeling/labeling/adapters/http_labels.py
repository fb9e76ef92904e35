"""Labels up and down, reports, history: submit, download. Those made elsewhere are imported in `http_imports`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from labeling.adapters.access import (
    EVERYBODY,
    READERS,
    check_label_visible,
    member,
    oversees,
    reader_of,
    reads_blind,
)
from labeling.adapters.api import Api
from labeling.adapters.formats.compression import packed
from labeling.adapters.formats.raw import raw_headers
from labeling.adapters.forms import FORMATS, LabelForm, label_form
from labeling.adapters.label_store import READER_FORM, LabelMade, label_id, label_made, made, stored
from labeling.adapters.masks import MEDIA_TYPES, read_label, write_label
from labeling.adapters.views import HistoryView, entry_view, label_view
from labeling.domain.labels import mask_dtype
from labeling.domain.messages import ReportCase, SubmitLabel
from labeling.domain.model import identity
from labeling.domain.states import TaskState
from labeling.domain.vocabulary import ReportReason
from labeling.ports import case_of, project_of, task_of
from radloop.auth import Principal, pseudonym
from radloop.errors import Invalid, NotFound
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]


class ReportRequest(BaseModel):
    """Why a case deserves a reading. The note stays at the site, in this service's own store."""

    reason: ReportReason
    note: str = Field(default="", max_length=4000)


class ReportMade(BaseModel):
    """The report; the same one again has the same id."""

    report_id: str


def router(api: Api) -> APIRouter:
    """Return the endpoints of labels."""
    routes = APIRouter(prefix="/v1", tags=["labels"])
    form_of = label_form(api.limits.upload)

    @routes.post("/tasks/{task_id}/submit", openapi_extra=READER_FORM)
    def submit(principal: Who, task_id: str, form: Annotated[LabelForm, Depends(form_of)]) -> LabelMade:
        """Finish a task with a label. 409 when the lease was lost (the draft is kept), 422 when it is no label of the case."""
        reader = api.acting(task_id, principal, *READERS)
        with api.unit_of_work(read_only=True) as uow:
            task = task_of(task_id, uow)
            if task.state is TaskState.LEASED:
                # Before the upload is looked at; a task that is submitted may be this very request, sent again.
                task.check_lease(form.lease_id, reader.pseudonym, api.clock.now())
            case, project = case_of(task.case_id, uow), project_of(task.project_id, uow)
        mask, segments = read_label(form, case, project)
        label_version_id = label_id(mask, segments, "reader", form.lease_id, str(form.started_from_model))
        if not made(api, label_version_id):
            api.dispatcher.dispatch(
                SubmitLabel(
                    label_version_id=label_version_id,
                    lease_id=form.lease_id,
                    task_id=task_id,
                    reader=reader,
                    mask=stored(api, mask, label_version_id, case),
                    segments=segments,
                    project_version=project.version,
                    started_from_model=form.started_from_model,
                    active_time_s=form.active_time_s,
                )
            )
        return label_made(api, label_version_id)

    @routes.post("/cases/{case_id}/report", status_code=201)
    def report(principal: Who, case_id: str, reported: ReportRequest) -> ReportMade:
        """Report a case as an edge case."""
        with api.unit_of_work(read_only=True) as uow:
            case = case_of(case_id, uow)
            person = member(principal, case.project_id, uow, *READERS)
        reader = reader_of(person, case.project_id)
        report_id = identity("report", case_id, reader.pseudonym, reported.reason, reported.note)
        api.dispatcher.dispatch(ReportCase(report_id, case_id, reader, reported.reason, reported.note))
        return ReportMade(report_id=report_id)

    @routes.get("/cases/{case_id}/history")
    def history(principal: Who, case_id: str) -> HistoryView:
        """Tell what happened to a case. A reader sees their own part of it: readers are blind to one another."""
        me = pseudonym(principal.subject)
        with api.unit_of_work() as uow:
            case = case_of(case_id, uow)
            person = member(principal, case.project_id, uow, *EVERYBODY)
            labels, entries = uow.labels.of_case(case_id), uow.history.of_case(case_id)
            if not oversees(person, case.project_id) or reads_blind(case_id, me, uow, api.clock.now()):
                labels = [label for label in labels if label.reader == me]
                mine = {label.label_version_id for label in labels}
                entries = [e for e in entries if e.reader == me or (e.label_version_id and e.label_version_id in mine)]
            uow.audit(principal.subject, "history-viewed", case_id)
            uow.commit()
        return HistoryView(
            case_id=case_id,
            labels=[label_view(label) for label in labels],
            entries=[entry_view(entry) for entry in entries],
        )

    @routes.get("/labels/{label_version_id}", response_class=Response)
    def download(request: Request, principal: Who, label_version_id: str, format: str = "nifti") -> Response:
        """Return a label as nifti, raw (X-Dtype, X-Shape, X-Affine-LPS say what it is) or dicom-seg; gzip where it is accepted."""
        if format not in FORMATS:
            raise Invalid("format-unknown", expected=f"one of {', '.join(FORMATS)}", got="another format")
        with api.unit_of_work() as uow:
            label = uow.labels.get(label_version_id)
            if label is None:
                raise NotFound("label-unknown", expected="the id of a label version", got="another id")
            person = member(principal, label.project_id, uow, *EVERYBODY)
            check_label_visible(label, person, uow, api.clock.now())
            case, project = case_of(label.case_id, uow), project_of(label.project_id, uow)
            uow.audit(principal.subject, f"label-exported-{format}", label_version_id)
            uow.commit()
        content = write_label(api.objects.get(label.mask), format, label, case, project, api.objects)
        headers = raw_headers(case, mask_dtype(project).name) if format == "raw" else {}
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers = packed(content), headers | {"Content-Encoding": "gzip"}
        return Response(content, media_type=MEDIA_TYPES[format], headers=headers | {"Vary": "Accept-Encoding"})

    return routes
