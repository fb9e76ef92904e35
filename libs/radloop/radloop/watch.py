"""Looks at the event log beside everything else: a service that cannot reach it waits, and ``/readyz`` says why."""

import threading
from collections.abc import Callable

from radloop.errors import RadloopError
from radloop.events.port import EventLog, dead_letter_topic
from radloop.telemetry import EVENT_LOG_TROUBLE, logger
from radloop.wire import Wire

log = logger(__name__)

SOON_S = 2.0
LATER_S = 15.0


class EventLogWatch:
    """Knows why a service cannot work with its event log, and whether it ever could.

    Parameters
    ----------
    event_log : EventLog
    wire : Wire
        What the service hears and says; it must have the rights to both.
    """

    name = "event-log-watch"

    def __init__(self, event_log: EventLog, wire: Wire) -> None:
        self._log, self._wire = event_log, wire
        self._looking = threading.Lock()
        self._looked = self._worked_once = False
        self._trouble: RadloopError | None = None

    def step(self) -> bool:
        """Look once; always returns False: there is never more to look at right away."""
        letters = [dead_letter_topic(topic, self._wire.group) for topic in self._wire.topics]
        trouble = self._log.trouble(self._wire.group, self._wire.topics, [*self._wire.said, *letters])
        if trouble is not None and str(trouble) != str(self._trouble or ""):
            log.warning("event log cannot be used, waiting for it", **trouble.as_dict())
        elif trouble is None and self._trouble is not None:
            log.info("event log can be used again")
        EVENT_LOG_TROUBLE.set(trouble is not None)
        self._trouble, self._looked = trouble, True
        self._worked_once = self._worked_once or trouble is None
        return False

    def pause(self, wait: Callable[[float], object]) -> None:
        """Wait until it is time to look again."""
        wait(LATER_S if self._trouble is None else SOON_S)

    def check(self) -> bool | str:
        """Whether the log could be used, now or before, else why not.

        A service whose log goes away later stays ready: people work on, and what it says waits in its outbox.
        """
        with self._looking:
            if not self._looked:
                self.step()
        return True if self._worked_once or self._trouble is None else str(self._trouble)
