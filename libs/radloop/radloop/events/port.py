"""What the platform needs of an event log, whatever its engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from radloop.errors import RadloopError
from radloop.messages import Record


def dead_letter_topic(topic: str, group: str) -> str:
    """Return the topic that keeps what ``group`` could not handle of ``topic``."""
    return f"{topic}.{group}.dlq"


@dataclass(frozen=True, slots=True)
class Stored:
    """A record at its place in the log."""

    record: Record
    offset: int
    appended_at: float
    """Seconds since the epoch at which the log took it."""
    partition: int = 0


class Consumer(Protocol):
    """One replica of a group as reader of some topics; at least once, in order per key."""

    def poll(self, timeout_s: float) -> list[Stored]:
        """Return the next records, waiting at most ``timeout_s`` for the first."""
        ...

    def holds(self, stored: Stored) -> bool:
        """Whether a polled record is still ours to handle: not once its partition went to another replica."""
        ...

    def commit(self, handled: Sequence[Stored]) -> None:
        """Remember, now or soon, that these records need not be delivered to the group again."""
        ...

    def lag(self) -> dict[str, int]:
        """Return the number of records not yet committed, by topic, in the partitions this replica reads."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class EventLog(Protocol):
    """Topics of records, in partitions with offsets, kept for replay. A record's key chooses its partition."""

    def append(self, records: Sequence[Record]) -> None:
        """Append records in order, durably.

        Raises
        ------
        TemporaryError
            Some may be there, in order: append all of them again. Readers know repeats by their ids.
        """
        ...

    def topics(self) -> list[str]:
        """Return the names of the topics that hold records."""
        ...

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> list[Stored]:
        """Return up to ``limit`` records of a topic, without a group.

        Parameters
        ----------
        topic : str
        offsets : Mapping[int, int]
            First offset wanted, by partition; a partition that is not named is read from its start.
        limit : int
        """
        ...

    def offsets_at(self, topic: str, at_s: float) -> dict[int, int]:
        """Return, by partition, the first offset appended at ``at_s`` (seconds since the epoch) or later.

        0 gives the start of each partition, infinity its end.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group. It begins at what it committed, else at the start of each topic."""
        ...

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return, by partition, the offset at which a group goes on; a partition it never committed is left out."""
        ...

    def rewind(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Let a group go on elsewhere, whether it reads now or not: by partition, the next offset it reads.

        What its replicas are at is finished; its inbox keeps repeats harmless.

        Raises
        ------
        Conflict
            When the engine cannot make its replicas let go.
        """
        ...

    def trouble(self, group: str, heard: Sequence[str], said: Sequence[str]) -> RadloopError | None:
        """Look whether a service can work with this log: reach it, sign in, read what it hears, write what it says."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
