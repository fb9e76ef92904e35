"""A PostgreSQL that goes away, is full, read-only or busy: everything waits, nothing is lost, and it is said why."""

import secrets
import threading
import time
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from radloop.auth import open_authenticator
from radloop.consumer import ConsumerLoop
from radloop.errors import Invalid, Unavailable
from radloop.events import open_event_log
from radloop.http import create_http
from radloop.outbox import Relay
from radloop.service import open_database
from radloop.settings import SharedSettings
from radloop.sql import Database, SqlUnitOfWork
from radloop.sql.postgresql import lock_key
from radloop.testing.contracts import sqlite_url
from radloop.testing.database_contracts import SHARED, TOPIC, WIRE, TrainingRequested, count, open_bench, say
from standalone.engines.postgresql import PostgresqlServer
from standalone.supervisor.ports import free_ports

pytestmark = pytest.mark.integration
LIMIT_S = 60.0


class Server:
    """A server of its own, to be killed."""

    def __init__(self, folder, running) -> None:
        self._running = running
        self.server = PostgresqlServer(folder / f"away-{secrets.token_hex(4)}", *free_ports(1), secrets.token_hex(8))
        self.server.prepare()
        self.start()
        self.execute("CREATE SCHEMA bench")

    def start(self) -> None:
        self._running.start(replace(self.server.program(), name=f"postgresql-{self.server.port}"))
        self.process = self._running.processes[-1]

    def kill(self) -> None:
        self.process.kill()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.server.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture
def server(engines_folder, running):
    server = Server(engines_folder, running)
    yield server
    server.kill()


@pytest.fixture
def database(server):
    database = open_bench(server.server.url)
    yield database
    database.close()


def http_of(database: Database, tmp_path) -> TestClient:
    app: FastAPI = create_http("test", open_authenticator(f"token:{tmp_path}/secret"), {"database": database.check})

    @app.post("/say")
    def endpoint() -> None:
        say(database, "from-http")

    return TestClient(app, raise_server_exceptions=False)


def test_a_server_that_is_killed_and_comes_back(server, database, tmp_path):
    """Events heard meanwhile wait, none is buried, what was said before goes out after, and HTTP says 503 and why."""
    log = open_event_log(sqlite_url(tmp_path))
    stop = threading.Event()
    handled = []
    uow = lambda cause=None: SqlUnitOfWork(database, WIRE, source="/site-1/bench", cause=cause)  # noqa: E731
    handlers = {TrainingRequested: lambda message, uow: handled.append(message.request_id) or []}
    loop = ConsumerLoop(log, database, WIRE, handlers, uow, stop, first_delay_s=0.001)
    relay, client = Relay(database, log), http_of(database, tmp_path)
    say(database, "before")
    assert client.get("/readyz").status_code == 200
    server.kill()

    log.append([WIRE.encode(TrainingRequested("meanwhile", "p"), source="/site-2/other", cause=None)])
    turning = threading.Thread(target=lambda: [loop_step(loop, stop) for _ in iter(stop.is_set, True)])
    turning.start()
    try:
        answer = client.get("/readyz")
        assert answer.status_code == 503 and "got no connection" in answer.json()["checks"]["database"]
        answer = client.post("/say")
        assert (answer.status_code, answer.json()["error"]) == (503, "database-unavailable")
        assert server.server.password not in answer.text and "postgres:" not in answer.text
        with pytest.raises(Unavailable):
            relay.step()
        until(lambda: attempts(client) > 10, "more attempts than any other error is allowed")
        assert handled == [] and log.topics() == [TOPIC]

        server.start()
        until(lambda: handled == ["meanwhile"], "the event that waited was handled")
        until(lambda: step(relay) is False and published(log) == 2, "what was said before was published")
        assert client.get("/readyz").status_code == 200 and client.post("/say").status_code == 200
        assert log.topics() == [TOPIC]  # and no dead letters
    finally:
        stop.set()
        turning.join(LIMIT_S)
        loop.close()
        log.close()


def test_a_service_that_finds_no_database_waits_for_it(server, tmp_path):
    """First for the server, then for the schema that `radloop database apply` makes."""
    server.kill()
    settings = SharedSettings(
        events_url=sqlite_url(tmp_path),
        database_url=server.server.url,
        objects_url=f"file://{tmp_path}/objects",
        auth_url=f"token:{tmp_path}/secret",
    )
    steps = iter([server.start, lambda: server.execute("CREATE SCHEMA qa")])
    reasons = []

    def wait(delay_s: float) -> None:
        with pytest.raises(Unavailable) as refused:
            qa.migrate("qa.adapters.migrations")
        reasons.append(refused.value.got)
        next(steps)()

    qa = Database(server.server.url, "qa")
    opened = open_database("qa", settings, "qa.adapters.migrations", wait)
    assert opened.check() is True
    assert reasons == ["no connection", "no schema of this service"]
    for database in (qa, opened):
        database.close()


def loop_step(loop, stop):
    try:
        loop.step(0.05)
    except Unavailable:
        stop.wait(0.05)


def step(relay):
    try:
        return relay.step()
    except Unavailable:
        return None


def published(log):
    return len({stored.record.headers["ce_id"] for stored in log.read(TOPIC, {}, 100)})


def attempts(client) -> float:
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if f'topic="{TOPIC}"' in line and 'outcome="retried"' in line]
    return max((float(line.split()[-1]) for line in found), default=0.0)


def until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_read_only_server_is_read_and_named(server, database, tmp_path):
    """As a standby is, to which somebody failed over too early."""
    say(database, "before")
    server.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    other = Database(server.server.url, "bench")
    try:
        assert other.check() is True and count(other, SHARED.outbox) == 1
        with pytest.raises(Unavailable, match="a database that is read-only"):
            say(other, "after")
    finally:
        other.close()


def test_no_turn_to_write_in_time(server, database):
    """A replica that hangs inside a transaction holds the turn; the others wait for a bounded time and say so."""
    impatient = Database(server.server.url, "bench", busy_timeout_s=0.2)
    with psycopg.connect(server.server.url.replace("+psycopg", "")) as hung:
        hung.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key("bench", "writer"),))
        with pytest.raises(Unavailable, match="database-busy.*no turn to write"):
            say(impatient, "a")
        assert count(impatient, SHARED.outbox) == 0  # readers go on
    say(impatient, "a")
    impatient.close()


def test_no_connection_free_in_time(server, monkeypatch):
    monkeypatch.setattr("radloop.sql.postgresql.POOL_WAIT_S", 0.2)
    small = Database(server.server.url, "bench", pool_size=1)
    with small.begin(read_only=True), pytest.raises(Unavailable, match="database-busy.*a free connection"):
        small.connect()
    small.close()


def test_a_statement_that_takes_too_long(server, database):
    with pytest.raises(Unavailable, match="a statement that took too long"), database.begin() as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = '50ms'"))
        connection.execute(sa.text("SELECT pg_sleep(10)"))
    say(database, "the connection is of use again")
    assert count(database, SHARED.outbox) == 1


def test_a_session_that_an_administrator_ends(server, database, monkeypatch):
    """The pool has dead connections then. Those that rested are tried before their use; the first one that did not says so."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'radloop-%'"
    monkeypatch.setattr("radloop.sql.postgresql._RESTED_S", 3600.0)
    say(database, "a")
    server.execute(end)
    with pytest.raises(Unavailable):
        say(database, "lost")
    say(database, "b")
    monkeypatch.setattr("radloop.sql.postgresql._RESTED_S", 0.0)
    server.execute(end)
    say(database, "c")
    assert count(database, SHARED.outbox) == 3


def test_a_reader_cannot_write(database):
    with (
        pytest.raises(Unavailable, match="read-only"),
        SqlUnitOfWork(database, WIRE, source="/site-1/bench", read_only=True) as uow,
    ):
        uow.publish(TrainingRequested("a", "p"))
    say(database, "b")  # on the same connection of the pool
    assert count(database, SHARED.outbox) == 1


@pytest.mark.parametrize("subject", ["x" * 201, "nul\x00"])
def test_a_value_that_does_not_fit_is_refused_and_not_shown(database, subject):
    with pytest.raises(Invalid, match="value-not-kept") as refused:
        with SqlUnitOfWork(database, WIRE, source="/site-1/bench") as uow:
            uow.audit(subject, "asked", "p")
    assert subject not in str(refused.value)
    assert count(database, SHARED.audit) == 0
