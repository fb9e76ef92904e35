"""Fresh databases on either engine, quick enough for one per test."""

import itertools
from collections.abc import Iterable, Mapping

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
        self._server = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        self._execute(f"CREATE DATABASE {_EMPTY}")
        empty = sa.create_engine(self._url.set(database=_EMPTY), poolclass=sa.NullPool)
        with empty.begin() as connection:
            for service in services:
                connection.execute(sa.text(f"CREATE SCHEMA {schema_of(service)}"))
        self._execute(f"CREATE DATABASE {_MIGRATED} TEMPLATE {_EMPTY}")
        migrate_all(self._url_of(_MIGRATED), migrations)

    def make(self, *, empty: bool = False) -> str:
        """Make a database, with the tables of all services or with none, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_EMPTY if empty else _MIGRATED}")
        return self._url_of(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.execute(sa.text(statement))


def migrate_all(url: str, migrations: Mapping[str, str]) -> None:
    """Bring every service's schema at one database URL up to date: packages of Alembic revisions by service."""
    for service, package in migrations.items():
        database = Database(url, service)
        database.migrate(package)
        database.close()
