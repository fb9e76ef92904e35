"""Several relays of one service, each a process: one publishes, and another takes over when it is killed or hangs."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from radloop.events import open_event_log
from radloop.outbox import Relay
from radloop.sql.outbox import PostgresqlOutbox
from radloop.testing.contracts import sqlite_url
from radloop.testing.database_contracts import SHARED, TOPIC, count, open_bench, say

pytestmark = pytest.mark.integration
LIMIT_S = 60.0


def until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


class RelayProcess:
    """One replica."""

    def __init__(self, database_url: str, events_url: str) -> None:
        program = str(Path(__file__).with_name("relay_process.py"))
        self.process = subprocess.Popen(
            [sys.executable, program, database_url, events_url], stdout=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.strip())

    @property
    def mine(self) -> bool:
        return "mine" in self.lines

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


@pytest.fixture
def bench(make_database, tmp_path):
    """The service's database, the log, and any number of replicas of its relay."""
    url, replicas = make_database("postgresql"), []
    database, log = open_bench(url), open_event_log(sqlite_url(tmp_path))

    def start() -> RelayProcess:
        replicas.append(RelayProcess(url, sqlite_url(tmp_path)))
        return replicas[-1]

    yield database, log, start
    for replica in replicas:
        replica.end()
    log.close()
    database.close()


def published(log):
    return {stored.record.headers["ce_id"] for stored in log.read(TOPIC, {}, 10_000)}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_another_takes_over(bench, sent):
    database, log, start = bench
    first = start()
    until(lambda: first.mine, "the first publishes")
    second = start()
    say(database, "a")
    until(lambda: len(published(log)) == 1, "the first published")
    assert not second.mine
    first.process.send_signal(sent)
    say(database, "b", "c")
    until(lambda: len(published(log)) == 3 and second.mine, "the second took over")
    until(lambda: count(database, SHARED.outbox) == 0, "and purged")
    if sent == signal.SIGSTOP:
        first.process.send_signal(signal.SIGCONT)
        until(lambda: "not mine" in first.lines, "the first noticed that its session had ended")
        say(database, "d")
        until(lambda: len(published(log)) == 4, "the second goes on")
        assert first.lines.count("mine") == 1


def test_what_was_published_goes_even_if_the_session_ended_meanwhile(bench):
    """A log that takes longer than a session may be silent; else a slow log would get every batch again and again."""
    database, log, _ = bench

    class Slow:
        def append(self, records):
            log.append(records)
            with database.begin() as connection:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'radloop-bench-relay'"
                assert connection.exec_driver_sql(ended).scalars().all() == [True]

    relay = Relay(database, Slow())
    say(database, "a", "b")
    assert relay.step()
    assert count(database, SHARED.outbox) == 0
    assert not relay.step() and relay.active
    assert len(log.read(TOPIC, {}, 10)) == 2
    relay.close()


def test_who_was_silent_for_long_takes_its_turn_again(bench, monkeypatch):
    """A process that got no processor for a while must not fail for it: nobody else wanted to publish."""
    database, log, _ = bench
    relay = Relay(database, log)
    say(database, "a")
    assert relay.step()
    with database.begin() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'radloop-bench-relay'"
        assert connection.exec_driver_sql(ended).scalars().all() == [True]
    monkeypatch.setattr("radloop.sql.outbox._HUNG_AFTER_S", 0)
    say(database, "b")
    assert relay.step() and relay.active
    assert len(log.read(TOPIC, {}, 10)) == 2
    relay.close()


def test_who_stands_by_passes_on_what_its_process_says(bench, monkeypatch):
    """Without the word the active replica would sleep for as long as its slow poll lets it."""
    database, log, start = bench
    active = start()
    until(lambda: active.mine, "the other process publishes")
    here = PostgresqlOutbox(database)
    assert not here.is_mine()
    other = open_bench(database.engine.url.render_as_string(hide_password=False))
    ears = PostgresqlOutbox(other)
    ears._execute(f"LISTEN {ears._channel}")
    other.outbox_changed.clear()
    say(database, "a")
    here.wait(0)
    until(lambda: ears._execute("SELECT 1") and other.outbox_changed.is_set(), "the word came")
    until(lambda: len(published(log)) == 1, "published")
    for outbox in (here, ears):
        outbox.close()
    other.close()
