"""The service's tables, and rows to domain objects and back."""

import json
from typing import Any

import sqlalchemy as sa

from inference.domain.messages import Member, MemberRole, PredictionFailure, PromotionMode
from inference.domain.model import (
    Case,
    DeploymentCause,
    Model,
    ModelState,
    PendingDeployment,
    Prediction,
    PredictionState,
    Project,
    Traffic,
)
from radloop.references import ObjectRef, Score
from radloop.sql import messaging_tables
from radloop.sql.tables import BIG_ID

METADATA = sa.MetaData()
messaging_tables(METADATA)

projects = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("project_version", sa.Integer, nullable=False),
    sa.Column("model_name", sa.String(100), nullable=False),
    sa.Column("promotion", sa.String(20), nullable=False),
    sa.Column("segment_values", sa.Text, nullable=False),
    sa.Column("members", sa.Text, nullable=False),
    sa.Column("overlapping_segments", sa.Boolean, nullable=False, server_default=sa.false()),
)

models = sa.Table(
    "models",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("model_digest", sa.String(80), primary_key=True),
    sa.Column("model_name", sa.String(100), nullable=False),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
)

trained_runs = sa.Table("trained_runs", METADATA, sa.Column("run_id", sa.String(100), primary_key=True))

traffic = sa.Table(
    "traffic",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("serving_digest", sa.String(80), nullable=False),
    sa.Column("previous_digest", sa.String(80), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("wish_sequence", sa.BigInteger, nullable=False),
)

deployments = sa.Table(
    "deployments",
    METADATA,
    sa.Column("deployment_id", BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("model_digest", sa.String(80), nullable=False),
    sa.Column("cause", sa.String(20), nullable=False),
    sa.Column("passes", sa.Boolean, nullable=False),
    sa.Column("compared_with", sa.String(80), nullable=False),
    sa.Column("wish_sequence", sa.BigInteger, nullable=False),
)

cases = sa.Table(
    "cases",
    METADATA,
    sa.Column("case_id", sa.String(40), primary_key=True),
    sa.Column("study_key", sa.String(80), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("volumes", sa.Text, nullable=False),
)

predictions = sa.Table(
    "predictions",
    METADATA,
    sa.Column("position", BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("prediction_id", sa.String(40), nullable=False, unique=True),
    sa.Column("case_id", sa.String(40), nullable=False, index=True),
    sa.Column("study_key", sa.String(80), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("model_digest", sa.String(80), nullable=False),
    sa.Column("settings_digest", sa.String(80), nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("urgent", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("mask", sa.Text, nullable=False),
    sa.Column("uncertainty", sa.Text, nullable=False),
    sa.Column("embedding", sa.Text, nullable=False),
    sa.Column("scores", sa.Text, nullable=False),
    sa.Column("volumes", sa.Text, nullable=False),
    sa.Column("reason", sa.String(20), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    # The queue's own columns: not to be taken before this time, and held by this process until that one.
    sa.Column("not_before", sa.Float, nullable=False),
    sa.Column("held_by", sa.String(200), nullable=False),
    sa.Column("held_until", sa.Float, nullable=False),
)

waiting_rounds = sa.Table(
    "waiting_rounds",
    METADATA,
    sa.Column("prediction_id", sa.String(40), primary_key=True),
    sa.Column("round_id", sa.String(100), primary_key=True),
)

withdrawn = sa.Table(
    "withdrawn",
    METADATA,
    sa.Column("study_key", sa.String(80), primary_key=True),
    sa.Column("objects_deleted", sa.Boolean, nullable=False),
)

QUEUE_COLUMNS = ("position", "not_before", "held_by", "held_until")


def _ref_text(ref: ObjectRef | None) -> str:
    return "" if ref is None else json.dumps([ref.key, ref.digest, ref.size_bytes])


def _ref(text: str) -> ObjectRef | None:
    return ObjectRef(*json.loads(text)) if text else None


def _scores_text(scores: tuple[Score, ...]) -> str:
    return json.dumps([[score.name, score.value] for score in scores])


def _scores(text: str) -> tuple[Score, ...]:
    return tuple(Score(name, value) for name, value in json.loads(text))


def project_values(project: Project) -> dict[str, Any]:
    """Return the row of a project."""
    return {
        "project_id": project.project_id,
        "project_version": project.project_version,
        "model_name": project.model_name,
        "promotion": project.promotion.value,
        "segment_values": json.dumps(project.segment_values),
        "overlapping_segments": project.overlapping_segments,
        "members": json.dumps([[member.subject, member.role.value] for member in project.members]),
    }


def project_of(row: Any) -> Project:
    """Return the project of a row."""
    return Project(
        row.project_id,
        row.project_version,
        row.model_name,
        PromotionMode(row.promotion),
        tuple(json.loads(row.segment_values)),
        row.overlapping_segments,
        tuple(Member(subject, MemberRole(role)) for subject, role in json.loads(row.members)),
    )


def model_values(model: Model) -> dict[str, Any]:
    """Return the row of a model, without its position."""
    return {
        "project_id": model.project_id,
        "model_digest": model.model_digest,
        "model_name": model.model_name,
        "bundle": _ref_text(model.bundle),
        "state": model.state.value,
        "detail": model.detail,
    }


def model_of(row: Any) -> Model:
    """Return the model of a row."""
    return Model(
        row.project_id,
        row.model_digest,
        row.model_name,
        ObjectRef(*json.loads(row.bundle)),
        ModelState(row.state),
        row.detail,
    )


def traffic_values(of_project: Traffic) -> dict[str, Any]:
    """Return the row of a project's traffic."""
    return {column.name: getattr(of_project, column.name) for column in traffic.columns}


def traffic_of(row: Any) -> Traffic:
    """Return the traffic of a row."""
    return Traffic(*(getattr(row, column.name) for column in traffic.columns))


def deployment_of(row: Any) -> PendingDeployment:
    """Return the candidate of a row."""
    return PendingDeployment(
        row.deployment_id,
        row.project_id,
        row.model_digest,
        DeploymentCause(row.cause),
        row.passes,
        row.compared_with,
        row.wish_sequence,
    )


def case_values(case: Case) -> dict[str, Any]:
    """Return the row of a case."""
    return {
        "case_id": case.case_id,
        "study_key": case.study_key,
        "project_id": case.project_id,
        "volumes": json.dumps([[ref.key, ref.digest, ref.size_bytes] for ref in case.volumes]),
    }


def case_of(row: Any) -> Case:
    """Return the case of a row."""
    return Case(
        row.case_id, row.study_key, row.project_id, tuple(ObjectRef(*parts) for parts in json.loads(row.volumes))
    )


def prediction_values(prediction: Prediction) -> dict[str, Any]:
    """Return the row of a prediction, without the queue's columns."""
    return {
        "prediction_id": prediction.prediction_id,
        "case_id": prediction.case_id,
        "study_key": prediction.study_key,
        "project_id": prediction.project_id,
        "model_digest": prediction.model_digest,
        "settings_digest": prediction.settings_digest,
        "state": prediction.state.value,
        "urgent": prediction.urgent,
        "attempts": prediction.attempts,
        "mask": _ref_text(prediction.mask),
        "uncertainty": _ref_text(prediction.uncertainty),
        "embedding": _ref_text(prediction.embedding),
        "scores": _scores_text(prediction.scores),
        "volumes": _scores_text(prediction.volumes),
        "reason": prediction.reason.value if prediction.reason else "",
        "detail": prediction.detail,
    }


def prediction_of(row: Any) -> Prediction:
    """Return the prediction of a row."""
    return Prediction(
        prediction_id=row.prediction_id,
        case_id=row.case_id,
        study_key=row.study_key,
        project_id=row.project_id,
        model_digest=row.model_digest,
        settings_digest=row.settings_digest,
        state=PredictionState(row.state),
        urgent=row.urgent,
        attempts=row.attempts,
        mask=_ref(row.mask),
        uncertainty=_ref(row.uncertainty),
        embedding=_ref(row.embedding),
        scores=_scores(row.scores),
        volumes=_scores(row.volumes),
        reason=PredictionFailure(row.reason) if row.reason else None,
        detail=row.detail,
    )
