"""What the platform needs of an event log, whatever its engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from radloop.messages import Record


@dataclass(frozen=True, slots=True)
class Stored:
    """A record at its place in the log."""

    record: Record
    offset: int
    appended_at: float
    """Seconds since the epoch at which the log took it."""


class Consumer(Protocol):
    """One group's reader of some topics; at least once, in order per key."""

    def poll(self, timeout_s: float) -> list[Stored]:
        """Return the next records, waiting at most ``timeout_s`` for the first."""
        ...

    def commit(self, handled: Sequence[Stored]) -> None:
        """Remember that these records need not be delivered to the group again."""
        ...

    def lag(self) -> dict[str, int]:
        """Return the number of records not yet committed, by topic."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class EventLog(Protocol):
    """Topics of records with offsets, kept for replay."""

    def append(self, records: Sequence[Record]) -> None:
        """Append records in order, durably: all or none."""
        ...

    def topics(self) -> list[str]:
        """Return the names of the topics that hold records."""
        ...

    def read(self, topic: str, offset: int, limit: int) -> list[Stored]:
        """Return up to ``limit`` records of a topic from ``offset`` on, without a group."""
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group. It begins at what it committed, else at the start of each topic."""
        ...

    def rewind(self, group: str, topic: str, offset: int) -> None:
        """Let a group read a topic again from ``offset``; its inbox keeps repeats harmless."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
