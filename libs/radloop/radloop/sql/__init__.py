"""State, outbox and inbox in one transaction, on SQLite or PostgreSQL by SQLAlchemy Core."""

from radloop.sql.database import Database
from radloop.sql.tables import create_messaging_tables, messaging_tables, tune_outbox
from radloop.sql.unit_of_work import SqlUnitOfWork, upsert

__all__ = ["Database", "SqlUnitOfWork", "create_messaging_tables", "messaging_tables", "tune_outbox", "upsert"]
