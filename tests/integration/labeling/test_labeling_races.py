"""Many at once: of readers who want one task exactly one gets it, and a large worklist is read page by page."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.wire import WIRE
from labeling.domain.messages import Reader
from labeling.domain.states import TaskState
from labeling.domain.task import Task
from labeling.domain.vocabulary import Reading
from labeling.ports import Filter
from radloop.auth import Role
from radloop.errors import Busy
from radloop.references import Arm

pytestmark = pytest.mark.integration


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads that start together; return what they returned, in order."""
    start, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(n: int) -> None:
        start.wait(10)
        results[n] = calls[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_of_readers_who_want_one_task_exactly_one_gets_it(site) -> None:
    site.ready()
    people = [site.person(f"reader-{n}") for n in range(6)]
    taken = [task for task in at_once(*(person.next for person in people)) if task]
    assert len(taken) == 1
    path = f"/v1/tasks/{taken[0]['task_id']}"
    codes = [r.status_code for r in at_once(*(lambda p=p: p.ask("POST", f"{path}/lease") for p in people))]
    assert sorted(codes) == [200, 409, 409, 409, 409, 409]


def test_of_many_tasks_everybody_gets_another(site) -> None:
    site.ready(*(f"c{n}" for n in range(1, 7)))
    people = [site.person(f"reader-{n}") for n in range(6)]
    taken = at_once(*(person.next for person in people))
    assert len({task["task_id"] for task in taken}) == 6
    done = at_once(*(lambda p=p, t=t: p.submit(t).status_code for p, t in zip(people, taken, strict=True)))
    assert done == [200] * 6
    assert len(site.submitted()) == 6


def test_one_reader_in_two_windows_gets_one_task(site, ada) -> None:
    site.ready("c1", "c2")
    first, second = at_once(ada.next, ada.next)
    assert first["lease"]["lease_id"] == second["lease"]["lease_id"]


def test_the_same_submit_twice_at_once_is_one_label(site, ada) -> None:
    site.ready()
    task = ada.next()
    responses = at_once(*[lambda: ada.submit(task)] * 4)
    assert {r.status_code for r in responses} == {200}
    assert len({r.json()["label_version_id"] for r in responses}) == 1
    assert len(site.submitted()) == 1


def test_two_different_submits_at_once_are_one_label(site, ada, a_label) -> None:
    site.ready()
    task = ada.next()
    responses = at_once(*(lambda n=n: ada.submit(task, a_label(seed=n)) for n in range(4)))
    assert sorted(r.status_code for r in responses) == [200, 409, 409, 409]
    assert len(site.submitted()) == 1


def test_two_windows_append_to_one_draft_one_after_the_other(site, ada) -> None:
    site.ready()
    task = ada.next()
    path = f"/v1/tasks/{task['task_id']}/draft"

    def append(n: int) -> int:
        body = {"lease_id": task["lease"]["lease_id"], "after_sequence": 0, "entries": [n]}
        return ada.ask("POST", path, json=body).status_code

    codes = at_once(*(lambda n=n: append(n) for n in range(4)))
    assert sorted(codes) == [200, 409, 409, 409]
    assert ada.ask("GET", path).json()["sequence"] == 1


def test_a_save_that_lost_a_race_is_refused(site, ada) -> None:
    """SQLite lets writers in one by one; elsewhere two may have read the same row."""
    site.ready()
    task_id = ada.next()["task_id"]
    with LabelingUnitOfWork(site.service.database, WIRE, source="/test") as uow:
        mine, theirs = uow.tasks.get(task_id), uow.tasks.get(task_id)
        uow.tasks.save(mine)
        with pytest.raises(Busy, match="task-changed"):
            uow.tasks.save(theirs)


# --- a large worklist -------------------------------------------------------------------------------------------------------

ROWS = 6000


@pytest.fixture
def full(site):
    """A site with thousands of tasks: a tenth open, the rest closed."""
    site.hear(site.project(), site.study())
    now = datetime(2026, 1, 5, tzinfo=UTC)
    with LabelingUnitOfWork(site.service.database, WIRE, source="/test") as uow:
        for n in range(ROWS):
            task = Task(
                task_id=f"task-{n:05d}",
                case_id=f"case-{n}",
                study_key="s1",
                project_id="p",
                reading=Reading.FIRST,
                created_at=now,
                state=TaskState.OPEN if n % 10 == 0 else TaskState.APPROVED,
                round_id=f"round-{n // 100}",
                round_number=n // 100,
                rank=n % 100,
                arm=Arm.MINED,
                reader="" if n % 10 == 0 else "reader-x",
            )
            uow.tasks.add(task)
        uow.commit()
    return site


def walk(person, **query: Any) -> list[str]:
    """Return the ids of all tasks a worklist shows, page by page."""
    found, after = [], ""
    while True:
        params = {"project_id": "p", "limit": 200, "after": after} | query
        response = person.ask("GET", "/v1/tasks", params=params)
        assert response.status_code == 200, response.text
        page = response.json()
        found += [task["task_id"] for task in page["tasks"]]
        if page["next"] is None:
            return found
        after = page["next"]


def test_pages_are_whole_and_in_order(full) -> None:
    lead, ada = full.person("lead", Role.PROJECT_LEAD), full.person("ada")
    opened = [f"task-{n:05d}" for n in range(0, ROWS, 10)]
    assert walk(lead, state="open") == opened
    assert walk(ada) == opened  # what a reader may take
    taken = ada.next()["task_id"]
    assert walk(ada, reader="me") == [taken]
    assert walk(ada, state="leased") == [taken]
    assert walk(ada, state="approved") == []
    assert (
        ada.ask("GET", "/v1/tasks", params={"project_id": "p", "after": "???"}).json()["error"] == "cursor-unreadable"
    )
    assert ada.ask("GET", "/v1/tasks", params={"project_id": "p", "limit": 201}).status_code == 422


def test_a_page_does_not_grow_when_tasks_change_under_it(full) -> None:
    """A cursor is a place, not a count: what is taken meanwhile shifts nothing."""
    lead, ada = full.person("lead", Role.PROJECT_LEAD), full.person("ada")
    first = lead.ask("GET", "/v1/tasks", params={"project_id": "p", "state": "open", "limit": 2}).json()
    ada.next()
    second = lead.ask(
        "GET", "/v1/tasks", params={"project_id": "p", "state": "open", "limit": 1, "after": first["next"]}
    ).json()
    assert [t["task_id"] for t in first["tasks"] + second["tasks"]] == ["task-00000", "task-00010", "task-00020"]


def test_nothing_walks_the_whole_table(full) -> None:
    """Every query of the worklist goes along an index, and what a reader may take is found without looking at others' tasks."""
    me = Reader("reader-ada", "ada", may_read=True, may_adjudicate=True)
    after = (2, 30, 0, "task-03000")
    now = datetime(2026, 1, 5, tzinfo=UTC)
    queries: list[tuple[str, Any]] = []

    def remember(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if "FROM tasks" in statement:
            queries.append((statement, parameters))

    engine = full.service.database.engine
    sa.event.listen(engine, "before_cursor_execute", remember)
    with LabelingUnitOfWork(full.service.database, WIRE, source="/test", read_only=True) as uow:
        started = time.perf_counter()
        for state in (None, TaskState.OPEN):
            for reader in ("", me.pseudonym):
                for visible_to in (None, me):
                    uow.tasks.page(Filter("p", state, reader, visible_to), after, 50)
        uow.tasks.takeable("p", me)
        uow.tasks.held_in("p", me.pseudonym, now)
        uow.tasks.returned_to("p", me)
        uow.tasks.expired(now, 100)
        uow.tasks.of_case("case-1")
        took_s = time.perf_counter() - started
    sa.event.remove(engine, "before_cursor_execute", remember)
    assert len(queries) == 17
    with full.service.database.begin(read_only=True) as connection:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:  # so that it walks a table only where no index would do
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in queries:
            explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
            steps = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            assert not any(name in step for step in steps for name in ("SCAN tasks", "SCAN other", "Seq Scan on tasks"))
            assert "SEARCH other USING INDEX tasks_by_expiry" not in str(steps), steps
    # Generous: 17 queries of 6000 tasks take some 20 ms here.
    assert took_s < 5
