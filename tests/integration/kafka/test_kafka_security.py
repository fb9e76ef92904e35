"""TLS, SCRAM and ACLs on a real secured broker: the right user works, and every other way has words of its own."""

import time
import uuid
from contextlib import closing

import pytest

from qa.adapters.wire import WIRE
from radloop.errors import Unavailable
from radloop.events import dead_letter_topic, open_event_log
from radloop.events.kafka import KafkaAddress
from radloop.events.kafka.acls import Right, grant, needed_rights
from radloop.events.kafka.probe import probe
from radloop.events.kafka.topics import KafkaTopics
from radloop.events.topics import planned_topics
from radloop.messages import Record
from standalone.supervisor.ports import free_ports

from .conftest import ADMIN, Authority

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def words(url: str) -> str:
    found = probe(KafkaAddress.parse(url))
    assert found is not None
    assert "-pw" not in str(found)
    return str(found)


def eventually(look, want, seconds=60):
    """ACLs take a moment to reach the broker."""
    deadline = time.monotonic() + seconds
    while not want(found := look()):
        assert time.monotonic() < deadline, f"still {found}"
    return found


@pytest.fixture(scope="module")
def topics(secured):
    topics = KafkaTopics(KafkaAddress.parse(secured.url(ADMIN)), planned_topics())
    topics.apply(topics.differences())


def test_the_right_user_is_let_in(secured):
    assert probe(KafkaAddress.parse(secured.url("qa:qa-pw"))) is None


def test_a_wrong_password_is_refused(secured):
    assert "reachable and trusted, but refused; check user and password" in words(secured.url("qa:other-pw"))
    assert "reachable and trusted, but refused; check user and password" in words(secured.url("nobody:qa-pw"))


def test_a_mechanism_that_is_not_offered(secured):
    assert "one that offers SCRAM-SHA-512" in words(secured.url("qa:qa-pw", more="&mechanism=SCRAM-SHA-256"))


def test_an_unknown_authority_is_not_trusted(secured, tmp_path):
    other = Authority(tmp_path, "other-ca")
    said = words(secured.url("qa:qa-pw", ca=other.file))
    assert "event-log-untrusted" in said and "by an authority we trust" in said and "set ca" in said


def test_a_certificate_for_another_name(secured):
    said = words(secured.url("qa:qa-pw", host="localhost"))
    assert "event-log-untrusted" in said and "a certificate for another name" in said


def test_a_closed_port(secured):
    (port,) = free_ports(1)
    said = words(f"kafka://qa:qa-pw@127.0.0.1:{port}?tls=true&ca={secured.ca}")
    assert "event-log-unreachable" in said and "connection refused" in said and f"127.0.0.1:{port}" in said


def test_tls_at_a_port_without_tls(kafka, secured):
    said = words(f"kafka://{kafka.bootstrap}?tls=true&ca={secured.ca}")
    assert "event-log-no-tls" in said and "leave tls out" in said


def test_no_tls_at_a_port_with_tls(secured):
    assert "set tls=true" in words(f"kafka://127.0.0.1:{secured.port}")


def test_one_broker_of_several_is_enough(secured):
    (port,) = free_ports(1)
    url = secured.url("qa:qa-pw").replace("@127.0.0.1:", f"@127.0.0.1:{port},127.0.0.1:")
    assert probe(KafkaAddress.parse(url)) is None


def test_missing_rights_are_named_one_by_one(secured, topics):
    with closing(open_event_log(secured.url("stranger:stranger-pw"))) as log:
        said = str(log.trouble("stranger", ["study-ingested"], ["label-approved"]))
        assert "event-log-forbidden" in said and "user stranger" in said
        assert "Describe on topic study-ingested" in said and "Describe on topic label-approved" in said
        assert "Read on group stranger" in said
        with pytest.raises(Unavailable, match="event-log-forbidden"):
            log.append([Record("label-approved", "k", b"x", {})])
    address = KafkaAddress.parse(secured.url(ADMIN))
    grant(address, [Right("stranger", "Describe", "topic", name) for name in ("study-ingested", "label-approved")])
    grant(address, [Right("stranger", "Read", "group", "stranger")])
    with closing(open_event_log(secured.url("stranger:stranger-pw"))) as log:
        said = eventually(
            lambda: str(log.trouble("stranger", ["study-ingested"], ["label-approved"])),
            lambda said: "Read on topic study-ingested" in said,
        )
        assert "Write on topic label-approved" in said
        assert "Describe" not in said and "group" not in said


def test_the_generated_rights_let_a_service_work_and_no_more(secured, topics):
    grant(KafkaAddress.parse(secured.url(ADMIN)), [right for right in needed_rights() if right.user == "qa"])
    letters = [dead_letter_topic(topic, "qa") for topic in WIRE.topics]
    with closing(open_event_log(secured.url("qa:qa-pw"))) as log:
        eventually(lambda: log.trouble("qa", WIRE.topics, [*WIRE.said, *letters]), lambda found: found is None)
        log.append([Record("label-approved", "k", b"x", {}), Record("label-submitted.qa.dlq", "k", b"x", {})])
        with pytest.raises(Unavailable, match="event-log-forbidden"):
            log.append([Record("label-submitted", "k", b"x", {})])
        with closing(open_event_log(secured.url(ADMIN))) as admin:
            admin.append([Record("label-submitted", "k", b"heard", {})])
        with closing(log.consumer("qa", WIRE.topics)) as consumer:
            heard = eventually(lambda: consumer.poll(0.5), lambda found: found)
            assert heard[0].record.value == b"heard"
            consumer.commit(heard)


def test_missing_topics_are_named(secured):
    name = f"nowhere-{uuid.uuid4().hex[:6]}"
    with closing(open_event_log(secured.url(ADMIN))) as log:
        said = str(log.trouble("admin", [name], []))
    assert "topics-missing" in said and name in said and "radloop topics apply" in said
