"""The consumer loop and the relay on a real embedded log and database: once, in order, parked, retried, buried."""

import threading
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from radloop.consumer import ConsumerLoop
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.dispatch import Dispatcher
from radloop.errors import NotYet, PermanentError, TemporaryError
from radloop.events import dead_letter_topic, open_event_log
from radloop.messages import Envelope, Message, Record
from radloop.outbox import Relay
from radloop.sql import Database, SqlUnitOfWork, messaging_tables
from radloop.testing.contracts import sqlite_url
from radloop.wire import Wire


@dataclass(frozen=True)
class TrainingRequested(Message):
    request_id: str
    project_id: str


PAIR = (control_plane_pb2.TrainingRequested, TrainingRequested)
METADATA = sa.MetaData()
SHARED = messaging_tables(METADATA)
DONE = sa.Table("done", METADATA, sa.Column("request_id", sa.String(50)))


class Bench:
    """One service whose handler the test chooses."""

    def __init__(self, folder, database_url):
        self.log = open_event_log(sqlite_url(folder))
        self.database = Database(database_url, "bench")
        METADATA.create_all(self.database.engine)
        self.wire = Wire("bench", incoming=[PAIR], outgoing=[PAIR])
        self.handler = lambda message, uow: []
        self.loop = ConsumerLoop(
            self.log, self.database, self.wire, {TrainingRequested: self.handle}, self.uow, threading.Event(),
            first_delay_s=0.001,
        )  # fmt: skip
        self.relay = Relay(self.database, self.log)

    def uow(self, cause=None):
        return SqlUnitOfWork(self.database, self.wire, source="/site-1/bench", cause=cause)

    def handle(self, message, uow):
        said = self.handler(message, uow)
        uow.connection.execute(DONE.insert().values(request_id=message.request_id))
        return said

    def say(self, *requests, project="p"):
        records = [self.wire.encode(TrainingRequested(r, project), source="/test", cause=None) for r in requests]
        self.log.append(records)
        return records

    def run(self):
        while self.loop.step(0.05):
            pass

    @property
    def done(self):
        with self.database.begin() as connection:
            return [row[0] for row in connection.execute(sa.select(DONE))]

    def count(self, table):
        with self.database.begin() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


@pytest.fixture
def bench(tmp_path, database_url):
    bench = Bench(tmp_path, database_url)
    yield bench
    bench.loop.close()
    bench.log.close()
    bench.database.close()


def test_each_event_once_in_order(bench):
    records = bench.say("a", "b", "c")
    bench.run()
    bench.log.append(records)  # the same ids again, as after a crash between publishing and marking
    bench.run()
    assert bench.done == ["a", "b", "c"]


def test_what_comes_too_early_waits_for_its_token(bench):
    known = set()

    def handler(message, uow):
        if message.request_id == "late" and "early" not in known:
            raise NotYet("request:early")
        if message.request_id == "early":
            known.add("early")
            uow.arrived("request:early")
        return []

    bench.handler = handler
    bench.say("late", "other")
    bench.run()
    assert bench.done == ["other"] and bench.count(SHARED.parked) == 1
    bench.say("early")
    bench.run()
    assert bench.done == ["other", "early", "late"] and bench.count(SHARED.parked) == 0


def test_temporary_errors_are_tried_again_and_leave_nothing_half_done(bench):
    tries = []

    def handler(message, uow):
        tries.append(message.request_id)
        uow.connection.execute(DONE.insert().values(request_id="half"))
        if len(tries) < 3:
            raise TemporaryError("away", delay_s=0.001)
        return []

    bench.handler = handler
    bench.say("a")
    bench.run()
    assert tries == ["a", "a", "a"] and bench.done == ["half", "a"]


@pytest.mark.parametrize("error", [PermanentError("never"), ValueError("a name in a message")])
def test_what_cannot_be_handled_goes_to_the_dead_letters_and_can_be_replayed(bench, error):
    def handler(message, uow):
        raise error

    bench.handler = handler
    (record,) = bench.say("a")
    bench.run()
    (dead,) = bench.log.read(dead_letter_topic("training-requested", "bench"), {}, 10)
    assert dead.record.value == record.value and dead.record.key == record.key
    assert dead.record.headers["ce_id"] == record.headers["ce_id"]
    assert dead.record.headers["dlq_reason"] in ("never: ", "ValueError")
    bench.handler = lambda message, uow: []
    bench.log.append([record])
    bench.run()
    assert bench.done == ["a"]


def test_unreadable_bytes_go_to_the_dead_letters(bench):
    (record,) = bench.say("a")
    bench.log.append([Record(record.topic, "k", b"\xff\xff\xff", record.headers | {"ce_id": "x"})])
    bench.log.append([Record(record.topic, "k", record.value, {})])
    bench.run()
    dead = bench.log.read(dead_letter_topic("training-requested", "bench"), {}, 10)
    assert [stored.record.headers["dlq_reason"].split(":")[0] for stored in dead] == [
        "event-unreadable",
        "envelope-incomplete",
    ]


def test_what_a_handler_says_is_published_in_order_with_its_cause(bench):
    cause = Envelope.new("training-requested", source="/test", subject="p")
    dispatcher = Dispatcher(
        {
            TrainingRequested: lambda message, uow: [
                TrainingRequested(f"{message.request_id}{n}", "p") for n in range(3)
            ]
        },
        lambda: bench.uow(cause),
    )
    dispatcher.dispatch(TrainingRequested("x", "p"))
    while bench.relay.step():
        pass
    stored = bench.log.read("training-requested", {}, 10)
    assert [bench.wire.decode(s.record).request_id for s in stored] == ["x0", "x1", "x2"]
    assert {s.record.headers["ce_causationid"] for s in stored} == {cause.id}
    assert {s.record.headers["traceparent"].split("-")[1] for s in stored} == {cause.traceparent.split("-")[1]}
    assert bench.count(SHARED.outbox) == 0


def test_an_error_in_a_command_changes_nothing(bench):
    def handler(message, uow):
        uow.connection.execute(DONE.insert().values(request_id="half"))
        raise PermanentError("no")

    with pytest.raises(PermanentError):
        Dispatcher({TrainingRequested: handler}, bench.uow).dispatch(TrainingRequested("x", "p"))
    assert bench.done == [] and bench.count(SHARED.outbox) == 0
