"""The event log: append, read, and consume by group. `RADLOOP_EVENTS_URL` chooses the engine."""

from radloop.errors import PermanentError
from radloop.events.port import Consumer, EventLog, Stored, dead_letter_topic
from radloop.events.reading import read_on
from radloop.events.sqlite import SqliteEventLog

__all__ = ["Consumer", "EventLog", "Stored", "dead_letter_topic", "open_event_log", "read_on"]


def open_event_log(url: str) -> EventLog:
    """Open the event log at ``sqlite:///<file>`` or ``kafka://<host>:<port>``; Kafka may be away at that time.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme.
    """
    if url.startswith("sqlite:///"):
        return SqliteEventLog(url.removeprefix("sqlite:///"))
    if url.startswith("kafka://"):
        # Half a second that a platform with the embedded log need not wait for.
        from radloop.events.kafka import KafkaAddress, KafkaEventLog

        return KafkaEventLog(KafkaAddress.parse(url))
    raise PermanentError(
        "events-url-unknown",
        expected="sqlite:///<file> or kafka://<host>:<port>",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_EVENTS_URL",
    )
