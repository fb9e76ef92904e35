"""Gold cases, and the readings that were asked for of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make two tables; nothing was gold before."""
    op.create_table(
        "gold_cases",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("study_key", sa.String(100), nullable=False),
        sa.Column("label_version_id", sa.String(100), nullable=False),
    )
    op.create_table(
        "gold_readings",
        sa.Column("review_id", sa.String(100), primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("case_id", sa.String(100), nullable=False),
        sa.Column("study_key", sa.String(100), nullable=False),
        sa.Column("asked_of", sa.String(100), nullable=False),
        sa.Column("mean_dice", sa.Float, nullable=True),
        sa.Column("scored_at", sa.Float, nullable=True),
    )
    for table, column in (
        ("gold_cases", "project_id"),
        ("gold_cases", "study_key"),
        ("gold_readings", "project_id"),
        ("gold_readings", "case_id"),
        ("gold_readings", "study_key"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column])
