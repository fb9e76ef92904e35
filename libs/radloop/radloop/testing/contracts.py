"""Contract suites: one per port, run against every engine. A test module subclasses a suite and gives the engine as a fixture."""

import math
import time
from contextlib import closing
from pathlib import Path

from radloop.events.port import Consumer, EventLog
from radloop.messages import Record


def record(topic: str, key: str, number: int) -> Record:
    """Return a record whose value is its number."""
    return Record(topic=topic, key=key, value=str(number).encode(), headers={"ce_id": str(number)})


class EventLogContract:
    """What any event log must do. Needs the fixtures ``event_log`` and ``topic``: a new, empty topic of one partition."""

    def test_a_group_gets_everything_in_order(self, event_log: EventLog, topic: str) -> None:
        event_log.append([record(topic, "k", n) for n in range(250)])
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            assert _drain(consumer, 250) == [str(n).encode() for n in range(250)]

    def test_starts_again_at_what_was_committed(self, event_log: EventLog, topic: str) -> None:
        event_log.append([record(topic, "k", n) for n in range(5)])
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            batch = consumer.poll(20)
            assert all(consumer.holds(stored) for stored in batch)
            consumer.commit(batch[:2])
            assert consumer.lag() == {topic: 3}
        assert event_log.committed(f"g-{topic}", topic) == {0: 2}
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            assert _drain(consumer, 3) == [b"2", b"3", b"4"]

    def test_groups_do_not_disturb_one_another(self, event_log: EventLog, topic: str) -> None:
        event_log.append([record(topic, "k", 1)])
        for group in ("a", "b"):
            with closing(event_log.consumer(f"{group}-{topic}", [topic])) as consumer:
                assert _drain(consumer, 1) == [b"1"]

    def test_a_waiting_consumer_hears_what_comes(self, event_log: EventLog, topic: str) -> None:
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            assert consumer.poll(0.1) == []
            event_log.append([record(topic, "k", 7)])
            assert _drain(consumer, 1) == [b"7"]

    def test_rewind_delivers_again(self, event_log: EventLog, topic: str) -> None:
        event_log.append([record(topic, "k", n) for n in range(3)])
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            consumer.commit(consumer.poll(20))
        event_log.rewind(f"g-{topic}", topic, {0: 1})
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            assert _drain(consumer, 2) == [b"1", b"2"]

    def test_rewind_reaches_a_consumer_that_runs(self, event_log: EventLog, topic: str) -> None:
        event_log.append([record(topic, "k", n) for n in range(3)])
        with closing(event_log.consumer(f"g-{topic}", [topic])) as consumer:
            handled = consumer.poll(20)
            consumer.commit(handled[:2])
            deadline = time.monotonic() + 20
            while event_log.committed(f"g-{topic}", topic) != {0: 2} and time.monotonic() < deadline:
                consumer.poll(0.05)
            event_log.rewind(f"g-{topic}", topic, {0: 1})
            consumer.commit(handled[2:])  # of before: not where the group goes on now
            assert _drain(consumer, 2) == [b"1", b"2"]
        assert event_log.committed(f"g-{topic}", topic) == {0: 1}

    def test_reading_without_a_group(self, event_log: EventLog, topic: str) -> None:
        assert event_log.read(topic, {}, 2) == [] and topic not in event_log.topics()
        event_log.append([record(topic, "k", n) for n in range(4)])
        assert [(stored.partition, stored.offset) for stored in event_log.read(topic, {0: 1}, 2)] == [(0, 1), (0, 2)]
        assert [stored.offset for stored in event_log.read(topic, {}, 10)] == [0, 1, 2, 3]
        assert event_log.read(topic, {0: 4}, 10) == []
        assert topic in event_log.topics()

    def test_a_time_has_its_offset(self, event_log: EventLog, topic: str) -> None:
        assert event_log.offsets_at(topic, 0) == event_log.offsets_at(topic, math.inf) == {0: 0}
        event_log.append([record(topic, "k", 0)])
        (first,) = event_log.read(topic, {}, 1)
        while time.time() <= first.appended_at + 0.002:  # Kafka's clock counts milliseconds
            pass
        event_log.append([record(topic, "k", 1)])
        second = event_log.read(topic, {}, 2)[1]
        assert event_log.offsets_at(topic, first.appended_at) == {0: 0}
        assert event_log.offsets_at(topic, second.appended_at) == {0: 1}
        assert event_log.offsets_at(topic, second.appended_at + 60) == event_log.offsets_at(topic, math.inf) == {0: 2}

    def test_a_group_that_never_was_has_committed_nothing(self, event_log: EventLog, topic: str) -> None:
        assert event_log.committed(f"nobody-{topic}", topic) == {}

    def test_headers_and_keys_survive(self, event_log: EventLog, topic: str) -> None:
        sent = Record(topic, "schlüssel", b"\x00\xff", {"ce_id": "1", "x": "é", "empty": ""})
        event_log.append([sent])
        (stored,) = event_log.read(topic, {}, 1)
        assert stored.record == sent
        assert abs(stored.appended_at - time.time()) < 60

    def test_a_good_log_is_no_trouble(self, event_log: EventLog, topic: str) -> None:
        assert event_log.trouble(f"g-{topic}", [topic], [topic]) is None


def _drain(consumer: Consumer, count: int) -> list[bytes]:
    values: list[bytes] = []
    for _ in range(300):
        values += [stored.record.value for stored in consumer.poll(0.2)]
        if len(values) >= count:
            break
    return values


def sqlite_url(folder: Path) -> str:
    """Return the URL of an embedded event log in a folder."""
    return f"sqlite:///{folder / 'events.db'}"
