"""What edge-miner does: one function per message, in one table.

Events only move rows. Everything that goes over a whole pool is a command that a worker gives (`adapters/timer.py`):
DrawSample, AskPredictions, RecordParts, FlagBatch, StartCold.
"""

from collections.abc import Callable

from edge_miner.domain.messages import (
    AskPredictions,
    DrawSample,
    EdgeCaseReported,
    FlagBatch,
    LabelApproved,
    ModelDeployed,
    PredictionFailed,
    PredictionMade,
    ProjectConfigured,
    RecordParts,
    StartCold,
    StudyIngested,
    StudyWithdrawn,
)
from edge_miner.handlers.pool import (
    add_cases,
    approve_label,
    configure_project,
    record_parts,
    take_failure,
    take_prediction,
    withdraw_study,
)
from edge_miner.handlers.rounds import announce_round, ask_predictions, draw_round_sample, flag_batch
from edge_miner.handlers.unprompted import flag_reported, start_cold
from radloop.messages import Message

HANDLERS: dict[type, Callable[..., list[Message]]] = {
    ProjectConfigured: configure_project,
    StudyIngested: add_cases,
    StudyWithdrawn: withdraw_study,
    PredictionMade: take_prediction,
    PredictionFailed: take_failure,
    ModelDeployed: announce_round,
    EdgeCaseReported: flag_reported,
    LabelApproved: approve_label,
    DrawSample: draw_round_sample,
    AskPredictions: ask_predictions,
    RecordParts: record_parts,
    FlagBatch: flag_batch,
    StartCold: start_cold,
}
