"""The worklist on both engines, against the same list made by hand from the domain's own rules."""

import dataclasses
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.wire import WIRE
from labeling.domain.messages import Reader
from labeling.domain.model import Case
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import FlagReason, Reading
from labeling.ports import Order, Worklist
from radloop.references import ObjectRef, Split
from radloop.sql import Database

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ME = Reader("reader-me", "me", may_read=True)
EVERYTHING = Worklist("p", limit=1000)
REF = ObjectRef("x", "sha256:0", 1)


def case_of(number: int, split: Split) -> Case:
    geometry = {"shape": (4, 3, 2), "spacing_mm": (1.0, 1.0, 2.0), "affine_lps": (1.0,) * 16, "quantity": "arbitrary"}
    return Case(f"case-{number}", "s", "p", split, REF, (REF,), "MR", **geometry)  # type: ignore[arg-type]


def some_tasks() -> tuple[list[Task], dict[str, Case]]:
    """Tasks of every kind; the last five belong to cases that were withdrawn."""
    rng = random.Random(11)
    cases = {f"case-{n}": case_of(n, rng.choice([Split.TRAIN, Split.TRAIN, Split.VALIDATION])) for n in range(75)}
    made = []
    for number in range(80):
        state = rng.choice(list(TaskState))
        held = state not in (TaskState.OPEN, TaskState.SUPERSEDED)
        made.append(
            Task(
                task_id=f"task-{rng.randrange(10**6):06}-{number}",
                case_id=f"case-{number}",
                study_key="s",
                project_id="p" if number % 10 else "q",
                reading=rng.choice([Reading.FIRST, Reading.FIRST, Reading.SECOND, Reading.ADJUDICATION]),
                created_at=NOW + timedelta(seconds=rng.randrange(10_000)),
                state=state,
                round_number=rng.randrange(3),
                rank=rng.randrange(20),
                flag_reasons=tuple(rng.sample(list(FlagReason), 2)),
                show_proposal=rng.random() < 0.7,
                score=rng.choice([None, round(rng.random(), 3)]),
                reader=rng.choice(["reader-me", "reader-you"]) if held else "",
                lease_expires_at=NOW + timedelta(hours=1) if state is TaskState.LEASED else None,
                excluded_readers=("reader-me",) if rng.random() < 0.2 else (),
            )
        )
    return made, cases


@pytest.fixture
def tasks() -> tuple[list[Task], dict[str, Case]]:
    return some_tasks()


@pytest.fixture
def uow(database_url, tasks) -> Iterator[Any]:
    database = Database(database_url, "labeling")
    database.migrate("labeling.adapters.migrations")
    with LabelingUnitOfWork(database, WIRE, source="/test") as uow:
        for case in tasks[1].values():
            uow.cases.add(case)
        for task in tasks[0]:
            uow.tasks.add(task)
        yield uow
    database.close()


def listed(uow, **changes) -> tuple[int, list[str]]:
    total, found = uow.worklist(dataclasses.replace(EVERYTHING, **changes))
    return total, [task.task_id for task in found]


def urgency(task: Task) -> tuple[Any, ...]:
    return task.place


def test_everything_in_the_order_of_urgency(uow, tasks) -> None:
    expected = [t.task_id for t in sorted(tasks[0], key=urgency) if t.project_id == "p"]
    assert listed(uow) == (len(expected), expected)
    assert listed(uow, descending=True) == (len(expected), expected[::-1])
    assert listed(uow, offset=10, limit=7) == (len(expected), expected[10:17])
    assert listed(uow, offset=1000) == (len(expected), [])


def test_what_a_reader_lists_is_theirs_or_to_be_taken(uow, tasks) -> None:
    mine = [
        t.task_id
        for t in sorted(tasks[0], key=urgency)
        if t.project_id == "p"
        and (
            t.reader == "reader-me"
            or (
                t.state is TaskState.OPEN
                and t.reading is not Reading.ADJUDICATION
                and "reader-me" not in t.excluded_readers
            )
        )
    ]
    assert 5 < len(mine) < 70
    assert listed(uow, mine=ME) == (len(mine), mine)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", [Order.AGE, Order.ROUND, Order.CASE, Order.STATE])
def test_other_orders(uow, tasks, order, descending) -> None:
    states = "leased returned open submitted skipped approved superseded cancelled".split()
    key = {
        Order.AGE: lambda t: -t.created_at.timestamp(),
        Order.ROUND: lambda t: t.round_number,
        Order.CASE: lambda t: t.case_id,
        Order.STATE: lambda t: states.index(t.state),
    }[order]
    mine = [t for t in tasks[0] if t.project_id == "p"]
    expected = sorted(mine, key=lambda t: (key(t), urgency(t)), reverse=descending)
    assert listed(uow, order=order, descending=descending)[1] == [t.task_id for t in expected]


@pytest.mark.parametrize("descending", [False, True])
def test_the_order_by_score_tells_nothing_of_blind_tasks(uow, tasks, descending) -> None:
    made, cases = tasks

    def shown(task: Task) -> float | None:
        return task.shown_score(cases[task.case_id]) if task.case_id in cases else None

    known = [t for t in made if t.project_id == "p" and shown(t) is not None]
    rest = [t for t in made if t.project_id == "p" and shown(t) is None]
    assert any(t.score is not None for t in rest), "else nothing would be hidden"
    expected = sorted(known, key=lambda t: (shown(t), urgency(t)), reverse=descending)
    expected += sorted(rest, key=urgency, reverse=descending)
    assert listed(uow, order=Order.SCORE, descending=descending)[1] == [t.task_id for t in expected]


@pytest.mark.parametrize("reasons", [(FlagReason.UNCERTAIN,), (FlagReason.EMPTY_PREDICTION, FlagReason.COMPONENTS)])
def test_a_filter_by_reason_finds_no_blind_task(uow, tasks, reasons) -> None:
    made, cases = tasks
    expected = [
        t.task_id
        for t in sorted(made, key=urgency)
        if t.project_id == "p" and t.case_id in cases and set(t.shown_reasons(cases[t.case_id])) & set(reasons)
    ]
    assert 0 < len(expected)
    assert any(set(t.flag_reasons) & set(reasons) and t.task_id not in expected for t in made)
    assert listed(uow, reasons=reasons) == (len(expected), expected)
    assert listed(uow, reasons=(FlagReason.RANDOM,)) == (0, [])


def test_filters_go_together(uow, tasks) -> None:
    wanted = {"states": (TaskState.OPEN, TaskState.RETURNED), "readings": (Reading.FIRST,)}
    expected = [
        t.task_id
        for t in sorted(tasks[0], key=urgency)
        if t.project_id == "p" and t.state in wanted["states"] and t.reading is Reading.FIRST
    ]
    assert expected
    assert listed(uow, **wanted) == (len(expected), expected)
    assert set(listed(uow, search=expected[0])[1]) == {expected[0]}


def test_search_takes_what_is_typed_as_it_is(uow, tasks) -> None:
    expected = {t.task_id for t in tasks[0] if t.project_id == "p" and ("case-4" in t.case_id or "case-4" in t.task_id)}
    assert set(listed(uow, search="Case-4")[1]) == expected
    for pattern in ("%", "_", "case_4", "'; --"):
        assert listed(uow, search=pattern) == (0, [])
