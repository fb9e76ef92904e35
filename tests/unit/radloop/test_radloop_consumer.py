"""The consumer loop's batches: an error in the middle, a partition that goes to another replica, what it cannot know."""

import threading
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from radloop.consumer import MAX_ATTEMPTS, ConsumerLoop
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.errors import TemporaryError, Unavailable
from radloop.events import SqliteEventLog, dead_letter_topic
from radloop.messages import Message, Record
from radloop.sql import Database, SqlUnitOfWork, messaging_tables
from radloop.testing.contracts import sqlite_url
from radloop.wire import Wire

TOPIC = "training-requested"


@dataclass(frozen=True)
class TrainingRequested(Message):
    request_id: str
    project_id: str


PAIR = (control_plane_pb2.TrainingRequested, TrainingRequested)
METADATA = sa.MetaData()
SHARED = messaging_tables(METADATA)
WIRE = Wire("bench", incoming=[PAIR], outgoing=[PAIR])


@dataclass
class Bench:
    log: SqliteEventLog
    database: Database
    done: list[str] = field(default_factory=list)

    def __post_init__(self):
        METADATA.create_all(self.database.engine)
        self.handler = lambda message, uow: self.done.append(message.request_id)
        self.loop = ConsumerLoop(
            self.log,
            self.database,
            WIRE,
            {TrainingRequested: lambda message, uow: self.handler(message, uow) or []},
            self.uow,
            threading.Event(),
            first_delay_s=0.0001,
        )

    def uow(self, cause=None):
        return SqlUnitOfWork(self.database, WIRE, source="/site-1/bench", cause=cause)

    def say(self, *requests):
        records = [WIRE.encode(TrainingRequested(each, "p"), source="/test", cause=None) for each in requests]
        self.log.append(records)
        return records

    def letters(self):
        return self.log.read(dead_letter_topic(TOPIC, "bench"), {}, 10)


class BrokenLog(SqliteEventLog):
    """An event log to which nothing can be appended for a while."""

    away = False

    def append(self, records):
        if self.away:
            raise Unavailable("event-log-unreachable")
        super().append(records)


@pytest.fixture
def bench(tmp_path):
    log = BrokenLog(sqlite_url(tmp_path).removeprefix("sqlite:///"))
    database = Database(f"sqlite:///{tmp_path}", "bench")
    bench = Bench(log, database)
    yield bench
    bench.loop.close()
    log.close()
    database.close()


def test_an_error_in_the_middle_of_a_batch_loses_nothing(bench):
    (bad,) = bench.say("x")
    bench.log.append([Record(TOPIC, "k", b"\xff", bad.headers | {"ce_id": "bad"})])
    bench.say("y", "z")
    bench.log.away = True  # the second record cannot be put into the dead letters
    for _ in range(2):
        with pytest.raises(Unavailable):
            bench.loop.step(0.01)
    assert bench.done == ["x"]
    assert bench.log.committed("bench", TOPIC) == {0: 1}
    bench.log.away = False
    while bench.loop.step(0.01):
        pass
    assert bench.done == ["x", "y", "z"] and len(bench.letters()) == 1
    assert bench.log.committed("bench", TOPIC) == {0: 4}


def test_what_went_to_another_replica_is_dropped_and_what_is_ours_goes_on(bench):
    bench.say("ours", "theirs", "ours too")
    consumer = bench.loop._consumer
    consumer.holds = lambda stored: stored.offset != 1
    bench.loop.step(0.01)
    assert bench.done == ["ours", "ours too"]


def test_trying_again_ends_when_the_partition_goes(bench):
    tries = []

    def handler(message, uow):
        tries.append(message.request_id)
        raise TemporaryError("away", delay_s=0.0001)

    bench.handler = handler
    bench.say("a")
    bench.loop._consumer.holds = lambda stored: len(tries) < 2
    bench.loop.step(0.01)
    assert tries == ["a", "a"] and bench.letters() == []


def test_an_outage_is_outlasted_and_not_buried(bench):
    tries = []

    def handler(message, uow):
        tries.append(message.request_id)
        if len(tries) < 3 * MAX_ATTEMPTS:
            raise Unavailable("database-away", delay_s=0.0001)

    bench.handler = handler
    bench.loop._stop.wait = lambda _: False  # no pauses between the tries
    bench.say("a")
    bench.loop.step(0.01)
    assert len(tries) == 3 * MAX_ATTEMPTS and bench.letters() == []


def test_an_event_of_an_unknown_type_is_kept_aside_with_its_bytes(bench):
    (record,) = bench.say("a")
    newer = record.headers | {"ce_id": "b", "ce_type": "io.radloop.training-requested.v2"}
    foreign = record.headers | {"ce_id": "c", "ce_type": "DOE^JOHN 1970"}
    bench.log.append([Record(TOPIC, "k", b"\x08\x01", newer), Record(TOPIC, "k", b"", foreign)])
    bench.loop.step(0.01)
    assert bench.done == ["a"]
    kept, other = bench.letters()
    assert kept.record.value == b"\x08\x01" and kept.record.headers["ce_type"] == newer["ce_type"]
    assert "event-type-unknown" in kept.record.headers["dlq_reason"] and "v2" in kept.record.headers["dlq_reason"]
    assert "update this service" in kept.record.headers["dlq_reason"]
    assert "DOE" not in other.record.headers["dlq_reason"]


def test_an_event_of_a_newer_minor_version_is_read(bench):
    (record,) = bench.say("a")
    unknown_field = b"\xfa\x3f\x03new"  # field 1023, of three bytes
    bench.log.append([Record(TOPIC, "k", record.value + unknown_field, record.headers | {"ce_id": "b"})])
    bench.loop.step(0.01)
    assert bench.done == ["a", "a"] and bench.letters() == []


def test_an_effect_that_another_replica_committed_first_is_undone_here(bench):
    def handler(message, uow):
        uow.audit("nobody", "half", message.request_id)
        # As another replica does between our look at the inbox and our commit.
        uow.mark_seen(uow.cause)

    bench.handler = handler
    bench.say("a")
    bench.loop.step(0.01)
    assert bench.letters() == []
    with bench.database.begin(read_only=True) as connection:
        assert connection.execute(sa.select(SHARED.audit)).all() == []
    assert bench.log.committed("bench", TOPIC) == {0: 1}
