"""A database that is full or read-only: it is said, nothing is lost or repeated, and work goes on when it is over."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from radloop.auth import open_authenticator
from radloop.consumer import ConsumerLoop
from radloop.errors import Unavailable
from radloop.events import open_event_log
from radloop.http import create_http
from radloop.outbox import Relay
from radloop.sql import Database, SqlUnitOfWork
from radloop.telemetry import OUTBOX_OLDEST_S
from radloop.testing.contracts import sqlite_url
from radloop.testing.database_contracts import SHARED, TOPIC, WIRE, TrainingRequested, count, open_bench, say

LIMIT_S = 30.0
Refusing = Callable[[Database], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _with_pragma(pragma: str, database: Database) -> Iterator[None]:
    def set_it(connection, *_) -> None:
        connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(database.engine, "checkout", set_it)
    yield
    sa.event.remove(database.engine, "checkout", set_it)
    database.engine.dispose()  # the next connection knows nothing of it


@contextlib.contextmanager
def _with_full_disk(database: Database) -> Iterator[None]:
    """The server itself says what it says of a disk without space (SQLSTATE 53100)."""
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
        )
        for table in ("outbox", "inbox"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR DELETE ON {table} EXECUTE FUNCTION full_disk()"
            )
    yield
    with database.begin() as connection:
        connection.exec_driver_sql("DROP FUNCTION full_disk CASCADE")


@contextlib.contextmanager
def _with_read_only_server(database: Database) -> Iterator[None]:
    name = sa.make_url(database.engine.url).database

    def turn(state: str) -> None:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = {state}")
            # Every other session is to begin anew, the relay's own too.
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        database.engine.dispose()

    turn("on")
    yield
    turn("off")


_READ_ONLY = "a database that is read-only"
_TROUBLES = [
    pytest.param(("sqlite", _READ_ONLY, partial(_with_pragma, "query_only = on")), id="sqlite-read-only"),
    pytest.param(
        ("postgresql", _READ_ONLY, _with_read_only_server), id="postgresql-read-only", marks=pytest.mark.integration
    ),
    pytest.param(("postgresql", "a full disk", _with_full_disk), id="postgresql-full", marks=pytest.mark.integration),
]


@pytest.fixture(params=_TROUBLES)
def trouble(request) -> tuple[str, str, Refusing]:
    return request.param


@pytest.fixture
def database(make_database, trouble):
    database = open_bench(make_database(trouble[0]))
    yield database
    database.close()


@pytest.fixture
def refusing(database, trouble) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return what makes the database refuse every write while it is entered."""
    return lambda: trouble[2](database)


@pytest.fixture
def got(trouble) -> str:
    return f"got {trouble[1]}"


def test_nothing_is_lost_and_it_is_said(database, refusing, got, tmp_path):
    log = open_event_log(sqlite_url(tmp_path))
    stop, handled = threading.Event(), []
    uow = lambda cause=None: SqlUnitOfWork(database, WIRE, source="/site-1/bench", cause=cause)  # noqa: E731
    handlers = {TrainingRequested: lambda message, uow: handled.append(message.request_id) or []}
    loop = ConsumerLoop(log, database, WIRE, handlers, uow, stop, first_delay_s=0.001)
    http = create_http("test", open_authenticator(f"token:{tmp_path}/secret"), {"database": database.check})
    http.post("/say")(lambda: say(database, "x"))
    client = TestClient(http, raise_server_exceptions=False)
    turning = threading.Thread(target=lambda: loop.step(0.05))
    try:
        with refusing():
            answer = client.post("/say")
            assert (answer.status_code, answer.json()["error"]) == (503, "database-unavailable")
            assert answer.headers["retry-after"] and f"got {answer.json()['got']}" == got
            answer = client.get("/readyz")
            assert answer.status_code == 503 and got in answer.json()["checks"]["database"]
            log.append([WIRE.encode(TrainingRequested("y", "p"), source="/site-2/other", cause=None)])
            turning.start()
            turning.join(0.5)
            assert turning.is_alive() and count(database, SHARED.inbox) == 0
        turning.join(LIMIT_S)
        assert not turning.is_alive() and count(database, SHARED.inbox) == 1
        assert log.topics() == [TOPIC]  # and no dead letters
        assert client.get("/readyz").status_code == 200 and client.post("/say").status_code == 200
    finally:
        stop.set()
        loop.close()
        log.close()


def test_what_was_published_and_cannot_be_purged_is_not_published_again(database, refusing, tmp_path):
    log = open_event_log(sqlite_url(tmp_path))
    relay = Relay(database, log)
    say(database, "a", "b")
    append = log.append

    def refuse_then(records):
        append(records)
        trouble.enter_context(refusing())

    with contextlib.ExitStack() as trouble:
        log.append = refuse_then
        for _ in range(3):
            with pytest.raises(Unavailable):
                relay.step()
        log.append = append
    with contextlib.suppress(Unavailable):  # a session that was ended says so once
        relay.step()
    assert not relay.step() and count(database, SHARED.outbox) == 0
    assert len(log.read(TOPIC, {}, 100)) == 2
    relay.close()
    log.close()


def test_a_sqlite_file_that_has_no_further_page(tmp_path):
    database = open_bench(f"sqlite:///{tmp_path}")
    with _with_pragma("max_page_count = 1", database), pytest.raises(Unavailable, match="got a full disk"):
        say(database, "x" * 100_000)
    say(database, "x" * 100_000)
    assert count(database, SHARED.outbox) == 1 and database.check() is True
    database.close()


def test_a_row_grows_older_whatever_the_clock_says(tmp_path, monkeypatch):
    class Away:
        def append(self, records):
            raise Unavailable("away")

    database = open_bench(f"sqlite:///{tmp_path}")
    say(database, "a")
    relay = Relay(database, Away())
    with pytest.raises(Unavailable):
        relay.step()
    now, steady = relay._oldest.created_at, relay._oldest_since
    for wall, passed, age in ((100, 100, 100), (-3600 + 100, 100, 100), (3600, 100, 3600)):
        monkeypatch.setattr("radloop.outbox.time.time", lambda wall=wall: now + wall)
        monkeypatch.setattr("radloop.outbox.time.monotonic", lambda passed=passed: steady + passed)
        assert OUTBOX_OLDEST_S.collect()[0].samples[0].value == pytest.approx(age, abs=1)
    relay.close()
    database.close()
