"""An outbox that PostgreSQL cleans up often."""

from alembic import op

from radloop.sql import tune_outbox

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change how a table is kept, not what is in it."""
    tune_outbox(op)
