"""An index with the split of a case in it, so that a worklist sorted by score does not read the bodies of all cases."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the index."""
    op.create_index("cases_by_split", "cases", ["case_id", "split"])
