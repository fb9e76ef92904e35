"""Migrations and tables of `qa` say the same."""

from qa.adapters.tables import METADATA
from radloop.testing import assert_migrations_match


def test_migrations_make_the_tables_the_code_knows(empty_database_url):
    assert_migrations_match(empty_database_url, "qa", "qa.adapters.migrations", METADATA)
