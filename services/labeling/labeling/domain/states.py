"""The states of a task, as a table: (state, step) -> state. What is absent is an `IllegalTransition`.

Steps that events cause may come in any order and more than once (order holds within one topic and key only), so the table says
explicitly where such a step changes nothing.
"""

from enum import StrEnum

from radloop.errors import IllegalTransition


class TaskState(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    LEASED = "leased"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    """Waits for the reader who answered it."""
    APPROVED = "approved"
    SKIPPED = "skipped"
    """No longer offered; somebody else may still take it by its id."""
    SUPERSEDED = "superseded"
    """A newer round came before anybody had started."""
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        """Whether nobody works on it any more."""
        return self in (TaskState.APPROVED, TaskState.SUPERSEDED, TaskState.CANCELLED)


class Step(StrEnum):
    """What happens to a task."""

    TAKE = "take"
    RENEW = "renew"
    GIVE_BACK = "give-back"
    """Released, or the lease ran out, before a first answer."""
    GIVE_BACK_RETURNED = "give-back-returned"
    """The same for a task that QA had returned: it goes on waiting for its reader."""
    SUBMIT = "submit"
    SKIP = "skip"
    RETURN = "return"
    APPROVE = "approve"
    CLOSE = "close"
    """The case was approved by another task's label."""
    SUPERSEDE = "supersede"
    WITHDRAW = "withdraw"


_S, _T = TaskState, Step

TRANSITIONS: dict[tuple[TaskState, Step], TaskState] = {
    (_S.OPEN, _T.TAKE): _S.LEASED,
    (_S.RETURNED, _T.TAKE): _S.LEASED,
    (_S.SKIPPED, _T.TAKE): _S.LEASED,
    (_S.LEASED, _T.RENEW): _S.LEASED,
    (_S.LEASED, _T.GIVE_BACK): _S.OPEN,
    (_S.LEASED, _T.GIVE_BACK_RETURNED): _S.RETURNED,
    (_S.LEASED, _T.SUBMIT): _S.SUBMITTED,
    (_S.LEASED, _T.SKIP): _S.SKIPPED,
    (_S.SUBMITTED, _T.RETURN): _S.RETURNED,
    (_S.OPEN, _T.SUPERSEDE): _S.SUPERSEDED,
    # An approval is final, wherever the task stands: QA may approve what it had returned, and say so on another topic.
    **{(state, _T.APPROVE): _S.APPROVED for state in _S},
    # The case has its label: whoever still works on a sibling stops. A closed task stays what it is.
    **{(state, _T.CLOSE): state if state.closed else _S.CANCELLED for state in _S},
    # Withdrawal forgets the labels too, so that an approved task is no longer one.
    **{(state, _T.WITHDRAW): _S.CANCELLED for state in _S},
    # A return that comes after the case was closed has nobody left to ask; one for an answer that is being corrected, or that its
    # reader has given up on, asks for what is being done.
    **{(state, _T.RETURN): state for state in _S if state is not _S.SUBMITTED},
    (_S.SUPERSEDED, _T.SUPERSEDE): _S.SUPERSEDED,
}


def next_state(state: TaskState, step: Step) -> TaskState:
    """Return the state after a step.

    Raises
    ------
    IllegalTransition
        When the table does not know the step from this state.
    """
    if (state, step) not in TRANSITIONS:
        possible = sorted(known for at, known in TRANSITIONS if at is state)
        raise IllegalTransition(
            "illegal-transition",
            expected=f"one of {', '.join(possible)} for a task that is {state}",
            got=step.value,
            do="read the task again: GET /v1/tasks/{task_id}",
        )
    return TRANSITIONS[state, step]
