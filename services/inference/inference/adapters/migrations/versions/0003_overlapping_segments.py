"""Projects whose segments may overlap."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what a project says of its segments; until now none with overlapping ones could be worked on."""
    op.add_column("projects", sa.Column("overlapping_segments", sa.Boolean, nullable=False, server_default=sa.false()))
