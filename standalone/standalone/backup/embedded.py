"""One moment of the embedded engines: a snapshot of all databases and the event log that no transaction lies across.

Every writer's lock is held at the same time, for as long as it takes to begin one read per file (milliseconds). What
was committed before is in all snapshots; what comes later is in none. So no service knows an event whose sender has
forgotten it, and no event is published whose row is neither in an outbox nor in the log.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from radloop.errors import PermanentError, Unavailable

PATIENCE_S = 30.0


@contextlib.contextmanager
def one_moment(files: Mapping[str, Path]) -> Iterator[dict[str, "Snapshot"]]:
    """Hold a snapshot of several SQLite files, all of the same moment.

    Parameters
    ----------
    files
        By name, in the order their locks are taken: who holds one may wait for a later one, never for an earlier one. So
        the event log comes last.

    Raises
    ------
    Unavailable
        ``database-busy``.
    """
    with contextlib.ExitStack() as reading:
        snapshots = {}
        with contextlib.ExitStack() as writing:
            for name, file in files.items():
                lock = writing.enter_context(contextlib.closing(_open(file)))
                try:
                    lock.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    raise Unavailable(
                        "database-busy",
                        expected=f"a turn in the database of {name}",
                        got=f"none in {PATIENCE_S:.0f} s",
                        do="try again when less is going on",
                    ) from error
            for name, file in files.items():
                connection = reading.enter_context(contextlib.closing(_open(file)))
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                snapshots[name] = Snapshot(name, connection)
        yield snapshots


class Snapshot:
    """One file as it was at the moment, while others write on."""

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        self.name, self.connection = name, connection

    def copy(self, target: Path) -> None:
        """Write the snapshot as a database file of its own.

        Raises
        ------
        PermanentError
            ``database-damaged``: what was copied is not sound, so neither is the original.
        """
        with contextlib.closing(sqlite3.connect(target)) as copy:
            # All pages in one step: the copy is of this connection's snapshot and never begins anew.
            self.connection.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
            (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise PermanentError(
                "database-damaged", expected=f"a sound database of {self.name}", got=said, do="restore a backup"
            )


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)
