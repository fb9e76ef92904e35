"""Flags that no model asked for: the cold start, and cases that readers report."""

import dataclasses

import numpy as np

from edge_miner.domain.batch import Line, draw_cold_start
from edge_miner.domain.messages import EdgeCaseReported, FlagReason, StartCold
from edge_miner.domain.model import EntryState, Project, RoundKind, RoundState, round_id_of
from edge_miner.domain.pool import Pool, PoolMember
from edge_miner.handlers.closing import leave_open_round
from edge_miner.handlers.flags import new_round, say_flags
from edge_miner.handlers.tokens import case_token, project_token
from edge_miner.ports import Clock, NewEntry, UnitOfWork
from radloop.errors import NotYet
from radloop.messages import Message
from radloop.references import Arm


def start_cold(command: StartCold, uow: UnitOfWork, clock: Clock, quiet_s: float) -> list[Message]:
    """Draw a first batch by chance, if the project wants one, no model ever served, and the pool has come to rest."""
    project = uow.projects.get(command.project_id)
    if project is None or not _wants_cold_start(project, uow, clock(), quiet_s):
        return []
    round_id = round_id_of(uow.site, project.project_id, "cold-start")
    cold = new_round(project, round_id, RoundKind.COLD_START, 0, "", clock())
    eligible = uow.cases.eligible(project.project_id)
    members = {case.case_id: PoolMember(case.case_id, case.study_key, case.patient_key) for case in eligible}
    pool = Pool.of(list(members.values()))
    lines = draw_cold_start(pool, cold.batch_size, cold.seed)
    cold = dataclasses.replace(
        cold,
        state=RoundState.FLAGGED,
        closed_at=clock(),
        up_to_case=uow.cases.newest(project.project_id)[0],
        pool_size=len(pool),
        patient_count=len(np.unique(pool.patients)),
        sample_size=len(pool),
    )
    uow.rounds.put(cold)
    uow.ledger.enter(
        round_id,
        [NewEntry(case.case_id, case.study_key, case.patient_key, EntryState.READY) for case in eligible],
    )
    uow.ledger.record(round_id, lines, members)
    return say_flags(cold, lines, members, uow)


def _wants_cold_start(project: Project, uow: UnitOfWork, now: float, quiet_s: float) -> bool:
    """Whether a first batch is to be drawn now."""
    if not project.selection.cold_start or project.serving_digest or uow.rounds.any_of(project.project_id):
        return False
    _, arrived_at = uow.cases.newest(project.project_id)
    # Of a case that arrived long after now only the clock can tell, which was set back since.
    return (
        abs(now - arrived_at) >= quiet_s
        and uow.cases.eligible_count(project.project_id) >= project.selection.batch_size
    )


def flag_reported(event: EdgeCaseReported, uow: UnitOfWork, clock: Clock) -> list[Message]:
    """Put a case a reader reported before the readers at once, unless it is there, labelled, or not to be mined.

    Raises
    ------
    NotYet
        When case or project is not known yet.
    """
    if uow.cases.withdrawn(event.study_key):
        return []
    case, project = uow.cases.get(event.case_id), uow.projects.get(event.project_id)
    if case is None:
        raise NotYet(case_token(event.case_id))
    if project is None:
        raise NotYet(project_token(event.project_id))
    round_id = round_id_of(uow.site, event.project_id, f"report-{event.report_id}")
    if not case.eligible or uow.rounds.get(round_id) is not None:
        return []
    prediction = uow.predictions.get(event.case_id, project.serving_digest) if project.serving_digest else None
    if prediction is not None and prediction.failed:
        prediction = None
    reported = dataclasses.replace(
        new_round(project, round_id, RoundKind.REPORTED, 0, prediction.model_digest if prediction else "", clock()),
        state=RoundState.FLAGGED,
        closed_at=clock(),
        batch_size=1,
        pool_size=1,  # nothing was drawn: the case itself is all there was to choose from
        patient_count=1,
        sample_size=1,
    )
    member = PoolMember(
        case_id=case.case_id,
        study_key=case.study_key,
        patient_key=case.patient_key,
        scores=prediction.scores if prediction else {},
        volumes=prediction.volumes if prediction else {},
        prediction_id=prediction.prediction_id if prediction else "",
    )
    line = Line(
        case_id=case.case_id,
        arm=Arm.REPORTED,
        rank=1,
        pool_rank=0,
        inclusion_probability=0.0,
        reasons=(FlagReason.REPORTED,),
        mined_as_well=False,
        computed={},
    )
    uow.rounds.put(reported)
    uow.ledger.enter(round_id, [NewEntry(case.case_id, case.study_key, case.patient_key, EntryState.READY)])
    uow.ledger.record(round_id, [line], {case.case_id: member})
    leave_open_round(case, uow)
    return say_flags(reported, [line], {case.case_id: member}, uow)
