"""The event log: append, read, and consume by group. `RADLOOP_EVENTS_URL` chooses the engine."""

from radloop.errors import PermanentError
from radloop.events.port import Consumer, EventLog, Stored
from radloop.events.sqlite import SqliteEventLog

__all__ = ["Consumer", "EventLog", "Stored", "open_event_log"]


def open_event_log(url: str) -> EventLog:
    """Open the event log at ``sqlite:///<file>``.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme.
    """
    if url.startswith("sqlite:///"):
        return SqliteEventLog(url.removeprefix("sqlite:///"))
    raise PermanentError(
        "events-url-unknown",
        expected="sqlite:///<file>",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_EVENTS_URL",
    )
