"""One replica of a group on Kafka. Its client polls in a thread of its own, so that a long handler never leaves the group."""

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import IllegalStateError, KafkaError
from kafka.structs import OffsetAndMetadata

from radloop.errors import RadloopError
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.clients import make_client
from radloop.events.kafka.records import stored_of
from radloop.events.port import Stored
from radloop.telemetry import logger

log = logger(__name__)

_BATCH = 100
_WAIT_MS = 100
_COMMIT_EVERY_S = 0.1
_LOOK_AT_ENDS_EVERY_S = 5.0
_RETRY_S = 1.0
_CLOSE_S = 10.0
# A partition with so many records here is paused, and goes on when half of them are handled.
_MOST_RECORDS = 1000
_OPTIONS = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",  # the mirror writes in transactions
    "allow_auto_create_topics": False,
    # All that a fetch brought. What a poll leaves of a partition that is paused then is put aside by the client, and stays
    # there for ever if an empty answer of another partition came in between (kafka-python 3.0.12, Fetcher.fetched_records).
    "max_poll_records": 1_000_000,
    "partition_assignment_strategy": [CooperativeStickyAssignor],  # what does not move goes on meanwhile
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 2_000,
    # A member that joined before its broker knew the topic holds no partition until it looks again.
    "metadata_max_age_ms": 5_000,
}


class KafkaGroupConsumer(ConsumerRebalanceListener):
    """Reads some topics as a member of a group; see `radloop.events.port.Consumer`.

    Parameters
    ----------
    address : KafkaAddress
        May be away: then it is tried again for as long as it lasts.
    group : str
    topics : sequence of str

    Notes
    -----
    What was polled is *held* until it is committed. When a partition goes to another replica, what is held or queued of it
    is dropped; the record a handler is at is finished, and its commit is no more. The other replica reads it again: the
    inbox, written with the effect, makes one of the two a repeat.
    """

    def __init__(self, address: KafkaAddress, group: str, topics: Sequence[str]) -> None:
        self._address, self._group, self._topics = address, group, tuple(topics)
        self._changed = threading.Condition()
        self._queue: deque[Stored] = deque()
        self._here: Counter[TopicPartition] = Counter()
        """How many records of each partition are queued or held."""
        self._held: dict[TopicPartition, set[int]] = {}
        """Offsets polled and not yet committed, of each partition that is ours."""
        self._next: dict[TopicPartition, int] = {}
        """Where each partition goes on when all that was handled is committed."""
        self._due: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float) -> list[Stored]:
        """Return the next records of the partitions that are ours, waiting at most ``timeout_s`` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing.is_set(), timeout_s)
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            for stored in batch:
                self._held[_place(stored)].add(stored.offset)
        return batch

    def holds(self, stored: Stored) -> bool:
        """Whether a polled record is still ours to handle."""
        with self._changed:
            return stored.offset in self._held.get(_place(stored), ())

    def commit(self, handled: Sequence[Stored]) -> None:
        """Remember the places after these records, and tell Kafka within a fraction of a second."""
        with self._changed:
            for stored in handled:
                place = _place(stored)
                if stored.offset in self._held.get(place, ()):
                    self._held[place].remove(stored.offset)
                    self._here[place] -= 1
                    self._next[place] = self._due[place] = stored.offset + 1

    def lag(self) -> dict[str, int]:
        """Return the number of records not yet handled, by topic, in the partitions that are ours."""
        found = dict.fromkeys(self._topics, 0)
        with self._changed:
            for place, end in self._ends.items():
                found[place.topic] += max(0, end - self._next.get(place, end))
        return found

    def close(self) -> None:
        """Commit what was handled and leave the group."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Take partitions over; called by the client."""
        with self._changed:
            for place in assigned:
                self._held[place] = set()

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Drop what is here of partitions that go to another replica; called by the client."""
        gone = set(revoked)
        with self._changed:
            self._queue = deque(stored for stored in self._queue if _place(stored) not in gone)
            for place in gone:
                for known in (self._held, self._here, self._next, self._due, self._ends):
                    known.pop(place, None)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._read_until_closed()
            except (KafkaError, RadloopError, OSError):
                # The service's own look at the log says why, once; here it would be said every second.
                log.debug("kafka is away, trying again", group=self._group, wait_s=_RETRY_S)
            except Exception as error:
                log.error("kafka client failed, making another", cause=error, group=self._group, wait_s=_RETRY_S)
            self.on_partitions_revoked(list(self._held))
            self._closing.wait(_RETRY_S)

    def _read_until_closed(self) -> None:
        consumer = make_client(KafkaConsumer, self._address, **_OPTIONS, group_id=self._group)
        _finish_joins(consumer)
        try:
            consumer.subscribe(self._topics, listener=self)
            commit_at = look_at = 0.0
            while not self._closing.is_set():
                self._pause_and_resume(consumer)
                self._take(consumer.poll(timeout_ms=_WAIT_MS))
                now = time.monotonic()
                if now >= commit_at:
                    self._commit(consumer)
                    commit_at = now + _COMMIT_EVERY_S
                if now >= look_at:
                    self._look_at_ends(consumer)
                    look_at = now + _LOOK_AT_ENDS_EVERY_S
            if due := self._take_due():
                consumer.commit(_offsets(due), timeout_ms=3_000)
        finally:
            consumer.close(autocommit=False, timeout_ms=3_000)

    def _take(self, found: dict[TopicPartition, list[Any]]) -> None:
        if not found:
            return
        with self._changed:
            for place, records in found.items():
                if place in self._held and records:
                    self._queue.extend(stored_of(each) for each in records)
                    self._here[place] += len(records)
                    self._next.setdefault(place, records[0].offset)
                    self._ends[place] = max(self._ends.get(place, 0), records[-1].offset + 1)
            self._changed.notify_all()

    def _pause_and_resume(self, consumer: KafkaConsumer) -> None:
        paused = consumer.paused()
        for place in consumer.assignment():
            here = self._here.get(place, 0)
            if place in paused and here <= _MOST_RECORDS // 2:
                consumer.resume(place)
            elif place not in paused and here >= _MOST_RECORDS:
                consumer.pause(place)

    def _take_due(self) -> dict[TopicPartition, int]:
        with self._changed:
            due, self._due = self._due, {}
        return due

    def _commit(self, consumer: KafkaConsumer) -> None:
        if due := self._take_due():
            consumer.commit_async(_offsets(due), callback=lambda _, answer: self._after_commit(due, answer))

    def _after_commit(self, due: dict[TopicPartition, int], answer: Any) -> None:
        if isinstance(answer, Exception):
            with self._changed:
                for place, offset in due.items():
                    if place in self._held:
                        self._due.setdefault(place, offset)

    def _look_at_ends(self, consumer: KafkaConsumer) -> None:
        ours = list(consumer.assignment())
        if not ours:
            return
        try:
            ends = consumer.end_offsets(ours, timeout_ms=2_000)
            places = {place: consumer.position(place, timeout_ms=500) for place in ours if place not in self._next}
        except (KafkaError, IllegalStateError):
            return  # a broker is away, or a partition went to another replica: the next look is soon
        with self._changed:
            for place, end in ends.items():
                if place in self._held:
                    self._ends[place] = max(end, self._ends.get(place, 0))
                    if places.get(place) is not None:
                        self._next.setdefault(place, places[place])


def _place(stored: Stored) -> TopicPartition:
    return TopicPartition(stored.record.topic, stored.partition)


def _offsets(due: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {place: OffsetAndMetadata(offset, "", -1) for place, offset in due.items()}


def _finish_joins(consumer: KafkaConsumer) -> None:
    """Let a client that is at joining its group go on with it in the next poll.

    kafka-python 3.0.12 begins to join again when topics change, and forgets it when the poll ends after it was told its part
    and before it had it: it says it is a member, and the group has lost it. Kafka's own client asks
    ``rejoinNeededOrPending``.
    """
    coordinator = consumer._coordinator
    need_rejoin = coordinator.need_rejoin
    coordinator.need_rejoin = lambda: coordinator.rejoining or need_rejoin()
