"""Maps between our records and Kafka's bytes. Bytes that are no UTF-8 survive both ways, so that nothing foreign is lost."""

from typing import Any

from radloop.events.port import Stored
from radloop.messages import Record


def to_bytes(text: str) -> bytes:
    """Encode a key or a header's value."""
    return text.encode("utf-8", "surrogateescape")


def headers_of(record: Record) -> list[tuple[str, bytes]]:
    """Return a record's headers for `kafka-python`."""
    return [(name, to_bytes(value)) for name, value in record.headers.items()]


def stored_of(found: Any) -> Stored:
    """Read a ``ConsumerRecord``; of a header that is there twice the last counts, what is null is empty."""
    headers = {name: _text(value) for name, value in found.headers}
    record = Record(topic=found.topic, key=_text(found.key), value=found.value or b"", headers=headers)
    return Stored(record, found.offset, found.timestamp / 1000, found.partition)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "surrogateescape")
