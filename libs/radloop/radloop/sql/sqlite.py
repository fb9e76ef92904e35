"""SQLite as a service's database: WAL mode, every commit synced, writers one after the other."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from radloop.errors import Unavailable
from radloop.sql.turns import READ_ONLY, Turns

_HAS_TURN = "radloop_has_turn"


def open_sqlite(folder: str, service: str, busy_timeout_s: float) -> sa.Engine:
    """Open ``<folder>/<service>.db``; the folder is made.

    Writers begin with BEGIN IMMEDIATE, so that a transaction never fails half-way for want of the lock.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        f"sqlite:///{Path(folder) / service}.db", connect_args={"timeout": busy_timeout_s, "check_same_thread": False}
    )
    turns = Turns()

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's documented way to take BEGIN into one's own hands
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(READ_ONLY, False):
            connection.exec_driver_sql("BEGIN")
            return
        if not turns.take(busy_timeout_s):
            raise Unavailable("database-busy", expected="a turn to write", got=f"none in {busy_timeout_s} s")
        connection.info[_HAS_TURN] = True
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except BaseException:
            pass_on(connection)
            raise

    # SQLAlchemy calls both just before the transaction ends; the next writer waits that long for SQLite's own lock.
    @sa.event.listens_for(engine, "commit")
    @sa.event.listens_for(engine, "rollback")
    def pass_on(connection: sa.Connection) -> None:
        if connection.info.pop(_HAS_TURN, False):
            turns.give()

    return engine
