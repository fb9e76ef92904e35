"""The four tables every service has beside its own: outbox, inbox, parked events, audit trail."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

# SQLite gives ids only to INTEGER PRIMARY KEY.
BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


@dataclass(frozen=True)
class MessagingTables:
    """The shared tables inside one service's metadata."""

    outbox: sa.Table
    inbox: sa.Table
    parked: sa.Table
    audit: sa.Table


def _columns() -> dict[str, list[Any]]:
    return {
        "outbox": [
            sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
            sa.Column("topic", sa.String(100), nullable=False),
            sa.Column("key", sa.String(200), nullable=False),
            sa.Column("headers", sa.Text, nullable=False),
            sa.Column("value", sa.LargeBinary, nullable=False),
            sa.Column("created_at", sa.Float, nullable=False),
        ],
        "inbox": [
            sa.Column("consumer_group", sa.String(100), primary_key=True),
            sa.Column("source", sa.String(200), primary_key=True),
            sa.Column("event_id", sa.String(100), primary_key=True),
        ],
        "parked": [
            sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
            sa.Column("token", sa.String(300), nullable=False, index=True),
            sa.Column("source", sa.String(200), nullable=False),
            sa.Column("event_id", sa.String(100), nullable=False),
            sa.Column("topic", sa.String(100), nullable=False),
            sa.Column("key", sa.String(200), nullable=False),
            sa.Column("headers", sa.Text, nullable=False),
            sa.Column("value", sa.LargeBinary, nullable=False),
            sa.Column("ready", sa.Boolean, nullable=False, index=True),
            sa.Column("parked_at", sa.Float, nullable=False),
            sa.UniqueConstraint("source", "event_id", name="parked_event"),
        ],
        "audit": [
            sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
            sa.Column("at", sa.Float, nullable=False),
            sa.Column("subject", sa.String(200), nullable=False),
            sa.Column("action", sa.String(100), nullable=False),
            sa.Column("target", sa.String(300), nullable=False),
        ],
    }


def messaging_tables(metadata: sa.MetaData) -> MessagingTables:
    """Add the shared tables to a service's metadata, or return those it has."""
    for name, columns in _columns().items():
        if name not in metadata.tables:
            sa.Table(name, metadata, *columns)
    return MessagingTables(**{name: metadata.tables[name] for name in _columns()})


def tune_outbox(op: Any) -> None:
    """Let PostgreSQL clean the outbox up often; called with Alembic's ``op`` in a service's second migration.

    Every row is deleted within a second of its making. By default a table is cleaned up once a fifth of it is dead, which
    for one that is nearly empty is a matter of chance, and the relay's look for the oldest row would walk over the dead.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
            "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 5000, "
            "autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)"
        )


def create_messaging_tables(op: Any) -> None:
    """Create the shared tables; called with Alembic's ``op`` in a service's first migration."""
    for name, columns in _columns().items():
        op.create_table(name, *columns)
