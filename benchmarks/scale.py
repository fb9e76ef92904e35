"""Does the reading room stay quick when the database fills up? Worklist, next task and label save in PostgreSQL.

    python benchmarks/scale.py [--cases N,N,…] [--rounds N]

One database for each number of cases, filled with what years of reading leave behind: tasks in every state, labels, drafts,
history and audit trail of 50 readers. Then the service's own queries and handlers, in turn on each database, so that a busy
machine slows all alike. The page has 50 tasks with all that the worklist shows of them.
Prints a Markdown table.
"""

import argparse
import dataclasses
import json
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from real_engines import database_url, postgresql, scratch

from labeling.adapters.clock import SystemClock
from labeling.adapters.sql import LabelingUnitOfWork
from labeling.adapters.views import task_views
from labeling.adapters.wire import WIRE
from labeling.domain.messages import (
    BeginUpload,
    CodedTerm,
    IngestedCase,
    Member,
    ProjectConfigured,
    Reader,
    ReadingPolicy,
    Segment,
    SubmitLabel,
    TakeNext,
)
from labeling.domain.model import Case
from labeling.domain.vocabulary import MemberRole
from labeling.handlers import HANDLERS
from labeling.ports import Filter
from radloop.dispatch import Dispatcher
from radloop.references import ObjectRef, SegmentState, SegmentStatus, Split
from radloop.sql import Database

READERS = 50
PAGE = 50
WARM_UP = 20

# Of a hundred cases 75 are approved, 20 open and the others somewhere between; every tenth has a second reading.
_STATE = """CASE WHEN n % 100 < 20 THEN 'open' WHEN n % 100 < 21 THEN 'returned' WHEN n % 100 < 24 THEN 'submitted'
    WHEN n % 100 < 25 THEN 'skipped' ELSE 'approved' END"""
_ANSWERED = "n % 100 >= 20 AND n % 100 <> 24"
_READER = "'reader-' || (n / 100 % 50)"
FILL = (
    """INSERT INTO cases (case_id, study_key, body, project_id, split, series_key)
        SELECT 'case-' || n, 'study-' || n, replace(:body, 'CASE', 'case-' || n), 'p', 'train', 'series-' || n FROM {n}""",
    """INSERT INTO predictions (prediction_id, case_id, study_key, mask_key, mask_digest, mask_size_bytes, number)
        SELECT 'pred-' || n, 'case-' || n, 'study-' || n, 'inference/' || n, 'sha256:0', 1, 1 FROM {n}""",
    # By place, as the table was made: what came later (the score) has no value.
    f"""INSERT INTO tasks SELECT 'task-' || n, 'case-' || n, 'study-' || n, 'p', 'first', {_STATE}, 2, n / 100, n % 100,
        'round-' || n / 100, 'mined', '["uncertain"]', true, 'pred-' || n, '', '[]',
        CASE WHEN {_ANSWERED} THEN {_READER} ELSE '' END, '', NULL, CASE WHEN {_ANSWERED} THEN 1 ELSE 0 END, '[]', NULL,
        1.7e9 + n, 1 FROM {{n}}""",
    f"""INSERT INTO tasks SELECT 'second-' || n, 'case-' || n, 'study-' || n, 'p', 'second', {_STATE}, 2, n / 100, n % 100,
        'round-' || n / 100, 'mined', '[]', false, '', 'review-' || n, '[]', '', '', NULL, 0, '[]', NULL,
        1.7e9 + n, 1 FROM {{n}} WHERE n % 10 = 7""",
    f"""INSERT INTO task_exclusions SELECT 'second-' || n, {_READER} FROM {{n}} WHERE n % 10 = 7""",
    f"""INSERT INTO label_versions SELECT 'label-' || n, 'task-' || n, 'case-' || n, 'study-' || n, 'p', 1, {_READER}, 'reader',
        'first', 'labeling/' || n, 'sha256:0', 1, '[]', true, 'pred-' || n, 'round-' || n / 100, 'mined', 1, 60, 1.7e9 + n
        FROM {{n}} WHERE {_ANSWERED}""",
    """INSERT INTO approvals SELECT 'review-' || n, 'label-' || n, 'case-' || n, 'task-' || n, 'round-' || n / 100
        FROM {n} WHERE n % 100 >= 25""",
    f"""INSERT INTO draft_entries SELECT 'task-' || n, {_READER}, s, '{{{{"stroke": 1}}}}', 1.7e9
        FROM {{n}}, generate_series(1, 3) AS s WHERE {_ANSWERED}""",
    f"""INSERT INTO history (case_id, at, action, reader, task_id, label_version_id, detail)
        SELECT 'case-' || n, 1.7e9, 'taken', {_READER}, 'task-' || n, '', '' FROM {{n}}, generate_series(1, 2) AS s
        WHERE {_ANSWERED}""",
    """INSERT INTO audit (at, subject, action, target) SELECT 1.7e9, 'somebody', 'task-taken', 'task-' || n FROM {n}""",
)


def project() -> ProjectConfigured:
    """Return the project everything belongs to."""
    term, category = CodedTerm("10200004", "SCT", "Liver"), CodedTerm("123037004", "SCT", "Anatomical Structure")
    segments = (Segment(1, "anterior", "#ff0000", term, category, True),)
    members = tuple(Member(f"person-{n}", MemberRole.READER) for n in range(READERS))
    return ProjectConfigured("p", 1, segments, False, ReadingPolicy(lease_s=600), members)


def a_case() -> Case:
    """Return the case that all others are copies of."""
    ref = ObjectRef("ingest/study/CASE/channel-0.nii", "sha256:" + "0" * 64, 1)
    affine = tuple(float(value) for value in (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1))
    ingested = IngestedCase("CASE", ref, (ref, ref), "MR", (64, 64, 40), (1.0, 1.0, 2.0), affine, "arbitrary")
    return Case.of("study", "p", Split.TRAIN, ingested)


class ReadingRoom:
    """The service's handlers on one database."""

    def __init__(self, url: str, cases: int) -> None:
        self.cases = cases
        self.database = Database(url, "labeling")
        self.database.migrate("labeling.adapters.migrations")
        self.clock = SystemClock()
        self.unit_of_work = partial(LabelingUnitOfWork, self.database, WIRE, source="/site-1/labeling")
        handlers = {message: partial(handler, clock=self.clock) for message, handler in HANDLERS.items()}
        self.dispatch = Dispatcher(handlers, self.unit_of_work).dispatch
        self.dispatch(project())
        body = json.dumps(dataclasses.asdict(a_case()))
        with self.database.begin() as connection:
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            for statement in FILL:
                numbers = f"generate_series(0, {cases - 1}) AS n"
                connection.execute(sa.text(statement.format(n=numbers)), {"body": body} if ":body" in statement else {})
        with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("SET statement_timeout = 0"))
            connection.execute(sa.text("VACUUM ANALYZE"))
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def turn(self, number: int) -> None:
        """One reader looks at the list, takes the next task and answers it."""
        name = f"reader-{number % READERS}"
        reader = Reader(name, f"person-{number % READERS}", may_read=True)
        lease, label = str(uuid.uuid4()), str(uuid.uuid4())
        self._time("worklist", partial(self._worklist, reader))
        self._time("next task", partial(self.dispatch, TakeNext(lease, "p", reader)))
        with self.unit_of_work(read_only=True) as uow:
            task = uow.tasks.held_in("p", name, self.clock.now())
        assert task is not None
        self.dispatch(BeginUpload(f"labeling/{label}", task.study_key))
        self._time(
            "label save",
            partial(
                self.dispatch,
                SubmitLabel(
                    label_version_id=label,
                    lease_id=lease,
                    task_id=task.task_id,
                    reader=reader,
                    mask=ObjectRef(f"labeling/{label}", "sha256:0", 1),
                    segments=(SegmentStatus(1, SegmentState.ANNOTATED),),
                    project_version=1,
                    started_from_model=False,
                    active_time_s=60.0,
                ),
            ),
        )

    def _worklist(self, reader: Reader) -> None:
        with self.unit_of_work(read_only=True) as uow:
            found = uow.tasks.page(Filter("p", visible_to=reader), None, PAGE + 1)
            views = task_views(found[:PAGE], reader.pseudonym, self.clock.now(), uow)
        assert len(views) == min(PAGE, len(found)) > 0

    def _time(self, name: str, call: Callable[[], object]) -> None:
        began = time.perf_counter()
        call()
        self.seconds[name].append(time.perf_counter() - began)

    def size_gb(self) -> float:
        """Return the size of the database with its indices."""
        with self.database.begin(read_only=True) as connection:
            return connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one() / 1e9

    def p95_ms(self, name: str) -> float:
        """Return the 95th percentile, the first rounds left out."""
        ordered = sorted(self.seconds[name][WARM_UP:])
        return 1000 * ordered[math.ceil(0.95 * len(ordered)) - 1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="1000,50000,1000000")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.cases.split(",")]
    with scratch() as folder, postgresql(folder, shared_buffers="512MB", max_wal_size="4GB") as server:
        rooms = [ReadingRoom(database_url(server, "labeling", f"cases_{count}"), count) for count in counts]
        for number in range(arguments.rounds):
            for room in rooms:
                room.turn(number)
        sizes = [room.size_gb() for room in rooms]
        for room in rooms:
            room.database.close()
    print(f"| p95, ms | {' | '.join(f'{count:,} cases' for count in counts)} | last / first |")
    print("|---|" + "---|" * (len(counts) + 1))
    for name in ("worklist", "next task", "label save"):
        found = [room.p95_ms(name) for room in rooms]
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in found)} | {found[-1] / found[0]:.2f} |")
    print(f"| size, GB | {' | '.join(f'{size:.2f}' for size in sizes)} | |")
    print(f"\n{arguments.rounds} rounds on each, in turn; at most 2.00 is asked for.")


if __name__ == "__main__":
    main()
