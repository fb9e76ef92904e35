"""The first schema."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    big_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    create_messaging_tables(op)
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("project_version", sa.Integer, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("number", big_id, primary_key=True, autoincrement=True),
        sa.Column("prediction_id", sa.String(100), nullable=False, unique=True),
        sa.Column("case_id", sa.String(100), nullable=False, index=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("round_id", sa.String(100), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "reviews",
        sa.Column("number", big_id, primary_key=True, autoincrement=True),
        sa.Column("review_id", sa.String(100), nullable=False, unique=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("case_id", sa.String(100), nullable=False, index=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("state", sa.String(40), nullable=False, index=True),
        sa.Column("prediction_id", sa.String(100), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("number", big_id, primary_key=True, autoincrement=True),
        sa.Column("label_version_id", sa.String(100), nullable=False, unique=True),
        sa.Column("review_id", sa.String(100), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("reader", sa.String(100), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False, index=True),
        sa.Column("mean_agreement", sa.Float, nullable=True),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("label_version_id", sa.String(100), nullable=False),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("mean_prediction_dice", sa.Float, nullable=True),
        sa.Column("approved_at", sa.Float, nullable=False),
        sa.Column("measurement", sa.Text, nullable=False),
    )
    op.create_table("withdrawn", sa.Column("study_key", sa.String(100), primary_key=True))
