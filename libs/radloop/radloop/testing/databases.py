"""Fresh databases on either engine, quick enough for one per test."""

import itertools
from collections.abc import Iterable

import pytest
import sqlalchemy as sa

from radloop.sql.postgresql import schema_of

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]
"""Parameters of a fixture or test that is to run on both."""

_TEMPLATE = "radloop_template"


class FreshDatabases:
    """Makes databases that have each service's schema, all empty.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of a superuser; what is made belongs to them.
    services : iterable of str
        Names of the services, a schema for each.
    """

    def __init__(self, url: str, services: Iterable[str]) -> None:
        self._url = sa.make_url(url)
        self._numbers = itertools.count(1)
        self._server = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        self._execute(f"CREATE DATABASE {_TEMPLATE}")
        template = sa.create_engine(self._url.set(database=_TEMPLATE), poolclass=sa.NullPool)
        with template.begin() as connection:
            for service in services:
                connection.execute(sa.text(f"CREATE SCHEMA {schema_of(service)}"))

    def make(self) -> str:
        """Make a database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.execute(sa.text(statement))
