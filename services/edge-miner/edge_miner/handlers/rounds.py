"""A round from the deployment that opens it to the batch that ends it."""

import dataclasses

import numpy as np

from edge_miner.domain.batch import BatchPolicy, Frame, compose_batch
from edge_miner.domain.messages import (
    AskPredictions,
    Deployment,
    DrawSample,
    FlagBatch,
    ModelDeployed,
    PredictionRequested,
)
from edge_miner.domain.model import EntryState, RoundKind, RoundState, Step, round_id_of
from edge_miner.domain.pool import Pool
from edge_miner.domain.sampling import draw_sample
from edge_miner.handlers.closing import close_if_all_in
from edge_miner.handlers.flags import new_round, say_flags
from edge_miner.handlers.tokens import project_token
from edge_miner.ports import Clock, NewEntry, UnitOfWork
from radloop.errors import NotYet
from radloop.messages import Message


def announce_round(event: ModelDeployed, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Open the next round for what serves now, abandoning one that is still collecting.

    A person's wish that left the serving model where it was opens none: nothing is known that was not known before.

    Raises
    ------
    NotYet
        When the project is not known yet.
    """
    project = uow.projects.get(event.project_id)
    if project is None:
        raise NotYet(project_token(event.project_id))
    if event.sequence <= project.deployment_sequence:
        return []
    uow.projects.put(
        dataclasses.replace(project, serving_digest=event.serving_digest, deployment_sequence=event.sequence)
    )
    wish_moved_nothing = event.wish_sequence > 0 and event.serving_digest == project.serving_digest
    if wish_moved_nothing or event.outcome in (Deployment.IMPORTED, Deployment.OVERTAKEN):
        return []
    collecting = uow.rounds.collecting(event.project_id)
    if collecting is not None:
        uow.rounds.put(collecting.after(Step.NEWER_MODEL, closed_at=clock()))
    number = uow.rounds.last_number(event.project_id) + 1
    if not event.serving_digest or 0 < project.selection.max_rounds < number:
        return []
    round_id = round_id_of(uow.site, event.project_id, f"deployment-{event.sequence}")
    uow.rounds.put(new_round(project, round_id, RoundKind.MODEL, number, event.serving_digest, clock()))
    return []


def draw_round_sample(command: DrawSample, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Draw the cases a round is judged on, and note which predictions it lacks."""
    each = uow.rounds.get(command.round_id)
    if each is None or each.state is not RoundState.ANNOUNCED:
        return []
    eligible = uow.cases.eligible(each.project_id)
    if not eligible:
        uow.rounds.put(each.after(Step.NOBODY_ELIGIBLE, closed_at=clock()))
        return []
    patient_keys, patients = np.unique([case.patient_key for case in eligible], return_inverse=True)
    chosen = [eligible[index] for index in draw_sample(patients, each.pool_sample, each.seed)]
    predicted = uow.predictions.of_model(each.project_id, each.model_digest)
    entries = [
        NewEntry(case.case_id, case.study_key, case.patient_key, predicted.get(case.case_id, EntryState.TO_ASK))
        for case in chosen
    ]
    uow.ledger.enter(each.round_id, entries)
    drawn = each.after(
        Step.SAMPLE_DRAWN,
        up_to_case=uow.cases.newest(each.project_id)[0],
        pool_size=len(eligible),
        patient_count=len(patient_keys),
        sample_size=len(entries),
    )
    uow.rounds.put(drawn)
    close_if_all_in(drawn, uow)
    return []


def ask_predictions(command: AskPredictions, uow: UnitOfWork) -> list[Message]:
    """Ask for the next predictions a round lacks."""
    each = uow.rounds.get(command.round_id)
    if each is None or each.state is not RoundState.REQUESTED:
        return []
    return [
        PredictionRequested(
            case_id=case.case_id,
            study_key=case.study_key,
            project_id=each.project_id,
            model_digest=each.model_digest,
            round_id=each.round_id,
        )
        for case in uow.ledger.to_ask(each.round_id, command.limit)
    ]


def flag_batch(command: FlagBatch, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Compose the batch of a round whose predictions are all in, and put it before the readers."""
    each = uow.rounds.get(command.round_id)
    if each is None or each.state is not RoundState.SCORED:
        return []
    project = uow.projects.get(each.project_id)
    assert project is not None  # a round is opened by its project's policy
    members = {member.case_id: member for member in uow.ledger.pool(each.round_id)}
    if not members:
        uow.rounds.put(each.after(Step.NOBODY_ELIGIBLE, closed_at=clock()))
        return []
    frame = Frame(uow.cases.eligible_by_patient(each.project_id, each.up_to_case))
    policy = BatchPolicy(each.strategy, each.batch_size, each.control_fraction)
    lines = compose_batch(Pool.of(list(members.values())), policy, project.always_present, frame, each.seed)
    uow.ledger.record(each.round_id, lines, members)
    for earlier in uow.rounds.flagged(each.project_id):
        uow.rounds.put(earlier.after(Step.NEXT_FLAGGED))
        uow.cases.reopen_pool(earlier.round_id)
    flagged = each.after(
        Step.BATCH_COMPOSED, closed_at=clock(), pool_size=frame.case_count, patient_count=frame.patient_count
    )
    uow.rounds.put(flagged)
    return say_flags(flagged, lines, members, uow)
