"""What the service does: one plain function per message. All are quick: predicting and loading wait in the tables."""

from collections.abc import Callable
from dataclasses import replace

from inference.domain.messages import (
    AskForPrediction,
    ConcludeDeployment,
    ConcludePrediction,
    Deployment,
    GiveUpPrediction,
    ImportModel,
    ModelDeployed,
    ModelPromoted,
    ModelTrained,
    PredictionFailed,
    PredictionMade,
    PredictionRequested,
    ProjectConfigured,
    StudyIngested,
    StudyWithdrawn,
)
from inference.domain.model import (
    Case,
    DeploymentCause,
    Model,
    ModelState,
    PendingDeployment,
    Prediction,
    PredictionSettings,
    PredictionState,
    Project,
    Traffic,
)
from inference.domain.promotion import outcome_of
from inference.ports import InferenceUnitOfWork
from radloop.errors import NotFound, NotYet
from radloop.messages import Message
from radloop.references import ObjectRef


def configure_project(event: ProjectConfigured, uow: InferenceUnitOfWork) -> list[Message]:
    """Keep the newest version of a project."""
    known = uow.projects.get(event.project_id)
    if known is None or known.project_version < event.project_version:
        uow.projects.save(
            Project(
                project_id=event.project_id,
                project_version=event.project_version,
                model_name=event.model_name,
                promotion=event.promotion.mode,
                segment_values=tuple(sorted(segment.value for segment in event.segments)),
                overlapping_segments=event.overlapping_segments,
                members=event.members,
            )
        )
        uow.arrived(_project_token(event.project_id))
    return []


def take_cases(event: StudyIngested, uow: InferenceUnitOfWork, settings: PredictionSettings) -> list[Message]:
    """Keep the cases of a study, and queue them for the model that serves, if one does."""
    if uow.cases.is_withdrawn(event.study_key):
        return []
    serving = uow.traffic.get(event.project_id).serving_digest
    for ingested in event.cases:
        case = Case(ingested.case_id, event.study_key, event.project_id, ingested.volumes)
        uow.cases.add(case)
        uow.arrived(_case_token(case.case_id))
        if serving:
            _queue(uow, case, serving, settings)
    return []


def request_prediction(
    event: PredictionRequested, uow: InferenceUnitOfWork, settings: PredictionSettings
) -> list[Message]:
    """Queue a prediction for a round; one that was made (or failed) before is said again, with the round's id."""
    if uow.cases.is_withdrawn(event.study_key):
        return []
    case = uow.cases.get(event.case_id)
    if case is None:
        raise NotYet(_case_token(event.case_id))
    if uow.models.get(event.project_id, event.model_digest) is None:
        raise NotYet(_model_token(event.project_id, event.model_digest))
    prediction = _queue(uow, case, event.model_digest, settings)
    if prediction.state is PredictionState.WAITING:
        uow.predictions.wait_for(prediction.prediction_id, event.round_id)
        return []
    return [_said(uow, prediction, event.round_id)]


def ask_for_prediction(cmd: AskForPrediction, uow: InferenceUnitOfWork, settings: PredictionSettings) -> list[Message]:
    """Queue a prediction a person waits for, before the others; one that is there already is simply read."""
    case = uow.cases.get(cmd.case_id)
    if case is None or case.project_id != cmd.project_id:
        raise NotFound("case-unknown", expected="a case of the project", got="none", do="ingest the study first")
    digest = cmd.model_digest or uow.traffic.get(cmd.project_id).serving_digest
    if not digest:
        raise NotFound("no-model-serves", expected="a serving model", got="none", do="train, import or promote a model")
    if uow.models.get(cmd.project_id, digest) is None:
        raise NotFound(
            "model-unknown", expected="a model of the project", got="an unknown digest", do="see GET /v1/models"
        )
    uow.audit(cmd.subject, "infer", cmd.case_id)
    prediction = _queue(uow, case, digest, settings, urgent=True)
    if prediction.state is PredictionState.WAITING and not prediction.urgent:
        uow.predictions.save(replace(prediction, urgent=True))
    return []


def conclude_prediction(cmd: ConcludePrediction, uow: InferenceUnitOfWork) -> list[Message]:
    """Keep a prediction that was made, and say it to every round that waits for it.

    The study may have been withdrawn meanwhile: then its objects, which the worker has just written, go too.
    """
    waiting = uow.predictions.get(cmd.prediction_id)
    if waiting is None:
        uow.cases.withdraw(cmd.study_key)
        return []
    if waiting.state is not PredictionState.WAITING:
        return []
    made = replace(
        waiting,
        state=PredictionState.MADE,
        mask=cmd.mask,
        uncertainty=cmd.uncertainty,
        embedding=cmd.embedding,
        scores=cmd.scores,
        volumes=cmd.volumes,
    )
    return _conclude(uow, made)


def give_up_prediction(cmd: GiveUpPrediction, uow: InferenceUnitOfWork) -> list[Message]:
    """Keep why a prediction cannot be made, and say so to every round that waits for it."""
    waiting = uow.predictions.get(cmd.prediction_id)
    if waiting is None or waiting.state is not PredictionState.WAITING:
        return []
    return _conclude(uow, replace(waiting, state=PredictionState.FAILED, reason=cmd.reason, detail=cmd.detail))


def _conclude(uow: InferenceUnitOfWork, prediction: Prediction) -> list[Message]:
    uow.predictions.save(prediction)
    rounds = uow.predictions.waiting_rounds(prediction.prediction_id)
    return [_said(uow, prediction, round_id) for round_id in rounds or [""]]


def take_model(event: ModelTrained, uow: InferenceUnitOfWork) -> list[Message]:
    """Queue a trained model to be loaded and tried beside the one that serves.

    The trainer waits for an answer to every run, also to one that ended with a bundle that is known already.
    """
    if uow.projects.get(event.project_id) is None:
        raise NotYet(_project_token(event.project_id))
    if not uow.models.first_of_run(event.run_id):
        return []
    if uow.models.get(event.project_id, event.model_digest) is None:
        _add_model(uow, event.project_id, event.model_digest, event.model_name, event.bundle, ModelState.WAITING)
    _load(
        uow,
        event.project_id,
        event.model_digest,
        DeploymentCause.TRAINED,
        passes=event.comparison.passes,
        compared_with=event.comparison.serving_digest,
    )
    return []


def promote_model(event: ModelPromoted, uow: InferenceUnitOfWork) -> list[Message]:
    """Move the traffic to the model a person wants, once it is loaded; to none, or to what serves, at once.

    The last wish wins: those that still wait are overtaken, and said to be. Only a repeat is passed over in silence.
    """
    if uow.projects.get(event.project_id) is None:
        raise NotYet(_project_token(event.project_id))
    traffic = uow.traffic.get(event.project_id)
    if event.sequence <= traffic.wish_sequence:
        return []
    model = uow.models.get(event.project_id, event.model_digest) if event.model_digest else None
    if event.model_digest and model is None and event.bundle is None:
        raise NotYet(_model_token(event.project_id, event.model_digest))
    said = _overtake_wishes(uow, event.project_id)
    traffic = replace(uow.traffic.get(event.project_id), wish_sequence=event.sequence)
    uow.traffic.save(traffic)
    if event.model_digest == traffic.serving_digest:
        outcome = Deployment.SERVING if event.model_digest else Deployment.NONE
        return [*said, _say_unmoved(uow, event.project_id, model, outcome, event.sequence)]
    if not event.model_digest:
        return [*said, _move(uow, traffic, candidate=None, outcome=Deployment.NONE, wish_sequence=event.sequence)]
    if model is None:
        _add_model(uow, event.project_id, event.model_digest, event.model_name, event.bundle, ModelState.WAITING)
    _load(uow, event.project_id, event.model_digest, DeploymentCause.PROMOTED)
    return said


def import_model(cmd: ImportModel, uow: InferenceUnitOfWork) -> list[Message]:
    """Keep a brought bundle and announce it; with `serve`, queue it to be loaded and to serve. Again: nothing new.

    That it is to serve is a wish as any other: older ones that still wait are overtaken.
    """
    if uow.projects.get(cmd.project_id) is None:
        raise NotFound(
            "project-unknown", expected="a project of this site", got="none", do="configure the project first"
        )
    uow.audit(cmd.subject, "import-model", cmd.model_digest)
    said: list[Message] = []
    model = uow.models.get(cmd.project_id, cmd.model_digest)
    if model is None:
        model = _add_model(uow, cmd.project_id, cmd.model_digest, cmd.model_name, cmd.bundle, ModelState.IMPORTED)
        said.append(_say_unmoved(uow, cmd.project_id, model, Deployment.IMPORTED))
    if cmd.serve:
        said += _overtake_wishes(uow, cmd.project_id)
        if uow.traffic.get(cmd.project_id).serving_digest != cmd.model_digest:
            _load(uow, cmd.project_id, cmd.model_digest, DeploymentCause.IMPORTED)
    return said


def conclude_deployment(cmd: ConcludeDeployment, uow: InferenceUnitOfWork) -> list[Message]:
    """Decide what becomes of a candidate that was loaded and tried, move the traffic if so, and say it.

    One that a newer wish overtook while it was loading is gone, and its end is said.
    """
    pending = uow.deployments.get(cmd.deployment_id)
    if pending is None or pending.model_digest != cmd.model_digest:
        return []
    uow.deployments.remove(cmd.deployment_id)
    project = uow.projects.get(pending.project_id)
    model = uow.models.get(pending.project_id, pending.model_digest)
    traffic = uow.traffic.get(pending.project_id)
    assert project is not None and model is not None  # a candidate is queued with both, and neither is ever removed
    outcome = outcome_of(pending, traffic, project.promotion, loaded=cmd.loaded)
    serves_already = traffic.serving_digest == pending.model_digest
    if outcome is Deployment.SERVING and not serves_already:
        return [_move(uow, traffic, candidate=model, outcome=outcome, wish_sequence=pending.answers_wish)]
    if not serves_already:
        state = ModelState.KEPT if outcome is Deployment.KEPT else ModelState.LOAD_FAILED
        uow.models.save(replace(model, state=state, detail=cmd.detail))
    return [_say_unmoved(uow, pending.project_id, model, outcome, pending.answers_wish)]


def forget_study(event: StudyWithdrawn, uow: InferenceUnitOfWork) -> list[Message]:
    """Forget a study: its cases, its predictions and, by a worker, its objects. Whatever comes of it later is refused."""
    uow.cases.withdraw(event.study_key)
    return []


def _queue(
    uow: InferenceUnitOfWork, case: Case, model_digest: str, settings: PredictionSettings, *, urgent: bool = False
) -> Prediction:
    """Return the prediction of a case by a model of its project, queued if it is new."""
    project = uow.projects.get(case.project_id)
    assert project is not None  # a model is kept with its project, and neither is ever removed
    prediction = Prediction.of(case, model_digest, settings.of_project(project).digest, urgent=urgent)
    known = uow.predictions.get(prediction.prediction_id)
    if known is not None:
        return known
    uow.predictions.save(prediction)
    return prediction


def _add_model(
    uow: InferenceUnitOfWork, project_id: str, digest: str, name: str, bundle: ObjectRef, state: ModelState
) -> Model:
    model = Model(project_id, digest, name, bundle, state)
    uow.models.save(model)
    uow.arrived(_model_token(project_id, digest))
    return model


def _load(
    uow: InferenceUnitOfWork,
    project_id: str,
    digest: str,
    cause: DeploymentCause,
    *,
    passes: bool = False,
    compared_with: str = "",
) -> None:
    """Queue a candidate to be loaded."""
    wish_sequence = uow.traffic.get(project_id).wish_sequence
    uow.deployments.add(PendingDeployment(0, project_id, digest, cause, passes, compared_with, wish_sequence))


def _overtake_wishes(uow: InferenceUnitOfWork, project_id: str) -> list[Message]:
    """End the wishes that still wait, and return what is said of them. Trained candidates stay: each gets its own answer."""
    waiting = uow.deployments.of_project(project_id)
    trained = {each.model_digest for each in waiting if each.cause is DeploymentCause.TRAINED}
    said: list[Message] = []
    for overtaken in waiting:
        if overtaken.cause is DeploymentCause.TRAINED:
            continue
        uow.deployments.remove(overtaken.deployment_id)
        model = uow.models.get(project_id, overtaken.model_digest)
        if model is not None and model.state is ModelState.WAITING and model.model_digest not in trained:
            uow.models.save(replace(model, state=ModelState.IMPORTED))
        said.append(_say_unmoved(uow, project_id, model, Deployment.OVERTAKEN, overtaken.answers_wish))
    return said


def _move(
    uow: InferenceUnitOfWork, traffic: Traffic, candidate: Model | None, outcome: Deployment, wish_sequence: int
) -> ModelDeployed:
    """Move the traffic and return what is said of it."""
    former = uow.models.get(traffic.project_id, traffic.serving_digest) if traffic.serving_digest else None
    if former is not None:
        uow.models.save(replace(former, state=ModelState.RETIRED))
    if candidate is not None:
        uow.models.save(replace(candidate, state=ModelState.SERVING, detail=""))
    traffic = traffic.moved_to(candidate.model_digest if candidate else "")
    uow.traffic.save(traffic)
    return _deployed(uow, traffic, candidate, outcome, wish_sequence)


def _say_unmoved(
    uow: InferenceUnitOfWork, project_id: str, candidate: Model | None, outcome: Deployment, wish_sequence: int = 0
) -> ModelDeployed:
    """Leave the traffic where it is and return what is said of a candidate."""
    traffic = uow.traffic.get(project_id).unmoved()
    uow.traffic.save(traffic)
    return _deployed(uow, traffic, candidate, outcome, wish_sequence)


def _deployed(
    uow: InferenceUnitOfWork, traffic: Traffic, candidate: Model | None, outcome: Deployment, wish_sequence: int
) -> ModelDeployed:
    project = uow.projects.get(traffic.project_id)
    serving = uow.models.get(traffic.project_id, traffic.serving_digest) if traffic.serving_digest else None
    return ModelDeployed(
        model_name=candidate.model_name if candidate else project.model_name if project else traffic.project_id,
        project_id=traffic.project_id,
        serving_digest=traffic.serving_digest,
        candidate_digest=candidate.model_digest if candidate else "",
        outcome=outcome,
        sequence=traffic.sequence,
        previous_digest=traffic.previous_digest,
        bundle=serving.bundle if serving else None,
        candidate_bundle=candidate.bundle if candidate else None,
        wish_sequence=wish_sequence,
    )


def _said(uow: InferenceUnitOfWork, prediction: Prediction, round_id: str) -> Message:
    """Return what is said of a prediction that was made or failed."""
    shared = {
        "prediction_id": prediction.prediction_id,
        "case_id": prediction.case_id,
        "study_key": prediction.study_key,
        "project_id": prediction.project_id,
        "model_digest": prediction.model_digest,
        "round_id": round_id,
    }
    if prediction.state is PredictionState.FAILED:
        return PredictionFailed(reason=prediction.reason, **shared)
    model = uow.models.get(prediction.project_id, prediction.model_digest)
    return PredictionMade(
        model_name=model.model_name,
        settings_digest=prediction.settings_digest,
        mask=prediction.mask,
        uncertainty=prediction.uncertainty,
        embedding=prediction.embedding,
        scores=prediction.scores,
        volumes=prediction.volumes,
        **shared,
    )


def _project_token(project_id: str) -> str:
    return f"project/{project_id}"


def _case_token(case_id: str) -> str:
    return f"case/{case_id}"


def _model_token(project_id: str, digest: str) -> str:
    return f"model/{project_id}/{digest}"


HANDLERS: dict[type, Callable[..., list[Message]]] = {
    ProjectConfigured: configure_project,
    StudyIngested: take_cases,
    StudyWithdrawn: forget_study,
    PredictionRequested: request_prediction,
    ModelTrained: take_model,
    ModelPromoted: promote_model,
    AskForPrediction: ask_for_prediction,
    ConcludePrediction: conclude_prediction,
    GiveUpPrediction: give_up_prediction,
    ImportModel: import_model,
    ConcludeDeployment: conclude_deployment,
}
