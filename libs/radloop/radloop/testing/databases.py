"""Fresh databases on either engine, quick enough for one per test."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from radloop.sql import Database
from radloop.sql.postgresql import schema_of

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]
"""Parameters of a fixture or test that is to run on both."""

ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Mark of a test that asks for `database_url` and is about what no engine changes: roles, refusals, the order of messages."""

_EMPTY = "radloop_empty"
_MIGRATED = "radloop_migrated"

_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
_RELATIONS = sa.text(
    "SELECT n.nspname, n.nspacl::text, c.relname, c.relkind, c.relnatts, c.relchecks, c.relhastriggers, c.relowner, c.relacl::text"
    f" FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid WHERE {_OURS} ORDER BY 1, 3"
)
_SETTINGS = sa.text(
    "SELECT 1 FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase AND datname = current_database()"
)
_WITH_ROWS = sa.text(
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid"
    f" WHERE {_OURS} AND c.relkind = 'r' AND c.relname <> 'alembic_version' AND pg_relation_size(c.oid) > 0"
)
_FUNCTIONS = sa.text(f"SELECT p.proname FROM pg_namespace n JOIN pg_proc p ON p.pronamespace = n.oid WHERE {_OURS}")


class _Changed(Exception):
    """More than rows differs from what was made."""


class FreshDatabases:
    """Makes databases that have each service's schema, with all its tables or with none. Not one has a row.

    The tables are copied from a database that was migrated once: Alembic takes longer than all else that most tests do.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of a superuser; what is made belongs to them.
    services : iterable of str
        Names of the services, a schema for each.
    migrations : mapping
        Packages of Alembic revisions, by service.
    """

    def __init__(self, url: str, services: Iterable[str], migrations: Mapping[str, str]) -> None:
        self._url = sa.make_url(url)
        self._numbers = itertools.count(1)
        self._server = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", pool_size=1)
        self._execute(f"CREATE DATABASE {_EMPTY}")
        with self._transaction(_EMPTY) as connection:
            for service in services:
                connection.execute(sa.text(f"CREATE SCHEMA {schema_of(service)}"))
        self._execute(f"CREATE DATABASE {_MIGRATED} TEMPLATE {_EMPTY}")
        migrate_all(self._url_of(_MIGRATED), migrations)
        with self._transaction(_MIGRATED) as connection:
            self._as_made = _but_for_rows(connection)
        self._emptied: list[str] = []

    def make(self, *, empty: bool = False) -> str:
        """Make a database, with the tables of all services or with none, and return its URL."""
        name = f"test_{next(self._numbers)}"
        if self._emptied and not empty:
            # Under a name of its own: who was left behind by an earlier test does not find it.
            self._execute(f"ALTER DATABASE {self._emptied.pop()} RENAME TO {name}")
        else:
            self._execute(f"CREATE DATABASE {name} TEMPLATE {_EMPTY if empty else _MIGRATED}")
        return self._url_of(name)

    def drop(self, url: str) -> None:
        """Take a database away, whoever is connected to it.

        Where nothing but rows changed it is emptied and kept for `make`: PostgreSQL takes half a second to copy the hundreds
        of files of a database on a busy machine.
        """
        name = sa.make_url(url).database
        try:
            self._empty(name)
        except (_Changed, sa.exc.DBAPIError):
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        else:
            self._emptied.append(name)

    def _empty(self, name: str) -> None:
        self._execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
        with self._transaction(name) as connection:
            if _but_for_rows(connection) != self._as_made:
                raise _Changed
            if tables := connection.execute(_WITH_ROWS).scalars().all():
                connection.execute(sa.text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))

    @contextmanager
    def _transaction(self, name: str) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self._url.set(database=name), poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.execute(sa.text(statement))


def _but_for_rows(connection: sa.Connection) -> list[list[Any]]:
    """Return what a test may have changed beside rows: relations, functions, settings, and the revisions of the schemas."""
    found = [list(connection.execute(query).all()) for query in (_RELATIONS, _FUNCTIONS, _SETTINGS)]
    schemas = [row.nspname for row in found[0] if row.relname == "alembic_version"]
    return [*found, *(list(connection.execute(sa.text(f"SELECT * FROM {each}.alembic_version"))) for each in schemas)]


def migrate_all(url: str, migrations: Mapping[str, str]) -> None:
    """Bring every service's schema at one database URL up to date: packages of Alembic revisions by service."""
    for service, package in migrations.items():
        database = Database(url, service)
        database.migrate(package)
        database.close()
