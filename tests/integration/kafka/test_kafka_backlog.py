"""A replica that finds a long backlog, and handles it more slowly than it is read, reads all of it."""

import time

import pytest
from kafka import KafkaAdminClient

from radloop.events import open_event_log
from radloop.messages import Record

pytestmark = pytest.mark.integration

EVENTS = 4000
"""Several times what is read ahead before a partition is paused."""

LIMIT_S = 90.0


def test_a_paused_partition_goes_on_whatever_others_bring(kafka):
    topics = [f"backlog-{number}" for number in range(4)]
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics(dict.fromkeys(topics, {"num_partitions": 2, "replication_factor": 1}), wait_for_metadata=True)
    admin.close()
    log = open_event_log(kafka.url)
    log.append([Record(topics[0], "key", str(number).encode(), {"x": "y" * 300}) for number in range(EVENTS)])
    consumer = log.consumer("backlog", topics)
    read, deadline = 0, time.monotonic() + LIMIT_S
    while read < EVENTS:
        assert time.monotonic() < deadline, f"{read} of {EVENTS} and no more"
        batch = consumer.poll(0.5)
        for stored in batch:
            if stored.record.topic == topics[0]:
                assert stored.record.value == str(read).encode()
                read += 1
        consumer.commit(batch)
        if read % 500 == 0 and batch:
            log.append([Record(topic, "key", b"other", {}) for topic in topics[1:]])
    consumer.close()
    log.close()
