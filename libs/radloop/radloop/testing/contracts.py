"""Contract suites: one per port, run against every engine. A test module subclasses a suite and gives the engine as a fixture."""

import threading
from pathlib import Path

import pytest

from radloop.errors import Conflict, Invalid, NotFound, PermanentError
from radloop.events.port import EventLog
from radloop.messages import Record
from radloop.objects.port import Objects
from radloop.references import ObjectRef


class ObjectsContract:
    """What any object store must do. Needs the fixture ``objects``."""

    def test_gives_back_what_was_put(self, objects: Objects) -> None:
        ref = objects.put("a/b/c.bin", b"pixels")
        assert objects.get(ref) == b"pixels"
        assert ref.size_bytes == 6 and ref.digest.startswith("sha256:")

    def test_same_bytes_again_change_nothing(self, objects: Objects) -> None:
        assert objects.put("a/b", b"x") == objects.put("a/b", b"x")

    def test_never_overwrites(self, objects: Objects) -> None:
        ref = objects.put("a/b", b"x")
        with pytest.raises(Conflict):
            objects.put("a/b", b"y")
        assert objects.get(ref) == b"x"

    def test_one_winner_of_a_race(self, objects: Objects) -> None:
        outcomes: list[str] = []

        def put(data: bytes) -> None:
            try:
                objects.put("race", data)
                outcomes.append("won")
            except Conflict:
                outcomes.append("lost")

        threads = [threading.Thread(target=put, args=(bytes([n]),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("won") == 1

    def test_missing_object(self, objects: Objects) -> None:
        with pytest.raises(NotFound):
            objects.get(ObjectRef("no/such", "sha256:0", 0))

    def test_other_digest_is_damage(self, objects: Objects) -> None:
        ref = objects.put("a", b"x")
        with pytest.raises(PermanentError):
            objects.get(ObjectRef(ref.key, "sha256:" + "0" * 64, 1))

    def test_keys_by_prefix_and_delete(self, objects: Objects) -> None:
        for key in ("s/1/a", "s/1/b", "s/10/a", "t/1"):
            objects.put(key, key.encode())
        assert objects.keys("s/1/") == ["s/1/a", "s/1/b"]
        objects.delete("s/1/a")
        objects.delete("s/1/a")
        assert objects.keys("s/1/") == ["s/1/b"]

    @pytest.mark.parametrize("key", ["../a", "/a", "a//b", "", ".hidden", "a/../b", "a b"])
    def test_refuses_keys_that_are_paths(self, objects: Objects, key: str) -> None:
        with pytest.raises(Invalid):
            objects.put(key, b"x")


def record(topic: str, key: str, number: int) -> Record:
    """Return a record whose value is its number."""
    return Record(topic=topic, key=key, value=str(number).encode(), headers={"ce_id": str(number)})


class EventLogContract:
    """What any event log must do. Needs the fixture ``event_log``."""

    def test_a_group_gets_everything_in_order(self, event_log: EventLog) -> None:
        event_log.append([record("t", "k", n) for n in range(250)])
        consumer = event_log.consumer("g", ["t"])
        assert _drain(consumer, 250) == [str(n).encode() for n in range(250)]

    def test_starts_again_at_what_was_committed(self, event_log: EventLog) -> None:
        event_log.append([record("t", "k", n) for n in range(5)])
        consumer = event_log.consumer("g", ["t"])
        batch = consumer.poll(5)
        consumer.commit(batch[:2])
        assert consumer.lag() == {"t": 3}
        consumer.close()
        assert _drain(event_log.consumer("g", ["t"]), 3) == [b"2", b"3", b"4"]

    def test_groups_do_not_disturb_one_another(self, event_log: EventLog) -> None:
        event_log.append([record("t", "k", 1)])
        assert _drain(event_log.consumer("a", ["t"]), 1) == _drain(event_log.consumer("b", ["t"]), 1) == [b"1"]

    def test_a_waiting_consumer_hears_what_comes(self, event_log: EventLog) -> None:
        consumer = event_log.consumer("g", ["t", "u"])
        assert consumer.poll(0.1) == []
        event_log.append([record("u", "k", 7)])
        assert _drain(consumer, 1) == [b"7"]

    def test_rewind_delivers_again(self, event_log: EventLog) -> None:
        event_log.append([record("t", "k", n) for n in range(3)])
        consumer = event_log.consumer("g", ["t"])
        consumer.commit(consumer.poll(5))
        consumer.close()
        event_log.rewind("g", "t", 1)
        assert _drain(event_log.consumer("g", ["t"]), 2) == [b"1", b"2"]

    def test_reading_without_a_group(self, event_log: EventLog) -> None:
        event_log.append([record("t", "k", n) for n in range(4)])
        assert [stored.offset for stored in event_log.read("t", 1, 2)] == [1, 2]
        assert event_log.topics() == ["t"]

    def test_headers_and_keys_survive(self, event_log: EventLog) -> None:
        event_log.append([Record("t", "schlüssel", b"\x00\xff", {"ce_id": "1", "x": "é"})])
        (stored,) = event_log.read("t", 0, 1)
        assert stored.record == Record("t", "schlüssel", b"\x00\xff", {"ce_id": "1", "x": "é"})


def _drain(consumer, count: int) -> list[bytes]:  # type: ignore[no-untyped-def]
    values: list[bytes] = []
    for _ in range(50):
        values += [stored.record.value for stored in consumer.poll(0.2)]
        if len(values) >= count:
            break
    return values


def sqlite_url(folder: Path) -> str:
    """Return the URL of an embedded event log in a folder."""
    return f"sqlite:///{folder / 'events.db'}"
