"""What people read of datasets and models: lineage from label versions to deployments, and what withdrawals leave behind."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from control_plane.adapters import tables
from control_plane.adapters.views import Json, SqlReader
from control_plane.domain import curve
from control_plane.domain.lineage import descendants
from control_plane.domain.messages import Deployment
from radloop.errors import Conflict, NotFound
from radloop.references import CaseDice

PARTS = ("validation", "serving-validation", "test")


class SqlCatalogueViews(SqlReader):
    """Answers about datasets and models."""

    def datasets(self, project_id: str) -> list[Json]:
        """List a project's dataset versions with their size and runs, oldest run first."""
        known = tables.datasets
        digests = self._connection.execute(sa.select(known.c.digest).where(known.c.project_id == project_id)).scalars()
        listed = [self._dataset_summary(project_id, digest) for digest in digests]
        return sorted(listed, key=lambda row: min((run["run_number"] for run in row["runs"]), default=0))

    def _dataset_summary(self, project_id: str, digest: str) -> Json:
        items, runs = tables.dataset_items, tables.runs
        of_version = sa.and_(items.c.project_id == project_id, items.c.dataset_version == digest)
        by_split = sa.select(items.c.split, sa.func.count().label("labels")).where(of_version).group_by(items.c.split)
        gone = (
            sa.select(items.c.study_key)
            .where(of_version, items.c.study_key.in_(sa.select(tables.withdrawn_studies.c.study_key)))
            .distinct()
        )
        its_runs = sa.select(runs).where(runs.c.project_id == project_id, runs.c.dataset_version == digest)
        return {
            "dataset_version": digest,
            "project_id": project_id,
            "labels": {row["split"]: row["labels"] for row in self._rows(by_split)},
            "withdrawn_studies": sorted(self._connection.execute(gone).scalars()),
            "runs": [
                {
                    "run_id": row["run_id"],
                    "run_number": row["run_number"],
                    "state": run_state(row),
                    "model_digest": row["model_digest"],
                    "last_wait": last_wait(row),
                }
                for row in self._rows(its_runs.order_by(runs.c.run_number))
            ],
        }

    def dataset(self, digest: str, readable: Iterable[str]) -> Json:
        """Return a dataset version with its items, from one of the readable projects.

        Raises
        ------
        NotFound
            ``dataset-unknown``.
        """
        known = tables.datasets
        query = sa.select(known.c.project_id).where(known.c.digest == digest, known.c.project_id.in_(list(readable)))
        project_id = self._connection.execute(query.order_by(known.c.project_id)).scalar()
        if project_id is None:
            raise NotFound(
                "dataset-unknown",
                expected="a dataset version",
                got=digest,
                do="list them: GET /v1/datasets?project_id=…",
            )
        items = tables.dataset_items
        query = sa.select(items).where(items.c.project_id == project_id, items.c.dataset_version == digest)
        summary = self._dataset_summary(project_id, digest)
        rows = self._rows(query.order_by(items.c.case_id))
        for row in rows:
            del row["project_id"], row["dataset_version"]
            row["withdrawn"] = row["study_key"] in summary["withdrawn_studies"]
        return summary | {"items": rows}

    def models(self, project_id: str) -> list[Json]:
        """List a project's models, oldest run first, brought ones last."""
        models = tables.models
        rows = self._rows(sa.select(models).where(models.c.project_id == project_id).order_by(models.c.digest))
        history, wanted = self._deployments(project_id), self._wanted(project_id)
        dice = self.dice(project_id, "test")
        listed = [
            _model_summary(row, history, wanted)
            | {"test": interval_json(curve.over_segments(dice.get(row["digest"], [])))}
            for row in rows
        ]
        return sorted(listed, key=lambda row: (row["run_number"] is None, row["run_number"] or 0))

    def model(self, digest: str, readable: Iterable[str]) -> Json:
        """Return a model with metrics, deployments and lineage down to its label versions.

        Raises
        ------
        NotFound
            ``model-unknown`` in every readable project.
        Conflict
            ``model-in-several-projects``: ask again with one ``project_id``.
        """
        models = tables.models
        query = sa.select(models).where(models.c.digest == digest, models.c.project_id.in_(list(readable)))
        rows = self._rows(query)
        if not rows:
            raise NotFound("model-unknown", expected="a model", got=digest, do="list them: GET /v1/models?project_id=…")
        if len(rows) > 1:
            raise Conflict(
                "model-in-several-projects",
                expected="a model of one project",
                got=f"{len(rows)} projects",
                do="add ?project_id=…",
            )
        row = rows[0]
        project_id = row["project_id"]
        history = self._deployments(project_id)
        items, runs = tables.dataset_items, tables.runs
        labels = self._connection.execute(
            sa.select(items.c.label_version_id)
            .where(items.c.project_id == project_id, items.c.dataset_version == row["dataset_version"])
            .order_by(items.c.label_version_id)
        ).scalars()
        run = self._rows(sa.select(runs).where(runs.c.run_id == row["run_id"]))
        metrics = {}
        for part in PARTS:
            rows_of_part = self.dice(project_id, part).get(digest, [])
            metrics[part.replace("-", "_")] = {
                "mean": interval_json(curve.over_segments(rows_of_part)),
                "segments": segments_json(rows_of_part),
                "cases": [asdict(one) for one in rows_of_part],
            }
        return _model_summary(row, history, self._wanted(project_id)) | {
            "bundle": row["bundle"],
            "duration_s": row["duration_s"],
            "metrics": metrics,
            "lineage": {
                "label_version_ids": list(labels),
                "dataset_version": row["dataset_version"],
                "run_id": row["run_id"],
                "run_number": row["run_number"],
                "request_id": run[0]["request_id"] if run else None,
                "plan_digest": row["plan_digest"],
                "deployments": [one for one in history if digest in (one["candidate_digest"], one["serving_digest"])],
            },
        }

    def _deployments(self, project_id: str) -> list[Json]:
        known = tables.deployments
        query = sa.select(known).where(known.c.project_id == project_id).order_by(known.c.site, known.c.sequence)
        rows = self._rows(query)
        for row in rows:
            del row["project_id"]
        return rows

    def _wanted(self, project_id: str) -> str:
        """Return the model of the newest wish while a site still has to answer it; else nothing."""
        wishes, known = tables.wishes, tables.deployments
        query = sa.select(wishes.c.sequence, wishes.c.model_digest).where(wishes.c.project_id == project_id)
        newest = self._connection.execute(query.order_by(wishes.c.sequence.desc()).limit(1)).first()
        by_site = sa.select(sa.func.max(known.c.wish_sequence)).where(known.c.project_id == project_id)
        answered = self._connection.execute(by_site.group_by(known.c.site)).scalars().all()
        return newest.model_digest if newest and newest.sequence > min(answered, default=0) else ""

    def dice(self, project_id: str, part: str) -> dict[str, list[CaseDice]]:
        """Return per-case Dice of one part by model digest."""
        known = tables.case_dice
        query = (
            sa.select(known)
            .where(known.c.project_id == project_id, known.c.part == part)
            .order_by(known.c.case_id, known.c.segment)
        )
        found: dict[str, list[CaseDice]] = defaultdict(list)
        for row in self._rows(query):
            found[row["model_digest"]].append(CaseDice(row["case_id"], row["patient_key"], row["segment"], row["dice"]))
        return dict(found)

    def withdrawals(self, readable: Iterable[str]) -> list[Json]:
        """List withdrawn studies with the dataset versions and models that contain them, for a person to decide about.

        A model may also contain a study because its training began with the weights of a model that did.
        """
        projects = list(readable)
        studies = self._rows(sa.select(tables.withdrawn_studies).order_by(tables.withdrawn_studies.c.study_key))
        items, models = tables.dataset_items, tables.models
        containing = self._rows(
            sa.select(items.c.study_key, items.c.project_id, items.c.dataset_version)
            .where(items.c.project_id.in_(projects), items.c.study_key.in_([row["study_key"] for row in studies]))
            .distinct()
        )
        registered = self._rows(sa.select(models).where(models.c.project_id.in_(projects)))
        started_from = {
            row["digest"]: row["comparison"]["serving_digest"] for row in registered if row["comparison"] is not None
        }
        listed = []
        for study in studies:
            versions = {
                (row["project_id"], row["dataset_version"])
                for row in containing
                if row["study_key"] == study["study_key"]
            }
            trained = {row["digest"] for row in registered if (row["project_id"], row["dataset_version"]) in versions}
            listed.append(
                study
                | {
                    "dataset_versions": sorted(version for _, version in versions),
                    "models": sorted(trained),
                    "models_from_their_weights": sorted(descendants(started_from, trained)),
                }
            )
        return listed


def run_state(run: Mapping[str, Any]) -> str:
    """Name a run's state from what has been heard of it: a model outweighs a failure, either outweighs the start."""
    if run["model_digest"]:
        return "trained"
    return "failed" if run["failure"] else "started"


def last_wait(run: Mapping[str, Any]) -> Json | None:
    """Return what a run's job was last said to wait for; that it trains by now is said by nothing but the end of the run."""
    if run["waits_for"] is None or run_state(run) != "started":
        return None
    return {name: run[name] for name in ("waits_for", "scheduler_said", "waiting_since_s")}


def _model_summary(row: Json, history: list[Json], wanted: str) -> Json:
    digest = row["digest"]
    newest = {one["site"]: one["serving_digest"] for one in history}
    # That a wish for it was overtaken says nothing of the model.
    tried = [one for one in history if one["outcome"] != Deployment.OVERTAKEN.value]
    outcomes = [one["outcome"] for one in tried if one["candidate_digest"] == digest]
    if row["run_id"]:
        origin = "trained"
    else:
        origin = "imported" if Deployment.IMPORTED.value in outcomes else "unknown"
    return {
        "model_digest": digest,
        "model_name": row["model_name"],
        "project_id": row["project_id"],
        "origin": origin,
        "run_id": row["run_id"],
        "run_number": row["run_number"],
        "dataset_version": row["dataset_version"],
        "train_patient_count": row["train_patient_count"],
        "comparison": row["comparison"],
        "outcome": outcomes[-1] if outcomes else None,
        "serving": digest in newest.values(),
        "wanted": digest == wanted,
    }


def interval_json(interval: curve.Interval | None) -> Json | None:
    return asdict(interval) if interval else None


def segments_json(dice: list[CaseDice]) -> list[Json]:
    return [{"value": value} | asdict(found) for value, found in curve.per_segment(dice).items()]
