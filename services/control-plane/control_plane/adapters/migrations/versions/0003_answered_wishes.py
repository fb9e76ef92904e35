"""Which wish a deployment answers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column. What was wished for before counts as answered: nobody said which deployment answered it."""
    op.add_column("deployments", sa.Column("wish_sequence", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE deployments SET wish_sequence = COALESCE("
        "(SELECT MAX(wishes.sequence) FROM wishes WHERE wishes.project_id = deployments.project_id), 0)"
    )
