"""The unit of work of `ingest` on SQL, with all its repositories."""

from typing import Self

from ingest.adapters.sql_cases import SqlCases, SqlProjects, SqlSplits, SqlTombstones
from ingest.adapters.sql_exports import SqlExports, SqlOriginals
from ingest.adapters.sql_keys import SqlPatients, SqlRefusedPatients, SqlSealedThings, SqlSiteKeys
from ingest.adapters.sql_profiles import SqlChanges, SqlSiteProfiles
from ingest.adapters.sql_pulls import SqlPulls
from ingest.adapters.sql_retention import SqlUsedCases
from ingest.adapters.sql_studies import SqlHeld, SqlInstances, SqlReceptions, SqlRefusals, SqlStudies
from radloop.sql import SqlUnitOfWork


class SqlIngestUnitOfWork(SqlUnitOfWork):
    """`ports.IngestUnitOfWork`."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.studies = SqlStudies(self.connection)
        self.instances = SqlInstances(self.connection)
        self.receptions = SqlReceptions(self.connection)
        self.held = SqlHeld(self.connection)
        self.refusals = SqlRefusals(self.connection)
        self.cases = SqlCases(self.connection)
        self.projects = SqlProjects(self.connection)
        self.splits = SqlSplits(self.connection)
        self.tombstones = SqlTombstones(self.connection)
        self.site_keys = SqlSiteKeys(self.connection)
        self.patients = SqlPatients(self.connection)
        self.changes = SqlChanges(self.connection)
        self.site_profiles = SqlSiteProfiles(self.connection)
        self.refused_patients = SqlRefusedPatients(self.connection)
        self.used_cases = SqlUsedCases(self.connection)
        self.sealed = SqlSealedThings(self.connection)
        self.pulls = SqlPulls(self.connection)
        self.originals = SqlOriginals(self.connection)
        self.exports = SqlExports(self.connection)
        return self
