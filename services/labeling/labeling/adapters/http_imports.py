"""Labels made elsewhere: what would become of one, and taking it."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from labeling.adapters.access import IMPORTERS, member, reader_of
from labeling.adapters.api import Api
from labeling.adapters.forms import IMPORT_FIELDS, LabelForm, form_schema, label_form
from labeling.adapters.label_store import LabelMade, label_id, label_made, made, stored
from labeling.adapters.masks import ForeignLabel, read_foreign_label
from labeling.domain.messages import ImportLabel, Reader
from labeling.domain.model import Case, Project
from labeling.ports import case_of, project_of
from radloop.auth import Principal
from radloop.errors import NotFound
from radloop.http import authenticated

Who = Annotated[Principal, Depends(authenticated)]

_FORM = form_schema(("project_id",), IMPORT_FIELDS)


class SegmentFound(BaseModel):
    """A segment of the project, and how many voxels the label has of it."""

    value: int
    state: str
    voxels: int


class LabelCheck(BaseModel):
    """What would be taken; nothing was.

    ``already`` says that this very label is there, ``others`` how many other label versions the case has. ``notes`` are the
    differences to the case's image that are taken all the same, in words.
    """

    label_version_id: str
    already: bool
    others: int
    segments: list[SegmentFound]
    notes: list[str]


def router(api: Api) -> APIRouter:
    """Return the endpoints of importing."""
    routes = APIRouter(prefix="/v1/cases", tags=["labels"])
    form_of = label_form(api.limits.upload)

    def meant(principal: Principal, case_id: str, form: LabelForm) -> tuple[Reader, Case, Project]:
        with api.unit_of_work(read_only=True) as uow:
            person = member(principal, form.project_id, uow, *IMPORTERS)
            case, project = case_of(case_id, uow), project_of(form.project_id, uow)
        if case.project_id != form.project_id:
            raise NotFound("case-unknown", expected="a case of the project", got="one of another project")
        return reader_of(person, form.project_id), case, project

    @routes.post("/{case_id}/labels/check", openapi_extra=_FORM)
    def check(principal: Who, case_id: str, form: Annotated[LabelForm, Depends(form_of)]) -> LabelCheck:
        """Say what would become of a label made elsewhere. The same errors as importing it; nothing is kept."""
        _, case, project = meant(principal, case_id, form)
        label = read_foreign_label(form, case, project)
        label_version_id = _id_of(label, case_id)
        with api.unit_of_work() as uow:
            known = {version.label_version_id for version in uow.labels.of_case(case_id)}
            uow.audit(principal.subject, "label-checked", case_id)
            uow.commit()
        return LabelCheck(
            label_version_id=label_version_id,
            already=label_version_id in known,
            others=len(known - {label_version_id}),
            segments=[
                SegmentFound(value=s.value, state=s.state, voxels=label.voxels.get(s.value, 0)) for s in label.segments
            ],
            notes=list(label.notes),
        )

    @routes.post("/{case_id}/labels", openapi_extra=_FORM)
    def import_label(principal: Who, case_id: str, form: Annotated[LabelForm, Depends(form_of)]) -> LabelMade:
        """Import a label made elsewhere. The same label of the same case again returns the same label version."""
        reader, case, project = meant(principal, case_id, form)
        label = read_foreign_label(form, case, project)
        label_version_id = _id_of(label, case_id)
        if not made(api, label_version_id):
            api.dispatcher.dispatch(
                ImportLabel(
                    label_version_id=label_version_id,
                    case_id=case_id,
                    project_id=form.project_id,
                    reader=reader,
                    mask=stored(api, label.mask, label_version_id, case),
                    segments=label.segments,
                    project_version=project.version,
                )
            )
        return label_made(api, label_version_id)

    return routes


def _id_of(label: ForeignLabel, case_id: str) -> str:
    return label_id(label.mask, label.segments, "import", case_id)
