"""The contract suites of the ports, against the embedded engines and the fakes."""

import os
import time
import uuid

import pytest
from kafka import KafkaAdminClient

from radloop.events import open_event_log
from radloop.objects import open_objects
from radloop.testing import FakeObjects
from radloop.testing.contracts import EventLogContract, sqlite_url
from radloop.testing.object_contract import ObjectsContract


class TestFileObjects(ObjectsContract):
    @pytest.fixture
    def objects(self, tmp_path):
        return open_objects(f"file://{tmp_path}")

    def test_nothing_half_written_is_visible(self, objects, tmp_path, monkeypatch):
        monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(Exception, match="object-store-unavailable"):
            objects.put("a/b", b"x")
        assert objects.keys("") == []
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []

    def test_what_a_killed_writer_left_is_swept(self, objects, tmp_path):
        for name, age_s in (("old", 7200), ("new", 0)):
            file = tmp_path / ".unfinished" / name
            file.write_bytes(b"half")
            os.utime(file, (time.time() - age_s,) * 2)
        open_objects(f"file://{tmp_path}")
        assert [file.name for file in (tmp_path / ".unfinished").iterdir()] == ["new"]


class TestFakeObjects(ObjectsContract):
    @pytest.fixture
    def objects(self):
        return FakeObjects()

    test_refuses_keys_that_are_paths = None  # the fake stores keys in a dictionary, where no key is a path
    # The fake serves one thread.
    test_one_winner_of_a_race = test_one_winner_of_a_large_race = None


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture
    def topic(self):
        return "t"

    @pytest.fixture
    def event_log(self, tmp_path):
        log = open_event_log(sqlite_url(tmp_path))
        yield log
        log.close()


@pytest.mark.integration
class TestKafkaEventLog(EventLogContract):
    @pytest.fixture
    def event_log(self, kafka):
        log = open_event_log(kafka.url)
        yield log
        log.close()

    @pytest.fixture
    def topic(self, kafka):
        name = f"contract-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.create_topics({name: {"num_partitions": 1}}, wait_for_metadata=True)
        admin.close()
        return name
