"""The worklist on SQL: filtered, sorted and counted by the database, so that ten thousand rows cost no more than a page.

Whether a task is blind depends on its case's split. What a blind task hides, its score and its reasons, no filter and no order may
tell either.
"""

from typing import Any

import sqlalchemy as sa

from labeling.adapters.sql_tasks import takeable, task_of_row
from labeling.adapters.tables import cases, tasks
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, Reading
from labeling.ports import Order, Worklist
from radloop.references import Split

# A withdrawn case is gone: nothing of it is shown.
_BLIND = sa.or_(
    tasks.c.reading != Reading.FIRST, ~tasks.c.show_proposal, sa.func.coalesce(cases.c.split, "") != Split.TRAIN
)
_SHOWN_SCORE = sa.case((_BLIND, None), else_=tasks.c.score)
_STATES = (
    TaskState.LEASED,
    TaskState.RETURNED,
    TaskState.OPEN,
    TaskState.SUBMITTED,
    TaskState.SKIPPED,
    TaskState.APPROVED,
    TaskState.SUPERSEDED,
    TaskState.CANCELLED,
)
_STATE = sa.case({state.value: number for number, state in enumerate(_STATES)}, value=tasks.c.state)

_ORDERS: dict[Order, tuple[sa.ColumnElement[Any], ...]] = {
    Order.URGENCY: (),
    Order.AGE: (-tasks.c.created_at,),
    Order.SCORE: (_SHOWN_SCORE,),
    Order.STATE: (_STATE,),
    Order.ROUND: (tasks.c.round_number,),
    Order.CASE: (tasks.c.case_id,),
}
_URGENCY = (tasks.c.priority, tasks.c.round_number, tasks.c.rank, tasks.c.task_id)


def worklist(connection: sa.Connection, wanted: Worklist) -> tuple[int, list[Task]]:
    """Return how many tasks there are, and those of the part that is shown.

    The part is found by ids alone: what is sorted is narrow, and ten thousand whole rows are never in hand. The cases are looked
    at only where the question depends on which tasks are blind.
    """
    conditions = _conditions(wanted)
    of_cases = tasks.outerjoin(cases, cases.c.case_id == tasks.c.case_id)
    counted = of_cases if wanted.reasons else tasks
    total = connection.execute(sa.select(sa.func.count()).select_from(counted).where(*conditions)).scalar_one()
    keys = (*_ORDERS[wanted.order], *_URGENCY)
    order = [key.desc() if wanted.descending else key.asc() for key in keys]
    if wanted.order is Order.SCORE:  # engines differ in where they put what is null
        order.insert(0, _SHOWN_SCORE.is_(None).asc())
    sorted_by = of_cases if wanted.reasons or wanted.order is Order.SCORE else tasks
    page = sa.select(tasks.c.task_id).select_from(sorted_by).where(*conditions).order_by(*order)
    task_ids = list(connection.execute(page.offset(wanted.offset).limit(wanted.limit)).scalars())
    rows = {row.task_id: row for row in connection.execute(sa.select(tasks).where(tasks.c.task_id.in_(task_ids)))}
    return total, [task_of_row(rows[task_id], ()) for task_id in task_ids]


def _conditions(wanted: Worklist) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [tasks.c.project_id == wanted.project_id]
    if wanted.mine is not None:
        own = tasks.c.reader == wanted.mine.pseudonym
        conditions.append(sa.or_(own, takeable(wanted.project_id, wanted.mine)))
    if wanted.states:
        conditions.append(tasks.c.state.in_(wanted.states))
    if wanted.readings:
        conditions.append(tasks.c.reading.in_(wanted.readings))
    if wanted.reasons:
        conditions += [~_BLIND, sa.or_(sa.false(), *(_flagged_for(reason) for reason in wanted.reasons))]
    if wanted.search:
        sought = wanted.search.lower()
        ids = (tasks.c.case_id, tasks.c.task_id)
        conditions.append(sa.or_(*(sa.func.lower(column).contains(sought, autoescape=True) for column in ids)))
    return conditions


def _flagged_for(reason: FlagReason) -> sa.ColumnElement[bool]:
    if reason is FlagReason.RANDOM:  # never shown to anybody
        return sa.false()
    return tasks.c.flag_reasons.contains(f'"{reason.value}"', autoescape=True)
