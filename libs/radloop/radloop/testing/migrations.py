"""A service's migrations and its tables must say the same, on either engine."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from radloop.sql import Database


def assert_migrations_match(url: str, service: str, package: str, metadata: sa.MetaData) -> None:
    """Run the migrations of ``package`` on an empty database and compare the result with the metadata."""
    database = Database(url, service)
    database.migrate(package)
    database.migrate(package)  # a second start changes nothing
    with database.begin(read_only=True) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    assert not differences, differences
