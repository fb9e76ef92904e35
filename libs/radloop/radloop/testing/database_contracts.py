"""Contract suites of the database: the unit of work and the relay do the same on every engine.

Each needs the fixture ``database_url``; a test module subclasses the suites.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.errors import TemporaryError
from radloop.events import EventLog
from radloop.messages import Envelope, Message, Record
from radloop.outbox import Relay
from radloop.sql import Database, SqlUnitOfWork, messaging_tables
from radloop.sql.outbox import open_outbox
from radloop.wire import Wire

TOPIC = "training-requested"
LIMIT_S = 30.0


@dataclass(frozen=True)
class TrainingRequested(Message):
    """Any event will do."""

    request_id: str
    project_id: str


_PAIR = (control_plane_pb2.TrainingRequested, TrainingRequested)
WIRE = Wire("bench", incoming=[_PAIR], outgoing=[_PAIR])
_METADATA = sa.MetaData()
SHARED = messaging_tables(_METADATA)
COUNTER = sa.Table("counter", _METADATA, sa.Column("value", sa.Integer, nullable=False))


def open_bench(url: str) -> Database:
    """Open a database with the shared tables and a counter."""
    database = Database(url, "bench")
    with database.begin() as connection:
        _METADATA.create_all(connection)
    return database


def say(database: Database, *requests: str) -> None:
    """Commit events, all in one unit of work."""
    with SqlUnitOfWork(database, WIRE, source="/site-1/bench") as uow:
        uow.publish(*(TrainingRequested(request, "p") for request in requests))
        uow.commit()


def count(database: Database, table: sa.Table) -> int:
    """Return the number of rows of a table."""
    with database.begin(read_only=True) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


class _DatabaseContract:
    @pytest.fixture
    def database(self, database_url: str) -> Iterator[Database]:
        database = open_bench(database_url)
        yield database
        database.close()

    def uow(self, database: Database, *, read_only: bool = False) -> SqlUnitOfWork:
        return SqlUnitOfWork(database, WIRE, source="/site-1/bench", read_only=read_only)


class UnitOfWorkContract(_DatabaseContract):
    """What any database must do for a unit of work."""

    envelope = Envelope.new(TOPIC, source="/site-1/other", subject="p")

    def test_state_outbox_inbox_and_audit_trail_are_one(self, database: Database) -> None:
        for commit in (False, True):
            with self.uow(database) as uow:
                uow.publish(TrainingRequested("a", "p"), TrainingRequested("b", "p"))
                uow.mark_seen(self.envelope)
                uow.audit("ada", "asked", "p")
                if commit:
                    uow.commit()
            kept = [count(database, table) for table in (SHARED.outbox, SHARED.inbox, SHARED.audit)]
            assert kept == ([2, 1, 1] if commit else [0, 0, 0])

    def test_an_event_is_known_once_its_effects_are(self, database: Database) -> None:
        with self.uow(database) as uow:
            assert not uow.seen(self.envelope)
            uow.mark_seen(self.envelope)
            uow.commit()
        with self.uow(database) as uow:
            assert uow.seen(self.envelope)
            assert not uow.seen(replace(self.envelope, source="/site-2/other"))

    def test_an_event_parked_twice_is_parked_once_and_wakes_with_its_token(self, database: Database) -> None:
        record = Record(TOPIC, "p", b"\x00\xff", {"x": "é"})
        for _ in range(2):
            with self.uow(database) as uow:
                uow.park(record, self.envelope, "case:1")
                uow.commit()
        with self.uow(database) as uow:
            uow.arrived("case:2")
            uow.arrived("case:1")
            uow.commit()
        with database.begin(read_only=True) as connection:
            (row,) = connection.execute(sa.select(SHARED.parked)).all()
        assert (row.value, row.headers, row.ready) == (b"\x00\xff", '{"x": "\\u00e9"}', True)

    def test_one_writes_at_a_time(self, database: Database) -> None:
        """Each reads, thinks and writes: with two at a time an increment would be lost, or an error raised."""
        with database.begin() as connection:
            connection.execute(COUNTER.insert().values(value=0))
        errors: list[Exception] = []

        def work() -> None:
            try:
                for _ in range(20):
                    with self.uow(database) as uow:
                        value = uow.connection.execute(sa.select(COUNTER.c.value)).scalar_one()
                        uow.publish(TrainingRequested(str(value), "p"))
                        uow.connection.execute(COUNTER.update().values(value=value + 1))
                        uow.commit()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert errors == []
        with database.begin(read_only=True) as connection:
            assert connection.execute(sa.select(COUNTER.c.value)).scalar_one() == 80
            values = connection.execute(sa.select(SHARED.outbox.c.value).order_by(SHARED.outbox.c.id)).scalars()
            said = [control_plane_pb2.TrainingRequested.FromString(value).request_id for value in values]
        assert said == [str(n) for n in range(80)]  # the ids of the rows are in the order of the commits

    def test_a_reader_sees_one_state_and_waits_for_nobody(self, database: Database) -> None:
        with self.uow(database, read_only=True) as reader:
            seen = [reader.connection.execute(sa.select(sa.func.count()).select_from(SHARED.outbox)).scalar_one()]
            with self.uow(database) as writer:
                writer.publish(TrainingRequested("a", "p"))
                with self.uow(database, read_only=True) as other:
                    query = sa.select(sa.func.count()).select_from(SHARED.outbox)
                    seen.append(other.connection.execute(query).scalar_one())
                writer.commit()
            seen.append(reader.connection.execute(sa.select(sa.func.count()).select_from(SHARED.outbox)).scalar_one())
        assert seen == [0, 0, 0]
        assert count(database, SHARED.outbox) == 1


class RelayContract(_DatabaseContract):
    """What any database and any event log must do for the relay. Also needs the fixture ``event_log``."""

    @pytest.fixture
    def relay(self, database: Database, event_log: EventLog) -> Iterator[Relay]:
        relay = Relay(database, event_log)
        yield relay
        relay.close()

    def published(self, event_log: EventLog) -> list[str]:
        """Return what stands in the topic."""
        found, stored = [], event_log.read(TOPIC, {}, 10_000)
        for one in sorted(stored, key=lambda one: (one.partition, one.offset)):
            found.append(control_plane_pb2.TrainingRequested.FromString(one.record.value).request_id)
        return found

    def test_publishes_in_order_and_purges(self, database: Database, event_log: EventLog, relay: Relay) -> None:
        names = [str(n) for n in range(2500)]  # more than one batch
        say(database, *names)
        while relay.step():
            pass
        assert self.published(event_log) == names
        assert count(database, SHARED.outbox) == 0

    def test_what_could_not_be_published_stays(self, database: Database, event_log: EventLog, relay: Relay) -> None:
        class Away:
            def append(self, records: list[Record]) -> None:
                raise TemporaryError("away")

        say(database, "a", "b")
        other = Relay(database, Away())  # type: ignore[arg-type]
        with pytest.raises(TemporaryError, match="away"):
            other.step()
        other.close()
        assert relay.step()
        assert self.published(event_log) == ["a", "b"]

    def test_a_batch_is_bounded_by_rows_and_by_bytes_and_never_empty(self, database: Database) -> None:
        say(database, *("x" * 1000 for _ in range(10)))
        outbox = open_outbox(database)
        assert outbox.is_mine()
        assert len(outbox.oldest(4, 10**6)) == 4
        assert len(outbox.oldest(100, 3500)) == 4  # those before which less than 3500 bytes stand
        assert [row.id for row in outbox.oldest(100, 1)] == [outbox.oldest(100, 10**6)[0].id]
        outbox.close()

    def test_a_commit_wakes_it(self, database: Database, relay: Relay) -> None:
        assert not relay.step()
        relay.interval_s = 2 * LIMIT_S
        woken = threading.Event()
        thread = threading.Thread(target=lambda: (relay.wait(), woken.set()))
        thread.start()
        say(database, "a")
        assert woken.wait(LIMIT_S)
        thread.join()
        assert relay.step()
