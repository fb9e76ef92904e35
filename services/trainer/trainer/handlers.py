"""What `trainer` does: one function per message; what it returns goes to the outbox in the same transaction.

The workers (`adapters/policy_worker.py`, `adapters/job_worker.py`) look at time and at jobs and come back with commands.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from radloop.errors import NotFound, NotYet
from radloop.messages import Message
from radloop.references import digest_of
from trainer.domain.comparison import compare
from trainer.domain.dataset import canonical, items_of, manifest_of
from trainer.domain.messages import (
    CancelRun,
    Deployment,
    EdgeCaseFlagged,
    LabelApproved,
    ModelDeployed,
    ModelTrained,
    NoteJobEnded,
    NoteStart,
    NoteWait,
    ProjectConfigured,
    RecordFailure,
    RecordModel,
    StartRun,
    StudyIngested,
    StudyWithdrawn,
    TrainingFailed,
    TrainingFailure,
    TrainingRequested,
    TrainingStarted,
    TrainingWaiting,
)
from trainer.domain.model import (
    ACTIVE,
    ApprovedLabel,
    DatasetVersion,
    Run,
    RunState,
    ServingModel,
    Source,
    Step,
    TrainingCase,
    run_id_of,
)
from trainer.domain.plan import Recipe, has_outputs_for, plan_of, train_patient_count
from trainer.domain.policy import is_due
from trainer.domain.waiting import wait_after
from trainer.ports import ManifestStore, TrainerUnitOfWork


def keep_project(message: ProjectConfigured, uow: TrainerUnitOfWork) -> list[Message]:
    """Keep the newest version of a project."""
    uow.projects.save(message)
    return []


def keep_cases(message: StudyIngested, uow: TrainerUnitOfWork) -> list[Message]:
    """Keep where the volumes of a study's cases are; labels that came before them are taken in."""
    if uow.withdrawn.contains(message.study_key):
        return []
    for case in message.cases:
        uow.labels.save_case(
            TrainingCase(
                case.case_id, message.study_key, message.project_id, message.patient_key, message.split, case.volumes
            )
        )
        uow.arrived(_case_token(case.case_id))
    return []


def keep_label(message: LabelApproved, uow: TrainerUnitOfWork, now: Callable[[], float]) -> list[Message]:
    """Keep the newest approved label of a case."""
    if uow.withdrawn.contains(message.study_key):
        return []
    if uow.labels.case(message.case_id) is None:
        raise NotYet(_case_token(message.case_id))
    known = uow.labels.label(message.case_id)
    if known is None or known.sequence < message.sequence:
        uow.labels.save_label(
            ApprovedLabel(
                message.case_id,
                message.study_key,
                message.project_id,
                message.label_version_id,
                message.mask,
                message.segments,
                message.arm,
                message.sequence,
            ),
            now(),
        )
    return []


def keep_flag(message: EdgeCaseFlagged, uow: TrainerUnitOfWork) -> list[Message]:
    """Keep why a case is read: edge cases weigh more."""
    if not uow.withdrawn.contains(message.study_key):
        uow.labels.save_flag(message.case_id, message.study_key, message.project_id, message.arm)
    return []


def keep_serving(message: ModelDeployed, uow: TrainerUnitOfWork) -> list[Message]:
    """Keep which model serves; a run whose model this answers makes way for the next."""
    serving = ServingModel(message.serving_digest, message.bundle, message.sequence)
    uow.runs.save_serving(message.project_id, serving)
    run = uow.runs.by_model(message.candidate_digest) if message.candidate_digest else None
    if message.outcome is Deployment.OVERTAKEN:
        return []  # about a person's wish for this model; what becomes of the run's own candidate is said apart
    if run is not None and run.state in (RunState.TRAINED, RunState.ANSWERED):
        uow.runs.save(run.after(Step.ANSWER))
    return []


def keep_request(message: TrainingRequested, uow: TrainerUnitOfWork) -> list[Message]:
    """Keep a person's wish; the policy worker serves it when no other run is on."""
    uow.runs.save_request(message.request_id, message.project_id)
    return []


def start_run(
    message: StartRun, uow: TrainerUnitOfWork, site: str, recipe: Recipe, store: ManifestStore
) -> list[Message]:
    """Freeze a dataset version and queue a run on it, if the policy still says so inside this transaction."""
    project = uow.projects.get(message.project_id)
    if project is None:
        return []
    situation = uow.runs.situation(project.project_id, message.now)
    if not is_due(situation, project.training):
        return []
    labels = {case.case_id: (case, label) for case, label in uow.labels.labelled(project.project_id)}
    items = items_of(labels.values(), uow.labels.flags(project.project_id), project.training.edge_case_weight)
    manifest = manifest_of(items)
    version = digest_of(manifest)
    key = f"trainer/{project.project_id}/datasets/{version.removeprefix('sha256:')}.json"
    sources = tuple(
        Source(item.case_id, labels[item.case_id][0].volumes, labels[item.case_id][1].mask) for item in items
    )
    uow.runs.save_dataset(DatasetVersion(version, project.project_id, items, sources, store.put(key, manifest)))
    number = situation.runs + 1
    serving = uow.runs.serving(project.project_id)
    # A brought model is compared with, but its network is its own: only weights of our own runs can be gone on from, and
    # not those of before a segment was added.
    origin = uow.runs.by_model(serving.model_digest) if serving and serving.model_digest else None
    plan = plan_of(
        project,
        items,
        labels,
        dataset_version=version,
        serving=serving,
        warm_start=origin is not None and has_outputs_for(json.loads(origin.plan), project),
        run_number=number,
        recipe=recipe,
    )
    run = Run(
        run_id=run_id_of(site, project.project_id, number),
        project_id=project.project_id,
        run_number=number,
        dataset_version=version,
        plan_digest=digest_of(canonical(plan)),
        plan=canonical(plan).decode(),
        model_name=project.model_name,
        request_id=uow.runs.request(project.project_id),
    )
    uow.runs.save(run)
    uow.runs.close_requests(project.project_id)
    uow.labels.mark_used([item.case_id for item in items])
    return [
        TrainingStarted(run.run_id, run.project_id, version, run.plan_digest, items, run.run_number, run.request_id)
    ]


def note_start(message: NoteStart, uow: TrainerUnitOfWork) -> list[Message]:
    """Count a start of the run's job."""
    run = _run(uow, message.run_id)
    uow.runs.save(replace(run.after(Step.START), attempts=run.attempts + 1))
    return []


def note_wait(message: NoteWait, uow: TrainerUnitOfWork) -> list[Message]:
    """Say what a run's job waits for, each time that is another reason. That it waits no longer is only remembered."""
    run = _run(uow, message.run_id)
    if run.state not in ACTIVE:
        return []
    if message.waits_for is None:
        if run.wait is not None:
            uow.runs.save(replace(run, wait=None))
        return []
    wait = wait_after(run.wait, message.waits_for, message.detail, message.now)
    if wait is run.wait:
        return []
    number = run.waits_said + 1
    uow.runs.save(replace(run, wait=wait, waits_said=number))
    return [
        TrainingWaiting(
            run.run_id, run.project_id, run.run_number, wait.waits_for, wait.scheduler_said, wait.since_s, number
        )
    ]


def note_job_ended(message: NoteJobEnded, uow: TrainerUnitOfWork) -> list[Message]:
    """Note that nothing of a run's job is left."""
    uow.runs.save(replace(_run(uow, message.run_id), job_ended=True))
    return []


def record_model(message: RecordModel, uow: TrainerUnitOfWork) -> list[Message]:
    """Say the model a run ended with, compared with the one that serves. A repeat says nothing."""
    run = _run(uow, message.run_id)
    if run.state not in ACTIVE:
        return []
    project = uow.projects.get(run.project_id)
    if project is None:
        raise NotFound("project-unknown", expected="the run's project", got="none", do="apply the project again")
    plan = json.loads(run.plan)
    # The plan names the bundle it was compared with; whatever has been deployed meanwhile is another comparison.
    serving_digest = plan["serving"]["digest"] if plan["serving"] else ""
    comparison = compare(
        message.validation_dice,
        message.serving_validation_dice,
        serving_digest=serving_digest,
        policy=project.promotion,
    )
    model_digest = message.bundle.digest
    uow.runs.save(replace(run.after(Step.SUCCEED), model_digest=model_digest, job_ended=True))
    return [
        ModelTrained(
            model_name=run.model_name,
            model_digest=model_digest,
            project_id=run.project_id,
            run_id=run.run_id,
            run_number=run.run_number,
            dataset_version=run.dataset_version,
            plan_digest=run.plan_digest,
            bundle=message.bundle,
            train_patient_count=train_patient_count(plan),
            validation_dice=message.validation_dice,
            serving_validation_dice=message.serving_validation_dice,
            test_dice=message.test_dice,
            comparison=comparison,
            duration_s=message.duration_s,
        )
    ]


def record_failure(message: RecordFailure, uow: TrainerUnitOfWork) -> list[Message]:
    """Say that a run ended without a model. A repeat says nothing."""
    run = _run(uow, message.run_id)
    if run.state not in ACTIVE:
        return []
    uow.runs.save(replace(run.after(Step.FAIL), failure=message.reason, job_ended=True))
    return [TrainingFailed(run.run_id, run.project_id, message.reason, run.attempts)]


def cancel_run(message: CancelRun, uow: TrainerUnitOfWork) -> list[Message]:
    """End a run for a person; the job worker ends its job."""
    run = _run(uow, message.run_id)
    uow.audit(message.subject, "run-cancelled", run.run_id)
    return _cancel(run, uow)


def withdraw_study(message: StudyWithdrawn, uow: TrainerUnitOfWork) -> list[Message]:
    """Forget a study; a run that trains on it ends, and its other labels are new again.

    The study's objects may have gone before we hear of it: a run that could not be carried out just now counts as ended by
    the withdrawal. Dataset versions and models that contained it are listed for a person (GET /v1/withdrawn), never rebuilt silently.
    """
    versions = uow.runs.datasets_with(message.study_key)
    said: list[Message] = []
    for project_id in uow.projects.ids():
        for run in uow.runs.of_project(project_id)[-1:]:  # no other can be on
            if run.dataset_version not in versions:
                continue
            if run.state in ACTIVE or run.failure is TrainingFailure.BAD_PLAN:
                dataset = uow.runs.dataset(run.dataset_version)
                uow.labels.mark_new([item.case_id for item in dataset.items] if dataset else [])
            if run.state in ACTIVE:
                said += _cancel(run, uow)
    uow.withdrawn.forget(message.study_key, versions)
    return said


def _cancel(run: Run, uow: TrainerUnitOfWork) -> list[Message]:
    ended = run.after(Step.CANCEL)
    if run.state is RunState.CANCELLED:
        return []
    uow.runs.save(replace(ended, failure=TrainingFailure.CANCELLED))
    return [TrainingFailed(run.run_id, run.project_id, TrainingFailure.CANCELLED, run.attempts)]


def _run(uow: TrainerUnitOfWork, run_id: str) -> Run:
    run = uow.runs.get(run_id)
    if run is None:
        raise NotFound("run-unknown", expected="the id of a run", got="another id", do="GET /v1/runs")
    return run


def _case_token(case_id: str) -> str:
    return f"case:{case_id}"


HANDLERS: dict[type, Callable[..., list[Message]]] = {
    ProjectConfigured: keep_project,
    StudyIngested: keep_cases,
    StudyWithdrawn: withdraw_study,
    LabelApproved: keep_label,
    EdgeCaseFlagged: keep_flag,
    ModelDeployed: keep_serving,
    TrainingRequested: keep_request,
    StartRun: start_run,
    NoteStart: note_start,
    NoteWait: note_wait,
    NoteJobEnded: note_job_ended,
    RecordModel: record_model,
    RecordFailure: record_failure,
    CancelRun: cancel_run,
}
