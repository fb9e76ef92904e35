"""What people read of projects: versions, counts, status. Facts joined as JSON-ready dictionaries; reads only.

The catalogue of datasets and models is in `catalogue_views.py`, the learning curve in `curve_views.py`.
"""

from typing import Any

import sqlalchemy as sa

from control_plane.adapters import tables
from radloop.errors import NotFound
from radloop.references import Arm

Json = dict[str, Any]


class SqlReader:
    """Base of the views: one connection, rows as dictionaries."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _rows(self, query: sa.Select[Any]) -> list[Json]:
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def flag_counts(self, project_id: str) -> list[Json]:
        """Count flagged cases by round and arm, oldest round first."""
        flags = tables.flags
        query = sa.select(flags).where(flags.c.project_id == project_id).order_by(flags.c.round_number)
        rounds: dict[str, Json] = {}
        for row in self._rows(query):
            known = rounds.setdefault(
                row["round_id"],
                {name: row[name] for name in ("round_id", "round_number", "model_digest", "pool_size", "batch_size")}
                | {"flagged": dict.fromkeys((arm.value for arm in Arm), 0)},
            )
            known["flagged"][row["arm"]] += 1
        return list(rounds.values())


class SqlViews(SqlReader):
    """Answers about projects."""

    def project_ids(self) -> list[str]:
        """Return all projects, by id."""
        return list(
            self._connection.execute(
                sa.select(tables.projects.c.project_id).order_by(tables.projects.c.project_id)
            ).scalars()
        )

    def version(self, project_id: str, version: int) -> Json:
        """Return the settings of one version of a project.

        Raises
        ------
        NotFound
            ``version-unknown``.
        """
        versions = tables.project_versions
        query = sa.select(versions.c.settings).where(versions.c.project_id == project_id, versions.c.version == version)
        settings = self._connection.execute(query).scalar()
        if settings is None:
            raise NotFound(
                "version-unknown", expected="a version of this project", got=str(version), do="ask without version"
            )
        return settings

    def counts(self, project_id: str) -> Json:
        """Count studies, patients, cases and approved labels by split, flags by round and predictions by model."""
        cases = self._rows(sa.select(tables.cases).where(tables.cases.c.project_id == project_id))
        split_of = {row["case_id"]: row["split"] for row in cases}
        approved = self._newest_approvals(project_id)
        by_split: dict[str, Json] = {}
        for split in ("train", "validation", "test"):
            mine = [row for row in cases if row["split"] == split]
            by_split[split] = {
                "studies": self._count_studies(project_id, split),
                "patients": len({row["patient_key"] for row in mine}),
                "cases": len(mine),
                "approved_labels": sum(split_of.get(row["case_id"]) == split for row in approved),
            }
        return {
            "project_id": project_id,
            "splits": by_split,
            # An approval may be heard before its study.
            "approved_labels_of_unknown_split": sum(row["case_id"] not in split_of for row in approved),
            "rounds": self.flag_counts(project_id),
            "predictions": self._prediction_counts(project_id),
        }

    def _count_studies(self, project_id: str, split: str) -> int:
        studies = tables.studies
        query = sa.select(sa.func.count()).where(studies.c.project_id == project_id, studies.c.split == split)
        return self._connection.execute(query.select_from(studies)).scalar() or 0

    def _newest_approvals(self, project_id: str) -> list[Json]:
        approvals = tables.approvals
        query = sa.select(approvals).where(approvals.c.project_id == project_id).order_by(approvals.c.sequence)
        newest = {row["case_id"]: row for row in self._rows(query)}
        return [newest[case_id] for case_id in sorted(newest)]

    def _prediction_counts(self, project_id: str) -> list[Json]:
        made = tables.predictions
        failed = sa.func.count(made.c.failure)
        query = (
            sa.select(made.c.model_digest, (sa.func.count() - failed).label("made"), failed.label("failed"))
            .where(made.c.project_id == project_id)
            .group_by(made.c.model_digest)
            .order_by(made.c.model_digest)
        )
        return self._rows(query)

    def status(self) -> Json:
        """Count projects, models and what was refused, by reason."""
        rejected = tables.rejections
        query = (
            sa.select(rejected.c.reason, sa.func.sum(rejected.c.instance_count).label("instances"))
            .group_by(rejected.c.reason)
            .order_by(rejected.c.reason)
        )
        count = sa.select(sa.func.count())
        return {
            "projects": self._connection.execute(count.select_from(tables.projects)).scalar(),
            "models": self._connection.execute(count.select_from(tables.models)).scalar(),
            "withdrawn_studies": self._connection.execute(count.select_from(tables.withdrawn_studies)).scalar(),
            "rejected_instances": {row["reason"]: row["instances"] for row in self._rows(query)},
        }
