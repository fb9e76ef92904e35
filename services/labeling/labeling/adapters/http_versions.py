"""Versions of a label on the way to an answer: `/v1/tasks/{id}/versions`. What is restored, the browser reads from `/v1/labels/{id}`."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import numpy as np
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from labeling.adapters.access import EVERYBODY, READERS, check_task_visible, member, oversees, reads_blind
from labeling.adapters.api import Api
from labeling.adapters.forms import LabelForm, label_form
from labeling.adapters.label_store import READER_FORM, LabelMade, label_id, label_made, made, stored
from labeling.adapters.masks import read_label
from labeling.domain.labels import Change, voxel_changes
from labeling.domain.messages import SaveVersion
from labeling.domain.model import LabelVersion
from labeling.domain.vocabulary import LabelSource
from labeling.ports import case_of, project_of, task_of
from radloop.auth import Principal, pseudonym
from radloop.http import authenticated
from radloop.imaging import read_nifti, voxel_counts
from radloop.objects import Objects
from radloop.references import ObjectRef, SegmentStatus, digest_of

Who = Annotated[Principal, Depends(authenticated)]
_KEPT = 4096
_Fact = TypeVar("_Fact")
_Key = TypeVar("_Key")


class ChangeView(BaseModel):
    """Voxels a segment gained and lost."""

    added: int
    removed: int


class VersionView(BaseModel):
    """A label version: who made it when, how large its segments are, and what changed since the one before."""

    label_version_id: str
    reader: str
    mine: bool
    made_at: datetime
    kind: str
    """saved, submitted or imported."""
    attempt: int
    volumes_ml: dict[int, float]
    """By value, of every segment of the project as it was."""
    changed_voxels: dict[int, ChangeView] | None
    """By value, where something changed since the same reader's version before; null for their first."""
    started_from_model: bool
    active_time_s: float
    project_version: int


class VersionsView(BaseModel):
    """Versions, oldest first."""

    versions: list[VersionView]


class Measures:
    """What is in masks and what changed between them. A stored mask never changes, so what was found out once is kept."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._counts: OrderedDict[str, dict[int, int]] = OrderedDict()
        self._changes: OrderedDict[tuple[str, str], dict[int, Change]] = OrderedDict()
        self._lock = threading.Lock()

    def counts(self, mask: ObjectRef) -> dict[int, int]:
        """Return how many voxels each segment has, by value."""
        return self._known(self._counts, mask.digest, lambda: voxel_counts(self._array(mask)))

    def changes(self, before: ObjectRef, after: ObjectRef) -> dict[int, Change]:
        """Return what each segment gained and lost."""
        if before.digest == after.digest:
            return {}
        key = before.digest, after.digest
        return self._known(self._changes, key, lambda: voxel_changes(self._array(before), self._array(after)))

    def _array(self, mask: ObjectRef) -> np.ndarray:
        return read_nifti(self._objects.get(mask)).array

    def _known(self, kept: OrderedDict[_Key, _Fact], key: _Key, find: Callable[[], _Fact]) -> _Fact:
        with self._lock:
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        fact = find()
        with self._lock:
            kept[key] = fact
            while len(kept) > _KEPT:
                kept.popitem(last=False)
        return fact


def router(api: Api) -> APIRouter:
    """Return the endpoints of versions."""
    routes = APIRouter(prefix="/v1/tasks", tags=["labels"])
    form_of, measures = label_form(api.limits.upload), Measures(api.objects)

    @routes.post("/{task_id}/versions", openapi_extra=READER_FORM)
    def save(principal: Who, task_id: str, form: Annotated[LabelForm, Depends(form_of)]) -> LabelMade:
        """Keep the label as it is now and go on: no answer, and nobody hears of it. What did not change is not kept twice."""
        reader = api.acting(task_id, principal, *READERS)
        with api.unit_of_work(read_only=True) as uow:
            task = task_of(task_id, uow)
            task.check_lease(form.lease_id, reader.pseudonym, api.clock.now())
            case, project = case_of(task.case_id, uow), project_of(task.project_id, uow)
            mine = [label for label in uow.labels.versions_of_task(task_id) if label.reader == reader.pseudonym]
        mask, segments = read_label(form, case, project)
        last = mine[-1] if mine else None
        if last is not None and _same(last, mask, segments, form.started_from_model):
            return label_made(api, last.label_version_id)
        # The version before is part of the identity: what goes back to an older content is a new version all the same.
        before = last.label_version_id if last else ""
        label_version_id = label_id(mask, segments, "saved", form.lease_id, str(form.started_from_model), before)
        if not made(api, label_version_id):
            api.dispatcher.dispatch(
                SaveVersion(
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

    @routes.get("/{task_id}/versions")
    def versions(principal: Who, task_id: str) -> VersionsView:
        """List your own versions of a task; all, and what was imported for its case, for who oversees it and does not read it."""
        me = pseudonym(principal.subject)
        with api.unit_of_work() as uow:
            task = task_of(task_id, uow)
            person = member(principal, task.project_id, uow, *EVERYBODY)
            check_task_visible(task, person, uow)
            case = case_of(task.case_id, uow)
            found = list(uow.labels.versions_of_task(task_id))
            if oversees(person, task.project_id) and not reads_blind(task.case_id, me, uow, api.clock.now()):
                imported = [n for n in uow.labels.of_case(task.case_id) if n.source is LabelSource.IMPORT]
                found = sorted([*found, *imported], key=lambda label: label.made_at)
            else:
                found = [label for label in found if label.reader == me]
            uow.audit(principal.subject, "versions-viewed", task_id)
            uow.commit()
        voxel_ml = math.prod(case.spacing_mm) / 1000
        return VersionsView(versions=[_view(n, found[:at], me, voxel_ml, measures) for at, n in enumerate(found)])

    return routes


def _same(label: LabelVersion, mask: bytes, segments: tuple[SegmentStatus, ...], started_from_model: bool) -> bool:
    """Whether saving would only repeat the version before."""
    told = label.mask.digest, label.segments, label.started_from_model
    return label.saved and told == (digest_of(mask), segments, started_from_model)


def _view(
    label: LabelVersion, older: Sequence[LabelVersion], me: str, voxel_ml: float, measures: Measures
) -> VersionView:
    counts = measures.counts(label.mask)
    before = next((n for n in reversed(older) if (n.reader, n.task_id) == (label.reader, label.task_id)), None)
    changes = None if before is None else measures.changes(before.mask, label.mask)
    return VersionView(
        label_version_id=label.label_version_id,
        reader=label.reader,
        mine=label.reader == me,
        made_at=label.made_at,
        kind=_kind(label),
        attempt=label.attempt,
        volumes_ml={status.value: counts.get(status.value, 0) * voxel_ml for status in label.segments},
        changed_voxels=None
        if changes is None
        else {value: ChangeView(added=n.added, removed=n.removed) for value, n in changes.items()},
        started_from_model=label.started_from_model,
        active_time_s=label.active_time_s,
        project_version=label.project_version,
    )


def _kind(label: LabelVersion) -> str:
    if label.saved:
        return "saved"
    return "imported" if label.source is LabelSource.IMPORT else "submitted"
