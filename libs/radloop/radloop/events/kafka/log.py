"""The event log on Kafka: appends by one idempotent producer, reads without a group, asks about groups and offsets."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec
from kafka.errors import KafkaError, NoError
from kafka.structs import OffsetAndMetadata

from radloop.errors import Conflict, RadloopError, Unavailable
from radloop.events.kafka.access import lacking
from radloop.events.kafka.address import KafkaAddress
from radloop.events.kafka.clients import ask_coordinator, make_client, unavailable
from radloop.events.kafka.consumer import KafkaGroupConsumer
from radloop.events.kafka.probe import probe
from radloop.events.kafka.records import headers_of, stored_of, to_bytes
from radloop.events.port import Stored
from radloop.events.topics import LARGEST_RECORD_BYTES
from radloop.messages import Record

_DELIVERED_WITHIN_S = 30.0
_READ_WITHIN_S = 10.0
_REWIND_TRIES = 20
_PRODUCER = {
    "metrics_enabled": False,
    "acks": "all",
    "enable_idempotence": True,
    "allow_auto_create_topics": False,
    # Nobody waits for it: whoever appends flushes.
    "linger_ms": 5,
    "batch_size": 128 * 1024,
    "max_block_ms": 10_000,
    "delivery_timeout_ms": int(_DELIVERED_WITHIN_S * 1000),
    "max_request_size": LARGEST_RECORD_BYTES,
}
_READER = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
}


class KafkaEventLog:
    """Event log of a cluster, which may be away when this is made; see `radloop.events.port.EventLog`.

    Parameters
    ----------
    address : KafkaAddress
    """

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._admin = _Kept(lambda: make_client(KafkaAdminClient, address))
        self._reader = _Kept(lambda: make_client(KafkaConsumer, address, **_READER))

    def append(self, records: Sequence[Record]) -> None:
        """Append records in order of each partition, and return when all in-sync replicas have them.

        Raises
        ------
        Unavailable
            What is there is the beginning of each partition's records, never a later one without an earlier one.
        """
        if not records:
            return
        producer = None
        try:
            producer = self._open_producer()
            sent = [_send(producer, record) for record in records]
            producer.flush(_DELIVERED_WITHIN_S + 2)
            for future in sent:
                future.get(timeout=0)
        except (KafkaError, OSError) as error:
            if producer is not None:
                self._forget_producer(producer)
            raise unavailable(self._address, error) from error

    def _open_producer(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                self._producer = make_client(KafkaProducer, self._address, **_PRODUCER)
            return self._producer

    def _forget_producer(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        _abort(producer)

    def topics(self) -> list[str]:
        """Return the names of the topics that hold records."""
        with self._asking(self._admin) as admin:
            places = [
                TopicPartition(topic["name"], partition["partition_index"])
                for topic in admin.describe_topics()
                if not topic["is_internal"]
                for partition in topic["partitions"]
            ]
            starts = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST)) if places else {}
            ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST)) if places else {}
        return sorted({place.topic for place in places if ends[place].offset > starts[place].offset})

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> list[Stored]:
        """Return up to ``limit`` records of a topic, in order of each partition, without a group."""
        with self._asking(self._reader) as reader:
            places = _places(reader, topic)
            reader.assign(places)
            for place in places:
                if place.partition in offsets:
                    reader.seek(place, offsets[place.partition])
                else:
                    reader.seek_to_beginning(place)
            ends = reader.end_offsets(places) if places else {}
            found: list[Stored] = []
            deadline = time.monotonic() + _READ_WITHIN_S
            while len(found) < limit and any(reader.position(place) < ends[place] for place in places):
                batch = reader.poll(timeout_ms=500, max_records=limit - len(found))
                found.extend(stored_of(each) for records in batch.values() for each in records)
                if batch:
                    deadline = time.monotonic() + _READ_WITHIN_S
                elif time.monotonic() > deadline:
                    raise Unavailable(
                        "event-log-slow",
                        expected=f"records of {topic} within {_READ_WITHIN_S:.0f} s",
                        got="none",
                        do="look at the brokers",
                    )
            return found

    def offsets_at(self, topic: str, at_s: float) -> dict[int, int]:
        """Return, by partition, the first offset appended at ``at_s`` or later."""
        with self._asking(self._reader) as reader:
            places = _places(reader, topic)
            ends = reader.end_offsets(places) if places else {}
            if at_s == math.inf or not places:
                return {place.partition: end for place, end in ends.items()}
            found = reader.offsets_for_times({place: max(0, math.ceil(at_s * 1000)) for place in places})
            return {place.partition: found[place].offset if found.get(place) else end for place, end in ends.items()}

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaGroupConsumer:
        """Join a group as one of its replicas."""
        return KafkaGroupConsumer(self._address, group, topics)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return, by partition, the offset at which a group goes on."""
        with self._asking(self._admin) as admin:
            found = ask_coordinator(lambda: admin.list_group_offsets({group: None}))[group]
        return {
            place.partition: known.offset
            for place, known in found.items()
            if place.topic == topic and known.offset >= 0
        }

    def rewind(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Let a group go on elsewhere. Its members are sent away for a moment: Kafka moves no group that reads.

        Raises
        ------
        Conflict
            When members came back faster than the group could be moved, again and again.
        """
        places = {
            TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()
        }
        with self._asking(self._admin) as admin:
            for _ in range(_REWIND_TRIES if places else 0):
                answers = ask_coordinator(lambda: admin.alter_group_offsets(group, places))
                refused = {answer.__name__ for answer in answers.values() if answer is not NoError}
                if not refused:
                    return
                members = admin.describe_groups([group])[group]["members"]
                admin.remove_group_members(group, [MemberToRemove(member_id=each["member_id"]) for each in members])
        if places:
            raise Conflict(
                "group-active",
                expected=f"no member of the group {group} for a moment",
                got=", ".join(sorted(refused)),
                do=f"stop every replica of {group} and try again",
            )

    def trouble(self, group: str, heard: Sequence[str], said: Sequence[str]) -> RadloopError | None:
        """Look whether a service can work: brokers, certificates, user and password, topics, rights."""
        try:
            if found := probe(self._address):
                return found
            with self._asking(self._admin) as admin:
                return lacking(admin, self._address.user, group, heard, said)
        except RadloopError as error:
            return error

    def close(self) -> None:
        """Close all clients."""
        if self._producer is not None:
            self._forget_producer(self._producer)
        self._admin.close()
        self._reader.close()

    @contextmanager
    def _asking(self, kept: "_Kept") -> Iterator[Any]:
        try:
            with kept.client() as client:
                yield client
        except (KafkaError, OSError) as error:
            raise unavailable(self._address, error) from error


class _Kept:
    """A client made when first wanted, used by one thread at a time, and made anew after an error."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._lock, self._client = make, threading.Lock(), None

    @contextmanager
    def client(self) -> Iterator[Any]:
        with self._lock:
            try:
                self._client = self._client or self._make()
                yield self._client
            except (KafkaError, OSError):
                self._close()
                raise

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _send(producer: KafkaProducer, record: Record) -> Any:
    future = producer.send(record.topic, record.value, key=to_bytes(record.key), headers=headers_of(record))
    # Called in the producer's own thread, before it sends anything else: what follows a failed record must not overtake it.
    future.add_errback(lambda _: _abort(producer))
    return future


def _abort(producer: KafkaProducer) -> None:
    """Close a producer at once, whatever it still has to send."""
    producer._sender.force_close()  # close(timeout=0) flushes first, and gives up when that fails
    if threading.current_thread() is not producer._sender:
        producer.close(timeout=1)


def _places(reader: KafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in sorted(reader.partitions_for_topic(topic) or ())]
