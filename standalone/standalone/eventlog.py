"""Reads the event log of a platform for people: payloads by their contracts, dead letters with their reasons."""

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from radloop.contracts.topics import TOPICS
from radloop.errors import NotFound
from radloop.events import EventLog, Stored, dead_letter_topic, open_event_log, read_on
from radloop.messages import Record
from standalone.layout import Layout

DEAD_LETTERS = ".dlq"
_REPLAYED_BY = "radloop-dlq"
_REASON_HEADERS = ("dlq_reason", "dlq_topic", "dlq_group")

Places = dict[str, dict[int, int]]
"""Next offset, by topic and partition."""


def open_log(layout: Layout) -> EventLog:
    """Open the event log of a data folder: an embedded one whether its platform runs or not, Kafka while it runs.

    Raises
    ------
    NotFound
        There is none.
    """
    if layout.engines is None and not layout.events_file.exists():
        raise NotFound(
            "no-event-log",
            expected=f"an event log in {layout.folder}",
            got="none",
            do=f"start a platform there first: radloop up --data {layout.folder}",
        )
    return open_event_log(layout.events_url)


def original_topic(topic: str) -> str:
    """Return the topic whose events a topic holds: itself, or the one its dead letters come from."""
    return topic.split(".", 1)[0]


def payload_of(record: Record) -> dict[str, Any]:
    """Read a payload by its contract; bytes that are no such payload are said to be so, not hidden."""
    known = TOPICS.get(original_topic(record.topic))
    if known is None:
        return {"unreadable": f"no contract for the topic {record.topic}"}
    try:
        event = known.event.FromString(record.value)
    except DecodeError:
        return {"unreadable": f"{len(record.value)} bytes that are no {known.event.DESCRIPTOR.name}"}
    return MessageToDict(event, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def as_dict(stored: Stored) -> dict[str, Any]:
    """Write a stored event as plain values."""
    record = stored.record
    return {
        "topic": record.topic,
        "offset": stored.offset,
        "key": record.key,
        "headers": dict(record.headers),
        "payload": payload_of(record),
    }


def read_new(log: EventLog, places: Places, only: str | None = None) -> list[Stored]:
    """Read what has come since the last call, in the order it came; ``places`` is moved on.

    Parameters
    ----------
    log
        The event log.
    places
        Next offset of each partition of each topic; what is not in it begins at its start.
    only
        Read this topic alone.
    """
    found = []
    for topic in [only] if only else log.topics():
        found.extend(read_on(log, topic, places.setdefault(topic, {})))
    return sorted(found, key=lambda stored: stored.appended_at)


@dataclass(frozen=True)
class DeadLetter:
    """An event that a service could not handle, with the reason."""

    stored: Stored
    topic: str
    group: str
    reason: str
    waits: bool
    """Whether it was not replayed yet."""


def dead_letters(log: EventLog) -> list[DeadLetter]:
    """List every dead letter, replayed ones too, by topic and age."""
    letters = []
    for topic in log.topics():
        if not topic.endswith(DEAD_LETTERS):
            continue
        replayed = log.committed(_REPLAYED_BY, topic)
        for stored in read_on(log, topic, {}):
            headers = stored.record.headers
            letters.append(
                DeadLetter(
                    stored,
                    topic=headers.get("dlq_topic", original_topic(topic)),
                    group=headers.get("dlq_group", topic.removesuffix(DEAD_LETTERS).partition(".")[2]),
                    reason=headers.get("dlq_reason", ""),
                    waits=stored.offset >= replayed.get(stored.partition, 0),
                )
            )
    return letters


def replay(log: EventLog, topic: str | None = None, group: str | None = None) -> list[DeadLetter]:
    """Put dead letters back into their topic, with their bytes, key and headers as they were.

    Only the service that could not handle an event acts on it: it has no inbox row for it, all others have one. A letter
    is replayed once; if it fails again, it is a new dead letter.

    Parameters
    ----------
    log
        The event log.
    topic, group
        Only letters of this topic, or of this service.
    """
    chosen = [
        letter
        for letter in dead_letters(log)
        if letter.waits and topic in (None, letter.topic) and group in (None, letter.group)
    ]
    by_place: dict[str, list[DeadLetter]] = {}
    for letter in chosen:
        by_place.setdefault(dead_letter_topic(letter.topic, letter.group), []).append(letter)
    for place, letters in by_place.items():
        log.append([_original(letter) for letter in letters])
        log.rewind(_REPLAYED_BY, place, {each.stored.partition: each.stored.offset + 1 for each in letters})
    return chosen


def _original(letter: DeadLetter) -> Record:
    record = letter.stored.record
    headers = {name: value for name, value in record.headers.items() if name not in _REASON_HEADERS}
    return Record(topic=letter.topic, key=record.key, value=record.value, headers=headers)


def line_of(stored: Stored) -> str:
    """Write an event as one line: when, topic, key, and the payload's plain fields."""
    payload = payload_of(stored.record)
    words = [
        f"{name}={_brief(value)}" for name, value in payload.items() if not isinstance(value, (dict, list)) and value
    ]
    words += [f"{name}{_listed(value)}" for name, value in payload.items() if isinstance(value, list) and value]
    when = stored.record.headers.get("ce_time", "")[11:19]
    return f"{when} {stored.record.topic:<20} {' '.join(words)}"


def _listed(values: list[Any]) -> str:
    """Name a few words, such as reasons; count anything longer."""
    if len(values) <= 3 and all(isinstance(value, str) for value in values):
        return f"={','.join(values)}"
    return f"[{len(values)}]"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else f"{text.removeprefix('sha256:')[:12]}…"
