"""The envelope every event travels in, and the base of all messages.

CloudEvents 1.0, Kafka protocol binding, binary mode: attributes are ``ce_*`` headers, the body is the protobuf payload.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from radloop.errors import PermanentError

CONTENT_TYPE = "application/protobuf"
TYPE_PREFIX = "io.radloop."
TYPE_SUFFIX = ".v1"


class Message:
    """Base of all commands and events; subclasses are frozen dataclasses in a service's ``domain/messages.py``."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in the event log.

    Attributes
    ----------
    topic, key : str
        Topic and partitioning key.
    value : bytes
        Protobuf payload.
    headers : Mapping[str, str]
        CloudEvents attributes and ``content-type``.
    """

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Envelope:
    """CloudEvents attributes of one event.

    ``correlation_id`` names the whole story (one study's way through every topic), ``causation_id`` the event or command
    that led to this one. ``traceparent`` follows W3C Trace Context.
    """

    id: str
    type: str
    source: str
    time: str
    subject: str
    correlation_id: str
    causation_id: str
    traceparent: str = field(default="")

    @classmethod
    def new(cls, topic: str, *, source: str, subject: str, cause: "Envelope | None" = None) -> "Envelope":
        """Make the envelope of a new event, continuing the story of its cause."""
        event_id = str(uuid.uuid4())
        trace_id = cause.traceparent.split("-")[1] if cause and cause.traceparent else os.urandom(16).hex()
        return cls(
            id=event_id,
            type=f"{TYPE_PREFIX}{topic}{TYPE_SUFFIX}",
            source=source,
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            subject=subject,
            correlation_id=cause.correlation_id if cause else event_id,
            causation_id=cause.id if cause else event_id,
            traceparent=f"00-{trace_id}-{os.urandom(8).hex()}-01",
        )

    def headers(self) -> dict[str, str]:
        """Return the record headers of the binary mode."""
        return {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_time": self.time,
            "ce_subject": self.subject,
            "ce_correlationid": self.correlation_id,
            "ce_causationid": self.causation_id,
            "traceparent": self.traceparent,
            "content-type": CONTENT_TYPE,
        }

    @classmethod
    def of(cls, record: Record) -> "Envelope":
        """Read the envelope of a record.

        Raises
        ------
        PermanentError
            When a required CloudEvents attribute is missing.
        """
        headers = record.headers
        missing = [name for name in ("ce_id", "ce_type", "ce_source") if not headers.get(name)]
        if missing:
            raise PermanentError(
                "envelope-incomplete",
                expected="CloudEvents headers ce_id, ce_type, ce_source",
                got=f"a record without {', '.join(missing)}",
                do="mend the producer; the record is in the dead letters",
            )
        return cls(
            id=headers["ce_id"],
            type=headers["ce_type"],
            source=headers["ce_source"],
            time=headers.get("ce_time", ""),
            subject=headers.get("ce_subject", ""),
            correlation_id=headers.get("ce_correlationid", headers["ce_id"]),
            causation_id=headers.get("ce_causationid", headers["ce_id"]),
            traceparent=headers.get("traceparent", ""),
        )
