"""Profiles and what they changed, proposals to release what is held, patients who are refused, what retention looks at."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What came before has no report of what was changed; nothing is proposed, and nobody is refused."""
    op.create_table(
        "changes", sa.Column("digest", sa.String(40), primary_key=True), sa.Column("body", sa.Text, nullable=False)
    )
    op.create_table(
        "site_profiles",
        sa.Column("label", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "refused_patients",
        sa.Column("patient", sa.String(64), primary_key=True),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("key_version", sa.Integer, nullable=False, server_default="1"),
    )
    op.create_table(
        "labelled_cases",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
    )
    op.create_table(
        "flagged_cases",
        sa.Column("case_id", sa.String(100), primary_key=True),
        sa.Column("study_key", sa.String(64), nullable=False, index=True),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "retention_notices",
        sa.Column("study_key", sa.String(64), primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    for table, name, length in (("instances", "changes", 40), ("held", "changes", 40), ("held", "proposed_by", 255)):
        op.add_column(table, sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("held", sa.Column("proposed_at", sa.Float))
