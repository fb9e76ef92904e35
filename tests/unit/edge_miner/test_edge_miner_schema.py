"""Schema, contracts and settings of the service as a whole."""

import pytest

from edge_miner.adapters.tables import metadata
from edge_miner.settings import EdgeMinerSettings
from radloop.errors import PermanentError
from radloop.settings import load
from radloop.testing import assert_migrations_match


def test_migrations_make_the_tables(empty_database_url: str) -> None:
    assert_migrations_match(empty_database_url, "edge-miner", "edge_miner.adapters.migrations", metadata)


def test_a_misspelt_setting_stops_the_start() -> None:
    with pytest.raises(PermanentError, match="setting-unknown"):
        load(EdgeMinerSettings, {"EDGE_MINER_QUIET": "1"})
