"""What a run's job waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; of runs before nobody has said it."""
    op.add_column("runs", sa.Column("waits_for", sa.String(100), nullable=True))
    op.add_column("runs", sa.Column("scheduler_said", sa.Text, nullable=True))
    op.add_column("runs", sa.Column("waiting_since_s", sa.BigInteger, nullable=True))
    op.add_column("runs", sa.Column("wait_sequence", sa.BigInteger, nullable=True))
