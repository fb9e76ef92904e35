"""How a service runs: HTTP in the main thread, consumer, relay and workers beside it, all ended in order by SIGTERM."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
from fastapi import APIRouter, FastAPI

from radloop.audit_http import audit_router
from radloop.auth import open_authenticator
from radloop.consumer import ConsumerLoop
from radloop.dispatch import Handler
from radloop.errors import RadloopError, TemporaryError, Unavailable
from radloop.events import EventLog, open_event_log
from radloop.http import Check, create_http
from radloop.outbox import Relay
from radloop.settings import ServiceSettings, SharedSettings
from radloop.sql import Database
from radloop.telemetry import WORKER_ERRORS, configure_logging, logger
from radloop.watch import EventLogWatch
from radloop.wire import Wire

log = logger(__name__)

_Settings = TypeVar("_Settings", bound=ServiceSettings)

_STOP_S = 10.0
_MAX_DELAY_S = 5.0


@dataclass
class Worker:
    """Work a service does by itself: long or timed, never inside an event's handler.

    Attributes
    ----------
    name : str
        Shown in logs and metrics.
    step : callable
        Does one piece of work; returns whether there was any (then it is called again at once).
    interval_s : float
        Pause after a step that found nothing.
    """

    name: str
    step: Callable[[], bool]
    interval_s: float = 1.0


@dataclass
class Service:
    """A service ready to run. `app.py` makes it, `run` runs it, tests take its parts."""

    name: str
    http: FastAPI
    database: Database
    event_log: EventLog
    consumer: ConsumerLoop
    relay: Relay
    watch: EventLogWatch
    stop: threading.Event
    workers: Sequence[Worker] = ()
    on_start: Sequence[Callable[[], None]] = ()
    """Called in order before anything else runs, e.g. to open the DICOM port."""
    on_stop: Sequence[Callable[[], None]] = ()
    """Called in order when nothing is accepted any more."""
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start everything but HTTP. Nothing here waits for the event log, so HTTP comes up, too, while that is away."""
        for call in self.on_start:
            call()
        self._thread(self.watch.name, self.watch.step, 0.0, wait=lambda: self.watch.pause(self.stop.wait))
        self._thread("consumer", self.consumer.step, 0.0)
        self._thread(self.relay.name, self.relay.step, 0.0, wait=self.relay.wait)
        for worker in self.workers:
            self._thread(worker.name, worker.step, worker.interval_s)

    def drain(self) -> None:
        """Let every thread finish the piece of work it is at, then publish what was said."""
        self.stop.set()
        for call in self.on_stop:
            call()
        deadline = time.monotonic() + _STOP_S
        self.database.outbox_changed.set()
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in self.threads):
            try:
                while self.relay.step():
                    pass
            except TemporaryError as error:
                log.warning("not everything published, the rest goes out after the next start", reason=error.code)
            self.relay.close()
            self.consumer.close()
            self.event_log.close()
            self.database.close()

    def _thread(
        self, name: str, step: Callable[[], bool], interval_s: float, *, wait: Callable[[], object] | None = None
    ) -> None:
        def loop() -> None:
            delay_s = 0.5
            while not self.stop.is_set():
                try:
                    busy = step()
                    delay_s = 0.5
                    if not busy:
                        wait() if wait else self.stop.wait(interval_s)
                except Exception:  # a worker outlives its errors: they are counted, logged and tried again
                    WORKER_ERRORS.labels(name).inc()
                    log.error("worker step failed, trying again", worker=name, wait_s=delay_s)
                    self.stop.wait(delay_s)
                    delay_s = min(delay_s * 2, _MAX_DELAY_S)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self.threads.append(thread)


def open_database(
    name: str,
    settings: SharedSettings,
    migrations: str,
    wait: Callable[[float], object] = time.sleep,
    patience_s: float = math.inf,
) -> Database:
    """Open a service's database and bring its schema up to date; wait for one that is away, full or not made yet.

    Nothing of a service works without its database, so nothing is started before: until then a probe finds no one.

    Parameters
    ----------
    name : str
        Name of the service.
    settings : SharedSettings
    migrations : str
        Python package with the Alembic revisions.
    wait : callable
        Waits for so many seconds.
    patience_s : float
        After so many seconds of waiting it is given up.

    Raises
    ------
    PermanentError
        The address is none, or a newer release wrote the database.
    Unavailable
        It was given up.
    """
    database = Database(settings.database_url, name, pool_size=settings.database_pool_size)
    delay_s = 0.5
    while True:
        try:
            database.migrate(migrations)
            return database
        except Unavailable as error:
            log.warning("waiting for the database", reason=error.code, got=error.got, do=error.do, wait_s=delay_s)
            if patience_s <= 0:
                raise
            wait(delay_s)
            patience_s -= delay_s
            delay_s = min(delay_s * 2, _MAX_DELAY_S)


def assemble(
    name: str,
    settings: SharedSettings,
    *,
    database: Database,
    wire: Wire,
    handlers: Mapping[type, Handler],
    unit_of_work: Callable[..., Any],
    routers: Sequence[APIRouter],
    workers: Sequence[Worker] = (),
    checks: Mapping[str, Check] | None = None,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> Service:
    """Plug a service's own parts into what all services have.

    Parameters
    ----------
    name : str
        Name of the service, e.g. ``"edge-miner"``.
    settings : SharedSettings
    database : Database
        Already migrated.
    wire, handlers : Wire, Mapping[type, Handler]
        What it hears and says, and what it does; handlers take ``(message, uow)``.
    unit_of_work : callable
        ``unit_of_work(cause=None)`` makes a fresh unit of work.
    routers : sequence of APIRouter
        Its endpoints; each takes ``Depends(authenticated)``.
    workers, checks, on_start, on_stop
        See `Service`, `Worker` and `radloop.http.create_http`.
    """
    event_log = open_event_log(settings.events_url)
    stop = threading.Event()
    consumer = ConsumerLoop(event_log, database, wire, handlers, unit_of_work, stop)
    watch = EventLogWatch(event_log, wire)
    checks = {"events": watch.check, "database": database.check, **(checks or {})}
    http = create_http(f"radloop {name}", open_authenticator(settings.auth_url), checks)
    for router in (audit_router(unit_of_work), *routers):
        http.include_router(router)
    return Service(
        name=name,
        http=http,
        database=database,
        event_log=event_log,
        consumer=consumer,
        relay=Relay(database, event_log),
        watch=watch,
        stop=stop,
        workers=workers,
        on_start=on_start,
        on_stop=on_stop,
    )


def main(name: str, migrations: str, build: Callable[[_Settings], Service], settings: _Settings) -> None:
    """Do what ``python -m <service>`` is told: run it, or with ``migrate`` bring its database up to date and end.

    The second is for a new release that is to find its schema made, e.g. a Job before an upgrade; ``--wait SECONDS`` says how
    long a database that is away is waited for, for ever without it.

    Parameters
    ----------
    name, migrations : str
        As `open_database` wants them.
    build, settings
        As `run` wants them.
    """
    match sys.argv[1:]:
        case []:
            run(build, settings)
        case ["migrate", *options] if (patience_s := _patience(options)) is not None:
            configure_logging(settings.shared.log_level)
            try:
                open_database(name, settings.shared, migrations, patience_s=patience_s).close()
            except RadloopError as error:
                sys.exit(str(error))
            log.info("database is up to date", service=name)
        case _:
            sys.exit(f"usage: python -m {name.replace('-', '_')} [migrate [--wait SECONDS]]")


def _patience(options: list[str]) -> float | None:
    match options:
        case []:
            return math.inf
        case ["--wait", seconds] if seconds.isdigit():
            return float(seconds)
    return None


def run(build: Callable[[_Settings], Service], settings: _Settings) -> None:
    """Build a service and run it until SIGTERM or SIGINT; then drain and return. Call it in the main thread."""
    shared = settings.shared
    configure_logging(shared.log_level)
    service = build(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn ends its server at the signal and then raises it again; the default handler would kill us before we drain.
        signal.signal(number, lambda *_: None)
    service.start()
    log.info("service started", service=service.name)
    try:
        uvicorn.run(
            service.http,
            host=shared.http_host,
            port=shared.http_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        service.drain()
        log.info("service stopped", service=service.name)
