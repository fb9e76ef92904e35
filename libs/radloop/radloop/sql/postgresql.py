"""PostgreSQL as a service's database: one schema, one writing transaction at a time over all replicas."""

import hashlib
from typing import Any

import psycopg
import sqlalchemy as sa

from radloop.errors import PermanentError
from radloop.sql.turns import READ_ONLY

POOL_WAIT_S = 10.0

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
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        connect_args=PATIENCE | {"options": f"-csearch_path={schema}", "application_name": f"radloop-{service}"},
    )
    # One round trip: the target list is evaluated from left to right, and a wait looks at the limit as it is then.
    take_turn = (
        f"SELECT set_config('lock_timeout', '{round(busy_timeout_s * 1000)}', true), "
        f"pg_advisory_xact_lock({lock_key(schema, 'writer')})"
    )

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # Said with the BEGIN that psycopg sends before the first statement. "None" leaves it to the server, which may itself
        # be read-only; SQLAlchemy's own option would make it "read write" for every later user of the connection.
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)
        if connection.get_execution_options().get(READ_ONLY, False):
            # A snapshot for the whole transaction, as SQLite gives it; a writer in disguise is refused.
            session.isolation_level, session.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            return
        session.isolation_level, session.read_only = psycopg.IsolationLevel.READ_COMMITTED, None
        connection.exec_driver_sql(take_turn)

    return engine
