"""One function per message. Events only fill the catalogue and say nothing; commands of people are what is announced.

No event waits for another: each is stored by itself and joined when somebody asks, so that topics may arrive in any order. What
belongs to a withdrawn study is not stored again, whenever it comes.
"""

import math
from collections.abc import Callable, Iterable

from control_plane.domain import messages
from control_plane.domain.lineage import fulfilled, served_before
from control_plane.domain.project import Project, check_may_appoint, known
from control_plane.ports import UnitOfWork, WishKind
from radloop.errors import Conflict, Invalid, NotFound
from radloop.messages import Message
from radloop.references import CaseDice, ObjectRef


def configure_project(cmd: messages.ConfigureProject, uow: UnitOfWork) -> list[Message]:
    """Make a project or its next version; nothing is said when nothing changed."""
    before = uow.projects.get(cmd.project_id)
    holder = uow.projects.with_model_name(cmd.settings.model_name)
    if holder not in (None, cmd.project_id):
        raise Conflict(
            "model-name-taken",
            expected="a model name no other project has",
            got=cmd.settings.model_name,
            do="choose another: events about models are ordered by it",
        )
    check_may_appoint(before.settings if before else None, cmd.settings, site_admin=cmd.by_site_admin)
    project = before.changed_to(cmd.settings) if before else Project.new(cmd.project_id, cmd.settings)
    if project is before:
        return []
    uow.projects.save(project, cmd.by)
    uow.audit(cmd.by, "configure-project", f"{project.project_id}/{project.version}")
    said = {name: getattr(cmd.settings, name) for name in cmd.settings.__dataclass_fields__}
    return [
        messages.ProjectConfigured(project_id=project.project_id, project_version=project.version, **said),
    ]


def promote_model(cmd: messages.PromoteModel, uow: UnitOfWork) -> list[Message]:
    """Wish for a model of the catalogue to serve."""
    project = known(uow.projects.get(cmd.project_id), cmd.project_id)
    return [_wish(project, cmd.model_digest, WishKind.PROMOTE, cmd.by, uow)]


def roll_back(cmd: messages.RollBack, uow: UnitOfWork) -> list[Message]:
    """Wish for the model that served before; while a wish is still unanswered, for what it was to replace."""
    project = known(uow.projects.get(cmd.project_id), cmd.project_id)
    history = uow.registry.served(cmd.project_id)
    newest = uow.wishes.newest(cmd.project_id)
    if newest is not None:
        history = fulfilled(history, uow.registry.answered(cmd.project_id), newest.sequence, newest.model_digest)
    return [_wish(project, served_before(history), WishKind.ROLL_BACK, cmd.by, uow)]


def serve_none(cmd: messages.ServeNone, uow: UnitOfWork) -> list[Message]:
    """Wish for no model."""
    project = known(uow.projects.get(cmd.project_id), cmd.project_id)
    return [_wish(project, "", WishKind.SERVE_NONE, cmd.by, uow)]


def _wish(project: Project, digest: str, kind: WishKind, by: str, uow: UnitOfWork) -> messages.ModelPromoted:
    bundle: ObjectRef | None = None
    if digest:
        model = uow.registry.model(project.project_id, digest)
        if model is None:
            raise NotFound(
                "model-unknown",
                expected="a model of this project's catalogue",
                got=digest,
                do="list them: GET /v1/models?project_id=…; bring your own with `radloop models import`",
            )
        bundle = model.bundle
    newest = uow.wishes.newest(project.project_id)
    said = messages.ModelPromoted(
        model_name=project.settings.model_name,
        project_id=project.project_id,
        model_digest=digest,
        bundle=bundle,
        sequence=newest.sequence + 1 if newest else 1,
    )
    uow.wishes.add(said, kind, by)
    uow.audit(by, f"model-{kind}", f"{project.project_id}/{digest or 'none'}")
    return said


def request_training(cmd: messages.RequestTraining, uow: UnitOfWork) -> list[Message]:
    """Ask for a run, whatever the project's policy is waiting for."""
    project = known(uow.projects.get(cmd.project_id), cmd.project_id)
    said = messages.TrainingRequested(request_id=cmd.request_id, project_id=project.project_id)
    uow.wishes.add_training_request(said, cmd.by)
    uow.audit(cmd.by, "request-training", project.project_id)
    return [said]


def record_study(event: messages.StudyIngested, uow: UnitOfWork) -> list[Message]:
    """Count a study, unless it must be forgotten; then only remember which cases those are."""
    if uow.studies.is_withdrawn(event.study_key):
        _forget_cases(event.study_key, [case.case_id for case in event.cases], uow)
    else:
        uow.studies.add(event)
    return []


def record_rejection(event: messages.StudyRejected, uow: UnitOfWork) -> list[Message]:
    """Count what was refused, by reason."""
    uow.studies.add_rejection(event)
    return []


def forget_study(event: messages.StudyWithdrawn, uow: UnitOfWork) -> list[Message]:
    """Forget a study. Dataset versions keep their list of items, so that a person can see which contained it."""
    uow.studies.withdraw(event)
    _forget_cases(event.study_key, uow.studies.cases_of(event.study_key), uow)
    uow.studies.forget(event.study_key)
    uow.rounds.forget(event.study_key)
    uow.audit("study-withdrawn", "forget-study", event.study_key)
    return []


def _forget_cases(study_key: str, case_ids: list[str], uow: UnitOfWork) -> None:
    uow.studies.withdraw_cases(study_key, case_ids)
    uow.registry.forget_dice(case_ids)


def record_prediction(event: messages.PredictionMade, uow: UnitOfWork) -> list[Message]:
    """Count a prediction."""
    if not uow.studies.is_withdrawn(event.study_key):
        uow.rounds.add_prediction(event)
    return []


def record_failed_prediction(event: messages.PredictionFailed, uow: UnitOfWork) -> list[Message]:
    """Count a failed prediction."""
    if not uow.studies.is_withdrawn(event.study_key):
        uow.rounds.add_failed_prediction(event)
    return []


def record_flag(event: messages.EdgeCaseFlagged, uow: UnitOfWork) -> list[Message]:
    """Count a flagged case."""
    if not uow.studies.is_withdrawn(event.study_key):
        uow.rounds.add_flag(event)
    return []


def record_approval(event: messages.LabelApproved, uow: UnitOfWork) -> list[Message]:
    """Count an approved label, with the Dice of the prediction before correction.

    Raises
    ------
    Invalid
        ``dice-not-finite``.
    """
    _check_finite(score.value for score in event.prediction_dice)
    if not uow.studies.is_withdrawn(event.study_key):
        uow.rounds.add_approval(event)
    return []


def record_run(event: messages.TrainingStarted, uow: UnitOfWork) -> list[Message]:
    """Take a dataset version and its run into the catalogue, withdrawn studies included: a person must see them."""
    uow.registry.add_dataset(event)
    uow.registry.run_started(event)
    withdrawn = {item.study_key for item in event.items if uow.studies.is_withdrawn(item.study_key)}
    for study_key in sorted(withdrawn):
        _forget_cases(study_key, [item.case_id for item in event.items if item.study_key == study_key], uow)
    return []


def record_wait(event: messages.TrainingWaiting, uow: UnitOfWork) -> list[Message]:
    """Remember what a run's job waits for."""
    uow.registry.run_waits(event)
    return []


def record_model(event: messages.ModelTrained, uow: UnitOfWork) -> list[Message]:
    """Take a model into the registry, with its Dice case by case.

    Raises
    ------
    Invalid
        ``dice-not-finite``: the trainer says what cannot be; nothing of the event is taken.
    """
    _check_finite(row.dice for row in (*event.validation_dice, *event.serving_validation_dice, *event.test_dice))
    uow.registry.run_ended_with_model(event)
    uow.registry.add_trained_model(event)
    for part, dice in (
        ("validation", event.validation_dice),
        ("serving-validation", event.serving_validation_dice),
        ("test", event.test_dice),
    ):
        uow.registry.add_dice(event.project_id, event.model_digest, part, _not_withdrawn(dice, uow))
    return []


def _check_finite(dice: Iterable[float]) -> None:
    if not all(math.isfinite(value) for value in dice):
        raise Invalid(
            "dice-not-finite",
            expected="Dice in 0..1",
            got="a value that is not finite",
            do="mend what said it, then replay",
        )


def _not_withdrawn(dice: tuple[CaseDice, ...], uow: UnitOfWork) -> list[CaseDice]:
    withdrawn = uow.studies.withdrawn_among({row.case_id for row in dice})
    return [row for row in dice if row.case_id not in withdrawn]


def record_failed_run(event: messages.TrainingFailed, uow: UnitOfWork) -> list[Message]:
    """Remember why a run gave no model."""
    uow.registry.run_failed(event)
    return []


def record_deployment(event: messages.ModelDeployed, uow: UnitOfWork) -> list[Message]:
    """Remember what serves at a site, and the candidate: a brought model is heard of here and nowhere else."""
    uow.registry.add_deployment(uow.site, event)
    if event.candidate_digest and event.candidate_bundle is not None:
        uow.registry.add_candidate(event)
    return []


HANDLERS: dict[type, Callable[..., list[Message]]] = {
    messages.ConfigureProject: configure_project,
    messages.PromoteModel: promote_model,
    messages.RollBack: roll_back,
    messages.ServeNone: serve_none,
    messages.RequestTraining: request_training,
    messages.StudyIngested: record_study,
    messages.StudyRejected: record_rejection,
    messages.StudyWithdrawn: forget_study,
    messages.PredictionMade: record_prediction,
    messages.PredictionFailed: record_failed_prediction,
    messages.EdgeCaseFlagged: record_flag,
    messages.LabelApproved: record_approval,
    messages.TrainingStarted: record_run,
    messages.TrainingWaiting: record_wait,
    messages.ModelTrained: record_model,
    messages.TrainingFailed: record_failed_run,
    messages.ModelDeployed: record_deployment,
}
