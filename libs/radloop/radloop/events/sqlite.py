"""The embedded event log: one SQLite file, one partition per topic, one consumer per group.

Readers watch ``PRAGMA data_version``, which changes when another connection commits, so that waiting costs microseconds.
"""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from radloop.errors import RadloopError
from radloop.events.port import Stored
from radloop.messages import Record

_WATCH_S = 0.02
_BATCH = 100
_PARTITION = 0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, offset INTEGER NOT NULL, key TEXT NOT NULL,
    headers TEXT NOT NULL, value BLOB NOT NULL, appended_at REAL NOT NULL, UNIQUE (topic, offset));
CREATE TABLE IF NOT EXISTS topics (topic TEXT PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    consumer_group TEXT NOT NULL, topic TEXT NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (consumer_group, topic));
"""
_SAVE = (
    "INSERT INTO positions VALUES (?, ?, ?)"
    " ON CONFLICT (consumer_group, topic) DO UPDATE SET next_offset = excluded.next_offset"
)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


class SqliteEventLog:
    """Event log in one file.

    Parameters
    ----------
    path : str
        The file; it and its folder are made when missing.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = _connect(self._path)
        self._connection.executescript(_SCHEMA)

    def append(self, records: Sequence[Record]) -> None:
        """Append records in order, durably: all or none."""
        if not records:
            return
        now = time.time()
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                offsets = {topic: self._next_offset(topic) for topic in {record.topic for record in records}}
                for record in records:
                    self._connection.execute(
                        "INSERT INTO records (topic, offset, key, headers, value, appended_at) VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            record.topic,
                            offsets[record.topic],
                            record.key,
                            json.dumps(dict(record.headers)),
                            record.value,
                            now,
                        ),
                    )
                    offsets[record.topic] += 1
                self._connection.executemany(
                    "INSERT INTO topics VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET next_offset = excluded.next_offset",
                    offsets.items(),
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def _next_offset(self, topic: str) -> int:
        row = self._connection.execute("SELECT next_offset FROM topics WHERE topic = ?", (topic,)).fetchone()
        return row[0] if row else 0

    def topics(self) -> list[str]:
        """Return the names of the topics that hold records."""
        with self._lock:
            return [row[0] for row in self._connection.execute("SELECT topic FROM topics ORDER BY topic")]

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> list[Stored]:
        """Return up to ``limit`` records of a topic's one partition, without a group."""
        with self._lock:
            return [stored for _, stored in _read(self._connection, topic, offsets.get(_PARTITION, 0), limit)]

    def offsets_at(self, topic: str, at_s: float) -> dict[int, int]:
        """Return the first offset appended at ``at_s`` or later."""
        with self._lock:
            end = self._next_offset(topic)
            if at_s == math.inf:
                return {_PARTITION: end}
            query = "SELECT min(offset) FROM records WHERE topic = ? AND appended_at >= ?"
            found = self._connection.execute(query, (topic, at_s)).fetchone()[0]
        return {_PARTITION: end if found is None else found}

    def consumer(self, group: str, topics: Sequence[str]) -> "SqliteConsumer":
        """Join a group; the embedded log has one consumer per group."""
        return SqliteConsumer(self._path, group, topics)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the offset at which a group goes on."""
        query = "SELECT next_offset FROM positions WHERE consumer_group = ? AND topic = ?"
        with self._lock:
            row = self._connection.execute(query, (group, topic)).fetchone()
        return {_PARTITION: row[0]} if row else {}

    def rewind(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Let a group go on elsewhere; its consumer sees it at its next poll."""
        with self._lock:
            _save_positions(self._connection, group, [(topic, offset) for offset in offsets.values()])

    def trouble(self, group: str, heard: Sequence[str], said: Sequence[str]) -> RadloopError | None:
        """Find none: the file is open and has whatever topic is appended to."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class SqliteConsumer:
    """The one reader of a group."""

    def __init__(self, path: Path, group: str, topics: Sequence[str]) -> None:
        self._connection = _connect(path)
        self._group, self._topics = group, tuple(topics)
        self._committed = self._saved()
        self._next = dict(self._committed)
        self._version = -1

    def _saved(self) -> dict[str, int]:
        query = "SELECT topic, next_offset FROM positions WHERE consumer_group = ?"
        saved = dict(self._connection.execute(query, (self._group,)).fetchall())
        return {topic: saved.get(topic, 0) for topic in self._topics}

    def _follow_rewinds(self) -> None:
        for topic, place in self._saved().items():
            if place != self._committed[topic]:
                self._next[topic] = self._committed[topic] = place

    def poll(self, timeout_s: float) -> list[Stored]:
        """Return the next records in the order the log took them, waiting at most ``timeout_s`` for the first."""
        deadline = time.monotonic() + timeout_s
        while True:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._follow_rewinds()
                found = sorted(
                    (
                        row
                        for topic in self._topics
                        for row in _read(self._connection, topic, self._next[topic], _BATCH)
                    ),
                    key=lambda row: row[0],
                )[:_BATCH]
                if found:
                    for _, stored in found:
                        self._next[stored.record.topic] = stored.offset + 1
                    return [stored for _, stored in found]
                self._version = version  # nothing new at this version: read again when it changes
            if time.monotonic() >= deadline:
                return []
            time.sleep(_WATCH_S)

    def holds(self, stored: Stored) -> bool:
        """Return true: there is no other replica."""
        return True

    def commit(self, handled: Sequence[Stored]) -> None:
        """Remember the place after these records, unless somebody rewound the group meanwhile."""
        places = {stored.record.topic: stored.offset + 1 for stored in handled}
        self._connection.executemany(
            f"{_SAVE} WHERE positions.next_offset = ?",
            [(self._group, topic, offset, self._committed[topic]) for topic, offset in places.items()],
        )
        saved = self._saved()
        self._committed |= {topic: offset for topic, offset in places.items() if saved[topic] == offset}

    def lag(self) -> dict[str, int]:
        """Return the number of records not yet committed, by topic."""
        ends = dict(self._connection.execute("SELECT topic, next_offset FROM topics").fetchall())
        return {topic: ends.get(topic, 0) - self._committed[topic] for topic in self._topics}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _read(connection: sqlite3.Connection, topic: str, offset: int, limit: int) -> list[tuple[int, Stored]]:
    rows = connection.execute(
        "SELECT id, offset, key, headers, value, appended_at FROM records WHERE topic = ? AND offset >= ?"
        " ORDER BY offset LIMIT ?",
        (topic, offset, limit),
    )
    return [
        (row[0], Stored(Record(topic=topic, key=row[2], value=row[4], headers=json.loads(row[3])), row[1], row[5]))
        for row in rows
    ]


def _save_positions(connection: sqlite3.Connection, group: str, places: Iterable[tuple[str, int]]) -> None:
    connection.executemany(_SAVE, [(group, topic, offset) for topic, offset in places])
