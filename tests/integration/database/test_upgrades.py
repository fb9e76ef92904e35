"""Every released schema, full of rows, is brought up to date on both engines, and every row is there afterwards."""

import importlib
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from radloop.errors import PermanentError
from radloop.sql import Database
from radloop.sql.postgresql import schema_of
from standalone.setup import SERVICES

pytestmark = pytest.mark.integration

RELEASED = {"0.1.0": "0001"}
"""The newest revision of each release, the same number in every service."""

ROWS = 3


def metadata_of(service: str) -> sa.MetaData:
    tables = importlib.import_module(f"{schema_of(service)}.adapters.tables")
    return getattr(tables, "METADATA", None) or tables.metadata


def value_for(column: sa.Column[Any], number: int) -> Any:
    """A value of the column's type, different in each row, with what databases disagree on: length, sign, letters, nulls."""
    if column.nullable and number == 0:
        return None
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return number % 2 == 0
    if isinstance(kind, sa.LargeBinary):
        return bytes([0, 255, number])
    if isinstance(kind, sa.JSON):
        return {"number": number, "name": "Größe", "list": [1, None, 0.1 + 0.2]}
    if isinstance(kind, sa.BigInteger):
        return 2**53 + number
    if isinstance(kind, sa.Integer):
        return 2**31 - 1 - number
    if isinstance(kind, sa.Float):
        return 1_790_000_000.123456 + number
    if isinstance(kind, sa.String) and kind.length:
        return f"{column.name}-ä-{number}-{'x' * kind.length}"[: kind.length - 1] + str(number)
    return f'{{"name": "Größe", "number": {number}}}'


def rows_of(connection: sa.Connection, tables: list[sa.Table]) -> dict[str, list[Any]]:
    return {table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in tables}


@pytest.mark.parametrize("release", RELEASED)
@pytest.mark.parametrize("service", SERVICES)
def test_every_row_of_a_release_survives_the_upgrade(empty_database_url, service, release):
    package = f"{schema_of(service)}.adapters.migrations"
    database = Database(empty_database_url, service)
    database.migrate(package, to=RELEASED[release])
    then = sa.MetaData()
    then.reflect(database.engine)
    tables = [table for name, table in then.tables.items() if name != "alembic_version"]
    assert len(tables) > 5
    with database.begin() as connection:
        for table in tables:
            rows = [{c.name: value_for(c, number) for c in table.columns} for number in range(ROWS)]
            connection.execute(table.insert(), rows)
        before = rows_of(connection, tables)
    database.migrate(package)
    with database.begin(read_only=True) as connection:
        assert rows_of(connection, tables) == before
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() > RELEASED[release]
        assert compare_metadata(context, metadata_of(service)) == []
    assert all(len(rows) == ROWS for rows in before.values())
    database.close()


def test_a_database_of_a_newer_release_is_left_alone(database_url):
    database = Database(database_url, "qa")
    database.migrate("qa.adapters.migrations")
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(PermanentError, match="database-too-new"):
        database.migrate("qa.adapters.migrations")
    database.close()
