"""What goes back to the PACS: the originals it is restored from, masks that could go, exports, and who was told whose case it is."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Of what came before no originals are known: they are kept when it is sent again."""
    op.create_table(
        "originals",
        sa.Column("sop_key", sa.String(64), primary_key=True),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("vault_version", sa.Integer, nullable=False, index=True),
    )
    op.create_table(
        "export_sources",
        sa.Column("source_id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("case_id", sa.String(40), nullable=False, index=True),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "exports",
        sa.Column("export_id", sa.String(40), primary_key=True),
        sa.Column("source_id", sa.String(40), nullable=False),
        sa.Column("case_id", sa.String(40), nullable=False, index=True),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("form", sa.String(20), nullable=False),
        sa.Column("destination", sa.String(100), nullable=False),
        sa.Column("made_at", sa.Float, nullable=False, index=True),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("sent_at", sa.Float, nullable=False),
    )
    op.create_index("ix_exports_due", "exports", ["state", "due_at"])
    op.create_table(
        "disclosures",
        sa.Column("disclosure_id", sa.String(40), primary_key=True),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
