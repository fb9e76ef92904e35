"""Pulls from archives and their studies; who they are about is encrypted, and forgotten once a study is here."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing was pulled before."""
    op.create_table(
        "pulls",
        sa.Column("pull_id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("archive", sa.String(100), nullable=False),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False, index=True),
        sa.Column("sealed", sa.Text, nullable=False),
        _version("vault_version"),
        sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("problem", sa.String(60), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("paced_until", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("holder", sa.String(100), nullable=False),
        sa.Column("held_until", sa.Float, nullable=False),
    )
    op.create_table(
        "pull_studies",
        sa.Column("entry_id", sa.String(40), primary_key=True),
        sa.Column("pull_id", sa.String(40), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
        sa.Column("fate", sa.String(20), nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        _version("vault_version"),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("prior", sa.Boolean, nullable=False),
        sa.Column("expected", sa.Integer),
        sa.Column("present", sa.Integer, nullable=False),
        sa.Column("refused", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Index("ix_pull_studies_fate", "pull_id", "fate", "position"),
    )


def _version(name: str) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Integer, nullable=False, server_default="1", index=True)
