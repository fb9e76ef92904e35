"""``proto/topics.yaml`` against the contracts: every topic is declared, and so are its dead letters."""

from radloop.contracts.topic_settings import TOPIC_SETTINGS
from radloop.contracts.topics import TOPICS
from radloop.events.topics import planned_topics


def test_every_topic_of_the_contracts_is_declared_and_no_other():
    assert TOPIC_SETTINGS.keys() == TOPICS.keys()


def test_only_what_carries_its_whole_state_is_compacted():
    compacted = {plan.name for plan in planned_topics() if plan.cleanup == "compact"}
    assert compacted == {"project-configured", "model-promoted"}
    assert compacted == {name for name, topic in TOPICS.items() if topic.compacted}


def test_each_hearer_of_a_topic_has_a_place_for_its_dead_letters():
    planned = {plan.name: plan for plan in planned_topics()}
    assert planned["study-ingested.qa.dlq"].partitions == 1
    hearers = sum(len(topic.heard_by) for topic in TOPICS.values())
    assert sum(name.endswith(".dlq") for name in planned) == hearers
    assert len(planned) == len(TOPICS) + hearers


def test_facts_stay_forever():
    forever = {plan.name for plan in planned_topics() if plan.retention_ms == -1}
    assert {"study-ingested", "study-withdrawn", "label-approved", "label-submitted", "model-trained"} <= forever


def test_copies_may_be_lost_but_not_the_last_two():
    plan = planned_topics()[0]
    wanted = {-1: None, 1: "1", 2: "1", 3: "2"}
    assert {copies: plan.configs(copies).get("min.insync.replicas") for copies in wanted} == wanted
