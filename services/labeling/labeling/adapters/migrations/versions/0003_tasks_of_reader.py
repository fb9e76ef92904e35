"""An index for what a reader holds and what waits for them: without it a reader's whole past was walked through."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the index."""
    columns = ["project_id", "reader", "state", "priority", "round_number", "rank", "task_id"]
    op.create_index("tasks_of_reader", "tasks", columns)
