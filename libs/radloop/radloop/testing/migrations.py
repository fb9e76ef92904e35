"""A service's migrations and its tables must say the same, on either engine."""

import importlib.resources
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from radloop.sql import Database
from radloop.sql.database import newest_revision


def assert_migrations_match(url: str, service: str, package: str, metadata: sa.MetaData) -> None:
    """Run the migrations of ``package`` on an empty database and compare the result with the metadata."""
    database = Database(url, service)
    database.migrate(package)
    versions = Path(str(importlib.resources.files(package))) / "versions"
    assert (
        newest_revision(versions)
        == ScriptDirectory(str(versions.parent), version_locations=[str(versions)]).get_current_head()
    )
    database.migrate(package)  # a second start changes nothing
    with database.begin(read_only=True) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    assert not differences, differences
