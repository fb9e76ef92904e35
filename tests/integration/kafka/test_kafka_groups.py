"""Replicas of one service: killed in a handler, joined by another, at a handler that is slow. Each effect once, in order."""

import math
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from radloop.events import open_event_log
from radloop.events.kafka import KafkaAddress, consumer
from radloop.events.kafka.clients import ask_coordinator
from radloop.events.kafka.topics import KafkaTopics
from radloop.events.topics import TopicPlan
from radloop.sql import Database
from standalone.supervisor.tether import tethered

from .group_bench import DONE, METADATA, SERVICE, TOPIC, WIRE, TrainingRequested

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

KEYS = 12
BENCH = Path(__file__).with_name("group_bench.py")


class Group:
    """A service with replicas to start, stop and kill."""

    def __init__(self, url: str, database_url: str, folder: Path) -> None:
        self.url, self.database_url, self.folder = url, database_url, folder
        self.name = f"bench-{uuid.uuid4().hex[:6]}"
        plans = [TopicPlan(name, 4, -1, "delete") for name in (TOPIC, f"{TOPIC}.{self.name}.dlq")]
        topics = KafkaTopics(KafkaAddress.parse(url), plans)
        topics.apply(topics.differences())
        self.log = open_event_log(url)
        self.log.rewind(self.name, TOPIC, self.log.offsets_at(TOPIC, math.inf))
        self.database = Database(database_url, SERVICE)
        METADATA.create_all(self.database.engine)
        self.replicas: dict[str, subprocess.Popen] = {}
        self.said: dict[str, list[str]] = defaultdict(list)

    def start(self, *names: str) -> None:
        """Start replicas and wait until each has partitions."""
        for name in names:
            with (self.folder / f"{name}.log").open("wb") as log:
                arguments = [sys.executable, str(BENCH), self.url, self.database_url, str(self.folder)]
                arguments += [self.name, name]
                self.replicas[name] = subprocess.Popen(tethered(arguments), stdout=log, stderr=log)
        with closing(KafkaAdminClient(bootstrap_servers=KafkaAddress.parse(self.url).bootstrap)) as admin:
            wait_for(lambda: self._shares(admin) == [4 // len(self.replicas)] * len(self.replicas), "a share for each")

    def _shares(self, admin: KafkaAdminClient) -> list[int]:
        group = ask_coordinator(lambda: admin.describe_groups([self.name]))[self.name]
        if group["group_state"] != "Stable":
            return []
        members = [member["member_assignment"] for member in group["members"]]
        return [sum(len(each["partitions"]) for each in one["assigned_partitions"]) for one in members]

    def say(self, *requests: tuple[str, str]) -> None:
        """Append (project, request) pairs."""
        self.log.append(
            [
                WIRE.encode(TrainingRequested(request, project), source="/test", cause=None)
                for project, request in requests
            ]
        )
        for project, request in requests:
            self.said[project].append(request)

    def tries(self, request: str) -> list[str]:
        """Return who has begun to handle a request, in order."""
        file = self.folder / f"tries-{request.replace(':', '-')}"
        return file.read_text().split() if file.exists() else []

    def end(self, name: str, number: signal.Signals) -> None:
        process = self.replicas.pop(name)
        process.send_signal(number)
        process.wait(20)

    def done(self) -> dict[str, list[str]]:
        """Return each project's requests in the order of their effects."""
        found = defaultdict(list)
        with self.database.begin(read_only=True) as connection:
            for row in connection.execute(sa.select(DONE).order_by(DONE.c.id)):
                found[row.project_id].append(row.request_id)
        return found

    def close(self) -> None:
        for name in list(self.replicas):
            self.end(name, signal.SIGKILL)
        self.log.close()
        self.database.close()


def wait_for(condition, what: str, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def batch(first: int, count: int) -> list[tuple[str, str]]:
    return [(f"project-{key}", f"{number}-of-{key}") for number in range(first, first + count) for key in range(KEYS)]


@pytest.fixture
def group(own_broker, fresh_databases, tmp_path):
    url = fresh_databases.make()
    group = Group(own_broker.url, url, tmp_path)
    yield group
    group.close()
    fresh_databases.drop(url)


def test_a_replica_killed_in_a_handler_doubles_and_loses_nothing(group):
    group.start("a", "b")
    group.say(*batch(0, 5))
    group.say(("project-0", "slow:2:x"))
    group.say(*batch(5, 5))
    wait_for(lambda: group.tries("slow:2:x"), "the slow handler")
    killed = group.tries("slow:2:x")[0]
    group.end(killed, signal.SIGKILL)
    group.say(*batch(10, 2))
    wait_for(lambda: sum(map(len, group.done().values())) >= 12 * KEYS + 1, "every effect")
    assert group.done() == group.said
    survivor = "b" if killed == "a" else "a"
    assert group.tries("slow:2:x") == [killed, survivor]


def test_a_replica_joins_at_a_slow_handler_and_another_leaves(group):
    group.start("a")
    group.say(*batch(0, 3))
    group.say(("project-0", "slow:3:x"))
    group.say(*batch(3, 3))
    wait_for(lambda: group.tries("slow:3:x"), "the slow handler")
    group.start("b")  # the partitions are shared out anew while the handler runs
    group.say(*batch(6, 3))
    wait_for(lambda: group.tries("8-of-0"), "the last requests")
    group.end("a", signal.SIGTERM)
    group.say(*batch(9, 2))
    wait_for(lambda: sum(map(len, group.done().values())) >= 11 * KEYS + 1, "every effect")
    assert group.done() == group.said


def test_a_handler_longer_than_the_session_stays_in_the_group(group):
    group.start("a", "b")
    group.say(("project-0", "slow:13:x"))
    group.say(*batch(0, 1))
    wait_for(lambda: sum(map(len, group.done().values())) >= KEYS + 1, "every effect")
    assert len(group.tries("slow:13:x")) == 1
    assert group.done() == group.said


def test_a_group_that_joins_again_is_not_lost(kafka, monkeypatch):
    """Topics come one by one and polls are short: each time the group joins anew, most often not within one poll."""
    monkeypatch.setattr(consumer, "_WAIT_MS", 5)
    monkeypatch.setitem(consumer._OPTIONS, "metadata_max_age_ms", 200)
    topics = [f"joins-{secrets.token_hex(4)}" for _ in range(8)]
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    group = consumer.KafkaGroupConsumer(KafkaAddress.parse(f"kafka://{kafka.bootstrap}"), topics[0], topics)
    try:
        for topic in topics:
            admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
            producer.send(topic, topic.encode(), headers=[]).get(10)
            wait_for(lambda: group.poll(0.2), f"what was said in {topic}", 20)
    finally:
        group.close()
        producer.close()
        admin.close()
