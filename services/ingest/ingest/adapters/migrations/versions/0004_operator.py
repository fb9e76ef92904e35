"""What the operator's page asks for: newest first, forming again, and refusals that keep their time when they are hurried."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing waits to be formed again; what was hurried before had its time set to 0, which nobody knows any more."""
    op.create_index("ix_studies_received_at", "studies", ["received_at"])
    op.add_column("studies", _flag("again"))
    op.add_column("refusals", _flag("hurried"))
    op.execute("UPDATE refusals SET hurried = TRUE WHERE NOT said AND at = 0.0")


def _flag(name: str) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
