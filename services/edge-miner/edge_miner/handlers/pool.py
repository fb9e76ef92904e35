"""Who is in the pool, and what the models said of them: one look-up per event, never a scan."""

import dataclasses
import math

from edge_miner.domain.messages import (
    LabelApproved,
    PredictionFailed,
    PredictionMade,
    ProjectConfigured,
    RecordParts,
    StudyIngested,
    StudyWithdrawn,
)
from edge_miner.domain.model import Case, Prediction, Project
from edge_miner.domain.pool import dice_by_segment
from edge_miner.domain.strategies import strategy_named
from edge_miner.handlers.closing import close_if_all_in, leave_open_round, settle
from edge_miner.handlers.tokens import case_token, project_token
from edge_miner.ports import Clock, UnitOfWork
from radloop.messages import Message
from radloop.references import Split


def configure_project(event: ProjectConfigured, uow: UnitOfWork) -> list[Message]:
    """Keep how a project selects; an older version than the one kept changes nothing.

    Raises
    ------
    Invalid
        ``strategy-unknown``: the event goes to the dead letters, and the project runs on as it was set up before.
    """
    strategy_named(event.selection.strategy)
    known = uow.projects.get(event.project_id)
    if known is None or event.project_version > known.project_version:
        uow.projects.put(
            Project(
                project_id=event.project_id,
                project_version=event.project_version,
                selection=event.selection,
                always_present=tuple(each.value for each in event.segments if each.always_present),
                members=event.members,
                serving_digest=known.serving_digest if known else "",
                deployment_sequence=known.deployment_sequence if known else 0,
            )
        )
        uow.arrived(project_token(event.project_id))
    return []


def add_cases(event: StudyIngested, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Take a study's cases into the pool. Those of validation and test patients are known only to be left alone."""
    if uow.cases.withdrawn(event.study_key):
        return []
    for ingested in event.cases:
        case = Case(
            case_id=ingested.case_id,
            project_id=event.project_id,
            study_key=event.study_key,
            patient_key=event.patient_key,
            split=event.split,
            labelled=uow.cases.approved(ingested.case_id),
        )
        uow.cases.add(case, clock())
        if event.split is not Split.TRAIN:
            uow.predictions.forget_case(ingested.case_id)
        uow.arrived(case_token(ingested.case_id))
    return []


def withdraw_study(event: StudyWithdrawn, uow: UnitOfWork) -> list[Message]:
    """Forget a study everywhere; an open round goes on without it."""
    uow.cases.withdraw(event.study_key)
    uow.predictions.forget_study(event.study_key)
    uow.ledger.withdraw(event.study_key)
    for each in uow.rounds.open_rounds():
        close_if_all_in(each, uow)
    return []


def take_prediction(event: PredictionMade, uow: UnitOfWork) -> list[Message]:
    """Keep what a model said of a case; a number that is not finite counts as a failed prediction."""
    numbers = (*event.scores, *event.volumes)
    failed = not all(math.isfinite(score.value) for score in numbers)
    volumes = {} if failed else {score.name: score.value for score in event.volumes}
    scores = {} if failed else {score.name: score.value for score in event.scores}
    found_something = any(value > 0 for value in volumes.values())
    counted = any(name.startswith("components-segment-") for name in scores)
    _keep_prediction(
        Prediction(
            case_id=event.case_id,
            study_key=event.study_key,
            project_id=event.project_id,
            model_digest=event.model_digest,
            prediction_id=event.prediction_id,
            failed=failed,
            scores=scores,
            volumes=volumes,
            mask=event.mask if found_something and not counted else None,
        ),
        uow,
    )
    return []


def take_failure(event: PredictionFailed, uow: UnitOfWork) -> list[Message]:
    """Note that a model could not predict on a case; a prediction it made by other settings stands."""
    known = uow.predictions.get(event.case_id, event.model_digest)
    if known is None or known.failed:
        _keep_prediction(
            Prediction(
                case_id=event.case_id,
                study_key=event.study_key,
                project_id=event.project_id,
                model_digest=event.model_digest,
                prediction_id=event.prediction_id,
                failed=True,
            ),
            uow,
        )
    return []


def _keep_prediction(prediction: Prediction, uow: UnitOfWork) -> None:
    case = uow.cases.get(prediction.case_id)
    if uow.cases.withdrawn(prediction.study_key) or (case is not None and case.split is not Split.TRAIN):
        return
    known = uow.predictions.get(prediction.case_id, prediction.model_digest)
    if known is not None and known.prediction_id == prediction.prediction_id and not known.failed:
        prediction = known  # said again: what was counted in its mask stays
    else:
        uow.predictions.put(prediction)
    collecting = uow.rounds.collecting(prediction.project_id)
    if collecting is not None and collecting.model_digest == prediction.model_digest:
        settle(collecting, prediction.case_id, prediction.state, uow)


def record_parts(command: RecordParts, uow: UnitOfWork) -> list[Message]:
    """Keep how many parts each segment of a mask falls into."""
    prediction = uow.predictions.get(command.case_id, command.model_digest)
    if prediction is None or prediction.prediction_id != command.prediction_id:
        return []  # withdrawn, or predicted anew, while its mask was being read
    scores = {**prediction.scores, **{count.name: count.value for count in command.counts}}
    examined = dataclasses.replace(prediction, scores=scores, mask=None)
    uow.predictions.put(examined)
    collecting = uow.rounds.collecting(prediction.project_id)
    if collecting is not None and collecting.model_digest == command.model_digest:
        settle(collecting, command.case_id, examined.state, uow)
    return []


def approve_label(event: LabelApproved, uow: UnitOfWork) -> list[Message]:
    """Take a labelled case out of the pool, and note how good the prediction behind its flag was."""
    if uow.cases.withdrawn(event.study_key):
        return []
    uow.cases.approve(event.case_id, event.study_key)
    if event.prediction_id:
        dice = dice_by_segment({score.name: score.value for score in event.prediction_dice})
        uow.ledger.label(event.case_id, event.prediction_id, dice, event.started_from_model)
    case = uow.cases.get(event.case_id)
    if case is not None:
        leave_open_round(case, uow)
    return []
