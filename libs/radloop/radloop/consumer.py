"""The consumer loop: each event once, whatever dies when.

decode -> inbox? -> handler -> state + outbox + inbox in one transaction -> offset. What comes too early is parked, what is
temporary is tried again, what cannot be handled goes to the dead letters with its original bytes and the reason.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from radloop.crash import crash_point
from radloop.dispatch import Handler
from radloop.errors import NotYet, PermanentError, RadloopError, TemporaryError, Unavailable
from radloop.events.port import EventLog, Stored, dead_letter_topic
from radloop.messages import TYPE_PREFIX, TYPE_SUFFIX, Envelope, Record
from radloop.sql.database import Database
from radloop.sql.tables import messaging_tables
from radloop.telemetry import CONSUMER_LAG, EVENTS_HANDLED, HANDLER_SECONDS, PARKED, correlation_id, event_id, logger
from radloop.wire import Wire

log = logger(__name__)
_PARKED = messaging_tables(sa.MetaData()).parked

MAX_ATTEMPTS = 8
MAX_DELAY_S = 10.0
PARKED_RETRY_S = 30.0


class ConsumerLoop:
    """Delivers the events a service hears to its handlers.

    Parameters
    ----------
    event_log : EventLog
    database : Database
        The service's own.
    wire : Wire
    handlers : Mapping[type, Handler]
        Called as ``handler(message, uow)``.
    unit_of_work : callable
        Called as ``unit_of_work(cause=envelope)``.
    stop : threading.Event
        Ends a wait between two tries.
    """

    name = "consumer"

    def __init__(
        self,
        event_log: EventLog,
        database: Database,
        wire: Wire,
        handlers: Mapping[type, Handler],
        unit_of_work: Callable[..., Any],
        stop: threading.Event,
        *,
        first_delay_s: float = 0.1,
    ) -> None:
        self._log, self._database, self._wire = event_log, database, wire
        self._handlers, self._unit_of_work, self._stop = handlers, unit_of_work, stop
        self._first_delay_s = first_delay_s
        self._consumer = event_log.consumer(wire.group, wire.topics)
        self._waiting: deque[Stored] = deque()
        """Polled and not yet handled; what is left here by an error comes next."""
        self._retry_parked_at = 0.0
        self._woke = False
        """Whether an event just handled is what parked ones wait for; others' handlers may be, too, so each batch looks."""

    def step(self, timeout_s: float = 0.5) -> bool:
        """Handle what has come; return whether anything had."""
        if not self._waiting:
            self._waiting.extend(self._consumer.poll(timeout_s))
        busy = bool(self._waiting)
        handled: list[Stored] = []
        try:
            while self._waiting:
                stored = self._waiting[0]
                holds = partial(self._consumer.holds, stored)
                if holds():
                    if not self._deliver(stored.record, holds):
                        break  # stopping: what was not handled comes again
                    handled.append(stored)
                self._waiting.popleft()
                if self._woke:
                    self._deliver_parked()
            if handled:
                crash_point("after-handler")
        finally:
            self._consumer.commit(handled)
        self._deliver_parked()
        self._report_lag()
        return busy

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _deliver(self, record: Record, holds: Callable[[], bool]) -> bool:
        """Handle one record to its end, or until it is another replica's; return False when the service stops first."""
        try:
            envelope = Envelope.of(record)
            _require_known_type(envelope, record)
            message = self._wire.decode(record)
        except PermanentError as error:
            self._bury(record, error)
            return True
        tokens = correlation_id.set(envelope.correlation_id), event_id.set(envelope.id)
        delay_s, attempt = self._first_delay_s, 1
        try:
            while True:
                try:
                    self._handle(record, envelope, message)
                    return True
                except PermanentError as error:
                    self._bury(record, error)
                    return True
                except Exception as error:  # unknown errors are temporary, with a bound
                    wait_s = max(delay_s, error.delay_s) if isinstance(error, TemporaryError) else delay_s
                    log.error("event not handled, trying again", topic=record.topic, attempt=attempt, wait_s=wait_s)
                    EVENTS_HANDLED.labels(record.topic, "retried").inc()
                    if attempt >= MAX_ATTEMPTS and not isinstance(error, Unavailable):
                        self._bury(record, error)
                        return True
                if self._stop.wait(wait_s):
                    return False
                if not holds():
                    return True  # whose it is now reads it, too
                delay_s, attempt = min(delay_s * 2, MAX_DELAY_S), attempt + 1
        finally:
            correlation_id.reset(tokens[0])
            event_id.reset(tokens[1])

    def _handle(self, record: Record, envelope: Envelope, message: Any) -> None:
        started = time.perf_counter()
        try:
            with self._unit_of_work(cause=envelope) as uow:
                if uow.seen(envelope):
                    EVENTS_HANDLED.labels(record.topic, "repeated").inc()
                    return
                said = self._handlers[type(message)](message, uow)
                uow.publish(*said)
                try:
                    uow.mark_seen(envelope)
                except sa.exc.IntegrityError:
                    # Another replica had the record as well, during a rebalance, and committed first.
                    EVENTS_HANDLED.labels(record.topic, "repeated").inc()
                    return
                uow.commit()
                self._woke = self._woke or uow.woke
        except NotYet as early:
            with self._unit_of_work(cause=envelope) as uow:
                uow.park(record, envelope, early.token)
                uow.commit()
            EVENTS_HANDLED.labels(record.topic, "parked").inc()
            return
        HANDLER_SECONDS.labels(record.topic).observe(time.perf_counter() - started)
        EVENTS_HANDLED.labels(record.topic, "handled").inc()

    def _deliver_parked(self) -> None:
        """Deliver parked events whose token has arrived; now and then all, in case two replicas raced."""
        self._woke = False
        everything = time.monotonic() >= self._retry_parked_at
        if everything:
            self._retry_parked_at = time.monotonic() + PARKED_RETRY_S
        while rows := self._claim_parked(everything=everything):
            everything = False
            for row in rows:
                record = Record(row.topic, row.key, row.value, json.loads(row.headers))
                if not self._deliver(record, _always):
                    return
                with self._database.begin() as connection:
                    # Parked again during delivery means ready is false again: then the row stays.
                    connection.execute(_PARKED.delete().where(_PARKED.c.id == row.id, _PARKED.c.ready))

    def _claim_parked(self, *, everything: bool) -> list[Any]:
        with self._database.begin(read_only=True) as connection:
            query = sa.select(_PARKED).order_by(_PARKED.c.id)
            rows = list(connection.execute(query if everything else query.where(_PARKED.c.ready)).all())
        if everything:
            PARKED.set(len(rows))
            waiting = [row.id for row in rows if not row.ready]
            if waiting:
                with self._database.begin() as connection:
                    connection.execute(_PARKED.update().where(_PARKED.c.id.in_(waiting)).values(ready=True))
        return rows

    def _bury(self, record: Record, error: Exception) -> None:
        """Put a record into the dead letters; its inbox row stays unwritten, so that a replay is handled."""
        reason = str(error) if isinstance(error, RadloopError) else type(error).__name__
        headers = dict(record.headers) | {
            "dlq_reason": reason,
            "dlq_topic": record.topic,
            "dlq_group": self._wire.group,
        }
        topic = dead_letter_topic(record.topic, self._wire.group)
        self._log.append([Record(topic=topic, key=record.key, value=record.value, headers=headers)])
        EVENTS_HANDLED.labels(record.topic, "dead-letter").inc()
        log.warning("event put into the dead letters", topic=record.topic, reason=reason)

    def _report_lag(self) -> None:
        for topic, records in self._consumer.lag().items():
            CONSUMER_LAG.labels(topic).set(records)


def _require_known_type(envelope: Envelope, record: Record) -> None:
    """Refuse an event of another type than its topic's: a newer major version, or somebody else's event."""
    known = f"{TYPE_PREFIX}{record.topic}{TYPE_SUFFIX}"
    if envelope.type != known:
        # What is no name of a type may be anything, and the reason is logged.
        got = envelope.type if re.fullmatch(r"[a-z0-9.-]{1,100}", envelope.type) else "another type"
        raise PermanentError(
            "event-type-unknown",
            expected=f"an event of the type {known}",
            got=got,
            do="update this service if the event comes from a newer release, then radloop dlq replay",
        )


def _always() -> bool:
    return True
