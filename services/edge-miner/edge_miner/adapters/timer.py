"""Inbound from the clock: moves every open round one step on, and starts cold where nothing will ever ask.

Each step is one command in one transaction, so that a kill between two loses nothing: the next start looks at the states again.
"""

from collections.abc import Callable

from edge_miner.adapters.metrics import FLAGS, OPEN_ROUNDS, ROUNDS_ENDED
from edge_miner.domain.messages import AskPredictions, DrawSample, EdgeCaseFlagged, FlagBatch, StartCold
from edge_miner.domain.model import EntryState, Project, Round, RoundState
from edge_miner.ports import UnitOfWork
from radloop.dispatch import Dispatcher
from radloop.messages import Message
from radloop.telemetry import logger

log = logger(__name__)


class RoundTimer:
    """Worker step over rounds.

    Parameters
    ----------
    dispatcher : Dispatcher
    unit_of_work : callable
        ``unit_of_work(read_only=True)`` opens a query.
    ask_at_once : int
        Predictions asked for in one transaction.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        unit_of_work: Callable[..., UnitOfWork],
        *,
        ask_at_once: int,
    ) -> None:
        self._dispatcher, self._unit_of_work, self._ask_at_once = dispatcher, unit_of_work, ask_at_once

    def step(self) -> bool:
        """Move each open round, and each project that may start cold, one step on; return whether any moved."""
        with self._unit_of_work(read_only=True) as uow:
            open_rounds = uow.rounds.open_rounds()
            commands = [command for each in open_rounds if (command := self._next(each, uow)) is not None]
            cold = [StartCold(project.project_id) for project in uow.projects.all() if _may_be_cold(project, uow)]
        OPEN_ROUNDS.set(len(open_rounds))
        moved = bool(commands)
        for command in (*commands, *cold):
            said = self._dispatcher.dispatch(command)
            self._report(command, said)
            moved |= bool(said)
        return moved

    def _next(self, each: Round, uow: UnitOfWork) -> Message | None:
        if each.state is RoundState.ANNOUNCED:
            return DrawSample(each.round_id)
        if each.state is RoundState.SCORED:
            return FlagBatch(each.round_id)
        if uow.ledger.any_in(each.round_id, (EntryState.TO_ASK,)):
            return AskPredictions(each.round_id, self._ask_at_once)
        return None

    def _report(self, command: Message, said: list[Message]) -> None:
        for message in said:
            if isinstance(message, EdgeCaseFlagged):
                FLAGS.labels(str(message.arm)).inc()
        if not isinstance(command, DrawSample | FlagBatch):
            return
        with self._unit_of_work(read_only=True) as uow:
            each = uow.rounds.get(command.round_id)
        if each is None:
            return
        if each.state in (RoundState.EMPTY, RoundState.FLAGGED):
            ROUNDS_ENDED.labels(str(each.state)).inc()
        if each.state is RoundState.EMPTY:
            log.warning("round without an eligible case, nothing flagged", round_number=each.round_number)
        elif each.state is RoundState.FLAGGED:
            log.info("batch flagged", round_number=each.round_number, batch=len(said), pool=each.pool_size)
        else:
            log.info("round opened", round_number=each.round_number, pool=each.pool_size, sample=each.sample_size)


def _may_be_cold(project: Project, uow: UnitOfWork) -> bool:
    """Whether the handler is worth asking; it alone decides."""
    return project.selection.cold_start and not project.serving_digest and not uow.rounds.any_of(project.project_id)
