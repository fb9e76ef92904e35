"""The event log of a cluster as lines of JSON, and back into a new cluster, where offsets begin anew.

An embedded log is copied as the file it is. A cluster's is read through the port: every record kept, dead letters too, and
where each group stands. In the new cluster a group goes on with the first record it had not handled; where that cannot be
said exactly, with an earlier one, for the inbox makes repeats harmless.
"""

import base64
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from radloop.contracts.topics import TOPICS
from radloop.errors import PermanentError
from radloop.events import EventLog, Stored
from radloop.messages import Record
from standalone.eventlog import original_topic

_BATCH = 1000

Places = dict[str, dict[int, int]]
"""Offset by topic and partition."""


@dataclass(frozen=True)
class Mark:
    """The log at one moment.

    Attributes
    ----------
    groups
        Offset at which each group goes on.
    ends
        Offset after the last record.
    """

    groups: dict[str, Places]
    ends: Places


def mark(log: EventLog, groups: Iterable[str]) -> Mark:
    """Note where the groups stand, then where the log ends: what a group has handled is before the end then."""
    topics = [topic for topic in log.topics() if original_topic(topic) in TOPICS]
    positions = {
        group: {topic: places for topic in topics if (places := log.committed(group, topic))} for group in groups
    }
    return Mark(positions, {topic: log.offsets_at(topic, math.inf) for topic in topics})


def save_events(log: EventLog, at: Mark, plain: IO[bytes]) -> dict[str, int]:
    """Write the mark's groups and every record before its ends; return the number of records by topic."""
    plain.write(_line({"groups": at.groups}))
    counts = {}
    for topic, ends in at.ends.items():
        counts[topic] = 0
        for stored in _read_until(log, topic, ends):
            plain.write(_line(_plain_of(stored)))
            counts[topic] += 1
    return counts


def load_events(log: EventLog, plain: IO[bytes]) -> dict[str, int]:
    """Append everything that `save_events` wrote to an empty log, and let the groups go on where they were.

    Raises
    ------
    PermanentError
        ``events-not-restored``: the log was not empty, or somebody else appends to it.
    """
    groups: dict[str, dict[str, dict[str, int]]] = json.loads(plain.readline())["groups"]
    old: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    batch: list[Record] = []
    for line in plain:
        value = json.loads(line)
        record = Record(value["topic"], value["key"], base64.b64decode(value["value"]), value["headers"])
        old[record.topic][record.key].append((value["partition"], value["offset"]))
        batch.append(record)
        if len(batch) == _BATCH:
            log.append(batch)
            batch = []
    log.append(batch)
    for topic, by_key in old.items():
        places = _places_of(log, topic, by_key)
        for group, positions in groups.items():
            if topic in positions:
                committed = {int(partition): offset for partition, offset in positions[topic].items()}
                log.rewind(group, topic, _position(places, committed))
    return {topic: sum(map(len, by_key.values())) for topic, by_key in old.items()}


def _places_of(
    log: EventLog, topic: str, by_key: dict[str, list[tuple[int, int]]]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return (old place, new place) of every record: those of one key are in the same order in both."""
    waiting = {key: iter(places) for key, places in by_key.items()}
    found = []
    for stored in _read_until(log, topic, log.offsets_at(topic, math.inf)):
        before = next(waiting.get(stored.record.key, iter(())), None)
        if before is None:
            raise _not_restored(topic)
        found.append((before, (stored.partition, stored.offset)))
    if len(found) != sum(map(len, by_key.values())):
        raise _not_restored(topic)
    return found


def _position(places: list[tuple[tuple[int, int], tuple[int, int]]], committed: dict[int, int]) -> dict[int, int]:
    """Return, by new partition, the first record that was not handled, or the place after the last."""
    found: dict[int, int] = {}
    ends: dict[int, int] = {}
    for (partition, offset), (new_partition, new_offset) in places:
        ends[new_partition] = max(ends.get(new_partition, 0), new_offset + 1)
        if offset >= committed.get(partition, 0):
            found[new_partition] = min(found.get(new_partition, new_offset), new_offset)
    return ends | found


def _read_until(log: EventLog, topic: str, ends: dict[int, int]) -> Iterator[Stored]:
    places: dict[int, int] = {}
    # A compacted topic may end in a gap: then the read that brings nothing ends it.
    while any(places.get(partition, 0) < end for partition, end in ends.items()):
        batch = log.read(topic, places, _BATCH)
        if not batch:
            return
        for stored in batch:
            places[stored.partition] = stored.offset + 1
            if stored.offset < ends.get(stored.partition, 0):
                yield stored


def _plain_of(stored: Stored) -> dict[str, Any]:
    record = stored.record
    return {
        "topic": record.topic,
        "partition": stored.partition,
        "offset": stored.offset,
        "key": record.key,
        "headers": dict(record.headers),
        "value": base64.b64encode(record.value).decode("ascii"),
    }


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _not_restored(topic: str) -> PermanentError:
    return PermanentError(
        "events-not-restored",
        expected=f"an empty log, and nobody who appends to {topic}",
        got="other records",
        do="restore into a new folder",
    )
