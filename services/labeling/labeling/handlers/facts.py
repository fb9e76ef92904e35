"""What labeling does when it hears something. Facts come in any order, and more than once."""

from labeling.domain.messages import (
    EdgeCaseFlagged,
    ExpireLeases,
    LabelApproved,
    LabelReturned,
    PredictionMade,
    ProjectConfigured,
    ReadingRequested,
    StudyIngested,
    StudyPurged,
    StudyWithdrawn,
)
from labeling.domain.model import Action, Approval, Case, HistoryEntry, LabelVersion, Prediction, Project, Return
from labeling.domain.states import Step, TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, Reading
from labeling.handlers.leases import expire_leases
from labeling.ports import Clock, UnitOfWork
from radloop.errors import Invalid, NotYet
from radloop.messages import Message
from radloop.references import Arm


def keep_project(event: ProjectConfigured, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Keep the newest version of a project, and of every version how it is to be read."""
    del clock
    uow.projects.keep_instructions(event.project_id, event.project_version, event.reading.instructions)
    known = uow.projects.get(event.project_id)
    if known is None or known.version < event.project_version:
        uow.projects.put(
            Project(
                project_id=event.project_id,
                version=event.project_version,
                segments=event.segments,
                overlapping_segments=event.overlapping_segments,
                lease_s=event.reading.lease_s,
                members=event.members,
            )
        )
        uow.arrived(f"project:{event.project_id}")
    return []


def keep_cases(event: StudyIngested, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Keep where the cases of a study are."""
    del clock
    if uow.studies.withdrawn(event.study_key):
        return []
    for case in event.cases:
        uow.cases.add(Case.of(event.study_key, event.project_id, event.split, case))
        uow.arrived(f"case:{case.case_id}")
    return []


def keep_prediction(event: PredictionMade, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Keep where a model's mask is, and the map of its doubts."""
    del clock
    if uow.studies.withdrawn(event.study_key):
        return []
    uow.predictions.add(Prediction(event.prediction_id, event.case_id, event.study_key, event.mask, event.uncertainty))
    uow.arrived(f"prediction:{event.prediction_id}")
    return []


def open_task(event: EdgeCaseFlagged, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Open the first reading a round asks for, and supersede what older rounds asked for and nobody has started."""
    if uow.studies.withdrawn(event.study_key):
        return []
    _require_known(event.case_id, event.project_id, uow)
    unpredictable = FlagReason.FAILED_PREDICTION in event.reasons
    if event.show_proposal and event.prediction_id and not unpredictable:
        # A reader who got the task before the mask came would contour from nothing what the round meant to be corrected.
        if uow.predictions.get(event.prediction_id) is None:
            raise NotYet(f"prediction:{event.prediction_id}")
    task = Task.flagged(event, clock.now())
    if uow.tasks.get(task.task_id) is not None:
        return []
    newest = uow.projects.newest_round(event.project_id)
    if event.round_number > newest:
        uow.projects.round_heard(event.project_id, event.round_number)
        expire_leases(ExpireLeases(), uow, clock)  # a lease that has run out keeps no task in an old round
        for outdated in uow.tasks.outdated(event.project_id, event.round_number):
            _end(outdated, Step.SUPERSEDE, uow, clock)
    _tell(uow, clock, task.case_id, Action.FLAGGED, task_id=task.task_id)
    uow.tasks.add(task)
    if event.round_number < newest and event.arm is not Arm.REPORTED:
        _end(task, Step.SUPERSEDE, uow, clock)
    _close_if_approved(task, uow, clock)
    return []


def open_further_reading(event: ReadingRequested, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Open the further reading a review asks for."""
    if uow.studies.withdrawn(event.study_key):
        return []
    if event.reading not in (Reading.SECOND, Reading.ADJUDICATION):
        raise Invalid("reading-unexpected", expected="a second reading or an adjudication", got=event.reading)
    _require_known(event.case_id, event.project_id, uow)
    for label_version_id in event.label_version_ids:
        _label(label_version_id, uow)
    siblings = uow.tasks.of_case(event.case_id)
    first = next((t for t in siblings if t.reading is Reading.FIRST and t.round_id == event.round_id), None)
    # A case that was never read here (its label was imported) must not stand out among the readings of the day.
    task = Task.requested(
        event,
        clock.now(),
        round_number=first.round_number if first else uow.projects.newest_round(event.project_id),
        rank=first.rank if first else 1,
    )
    if uow.tasks.get(task.task_id) is not None:
        return []
    uow.tasks.add(task)
    _tell(uow, clock, task.case_id, Action.READING_REQUESTED, task_id=task.task_id, detail=task.reading)
    _close_if_approved(task, uow, clock)
    return []


def reopen_task(event: LabelReturned, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Give a task back to its reader, with the reasons; a return of an older answer than the last is only kept."""
    if uow.studies.withdrawn(event.study_key):
        return []
    label = _label(event.label_version_id, uow)
    if uow.verdicts.returned(event.review_id, event.label_version_id):
        return []
    returned = Return(event.review_id, event.label_version_id, event.reasons)
    uow.verdicts.return_(returned)
    _tell(
        uow,
        clock,
        label.case_id,
        Action.RETURNED,
        task_id=label.task_id,
        label_version_id=label.label_version_id,
        detail=", ".join(event.reasons),
    )
    newest = uow.labels.newest_of_task(label.task_id) if label.task_id else None
    if newest is not None and newest.label_version_id == label.label_version_id:
        task = uow.tasks.get(label.task_id)
        if task is not None:
            task.give_to_its_reader(returned)
            uow.tasks.save(task)
    return []


def close_case(event: LabelApproved, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Close the task whose label was approved, and the siblings that have nothing left to ask."""
    if uow.studies.withdrawn(event.study_key):
        return []
    label = _label(event.label_version_id, uow)
    approval = Approval(
        review_id=event.review_id,
        label_version_id=event.label_version_id,
        case_id=label.case_id,
        task_id=label.task_id,
        round_id=label.round_id,
    )
    if approval in uow.verdicts.approvals(label.case_id):
        return []
    uow.verdicts.approve(approval)
    _tell(
        uow,
        clock,
        label.case_id,
        Action.APPROVED,
        task_id=label.task_id,
        label_version_id=label.label_version_id,
    )
    for task in uow.tasks.of_case(label.case_id):
        if task.task_id == label.task_id:
            task.close(Step.APPROVE)
            uow.tasks.save(task)
        elif not task.state.closed and task.concerned_by(approval):
            _end(task, Step.CLOSE, uow, clock)
    return []


def forget_study(event: StudyWithdrawn, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Cancel the study's tasks and delete its labels, drafts and notes; a worker deletes the objects."""
    del clock
    if uow.studies.withdrawn(event.study_key):
        return []
    for task in uow.tasks.of_study(event.study_key):
        task.close(Step.WITHDRAW)
        uow.tasks.save(task)
    uow.studies.withdraw(event.study_key)
    uow.audit("platform", "study-withdrawn", event.study_key)
    return []


def study_purged(command: StudyPurged, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Remember that a withdrawn study's objects are gone."""
    del clock
    uow.studies.purged(command.study_key)
    return []


def _require_known(case_id: str, project_id: str, uow: UnitOfWork) -> None:
    if uow.cases.get(case_id) is None:
        raise NotYet(f"case:{case_id}")
    if uow.projects.get(project_id) is None:
        raise NotYet(f"project:{project_id}")


def _label(label_version_id: str, uow: UnitOfWork) -> LabelVersion:
    label = uow.labels.get(label_version_id)
    if label is None:
        raise NotYet(f"label:{label_version_id}")
    return label


def _close_if_approved(task: Task, uow: UnitOfWork, clock: Clock) -> None:
    """End a new task when the approval that ends it was heard first."""
    if task.state is TaskState.OPEN and any(task.concerned_by(a) for a in uow.verdicts.approvals(task.case_id)):
        _end(task, Step.CLOSE, uow, clock)


def _end(task: Task, step: Step, uow: UnitOfWork, clock: Clock) -> None:
    task.close(step)
    uow.tasks.save(task)
    action = Action.SUPERSEDED if step is Step.SUPERSEDE else Action.CANCELLED
    _tell(uow, clock, task.case_id, action, task_id=task.task_id)


def _tell(
    uow: UnitOfWork,
    clock: Clock,
    case_id: str,
    action: Action,
    *,
    task_id: str = "",
    label_version_id: str = "",
    detail: str = "",
) -> None:
    uow.history.add(
        HistoryEntry(
            case_id=case_id,
            at=clock.now(),
            action=action,
            task_id=task_id,
            label_version_id=label_version_id,
            detail=detail,
        )
    )
