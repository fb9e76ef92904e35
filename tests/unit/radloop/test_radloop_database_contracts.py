"""The contract suites of the database, on both engines."""

import pytest

from radloop.events import open_event_log
from radloop.testing.contracts import sqlite_url
from radloop.testing.database_contracts import RelayContract, UnitOfWorkContract


class TestUnitOfWork(UnitOfWorkContract):
    pass


class TestRelay(RelayContract):
    @pytest.fixture
    def event_log(self, tmp_path):
        log = open_event_log(sqlite_url(tmp_path))
        yield log
        log.close()
