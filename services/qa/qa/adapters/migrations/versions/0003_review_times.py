"""When a review began and changed last, for the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A review began when its first label came; what happened to it since then is as old as its newest label."""
    for name in ("created_at", "changed_at"):
        op.add_column("reviews", sa.Column(name, sa.Float, nullable=False, server_default="0"))
    op.create_index("ix_reviews_created_at", "reviews", ["created_at"])
    op.execute(
        "UPDATE reviews SET "
        "created_at = COALESCE((SELECT MIN(received_at) FROM labels WHERE labels.review_id = reviews.review_id), 0), "
        "changed_at = COALESCE((SELECT MAX(received_at) FROM labels WHERE labels.review_id = reviews.review_id), 0)"
    )
