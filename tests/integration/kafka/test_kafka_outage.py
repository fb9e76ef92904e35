"""The broker is away at the start, killed in the middle, and comes again: the service waits, says why, and goes on by itself."""

import math
import threading
import time
from contextlib import closing
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.testclient import TestClient

from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.dispatch import Dispatcher
from radloop.errors import Unavailable
from radloop.events import dead_letter_topic, open_event_log
from radloop.events.kafka import KafkaAddress
from radloop.events.kafka.log import _PRODUCER
from radloop.events.kafka.topics import KafkaTopics
from radloop.events.topics import TopicPlan
from radloop.messages import Message, Record
from radloop.service import Service, assemble
from radloop.settings import SharedSettings
from radloop.sql import Database, SqlUnitOfWork, messaging_tables
from radloop.wire import Wire

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TOPIC = "training-requested"
METADATA = sa.MetaData()
messaging_tables(METADATA)
DONE = sa.Table("done", METADATA, sa.Column("request_id", sa.String(50)))


@dataclass(frozen=True)
class TrainingRequested(Message):
    request_id: str
    project_id: str


@dataclass(frozen=True)
class Ask(Message):
    """A command: say that a training is requested."""

    request_id: str


PAIR = (control_plane_pb2.TrainingRequested, TrainingRequested)
WIRE = Wire("bench", incoming=[PAIR], outgoing=[PAIR])


class Bench:
    """A service that hears what it says itself."""

    def __init__(self, folder, url: str) -> None:
        self.database = Database(f"sqlite:///{folder}", "bench")
        METADATA.create_all(self.database.engine)

        def handle(message: TrainingRequested, uow: SqlUnitOfWork) -> list[Message]:
            uow.connection.execute(DONE.insert().values(request_id=message.request_id))
            return []

        def unit_of_work(cause=None):
            return SqlUnitOfWork(self.database, WIRE, source="/site-1/bench", cause=cause)

        settings = SharedSettings(
            events_url=url, database_url="unused", objects_url="unused", auth_url=f"token:{folder / 'secret'}"
        )
        self.service: Service = assemble(
            "bench",
            settings,
            database=self.database,
            wire=WIRE,
            handlers={TrainingRequested: handle},
            unit_of_work=unit_of_work,
            routers=[APIRouter()],
        )
        self._dispatcher = Dispatcher(
            {Ask: lambda ask, uow: [TrainingRequested(ask.request_id, f"p{int(ask.request_id) % 3}")]}, unit_of_work
        )
        self.http = TestClient(self.service.http)

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self._dispatcher.dispatch(Ask(str(number)))

    def done(self) -> list[int]:
        with self.database.begin(read_only=True) as connection:
            return [int(row[0]) for row in connection.execute(sa.select(DONE))]


def make_topics(url: str) -> None:
    plans = [TopicPlan(name, 2, -1, "delete") for name in (TOPIC, dead_letter_topic(TOPIC, "bench"))]
    topics = KafkaTopics(KafkaAddress.parse(url), plans)
    topics.apply(topics.differences())


def wait_for(condition, what: str, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def test_a_service_waits_for_its_broker_and_outlives_its_death(own_broker, tmp_path):
    make_topics(own_broker.url)
    own_broker.kill()
    bench = Bench(tmp_path, own_broker.url)
    bench.service.start()
    try:
        assert bench.http.get("/livez").status_code == 200
        answer = bench.http.get("/readyz")
        assert answer.status_code == 503
        assert "event-log-unreachable" in answer.json()["checks"]["events"]
        assert "connection refused" in answer.json()["checks"]["events"]
        bench.ask(1, 2, 3)  # people work on meanwhile
        own_broker.start()
        wait_for(lambda: bench.http.get("/readyz").status_code == 200, "readiness")
        wait_for(lambda: sorted(bench.done()) == [1, 2, 3], "what was said meanwhile")

        own_broker.kill()
        bench.ask(4, 5, 6)
        wait_for(lambda: "radloop_event_log_trouble 1.0" in bench.http.get("/metrics").text, "the metric")
        assert bench.http.get("/readyz").status_code == 200
        own_broker.start()
        wait_for(lambda: len(bench.done()) >= 6, "what was said during the outage")
        bench.ask(7, 8, 9)
        wait_for(lambda: len(bench.done()) >= 9, "what is said after it")
        assert sorted(bench.done()) == list(range(1, 10))
        assert [n for n in bench.done() if n % 3 == 0] == [3, 6, 9]  # in order, per key
        wait_for(
            lambda: 'radloop_consumer_lag_records{topic="training-requested"} 0.0' in bench.http.get("/metrics").text,
            "no lag",
        )
    finally:
        bench.service.drain()


@pytest.mark.parametrize("delivered_within_ms", [3_000, 30_000])
def test_appends_through_a_broker_that_dies_keep_their_order(own_broker, monkeypatch, delivered_within_ms):
    """As the relay does: what fails is appended again, all of it. First occurrences are in order, nothing is missing."""
    make_topics(own_broker.url)
    monkeypatch.setitem(_PRODUCER, "delivery_timeout_ms", delivered_within_ms)
    monkeypatch.setitem(_PRODUCER, "request_timeout_ms", delivered_within_ms - 100)
    topic, count = dead_letter_topic(TOPIC, "bench"), 60
    failures = []
    batches = [
        [Record(topic, f"k{n % 4}", b"x" * 500, {"n": str(b * 100 + n)}) for n in range(100)] for b in range(count)
    ]
    with closing(open_event_log(own_broker.url)) as log:
        since = log.offsets_at(topic, math.inf)
        started = threading.Event()

        def append_all() -> None:
            for batch in batches:
                while True:
                    try:
                        log.append(batch)
                        break
                    except Unavailable as error:
                        failures.append(error)
                    time.sleep(0.2)
                started.set()

        appending = threading.Thread(target=append_all)
        appending.start()
        for _ in range(2):
            started.wait(60)
            own_broker.kill()
            own_broker.start()
        appending.join(120)
        assert not appending.is_alive()
        found: dict[str, list[int]] = {}
        places = dict(since)
        while batch := log.read(topic, places, 1000):
            for stored in batch:
                places[stored.partition] = stored.offset + 1
                found.setdefault(stored.record.key, []).append(int(stored.record.headers["n"]))
    assert failures or delivered_within_ms > 3_000  # else nothing was appended again
    for key, numbers in found.items():
        assert list(dict.fromkeys(numbers)) == [n for n in range(count * 100) if f"k{n % 4}" == key]
