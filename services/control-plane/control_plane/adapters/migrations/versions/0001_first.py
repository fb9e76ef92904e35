"""First schema."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables

revision = "0001"
down_revision = None

ID = sa.String(200)
NAME = sa.String(100)


def upgrade() -> None:
    """Create every table of the control plane."""
    op.create_table(
        "projects",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("model_name", NAME, nullable=False, unique=True),
    )
    op.create_table(
        "project_versions",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("configured_by", ID, nullable=False),
        sa.Column("configured_at", sa.Float, nullable=False),
    )
    op.create_table(
        "wishes",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("model_digest", ID, nullable=False),
        sa.Column("wished_by", ID, nullable=False),
        sa.Column("wished_at", sa.Float, nullable=False),
    )
    op.create_table(
        "training_requests",
        sa.Column("request_id", ID, primary_key=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("requested_by", ID, nullable=False),
        sa.Column("requested_at", sa.Float, nullable=False),
    )
    op.create_table(
        "studies",
        sa.Column("study_key", ID, primary_key=True),
        sa.Column("project_id", ID, primary_key=True, index=True),
        sa.Column("site", NAME, nullable=False),
        sa.Column("patient_key", ID, nullable=False),
        sa.Column("split", NAME, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", ID, primary_key=True),
        sa.Column("study_key", ID, nullable=False, index=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("patient_key", ID, nullable=False),
        sa.Column("split", NAME, nullable=False),
    )
    op.create_table(
        "withdrawn_studies",
        sa.Column("study_key", ID, primary_key=True),
        sa.Column("site", NAME, nullable=False),
        sa.Column("reason", NAME, nullable=False),
    )
    op.create_table(
        "withdrawn_cases",
        sa.Column("case_id", ID, primary_key=True),
        sa.Column("study_key", ID, nullable=False, index=True),
    )
    op.create_table(
        "rejections",
        sa.Column("rejection_id", ID, primary_key=True),
        sa.Column("site", NAME, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("instance_count", sa.Integer, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("prediction_id", ID, primary_key=True),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("study_key", ID, nullable=False, index=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("model_digest", ID, nullable=False),
        sa.Column("failure", NAME, nullable=True),
    )
    op.create_table(
        "flags",
        sa.Column("round_id", ID, primary_key=True),
        sa.Column("case_id", ID, primary_key=True),
        sa.Column("study_key", ID, nullable=False, index=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("arm", NAME, nullable=False),
        sa.Column("pool_size", sa.Integer, nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("model_digest", ID, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("case_id", ID, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("label_version_id", ID, nullable=False),
        sa.Column("study_key", ID, nullable=False, index=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("source", NAME, nullable=False),
        sa.Column("started_from_model", sa.Boolean, nullable=False),
        sa.Column("round_id", ID, nullable=False),
        sa.Column("arm", NAME, nullable=True),
        sa.Column("prediction_dice", sa.JSON, nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("digest", ID, primary_key=True),
    )
    op.create_table(
        "dataset_items",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("dataset_version", ID, primary_key=True),
        sa.Column("label_version_id", ID, primary_key=True),
        sa.Column("case_id", ID, nullable=False),
        sa.Column("study_key", ID, nullable=False, index=True),
        sa.Column("image_digest", ID, nullable=False),
        sa.Column("label_digest", ID, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("split", NAME, nullable=False),
        sa.Column("arm", NAME, nullable=True),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", ID, primary_key=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("run_number", sa.Integer, nullable=True),
        sa.Column("dataset_version", ID, nullable=True),
        sa.Column("plan_digest", ID, nullable=True),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("model_digest", ID, nullable=True),
        sa.Column("failure", NAME, nullable=True),
        sa.Column("attempts", sa.Integer, nullable=True),
    )
    op.create_table(
        "models",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("digest", ID, primary_key=True),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("bundle", sa.JSON, nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("run_number", sa.Integer, nullable=True),
        sa.Column("dataset_version", ID, nullable=True),
        sa.Column("plan_digest", ID, nullable=True),
        sa.Column("train_patient_count", sa.Integer, nullable=True),
        sa.Column("comparison", sa.JSON, nullable=True),
        sa.Column("duration_s", sa.Float, nullable=True),
    )
    op.create_table(
        "case_dice",
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("model_digest", ID, primary_key=True),
        sa.Column("part", NAME, primary_key=True),
        sa.Column("case_id", ID, primary_key=True, index=True),
        sa.Column("segment", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("patient_key", ID, nullable=False),
        sa.Column("dice", sa.Float, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("site", NAME, primary_key=True),
        sa.Column("project_id", ID, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("outcome", NAME, nullable=False),
        sa.Column("serving_digest", ID, nullable=False),
        sa.Column("candidate_digest", ID, nullable=False),
        sa.Column("previous_digest", ID, nullable=False),
    )
    create_messaging_tables(op)
