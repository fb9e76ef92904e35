"""When a round stops waiting: the few lines every handler shares that changes what a round still lacks."""

from edge_miner.domain.model import PENDING, Case, EntryState, Round, RoundState, Step
from edge_miner.ports import UnitOfWork


def settle(each: Round, case_id: str, state: EntryState, uow: UnitOfWork) -> None:
    """Note where a pending case of an open round stands now."""
    if uow.ledger.settle(each.round_id, case_id, state):
        close_if_all_in(each, uow)


def leave_open_round(case: Case, uow: UnitOfWork) -> None:
    """Take a case that is no longer eligible out of the open round it may be in."""
    collecting = uow.rounds.collecting(case.project_id)
    if collecting is not None and uow.ledger.leave(collecting.round_id, case.case_id):
        close_if_all_in(collecting, uow)


def close_if_all_in(each: Round, uow: UnitOfWork) -> None:
    """Close the collecting of a round that waits for nothing any more."""
    if each.state is RoundState.REQUESTED and not uow.ledger.any_in(each.round_id, PENDING):
        uow.rounds.put(each.after(Step.ALL_IN))
