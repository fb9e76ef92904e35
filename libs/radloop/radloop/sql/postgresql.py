"""PostgreSQL as a service's database: one schema, one writing transaction at a time over all replicas."""

import hashlib
import time
from typing import Any

import psycopg
import sqlalchemy as sa

from radloop.errors import PermanentError
from radloop.sql.turns import READ_ONLY

POOL_WAIT_S = 10.0
_RESTED_S = 1.0
_USED_AT = "radloop_used_at"

# A peer that vanished without a word (power, cable, firewall) is noticed within about ten seconds.
PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def schema_of(service: str) -> str:
    """Return the schema, and the role, of a service: ``edge-miner`` is ``edge_miner``."""
    return service.replace("-", "_")


def lock_key(schema: str, purpose: str) -> int:
    """Return the key of a service's advisory lock, a signed 64-bit number that is the same in every process.

    Locks belong to the database, so the schema is part of the key: two services never wait for one another.
    """
    digest = hashlib.sha256(f"radloop/{schema}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def parse_url(url: str) -> sa.URL:
    """Read an URL of PostgreSQL; the driver is psycopg 3 whatever it says.

    Raises
    ------
    PermanentError
        ``database-url-unknown``; the password is not shown.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None or not parsed.host or not parsed.database:
        raise PermanentError(
            "database-url-unknown",
            expected="postgresql+psycopg://role:password@host:port/database",
            got="an URL without a host or a database, or with characters that must be percent-encoded",
            do="set RADLOOP_DATABASE_URL",
        ) from None
    return parsed.set(drivername="postgresql+psycopg")


def open_postgresql(url: str, service: str, pool_size: int, busy_timeout_s: float) -> sa.Engine:
    """Open a service's schema with a pool of connections.

    Every writing transaction first takes the service's lock, which ends with it. Its statements see what was committed
    before each of them began (READ COMMITTED): the lock's own statement begins before the lock is had, so a snapshot
    taken then would be too old.
    """
    schema = schema_of(service)
    engine = sa.create_engine(
        parse_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        connect_args=PATIENCE
        | {
            "options": f"-csearch_path={schema}",
            "application_name": f"radloop-{service}",
            "autocommit": True,  # BEGIN is sent below, in one round trip with what belongs to it
        },
    )
    # The target list is evaluated from left to right, and a wait looks at the limit as it is then.
    write = (
        "BEGIN ISOLATION LEVEL READ COMMITTED; "
        f"SELECT set_config('lock_timeout', '{round(busy_timeout_s * 1000)}', true), "
        f"pg_advisory_xact_lock({lock_key(schema, 'writer')})"
    )
    # A snapshot for the whole transaction, as SQLite gives it; a writer in disguise is refused.
    read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":  # VACUUM and its like
            return
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)
        if not session.autocommit:  # as SQLAlchemy leaves a connection that was used so
            session.autocommit = True
        connection.exec_driver_sql(read if options.get(READ_ONLY, False) else write)

    _ping_what_rested(engine)
    return engine


def _ping_what_rested(engine: sa.Engine) -> None:
    """Try a connection before its use, unless it was used a moment ago: a ping would double the round trips of a busy service."""

    @sa.event.listens_for(engine, "connect")
    @sa.event.listens_for(engine, "checkin")
    def used(_session: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def on_checkout(session: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED_AT, 0.0) < _RESTED_S:
            return
        try:
            session.execute("SELECT 1")
        except psycopg.Error as error:
            raise sa.exc.InvalidatePoolError from error  # the pool makes another, and drops all others of that age
