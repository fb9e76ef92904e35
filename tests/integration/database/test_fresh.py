"""Databases of tests that are used again: without a row of the test before, and only where nothing but rows changed."""

import pytest
import sqlalchemy as sa

pytestmark = pytest.mark.integration

CHANGES = {
    "a row": "INSERT INTO qa.inbox VALUES ({values})",
    "a table": "CREATE TABLE qa.another (id integer)",
    "a column": "ALTER TABLE qa.inbox ADD COLUMN another integer",
    "a right": "GRANT SELECT ON qa.inbox TO PUBLIC",
    "a revision": "UPDATE qa.alembic_version SET version_num = '9999'",
    "a function": "CREATE FUNCTION qa.another() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
}


def executed(url: str, statement: str):
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        answer = connection.execute(sa.text(statement))
        return answer.scalar() if answer.returns_rows else None


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_of_a_test_is_left_to_the_next(fresh_databases, change):
    first = fresh_databases.make()
    oid = executed(first, "SELECT oid FROM pg_database WHERE datname = current_database()")
    columns = sa.inspect(sa.create_engine(first, poolclass=sa.NullPool)).get_columns("inbox", schema="qa")
    values = ["1" if isinstance(column["type"], (sa.Numeric, sa.Integer)) else "'x'" for column in columns]
    executed(first, CHANGES[change].format(values=", ".join(values)))
    fresh_databases.drop(first)
    second = fresh_databases.make()
    try:
        assert second != first
        same = executed(second, "SELECT oid FROM pg_database WHERE datname = current_database()") == oid
        assert same == (change == "a row")
        assert executed(second, "SELECT count(*) FROM qa.inbox") == 0
        assert executed(second, "SELECT version_num FROM qa.alembic_version") != "9999"
    finally:
        fresh_databases.drop(second)
