"""What a backup is made of: sealed parts, a manifest that refuses, one moment over several databases, events with their readers."""

import contextlib
import io
import json
import random
import sqlite3
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from radloop.errors import Forbidden, Invalid, NotFound, PermanentError
from radloop.events.port import Stored
from radloop.events.sqlite import SqliteEventLog
from radloop.messages import Record
from standalone.backup.embedded import one_moment
from standalone.backup.events import load_events, mark, save_events
from standalone.backup.manifest import Manifest, read_manifest, this_release
from standalone.backup.sealing import (
    Opener,
    Sealer,
    new_identity,
    open_with_passphrase,
    seal_with_passphrase,
    sealed_of,
)

PLAIN = random.Random(1).randbytes(300_000)


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, str]:
    identity, recipient = new_identity()
    file = tmp_path / "part.age"
    with Sealer([recipient]).writing(file) as writing:
        writing.plain.write(PLAIN)
    assert writing.sealed == sealed_of(file)
    return file, identity


def test_a_part_is_what_was_written_and_nothing_of_it_is_readable(sealed):
    file, identity = sealed
    assert PLAIN[1000:1100] not in file.read_bytes()
    with Opener(identity).reading(file) as plain:
        assert plain.read() == PLAIN


@pytest.mark.parametrize("place", [10, 5000, 299_000], ids=["header", "middle", "end"])
def test_a_damaged_part_is_refused_even_when_only_its_beginning_is_wanted(sealed, place):
    file, identity = sealed
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(PermanentError, match="backup-damaged"), Opener(identity).reading(file) as plain:
        plain.read(100)


def test_a_part_that_was_cut_is_refused(sealed):
    file, identity = sealed
    file.write_bytes(file.read_bytes()[: 4 * 65536])
    with pytest.raises(PermanentError, match="backup-damaged"), Opener(identity).reading(file) as plain:
        while plain.read(65536):
            pass


def test_another_identity_opens_nothing(sealed):
    with pytest.raises(Forbidden, match="backup-closed"), Opener(new_identity()[0]).reading(sealed[0]) as plain:
        plain.read()


def test_every_recipient_can_open(tmp_path):
    pairs = [new_identity(), new_identity()]
    Sealer([recipient for _, recipient in pairs]).seal_stream(io.BytesIO(PLAIN), tmp_path / "part")
    for identity, _ in pairs:
        target = io.BytesIO()
        Opener(identity).open_into(tmp_path / "part", target)
        assert target.getvalue() == PLAIN


def test_what_the_writer_raises_comes_out(tmp_path):
    with pytest.raises(ZeroDivisionError), Sealer([new_identity()[1]]).writing(tmp_path / "part") as writing:
        writing.plain.write(PLAIN)
        _ = 1 / 0


def test_a_passphrase_opens_what_it_closed():
    closed = seal_with_passphrase(b"secret", "correct horse battery")
    assert open_with_passphrase(closed, "correct horse battery") == b"secret"
    with pytest.raises(Forbidden, match="passphrase-wrong"):
        open_with_passphrase(closed, "correct horse batterie")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: seal_with_passphrase(b"", "short"), "passphrase-short"),
        (lambda: Sealer([]), "recipient-needed"),
        (lambda: Sealer(["ssh-rsa"]), "recipient-invalid"),
        (lambda: Opener("no key"), "identity-invalid"),
    ],
)
def test_what_is_no_key_is_said(call, code):
    with pytest.raises(Invalid, match=code):
        call()


def manifest_in(folder: Path, **changes) -> Manifest:
    (folder / "part").write_bytes(b"bytes")
    values = {
        "release": this_release(),
        "made_at": "2026-11-23T10:00:00+00:00",
        "site": "site-1",
        "plane": "all",
        "engines": "embedded",
        "services": ("ingest",),
        "parts": {"part": sealed_of(folder / "part")},
    }
    made = Manifest(**(values | changes))
    made.write(folder)
    return made


def test_a_manifest_comes_back(tmp_path):
    made = manifest_in(tmp_path, events={"study-ingested": 3}, objects=7, recipients=("age1x",))
    assert read_manifest(tmp_path) == made
    made.check_parts(tmp_path)


@pytest.mark.parametrize("changes", [{"release": "99.0"}, {"format": 2}])
def test_a_newer_backup_is_refused(tmp_path, changes):
    manifest_in(tmp_path, **changes)
    with pytest.raises(PermanentError, match="backup-too-new"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_no_backup(tmp_path):
    with pytest.raises(NotFound, match="no-backup"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "release": "x y"}'])
def test_an_unreadable_manifest_is_said(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(PermanentError, match="backup-damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"bites", b"byte", None])
def test_a_part_with_other_bytes_is_named(tmp_path, content):
    made = manifest_in(tmp_path)
    (tmp_path / "part").unlink()
    if content is not None:
        (tmp_path / "part").write_bytes(content)
    with pytest.raises(PermanentError, match="other bytes: part"):
        made.check_parts(tmp_path)


def test_one_moment_lies_across_no_transaction(tmp_path):
    """A writer moves money from one database to another, always ahead in the first: every moment shows it so."""
    files = {name: tmp_path / f"{name}.db" for name in ("a", "b", "events")}
    for file in files.values():
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE steps (number INTEGER)")
    stop = threading.Event()

    def write() -> None:
        connections = [sqlite3.connect(file, timeout=30, isolation_level=None) for file in files.values()]
        number = 0
        while not stop.is_set():
            number += 1
            for connection in connections:
                connection.execute("INSERT INTO steps VALUES (?)", (number,))
        for connection in connections:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for attempt in range(20):
            with one_moment(files) as snapshots:
                found = []
                for name, snapshot in snapshots.items():
                    copy = tmp_path / f"{attempt}-{name}"
                    snapshot.copy(copy)
                    with contextlib.closing(sqlite3.connect(copy)) as connection:
                        found.append(connection.execute("SELECT coalesce(max(number), 0) FROM steps").fetchone()[0])
            assert found[0] >= found[1] >= found[2] >= found[0] - 1
    finally:
        stop.set()
        writer.join()


class PartitionedLog:
    """As much of a cluster as an export needs: partitions by key, offsets that need not begin at 0."""

    def __init__(self, partitions: int, start: int = 0) -> None:
        self._partitions, self._start = partitions, start
        self.records: dict[str, dict[int, list[Stored]]] = defaultdict(
            lambda: {partition: [] for partition in range(partitions)}
        )
        self.groups: dict[tuple[str, str], dict[int, int]] = {}

    def append(self, records):
        for record in records:
            partition = sum(record.key.encode()) % self._partitions
            kept = self.records[record.topic][partition]
            kept.append(Stored(record, self._start + len(kept), 0.0, partition))

    def topics(self):
        return sorted(self.records)

    def read(self, topic, offsets, limit):
        found = [
            stored
            for partition, kept in self.records[topic].items()
            for stored in kept
            if stored.offset >= offsets.get(partition, 0)
        ]
        return found[:limit]

    def offsets_at(self, topic, at_s):
        return {partition: self._start + len(kept) for partition, kept in self.records[topic].items()}

    def committed(self, group, topic):
        return self.groups.get((group, topic), {})

    def rewind(self, group, topic, offsets):
        self.groups[group, topic] = dict(offsets)

    def handled(self, group, topic):
        """Return the values a group will not read again."""
        positions = self.committed(group, topic)
        return {
            stored.record.value
            for partition, kept in self.records[topic].items()
            for stored in kept
            if stored.offset < positions.get(partition, 0)
        }


def filled(partitions: int) -> PartitionedLog:
    log = PartitionedLog(partitions, start=100)
    draw = random.Random(3)
    for number in range(2500):
        topic = draw.choice(["study-ingested", "label-submitted", "label-submitted.qa.dlq", "their.own"])
        log.append([Record(topic, f"key-{draw.randrange(9)}", b"%d" % number, {"ce_id": str(number), "bad": "é"})])
    log.rewind("qa", "label-submitted", {0: 100, 1: 250, 2: log.offsets_at("label-submitted", 0)[2]})
    log.rewind("inference", "study-ingested", log.offsets_at("study-ingested", 0))
    log.rewind("radloop-dlq", "label-submitted.qa.dlq", {1: 101})
    return log


GROUPS = ("qa", "inference", "radloop-dlq", "trainer")


@pytest.mark.parametrize("partitions", [3, 1, 5])
def test_events_come_back_in_order_and_their_readers_go_on(partitions):
    old, new = filled(3), PartitionedLog(partitions)
    plain = io.BytesIO()
    at = mark(old, GROUPS)
    old.append([Record("study-ingested", "key-1", b"late", {})])
    counts = save_events(old, at, plain)
    plain.seek(0)
    assert load_events(new, plain) == counts
    assert new.topics() == ["label-submitted", "label-submitted.qa.dlq", "study-ingested"]
    for topic in new.topics():
        for key in {f"key-{number}" for number in range(9)}:
            before, after = (
                [s.record for kept in log.records[topic].values() for s in kept if s.record.key == key]
                for log in (old, new)
            )
            assert after == [record for record in before if record.value != b"late"]
        for group in GROUPS:
            # Never passed over: what was not handled before is read. Read again: only where partitions were joined.
            assert new.handled(group, topic) <= old.handled(group, topic)
            if partitions == 3:
                assert new.handled(group, topic) == old.handled(group, topic)
    assert new.committed("trainer", "study-ingested") == {}


def test_events_are_not_put_into_a_log_that_holds_some():
    old, new = filled(3), PartitionedLog(3)
    new.append([Record("study-ingested", "key-1", b"theirs", {})])
    plain = io.BytesIO()
    save_events(old, mark(old, GROUPS), plain)
    plain.seek(0)
    with pytest.raises(PermanentError, match="events-not-restored"):
        load_events(new, plain)


def test_the_embedded_log_can_be_exported_as_well(tmp_path):
    log = SqliteEventLog(str(tmp_path / "a.db"))
    log.append([Record("study-ingested", "k", b"1", {"a": "b"}), Record("study-ingested", "k", b"2", {})])
    log.rewind("qa", "study-ingested", {0: 1})
    plain = io.BytesIO()
    assert save_events(log, mark(log, ["qa"]), plain) == {"study-ingested": 2}
    assert json.loads(plain.getvalue().splitlines()[0]) == {"groups": {"qa": {"study-ingested": {"0": 1}}}}
    other = SqliteEventLog(str(tmp_path / "b.db"))
    plain.seek(0)
    load_events(other, plain)
    assert other.committed("qa", "study-ingested") == {0: 1}
    for each in (log, other):
        each.close()
