"""What readers get to see of tasks, labels and history, as JSON. The arm is in none of it, and where a reading is blind, no score."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from labeling.domain.model import Case, HistoryEntry, LabelVersion, Prediction, Project
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.ports import Place, UnitOfWork
from radloop.errors import Invalid


class LeaseView(BaseModel):
    """The lease you hold: renew it before it expires."""

    lease_id: str
    expires_at: datetime
    lease_s: int


class SeriesView(BaseModel):
    """Where a case's frames are, pseudonymous; the series is empty for a case that an older release kept."""

    study_instance_uid: str
    series_instance_uid: str


class PhaseView(BaseModel):
    """One phase of a 4-D series, and the case that it is."""

    phase: int
    case_id: str


class CaseView(BaseModel):
    """What is to be labelled: shape and spacing along (i, j, k), affine to LPS in mm, 16 numbers, row-major.

    ``phases`` are the cases of the same series, all phases in order; empty for a 3-D series.
    """

    modality: str
    quantity: str
    channels: int
    shape: list[int]
    spacing_mm: list[float]
    affine_lps: list[float]
    series: SeriesView
    phase: int
    phase_count: int
    phases: list[PhaseView]


class TaskView(BaseModel):
    """One reading asked for."""

    task_id: str
    case_id: str
    study_key: str
    project_id: str
    state: str
    reading: str
    round_id: str
    round_number: int
    rank: int
    reasons: list[str]
    """Why the case was flagged; empty where the reading is blind."""
    score: float | None
    """What the round ranked the case by, higher is worse; null where the reading is blind."""
    returned: list[str]
    """Why QA sent the last answer back; empty if it did not."""
    attempt: int
    blind: bool
    proposal_available: bool
    uncertainty_available: bool
    label_version_ids: list[str]
    """For an adjudication: the labels to decide between."""
    held_by: str
    """"you", "somebody-else" or ""."""
    lease: LeaseView | None
    draft_sequence: int
    """Last entry of your draft; 0 for none."""
    case: CaseView | None
    """None once the study was withdrawn."""
    created_at: datetime


class TaskPage(BaseModel):
    """Tasks, most urgent first; ask again with ``after=next`` until next is null."""

    tasks: list[TaskView]
    next: str | None


class LabelView(BaseModel):
    """A label version."""

    label_version_id: str
    task_id: str
    reader: str
    source: str
    reading: str
    attempt: int
    project_version: int
    started_from_model: bool
    segments: list[dict[str, Any]]
    digest: str
    made_at: datetime


class HistoryView(BaseModel):
    """What happened to a case, oldest first: who (pseudonym; empty for the platform) did what, when."""

    case_id: str
    labels: list[LabelView]
    entries: list[dict[str, Any]]


def task_view(task: Task, me: str, now: datetime, uow: UnitOfWork) -> TaskView:
    """Show a task to a person (pseudonym)."""
    (view,) = task_views([task], me, now, uow)
    return view


def task_views(tasks: Sequence[Task], me: str, now: datetime, uow: UnitOfWork) -> list[TaskView]:
    """Show tasks to a person (pseudonym): a query for each kind of thing they refer to, however many they are."""
    cases = uow.cases.several([task.case_id for task in tasks])
    projects = {project_id: uow.projects.get(project_id) for project_id in {task.project_id for task in tasks}}
    drafts = uow.drafts.last_of([task.task_id for task in tasks], me)
    offered = {}
    for task in tasks:
        task.expire(now)  # as it stands now, whether or not the worker has come by; nothing is saved here
        case = cases.get(task.case_id)
        offered[task.task_id] = task.offered_prediction(case) if case else ""
    predictions = uow.predictions.several([prediction_id for prediction_id in offered.values() if prediction_id])
    phases = _phases(list(cases.values()), uow)
    return [
        _task_view(
            task,
            me,
            now,
            case=cases.get(task.case_id),
            phases=phases.get(task.case_id, []),
            project=projects[task.project_id],
            prediction=predictions.get(offered[task.task_id]),
            draft_sequence=drafts.get(task.task_id, 0),
        )
        for task in tasks
    ]


def _task_view(
    task: Task,
    me: str,
    now: datetime,
    *,
    case: Case | None,
    phases: list[PhaseView],
    project: Project | None,
    prediction: Prediction | None,
    draft_sequence: int,
) -> TaskView:
    return TaskView(
        task_id=task.task_id,
        case_id=task.case_id,
        study_key=task.study_key,
        project_id=task.project_id,
        state=task.state,
        reading=task.reading,
        round_id=task.round_id,
        round_number=task.round_number,
        rank=task.rank,
        reasons=list(task.shown_reasons(case)) if case else [],
        score=task.shown_score(case) if case else None,
        returned=list(task.returned),
        attempt=task.attempt,
        blind=task.blind(case) if case else True,
        proposal_available=prediction is not None,
        uncertainty_available=prediction is not None and prediction.uncertainty is not None,
        label_version_ids=list(task.label_version_ids),
        held_by=holder(task, me, now),
        lease=_lease(task, me, now, project),
        draft_sequence=draft_sequence,
        case=_case(case, phases) if case else None,
        created_at=task.created_at,
    )


def label_view(label: LabelVersion) -> LabelView:
    """Show a label version."""
    return LabelView(
        label_version_id=label.label_version_id,
        task_id=label.task_id,
        reader=label.reader,
        source=label.source,
        reading=label.reading,
        attempt=label.attempt,
        project_version=label.project_version,
        started_from_model=label.started_from_model,
        segments=[{"value": s.value, "state": s.state.value} for s in label.segments],
        digest=label.mask.digest,
        made_at=label.made_at,
    )


def entry_view(entry: HistoryEntry) -> dict[str, Any]:
    """Show an entry of a case's history."""
    return {
        "at": entry.at.isoformat(),
        "action": entry.action.value,
        "reader": entry.reader,
        "task_id": entry.task_id,
        "label_version_id": entry.label_version_id,
        "detail": entry.detail,
        "note": entry.note,
    }


def cursor(place: Place) -> str:
    """Return a place in the worklist as an opaque text."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place(text: str) -> Place:
    """Return the place a cursor stands for.

    Raises
    ------
    Invalid
        ``cursor-unreadable``.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        priority, round_number, rank, task_id = json.loads(base64.urlsafe_b64decode(padded))
        return int(priority), int(round_number), int(rank), str(task_id)
    except (ValueError, TypeError) as error:
        raise Invalid("cursor-unreadable", expected="next of the page before", got="something else") from error


def holder(task: Task, me: str, now: datetime) -> str:
    """Return who holds a task: "you", "somebody-else" or "" for nobody."""
    if not task.live(now):
        return ""
    return "you" if task.reader == me else "somebody-else"


def _lease(task: Task, me: str, now: datetime, project: Project | None) -> LeaseView | None:
    if not task.held_by(me, now) or task.state is not TaskState.LEASED or task.lease_expires_at is None:
        return None
    return LeaseView(
        lease_id=task.lease_id, expires_at=task.lease_expires_at, lease_s=project.lease_s if project else 0
    )


def _phases(cases: Sequence[Case], uow: UnitOfWork) -> dict[str, list[PhaseView]]:
    """Return the phases of the cases that have several, by case id: a query for each project, of which a list has one."""
    found: dict[str, list[PhaseView]] = {}
    several = [case for case in cases if case.phase_count > 1 and case.series_key]
    for project_id in {case.project_id for case in several}:
        mine = [case for case in several if case.project_id == project_id]
        phases = uow.cases.phases(project_id, sorted({case.series_key for case in mine}))
        for case in mine:
            of_series = phases.get(case.series_key, [])
            found[case.case_id] = [PhaseView(phase=phase, case_id=case_id) for phase, case_id in of_series]
    return found


def _case(case: Case, phases: list[PhaseView]) -> CaseView:
    return CaseView(
        modality=case.modality,
        quantity=case.quantity,
        channels=len(case.volumes),
        shape=list(case.shape),
        spacing_mm=list(case.spacing_mm),
        affine_lps=list(case.affine_lps),
        series=SeriesView(study_instance_uid=case.study_key, series_instance_uid=case.series_key),
        phase=case.phase,
        phase_count=case.phase_count,
        phases=phases,
    )
