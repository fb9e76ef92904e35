"""Fakes for unit tests of handlers, and contract suites that run against every engine of a port."""

from radloop.testing.fakes import FakeObjects, FakeUnitOfWork, deliver
from radloop.testing.migrations import assert_migrations_match

__all__ = ["FakeObjects", "FakeUnitOfWork", "assert_migrations_match", "deliver"]
