"""Drafts, label versions, reports: what readers leave behind."""

import dataclasses
from datetime import datetime

from labeling.domain.messages import (
    AppendDraft,
    BeginUpload,
    EdgeCaseReported,
    ImportLabel,
    LabelSubmitted,
    ReportCase,
    SaveVersion,
    SubmitLabel,
    UploadSwept,
)
from labeling.domain.model import Action, DraftEntry, HistoryEntry, LabelVersion, Report
from labeling.domain.task import Task
from labeling.domain.vocabulary import LabelSource, Reading
from labeling.ports import Clock, UnitOfWork, case_of, project_of, task_of
from radloop.errors import Busy, Conflict, Invalid
from radloop.messages import Message


def append_draft(command: AppendDraft, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Append to the reader's journal of a task. The same entries after the same number again change nothing.

    Raises
    ------
    Conflict
        A lost lease; or ``draft-sequence``: the journal has gone on, e.g. in another window.
    """
    task = task_of(command.task_id, uow)
    me = command.reader.pseudonym
    task.check_lease(command.lease_id, me, clock.now())
    last = uow.drafts.last(task.task_id, me)
    if command.after_sequence != last:
        stored = uow.drafts.entries(task.task_id, me, command.after_sequence, len(command.entries))
        if command.after_sequence < last and tuple(e.entry for e in stored) == command.entries:
            return []
        raise Conflict(
            "draft-sequence",
            expected=f"after_sequence {last}",
            got=str(command.after_sequence),
            do=f"read what was added: GET /v1/tasks/{task.task_id}/draft?after={command.after_sequence}, then append after it",
        )
    now = clock.now()
    entries = [DraftEntry(last + n, entry, now) for n, entry in enumerate(command.entries, start=1)]
    uow.drafts.append(task.task_id, me, entries)
    uow.audit(command.reader.subject, "draft-appended", task.task_id)
    return []


def begin_upload(command: BeginUpload, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Announce an object before it is written."""
    _refuse_withdrawn(command.study_key, uow)
    uow.uploads.begin(command.key, command.study_key, clock.now())
    return []


def forget_upload(command: UploadSwept, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Forget an announced object that nobody refers to and that is deleted."""
    del clock
    uow.uploads.end(command.key)
    return []


def submit_label(command: SubmitLabel, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Finish a task with a label version. The same submission again finds it made."""
    me, known = command.reader.pseudonym, uow.labels.get(command.label_version_id)
    if known is not None and known.reader == me:
        return []
    task = task_of(command.task_id, uow)
    prediction_id = _prediction_of(task, command, uow)
    label = task.submit(
        command.lease_id,
        me,
        clock.now(),
        label_version_id=command.label_version_id,
        mask=command.mask,
        segments=command.segments,
        project_version=command.project_version,
        started_from_model=command.started_from_model,
        prediction_id=prediction_id,
        active_time_s=command.active_time_s,
    )
    uow.tasks.save(task)
    uow.audit(command.reader.subject, "label-submitted", label.label_version_id)
    return [_keep(label, Action.SUBMITTED, uow)]


def save_version(command: SaveVersion, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Keep a label version on the way to an answer: the task and its lease stay, and nobody hears of it. Again: found made."""
    me, known = command.reader.pseudonym, uow.labels.get(command.label_version_id)
    if known is not None and known.reader == me:
        return []
    task = task_of(command.task_id, uow)
    task.check_lease(command.lease_id, me, clock.now())
    label = task.label(
        command.label_version_id,
        me,
        clock.now(),
        mask=command.mask,
        segments=command.segments,
        project_version=command.project_version,
        started_from_model=command.started_from_model,
        prediction_id=_prediction_of(task, command, uow),
        active_time_s=command.active_time_s,
        saved=True,
    )
    _end_upload(label, uow)
    uow.labels.add(label)
    uow.audit(command.reader.subject, "label-saved", label.label_version_id)
    return []


def import_label(command: ImportLabel, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Take a label made elsewhere. The same content again finds it made."""
    if uow.labels.get(command.label_version_id) is not None:
        return []
    case = case_of(command.case_id, uow)
    if case.project_id != command.project_id:
        raise Invalid(
            "project-mismatch",
            expected="the case's own project",
            got="another one",
            do="resolve the case anew in ingest",
        )
    project_of(command.project_id, uow)
    label = LabelVersion(
        label_version_id=command.label_version_id,
        task_id="",
        case_id=case.case_id,
        study_key=case.study_key,
        project_id=case.project_id,
        project_version=command.project_version,
        reader=command.reader.pseudonym,
        source=LabelSource.IMPORT,
        reading=Reading.NONE,
        mask=command.mask,
        segments=command.segments,
        started_from_model=False,
        prediction_id="",
        round_id="",
        arm=None,
        attempt=1,
        active_time_s=0.0,
        made_at=clock.now(),
    )
    uow.audit(command.reader.subject, "label-imported", label.label_version_id)
    return [_keep(label, Action.IMPORTED, uow)]


def report_case(command: ReportCase, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Tell the miner that a reader thinks a case deserves a reading. The note stays here; only its id is said."""
    if uow.reports.get(command.report_id) is not None:
        return []
    case = case_of(command.case_id, uow)
    me = command.reader.pseudonym
    uow.reports.add(Report(command.report_id, case.case_id, case.study_key, me, command.reason, command.note))
    uow.audit(command.reader.subject, "case-reported", case.case_id)
    _tell(uow, case.case_id, clock.now(), Action.REPORTED, reader=me, detail=command.reason, note=command.note)
    return [
        EdgeCaseReported(
            report_id=command.report_id,
            case_id=case.case_id,
            study_key=case.study_key,
            project_id=case.project_id,
            reason=command.reason,
            reader=me,
            note_id=command.report_id if command.note else "",
        )
    ]


def _prediction_of(task: Task, command: SubmitLabel | SaveVersion, uow: UnitOfWork) -> str:
    """Return the prediction the reader was offered, empty for none; raise `Invalid` where they say to have seen what is blind."""
    case = case_of(task.case_id, uow)
    if command.started_from_model and task.blind(case):
        raise Invalid(
            "blind",
            expected="started_from_model false: this task shows no proposal",
            got="true",
            do="send what is true; the label itself was not stored",
        )
    offered = task.offered_prediction(case)
    return offered if offered and uow.predictions.get(offered) else ""


def _end_upload(label: LabelVersion, uow: UnitOfWork) -> None:
    if not uow.uploads.end(label.mask.key):
        # It was swept in between, as if it were old: the clock was set forward, or the machine slept.
        raise Busy(
            "upload-swept",
            expected="the label's object, announced just now",
            got="one that was taken for abandoned",
            do="send the label again",
        )


def _keep(label: LabelVersion, action: Action, uow: UnitOfWork) -> LabelSubmitted:
    _end_upload(label, uow)
    uow.labels.add(label)
    uow.arrived(f"label:{label.label_version_id}")
    _tell(
        uow,
        label.case_id,
        label.made_at,
        action,
        reader=label.reader,
        task_id=label.task_id,
        label_version_id=label.label_version_id,
    )
    said = {f.name: getattr(label, f.name) for f in dataclasses.fields(LabelSubmitted)}
    return LabelSubmitted(**said)


def _refuse_withdrawn(study_key: str, uow: UnitOfWork) -> None:
    if uow.studies.withdrawn(study_key):
        raise Conflict(
            "study-withdrawn",
            expected="a study that is still there",
            got="one that was withdrawn",
            do="nothing: its labels are not wanted any more",
        )


def _tell(
    uow: UnitOfWork,
    case_id: str,
    at: datetime,
    action: Action,
    *,
    reader: str,
    task_id: str = "",
    label_version_id: str = "",
    detail: str = "",
    note: str = "",
) -> None:
    uow.history.add(HistoryEntry(case_id, at, action, reader, task_id, label_version_id, detail, note))
