"""``radloop topics apply`` on a real cluster: it shows first, makes and alters, and leaves alone what must not change."""

import random
import uuid

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from radloop.errors import PermanentError, Unavailable
from radloop.events import open_event_log, read_on
from radloop.events.kafka import KafkaAddress
from radloop.events.kafka.topics import Action, KafkaTopics
from radloop.events.topics import LARGEST_RECORD_BYTES, TopicPlan, planned_topics
from radloop.messages import Record
from standalone.commands.root import app
from standalone.commands.topics import DIFFERENT, KEPT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def name():
    return f"plan-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def admin(kafka):
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    yield client
    client.close()


def topics(kafka, plan: TopicPlan) -> KafkaTopics:
    return KafkaTopics(KafkaAddress.parse(f"{kafka.url}?replication=1"), [plan])


def configs(admin, name: str) -> dict[str, str]:
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    return {setting: each["value"] for setting, each in found["topic"][name].items()}


def test_a_missing_topic_is_made_as_declared(kafka, admin, name):
    declared = topics(kafka, TopicPlan(name, 3, 86_400_000, "compact"))
    (difference,) = declared.differences()
    assert (difference.topic, difference.action) == (name, Action.CREATE)
    assert name not in admin.list_topics()
    declared.apply([difference])
    (there,) = admin.describe_topics([name])
    assert len(there["partitions"]) == 3
    found = configs(admin, name)
    assert (found["cleanup.policy"], found["retention.ms"]) == ("compact", "86400000")
    assert (found["message.timestamp.type"], found["min.insync.replicas"]) == ("LogAppendTime", "1")
    assert declared.differences() == []


def test_settings_are_altered_and_others_left(kafka, admin, name):
    topics(kafka, TopicPlan(name, 1, -1, "delete")).apply(topics(kafka, TopicPlan(name, 1, -1, "delete")).differences())
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"segment.bytes": "7777777"})])
    declared = topics(kafka, TopicPlan(name, 1, 1000, "delete"))
    (difference,) = declared.differences()
    assert (difference.action, difference.setting) == (Action.ALTER, "retention.ms")
    assert (difference.there, difference.declared) == ("-1", "1000")
    declared.apply([difference])
    assert configs(admin, name)["retention.ms"] == "1000"
    assert configs(admin, name)["segment.bytes"] == "7777777"


def test_the_largest_event_goes_through(kafka, name):
    declared = topics(kafka, TopicPlan(name, 1, -1, "delete"))
    declared.apply(declared.differences())
    log = open_event_log(kafka.url)
    value = random.Random(7).randbytes(LARGEST_RECORD_BYTES - 2000)
    try:
        log.append([Record(name, "key", value, {"ce_id": "1"})])
        (stored,) = read_on(log, name, {})
        assert stored.record.value == value
        with pytest.raises(Unavailable, match="event-too-large"):
            log.append([Record(name, "key", bytes(LARGEST_RECORD_BYTES), {"ce_id": "2"})])
    finally:
        log.close()


def test_a_partition_count_is_never_changed(kafka, admin, name):
    made = topics(kafka, TopicPlan(name, 2, -1, "delete"))
    made.apply(made.differences())
    declared = topics(kafka, TopicPlan(name, 6, -1, "delete"))
    (difference,) = declared.differences()
    assert (difference.action, difference.there, difference.declared) == (Action.KEEP, "2", "6")
    declared.apply([difference])
    assert len(admin.describe_topics([name])[0]["partitions"]) == 2


def test_what_the_cluster_refuses_is_said_in_its_words(kafka, name):
    declared = KafkaTopics(KafkaAddress.parse(f"{kafka.url}?replication=3"), [TopicPlan(name, 1, -1, "delete")])
    with pytest.raises(PermanentError, match=f"(?i){name}.*replication factor"):
        declared.apply(declared.differences())


def run(kafka, *options: str):
    return CliRunner().invoke(app, ["topics", "apply", "--url", kafka.url, *options])


def test_the_command_makes_every_topic_and_then_finds_nothing_to_do(kafka, admin):
    before = set(admin.list_topics())
    planned = {plan.name for plan in planned_topics()}
    assert run(kafka, "--dry-run").exit_code == (0 if planned <= before else DIFFERENT)
    assert set(admin.list_topics()) == before
    assert run(kafka).exit_code == 0
    assert planned <= set(admin.list_topics())
    again = run(kafka, "--dry-run")
    assert (again.exit_code, again.stdout.strip()) == (0, "All topics are as declared.")


def test_the_commands_exit_code_tells_what_stays_different(kafka, admin, name, monkeypatch):
    admin.create_topics({name: {"num_partitions": 2}}, wait_for_metadata=True)
    monkeypatch.setattr("radloop.events.topics.planned_topics", lambda: [TopicPlan(name, 6, -1, "delete")])
    result = run(kafka)
    assert result.exit_code == KEPT
    assert "keep" in result.stdout and name in result.stdout
    assert configs(admin, name)["retention.ms"] == "-1"
