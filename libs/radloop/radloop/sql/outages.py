"""What databases say when they are away, full, read-only or busy, in our words.

Such an error says nothing about the work at hand, so all of them become `Unavailable`, which is tried again for as long as
it lasts. A value that PostgreSQL cannot keep (too long, a NUL character), and SQLite would have, is `Invalid`: trying again
will not help. What a database says about the statement itself (a constraint, a missing table) stays as it is.
The words are our own: a driver's text may quote a row, a host or a role.
"""

import sqlite3
from collections.abc import Callable

import psycopg
import sqlalchemy as sa

from radloop.errors import Invalid, RadloopError, Unavailable

_LOOK = "see the database server's log; nothing is lost, and work goes on by itself once it answers"

BUSY = "database-busy"

_NO_TURN = "no turn to write in time"

# By SQLSTATE, the longest match first (PostgreSQL 16, appendix A).
_STATES = {
    "08": ("a lost connection", _LOOK),
    "25006": ("a database that is read-only", "point RADLOOP_DATABASE_URL at the primary, or end its recovery"),
    "25P03": ("a transaction ended for being idle", _LOOK),
    "28": ("a refusal of role or password", "check both in RADLOOP_DATABASE_URL; `radloop database apply` makes them"),
    "3D000": ("no such database", "check its name in RADLOOP_DATABASE_URL"),
    "3F000": ("no schema of this service", "run `radloop database apply`"),
    "40": ("a conflict with another transaction", ""),
    "42501": ("a refusal of the rights to a table or schema", "run `radloop database apply`"),
    "53100": ("a full disk", "give the database server space"),
    "53300": ("too many connections", "raise max_connections, or lower RADLOOP_DATABASE_POOL_SIZE"),
    "53": ("want of memory or another resource", _LOOK),
    "55P03": (_NO_TURN, "look for a transaction that does not end: pg_stat_activity"),
    "57014": ("a statement that took too long", "look for what keeps the server busy: pg_stat_activity"),
    "57P05": ("a session ended for being idle", ""),
    "57": ("a server that starts, stops or recovers", _LOOK),
    "58": ("a failure of its disk", _LOOK),
    "XX": ("an internal failure or damaged data", _LOOK),
}
_SQLITE = {
    sqlite3.SQLITE_BUSY: (_NO_TURN, ""),
    sqlite3.SQLITE_LOCKED: (_NO_TURN, ""),
    sqlite3.SQLITE_NOMEM: ("want of memory", ""),
    sqlite3.SQLITE_READONLY: ("a database that is read-only", "make its folder writable"),
    sqlite3.SQLITE_IOERR: ("a failure of its disk", "see the kernel's log"),
    sqlite3.SQLITE_CORRUPT: ("a damaged file", "restore the last backup"),
    sqlite3.SQLITE_FULL: ("a full disk", "give it space"),
    sqlite3.SQLITE_CANTOPEN: ("a file that cannot be opened", "make its folder readable and writable"),
    sqlite3.SQLITE_NOTADB: ("a file that is no database", "restore the last backup"),
}


def translate_outages(engine: sa.Engine, on_outage: Callable[[], None]) -> None:
    """Let an engine raise `Unavailable` for what is no fault of the statement, and tell."""

    @sa.event.listens_for(engine, "handle_error")
    def on_error(context: sa.engine.ExceptionContext) -> BaseException | None:
        # A failed ping is the pool's business: it opens another connection.
        if context.is_pre_ping or (reason := outage(context.original_exception)) is None:
            return None
        if reason.code != BUSY:
            on_outage()
        return reason


def outage(error: BaseException) -> RadloopError | None:
    """Return what a driver's error means if not the statement is to blame but the database or a value, else None."""
    found: tuple[str, str] | None = None
    if isinstance(error, psycopg.DataError):
        return Invalid(
            "value-not-kept",
            expected="texts without NUL characters, no longer than their columns, numbers in their range",
            got="another value",
            do="send a shorter text or a smaller number",
        )
    if isinstance(error, psycopg.Error):
        found = _of_state(error.sqlstate) if error.sqlstate else _of_connection(error)
    elif isinstance(error, sqlite3.Error):
        found = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if found is None:
        return None
    got, do = found
    code = BUSY if got == _NO_TURN else "database-unavailable"
    return Unavailable(code, expected="the database to do its part", got=got, do=do)


def no_connection_free() -> Unavailable:
    """Return the error of who has waited too long for a connection of the pool."""
    return Unavailable(
        BUSY,
        expected="a free connection",
        got="none in time",
        do="look for what keeps the database slow; RADLOOP_DATABASE_POOL_SIZE sets their number",
    )


def _of_state(state: str) -> tuple[str, str] | None:
    return _STATES.get(state, _STATES.get(state[:2]))


def _of_connection(error: psycopg.Error) -> tuple[str, str] | None:
    """What never reached a server, or came from none, has no SQLSTATE."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return None
    # The library gives no code for a wrong password, only the server's words in its own.
    if "authentication failed" in str(error):
        return _STATES["28"]
    return "no connection", "check host and port in RADLOOP_DATABASE_URL and that the server runs"
