"""Writers of one process take turns: nobody waits while others write again and again."""

import threading

import pytest
import sqlalchemy as sa

from radloop.errors import TemporaryError
from radloop.sql import Database
from radloop.sql.turns import Turns


def test_the_turn_goes_to_whoever_has_waited_longest() -> None:
    turns, order = Turns(), []
    assert turns.take(1)

    def wait(name: str) -> None:
        turns.take(10)
        order.append(name)
        turns.give()

    threads = []
    for name in "abc":
        thread = threading.Thread(target=wait, args=(name,))
        thread.start()
        threads.append(thread)
        while len(turns._waiting) < len(threads):
            pass
    turns.give()
    for thread in threads:
        thread.join(10)
    assert order == ["a", "b", "c"]
    assert turns.take(0)


def test_a_turn_that_does_not_come_is_given_up_and_not_lost() -> None:
    turns = Turns()
    assert turns.take(1)
    assert not turns.take(0.01)
    turns.give()
    assert turns.take(1)


@pytest.fixture
def database(database_url):
    opened = Database(database_url, "test", busy_timeout_s=1)
    with opened.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (n INTEGER)"))
    yield opened
    opened.close()


def test_after_an_error_the_next_writer_has_its_turn(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        raise ZeroDivisionError
    with pytest.raises(sa.exc.DBAPIError), database.begin() as connection:
        connection.execute(sa.text("INSERT INTO nothing VALUES (1)"))
    connection = database.connect()
    connection.execute(sa.text("INSERT INTO t VALUES (2)"))
    connection.close()  # neither committed nor rolled back
    with database.begin() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (3)"))
    with database.begin(read_only=True) as connection:
        assert connection.execute(sa.text("SELECT n FROM t")).scalars().all() == [3]


def test_one_connection_may_write_again_after_its_commit(database: Database) -> None:
    connection = database.connect()
    for n in (1, 2):
        connection.execute(sa.text("INSERT INTO t VALUES (:n)"), {"n": n})
        connection.commit()
    connection.close()
    with database.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM t")).scalar() == 2


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.begin() as writer:
        writer.execute(sa.text("INSERT INTO t VALUES (1)"))
        with database.begin(read_only=True) as reader:
            assert reader.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0


def test_a_writer_that_never_gets_its_turn_says_so(database: Database) -> None:
    with database.begin() as writer:
        writer.execute(sa.text("INSERT INTO t VALUES (1)"))
        with pytest.raises(TemporaryError, match="database-busy"), database.begin() as second:
            second.execute(sa.text("INSERT INTO t VALUES (2)"))
