"""The state table: what is in it, and that everything else is refused."""

import pytest

from labeling.domain.states import TRANSITIONS, Step, TaskState, next_state
from radloop.errors import IllegalTransition

S, T = TaskState, Step

ALLOWED = {
    T.TAKE: {S.OPEN: S.LEASED, S.RETURNED: S.LEASED, S.SKIPPED: S.LEASED},
    T.RENEW: {S.LEASED: S.LEASED},
    T.GIVE_BACK: {S.LEASED: S.OPEN},
    T.GIVE_BACK_RETURNED: {S.LEASED: S.RETURNED},
    T.SUBMIT: {S.LEASED: S.SUBMITTED},
    T.SKIP: {S.LEASED: S.SKIPPED},
    T.SUPERSEDE: {S.OPEN: S.SUPERSEDED, S.SUPERSEDED: S.SUPERSEDED},
    T.RETURN: {
        S.SUBMITTED: S.RETURNED,
        S.RETURNED: S.RETURNED,
        S.LEASED: S.LEASED,
        S.OPEN: S.OPEN,
        S.SKIPPED: S.SKIPPED,
        S.APPROVED: S.APPROVED,
        S.SUPERSEDED: S.SUPERSEDED,
        S.CANCELLED: S.CANCELLED,
    },
    T.APPROVE: dict.fromkeys(S, S.APPROVED),
    T.CLOSE: {
        S.OPEN: S.CANCELLED,
        S.LEASED: S.CANCELLED,
        S.SUBMITTED: S.CANCELLED,
        S.RETURNED: S.CANCELLED,
        S.SKIPPED: S.CANCELLED,
        S.APPROVED: S.APPROVED,
        S.SUPERSEDED: S.SUPERSEDED,
        S.CANCELLED: S.CANCELLED,
    },
    T.WITHDRAW: dict.fromkeys(S, S.CANCELLED),
}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("state", TaskState)
def test_every_state_and_step(state: TaskState, step: Step) -> None:
    wanted = ALLOWED[step].get(state)
    if wanted is None:
        with pytest.raises(IllegalTransition) as refused:
            next_state(state, step)
        assert refused.value.got == step
    else:
        assert next_state(state, step) is wanted


def test_nothing_leaves_a_closed_state_but_an_approval_or_a_withdrawal() -> None:
    closed = {state for state in TaskState if state.closed}
    leaving = {step for (state, step), after in TRANSITIONS.items() if state in closed and after is not state}
    assert leaving == {Step.APPROVE, Step.WITHDRAW}
