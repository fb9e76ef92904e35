"""The first schema."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("project_version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("used", sa.Boolean, nullable=False),
        sa.Column("approved_at", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "flags",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(100), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("arm", sa.String(20), nullable=False),
    )
    op.create_table(
        "serving",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("open", sa.Boolean, nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("digest", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "dataset_studies",
        sa.Column("digest", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(100), primary_key=True, index=True),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False, index=True),
        sa.Column("run_number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("job_ended", sa.Boolean, nullable=False),
        sa.Column("dataset_version", sa.String(100), nullable=False, index=True),
        sa.Column("model_digest", sa.String(100), nullable=False, index=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("project_id", "run_number", name="run_number_of_project"),
    )
    op.create_table("withdrawn", sa.Column("study_key", sa.String(100), primary_key=True))
    op.create_table(
        "withdrawn_datasets",
        sa.Column("study_key", sa.String(100), primary_key=True),
        sa.Column("digest", sa.String(100), primary_key=True),
    )
    create_messaging_tables(op)
