"""Does a table of ten thousand tasks answer at once? `/v1/worklist` by HTTP, on SQLite and on PostgreSQL.

    python benchmarks/worklist.py [--tasks N] [--rounds N]

A project of that many tasks in every state, a third of its cases not for training, labels and exclusions of 50 readers. Each row of
the table is one question a browser asks, at the service's own HTTP side, token, roles, audit and JSON included; every round
asks all of them. Prints a Markdown table.
"""

import argparse
import dataclasses
import json
import math
import os
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from real_engines import database_url, postgresql, scratch
from scale import a_case, project

from labeling.adapters import tables
from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.wire import WIRE
from labeling.app import build
from labeling.domain.states import TaskState
from labeling.domain.vocabulary import Reading
from labeling.handlers import HANDLERS
from labeling.settings import LabelingSettings
from radloop.auth import Role, open_authenticator, pseudonym
from radloop.references import Split
from radloop.settings import SharedSettings

ASKED_FOR_MS = 200
READERS = 50
START = datetime(2026, 1, 5, tzinfo=UTC)
# Of a hundred tasks 20 are open, one is returned, three wait for QA, one is skipped, the rest are approved.
STATES = [TaskState.OPEN] * 20 + [TaskState.RETURNED] + [TaskState.SUBMITTED] * 3 + [TaskState.SKIPPED]
STATES += [TaskState.APPROVED] * 75

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "mine, most urgent first": ("reader", {}),
    "mine, open, worst score first": ("reader", {"state": "open", "sort": "score", "descending": True}),
    "team, most urgent first": ("lead", {"scope": "team"}),
    "team, by score, the last page": ("lead", {"scope": "team", "sort": "score", "offset": 9900}),
    "team, one reason, by age": ("lead", {"scope": "team", "reason": "uncertain", "sort": "age"}),
    "team, by state, 500 rows": ("lead", {"scope": "team", "sort": "state", "limit": 500}),
    "team, part of an id": ("lead", {"scope": "team", "search": "77"}),
}


class Table:
    """The service with a full worklist, asked by HTTP."""

    def __init__(self, folder: Path, url: str, tasks: int) -> None:
        folder.mkdir(parents=True)
        shared = SharedSettings(
            site="site-1",
            events_url=f"sqlite:///{folder}/events.db",
            database_url=url,
            objects_url=f"file://{folder}/objects",
            auth_url=f"token:{folder}/secret",
        )
        self.service = build(LabelingSettings(shared=shared))
        self._fill(tasks)
        issue = partial(open_authenticator(shared.auth_url).issue, lifetime_s=3600)
        self._tokens = {
            "reader": issue("person-7", {"p": (Role.READER,)}),
            "lead": issue("lead", {"p": (Role.PROJECT_LEAD,)}),
        }
        self._http = TestClient(self.service.http)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def _fill(self, count: int) -> None:
        with LabelingUnitOfWork(self.service.database, WIRE, source="/bench") as uow:
            HANDLERS[type(project())](project(), uow, clock=None)
            uow.commit()
        case = a_case()
        rows: dict[str, list[dict[str, Any]]] = {"cases": [], "tasks": [], "labels": [], "exclusions": []}
        for n in range(count):
            state, reader = STATES[n * 37 % 100], pseudonym(f"person-{n % READERS}")
            answered = state in (TaskState.SUBMITTED, TaskState.RETURNED, TaskState.APPROVED)
            split = Split.VALIDATION if n % 3 == 0 else Split.TRAIN
            rows["cases"].append(case_row(case, n, split))
            rows["tasks"].append(task_row(n, state, reader if answered else ""))
            if answered:
                rows["labels"].append(label_row(n, reader))
            elif n % 2:
                rows["exclusions"].append({"task_id": f"task-{n}", "reader": reader})
        with self.service.database.begin() as connection:
            for name, listed in rows.items():
                connection.execute(getattr(tables, name).insert(), listed)
        with self.service.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")

    def ask(self, name: str) -> int:
        """Ask one question; return how many rows the table has."""
        who, params = QUESTIONS[name]
        headers = {"Authorization": f"Bearer {self._tokens[who]}"}
        began = time.perf_counter()
        response = self._http.get("/v1/worklist", params={"project_id": "p"} | params, headers=headers)
        self.seconds[name].append(time.perf_counter() - began)
        assert response.status_code == 200, response.text
        assert response.json()["tasks"]
        return int(response.json()["total"])

    def close(self) -> None:
        """End the service."""
        self._http.close()
        self.service.consumer.close()
        self.service.event_log.close()
        self.service.database.close()

    def ms(self, name: str) -> tuple[float, float]:
        """Return the median and the 95th percentile."""
        ordered = sorted(self.seconds[name])
        return 1000 * statistics.median(ordered), 1000 * ordered[math.ceil(0.95 * len(ordered)) - 1]


def case_row(case: Any, n: int, split: Split) -> dict[str, Any]:
    """Return the row of a case."""
    made = dataclasses.replace(case, case_id=f"case-{n}", study_key=f"study-{n}", split=split)
    body = json.dumps(dataclasses.asdict(made))
    columns = {"project_id": "p", "split": split.value, "series_key": f"series-{n}", "phase": 0}
    return {"case_id": made.case_id, "study_key": made.study_key, "body": body} | columns


def task_row(n: int, state: TaskState, reader: str) -> dict[str, Any]:
    """Return the row of a task."""
    return {
        "task_id": f"task-{n}",
        "case_id": f"case-{n}",
        "study_key": f"study-{n}",
        "project_id": "p",
        "reading": Reading.SECOND if n % 10 == 7 else Reading.FIRST,
        "state": state,
        "priority": 2,
        "round_number": n // 100,
        "rank": n % 100,
        "round_id": f"round-{n // 100}",
        "arm": "mined",
        "flag_reasons": '["uncertain"]' if n % 2 else '["components", "volume-outlier"]',
        "show_proposal": n % 4 > 0,
        "prediction_id": "",
        "review_id": "",
        "label_version_ids": "[]",
        "reader": reader,
        "lease_id": "",
        "lease_expires_at": None,
        "attempt": int(bool(reader)),
        "returned": "[]",
        "skip_reason": None,
        "created_at": (START + timedelta(seconds=n)).timestamp(),
        "row_version": 0,
        "score": (n * 7919 % 10007) / 10007,
    }


def label_row(n: int, reader: str) -> dict[str, Any]:
    """Return the row of a label version."""
    ids = {"label_version_id": f"label-{n}", "task_id": f"task-{n}", "case_id": f"case-{n}", "study_key": f"study-{n}"}
    mask = {"mask_key": f"labeling/{n}", "mask_digest": "sha256:0", "mask_size_bytes": 1}
    rest = {"project_id": "p", "project_version": 1, "reader": reader, "source": "reader", "reading": "first"}
    told = {"segments": "[]", "started_from_model": True, "prediction_id": "", "round_id": "", "arm": None}
    return ids | mask | rest | told | {"attempt": 1, "active_time_s": 60.0, "made_at": START.timestamp()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        server = stack.enter_context(postgresql(folder))
        tables_of = {
            "SQLite": Table(folder / "sqlite", f"sqlite:///{folder}/sqlite/state", arguments.tasks),
            "PostgreSQL": Table(folder / "pg", database_url(server, "labeling", "worklist"), arguments.tasks),
        }
        totals: dict[str, int] = {}
        for _ in range(arguments.rounds):
            for name in QUESTIONS:
                for table in tables_of.values():
                    totals[name] = table.ask(name)
        for table in tables_of.values():
            table.close()
    print(f"| of {arguments.tasks:,} tasks, ms: median (p95) | rows found | {' | '.join(tables_of)} |")
    print("|---|---|" + "---|" * len(tables_of))
    slowest = [0.0, 0.0]
    for name in QUESTIONS:
        found = [table.ms(name) for table in tables_of.values()]
        slowest = [max(worst, *column) for worst, column in zip(slowest, zip(*found, strict=True), strict=True)]
        cells = " | ".join(f"{median:.0f} ({p95:.0f})" for median, p95 in found)
        print(f"| {name} | {totals[name]:,} | {cells} |")
    print(
        f"\nThe slowest median is {slowest[0]:.0f} ms, the slowest p95 {slowest[1]:.0f} ms; at most {ASKED_FOR_MS} ms are asked for."
    )
    print(f"\nBefore it began, {busy:.1f} programs on average wanted one of the {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
