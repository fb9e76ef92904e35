"""What a database of an older release knows is there after the upgrade, where the new columns can be told from it."""

import json

import pytest
import sqlalchemy as sa

from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.wire import WIRE
from labeling.domain.vocabulary import FlagReason
from labeling.ports import Order, Worklist
from radloop.sql import Database

pytestmark = pytest.mark.integration

_BODY = {
    "study_key": "s",
    "project_id": "p",
    "manifest": {"key": "m", "digest": "sha256:0", "size_bytes": 1},
    "volumes": [{"key": "v", "digest": "sha256:0", "size_bytes": 1}],
    "modality": "MR",
    "shape": [4, 3, 2],
    "spacing_mm": [1.0, 1.0, 2.0],
    "affine_lps": [0.0] * 16,
    "quantity": "arbitrary",
}
CASES = 2500
"""More than are filled in at once."""


def split_of(number: int) -> str:
    return ("train", "validation", "test")[number % 3]


def test_cases_tasks_and_projects_of_an_older_release(empty_database_url) -> None:
    database = Database(empty_database_url, "labeling")
    database.migrate("labeling.adapters.migrations", to="0003")
    old = sa.MetaData()
    old.reflect(database.engine)
    with database.begin() as connection:
        connection.execute(
            old.tables[next(name for name in old.tables if name.endswith("projects"))].insert(),
            [{"project_id": "p", "version": 4, "body": "{}", "newest_round": 1}],
        )
        cases = old.tables[next(name for name in old.tables if name.endswith("cases"))]
        rows = [
            {
                "case_id": f"case-{n:05}",
                "study_key": "s",
                "body": json.dumps(_BODY | {"case_id": f"case-{n:05}", "split": split_of(n)}),
            }
            for n in range(CASES)
        ]
        connection.execute(cases.insert(), rows)
        tasks = old.tables[next(name for name in old.tables if name.endswith("tasks"))]
        filler = {c.name: "" if isinstance(c.type, sa.String) else 0 for c in tasks.columns}
        filler |= {"project_id": "p", "reading": "first", "state": "open", "lease_expires_at": None, "arm": None}
        filler |= {"skip_reason": None, "returned": "[]", "label_version_ids": "[]", "show_proposal": True}
        filler |= {"flag_reasons": '["uncertain"]'}
        connection.execute(
            tasks.insert(), [filler | {"task_id": f"t{n}", "case_id": f"case-{n:05}"} for n in (0, 1, 2, 2499)]
        )
    database.migrate("labeling.adapters.migrations")
    with LabelingUnitOfWork(database, WIRE, source="/test", read_only=True) as uow:
        assert uow.projects.instructions("p", 4) == ""
        case = uow.cases.get("case-02499")
        assert (case.series_key, case.phase, case.phase_count) == ("", 0, 1)
        # Blind where the split says so, which is how the worklist knows it.
        total, found = uow.worklist(Worklist("p", reasons=(FlagReason.UNCERTAIN,), order=Order.SCORE))
        assert (total, {task.task_id for task in found}) == (2, {"t0", "t2499"})
        assert [task.score for task in found] == [None, None]
        splits = uow.connection.exec_driver_sql("SELECT split, count(*) FROM cases GROUP BY split").all()
        assert {tuple(row) for row in splits} == {
            (name, (CASES + 2 - n) // 3) for n, name in enumerate(map(split_of, range(3)))
        }
    database.close()
