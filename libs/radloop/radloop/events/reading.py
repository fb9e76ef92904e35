"""Reads a topic to its end, a batch at a time."""

from collections.abc import Iterator

from radloop.events.port import EventLog, Stored

_BATCH = 500


def read_on(log: EventLog, topic: str, offsets: dict[int, int]) -> Iterator[Stored]:
    """Yield what a topic holds from ``offsets`` (by partition; ``{}``: from the start) on, which are moved on."""
    while batch := log.read(topic, offsets, _BATCH):
        for stored in batch:
            offsets[stored.partition] = stored.offset + 1
            yield stored
