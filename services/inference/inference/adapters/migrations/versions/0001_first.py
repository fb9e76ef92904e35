"""The first schema: projects, models, traffic, deployments, cases, predictions, withdrawn studies."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables
from radloop.sql.tables import BIG_ID

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("project_version", sa.Integer, nullable=False),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("promotion", sa.String(20), nullable=False),
        sa.Column("segment_values", sa.Text, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("model_digest", sa.String(80), primary_key=True),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_table("trained_runs", sa.Column("run_id", sa.String(100), primary_key=True))
    op.create_table(
        "traffic",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("serving_digest", sa.String(80), nullable=False),
        sa.Column("previous_digest", sa.String(80), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("wish_sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("deployment_id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("model_digest", sa.String(80), nullable=False),
        sa.Column("cause", sa.String(20), nullable=False),
        sa.Column("passes", sa.Boolean, nullable=False),
        sa.Column("compared_with", sa.String(80), nullable=False),
        sa.Column("wish_sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(40), primary_key=True),
        sa.Column("study_key", sa.String(80), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("volumes", sa.Text, nullable=False),
    )
    op.create_table(
        "predictions",
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
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("held_by", sa.String(200), nullable=False),
        sa.Column("held_until", sa.Float, nullable=False),
    )
    op.create_table(
        "waiting_rounds",
        sa.Column("prediction_id", sa.String(40), primary_key=True),
        sa.Column("round_id", sa.String(100), primary_key=True),
    )
    op.create_table(
        "withdrawn",
        sa.Column("study_key", sa.String(80), primary_key=True),
        sa.Column("objects_deleted", sa.Boolean, nullable=False),
    )
    create_messaging_tables(op)
