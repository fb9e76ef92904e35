"""First schema."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables
from radloop.sql.tables import BIG_ID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(100)
_KEY = sa.String(200)


def upgrade() -> None:
    """Create every table of the service."""
    create_messaging_tables(op)
    op.create_table(
        "projects",
        sa.Column("project_id", _ID, primary_key=True),
        sa.Column("project_version", sa.Integer, nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("always_present", sa.Text, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.Column("serving_digest", _ID, nullable=False),
        sa.Column("deployment_sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("number", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("case_id", _ID, nullable=False, unique=True),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("study_key", _KEY, nullable=False, index=True),
        sa.Column("patient_key", _KEY, nullable=False),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("labelled", sa.Boolean, nullable=False),
        sa.Column("open_in", _ID, nullable=False, index=True),
        sa.Column("arrived_at", sa.Float, nullable=False),
    )
    op.create_index("cases_by_arrival", "cases", ["project_id", "number"])
    op.create_index("cases_eligible", "cases", ["project_id", "split", "labelled", "open_in", "patient_key", "number"])
    op.create_table(
        "approved_cases",
        sa.Column("case_id", _ID, primary_key=True),
        sa.Column("study_key", _KEY, nullable=False, index=True),
    )
    op.create_table("withdrawn_studies", sa.Column("study_key", _KEY, primary_key=True))
    op.create_table(
        "predictions",
        sa.Column("case_id", _ID, primary_key=True),
        sa.Column("model_digest", _ID, primary_key=True),
        sa.Column("study_key", _KEY, nullable=False, index=True),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("prediction_id", _ID, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("volumes", sa.Text, nullable=False),
        sa.Column("mask_key", sa.String(500), nullable=False),
        sa.Column("mask_digest", _ID, nullable=False),
        sa.Column("mask_size_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("predictions_of_model", "predictions", ["project_id", "model_digest"])
    op.create_table(
        "rounds",
        sa.Column("position", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("round_id", _ID, nullable=False, unique=True),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("model_digest", _ID, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("strategy", _ID, nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("control_fraction", sa.Float, nullable=False),
        sa.Column("pool_sample", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Float, nullable=False),
        sa.Column("closed_at", sa.Float, nullable=False),
        sa.Column("up_to_case", sa.BigInteger, nullable=False),
        sa.Column("pool_size", sa.Integer, nullable=False),
        sa.Column("patient_count", sa.Integer, nullable=False),
        sa.Column("sample_size", sa.Integer, nullable=False),
    )
    op.create_index("rounds_of_project", "rounds", ["project_id", "kind", "state"])
    op.create_table(
        "entries",
        sa.Column("round_id", _ID, primary_key=True),
        sa.Column("case_id", _ID, primary_key=True),
        sa.Column("study_key", _KEY, nullable=False, index=True),
        sa.Column("patient_key", _KEY, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("arm", sa.String(20), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("pool_rank", sa.Integer, nullable=False),
        sa.Column("inclusion_probability", sa.Float, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("mined_as_well", sa.Boolean, nullable=False),
        sa.Column("computed", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("volumes", sa.Text, nullable=False),
        sa.Column("prediction_id", _ID, nullable=False),
        sa.Column("dice", sa.Text, nullable=False),
        sa.Column("started_from_model", sa.Boolean, nullable=False),
    )
    op.create_index("entries_by_state", "entries", ["round_id", "state"])
    op.create_index("entries_of_case", "entries", ["case_id", "prediction_id"])
