"""The address of Kafka: what is understood, what is refused, and that no password is ever shown."""

import pytest

from radloop.errors import PermanentError
from radloop.events import open_event_log
from radloop.events.kafka import KafkaAddress

SECRET = "s3cr%40t"


def test_a_whole_address():
    url = (
        f"kafka://qa:{SECRET}@kafka-1:9093,kafka-2:9094,[::1]:9095"
        "?tls=true&ca=/etc/ca.pem&mechanism=scram-sha-256&replication=3"
    )
    address = KafkaAddress.parse(url)
    assert address.servers == (("kafka-1", 9093), ("kafka-2", 9094), ("::1", 9095))
    assert (address.user, address.password, address.mechanism) == ("qa", "s3cr@t", "SCRAM-SHA-256")
    assert (address.tls, address.ca, address.replication) == (True, "/etc/ca.pem", 3)
    assert address.bootstrap == "kafka-1:9093,kafka-2:9094,[::1]:9095"
    assert "s3cr" not in repr(address)


def test_a_short_address():
    address = KafkaAddress.parse("kafka://kafka-1")
    assert address.servers == (("kafka-1", 9092),) and address.replication == -1
    options = address.client_options()
    assert options["security_protocol"] == "PLAINTEXT" and "sasl_mechanism" not in options


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"kafka://qa:{SECRET}@kafka-1?tls=maybe", "tls"),
        (f"kafka://qa:{SECRET}@kafka-1?password=x", "the option password"),
        (f"kafka://qa:{SECRET}@kafka-1?mechanism=MD5", "mechanism"),
        (f"kafka://qa:{SECRET}@kafka-1?mechanism=PLAIN", "whoever listens"),
        (f"kafka://qa:{SECRET}@kafka-1?replication=0", "replication"),
        (f"kafka://qa:{SECRET}@kafka-1:many", "port"),
        (f"kafka://qa:{SECRET}@", "host"),
        (f"kafka://qa:{SECRET}@kafka-1,,kafka-2", "host"),
        ("kafka://qa@kafka-1", "without a password"),
        (f"kafka://qa:{SECRET}@kafka-1/topic", "another form"),
        (f"kafka://qa:{SECRET}@[::1", "another form"),
        # A password whose "/" or "@" is not in percent form is no part of a host to be quoted either.
        ("kafka://qa:s3cr/t@kafka-1", "URL"),
    ],
)
def test_what_is_wrong_is_named_without_the_password(url, said):
    with pytest.raises(PermanentError) as raised:
        open_event_log(url)
    assert said in str(raised.value)
    assert "s3cr" not in str(raised.value)


def test_a_file_of_authorities_that_is_none(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in ("ca.pem", "missing.pem"):
        with pytest.raises(PermanentError, match="authority that signed"):
            KafkaAddress.parse(f"kafka://kafka-1?tls=true&ca={tmp_path / file}").trust()
