"""First tables of `ingest`."""

import sqlalchemy as sa
from alembic import op

from radloop.sql import create_messaging_tables

revision = "0001"
down_revision = None

_UID, _ID, _KEY, _DIGEST = sa.String(64), sa.String(40), sa.String(300), sa.String(80)


def _object_columns() -> list[sa.Column]:  # type: ignore[type-arg]
    return [
        sa.Column("object_key", _KEY, nullable=False),
        sa.Column("object_digest", _DIGEST, nullable=False),
        sa.Column("object_size", sa.BigInteger, nullable=False),
    ]


def upgrade() -> None:
    """Create the tables."""
    create_messaging_tables(op)
    op.create_table(
        "studies",
        sa.Column("study_key", _UID, primary_key=True),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("completed_generation", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False, index=True),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("broken", sa.Boolean, nullable=False),
    )
    op.create_table(
        "series",
        sa.Column("series_key", _UID, primary_key=True),
        sa.Column("study_key", _UID, nullable=False, index=True),
        sa.Column("routing", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("sop_key", _UID, primary_key=True),
        sa.Column("series_key", _UID, nullable=False),
        sa.Column("study_key", _UID, nullable=False, index=True),
        *_object_columns(),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
    )
    op.create_table(
        "differences",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sop_key", _UID, nullable=False, index=True),
        sa.Column("keywords", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "receptions",
        sa.Column("reception_id", _ID, primary_key=True),
        sa.Column("study_key", _UID, primary_key=True, index=True),
        sa.Column("at_hand", sa.Boolean, nullable=False),
    )
    op.create_table(
        "held",
        sa.Column("held_id", _ID, primary_key=True),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("sop_key", _UID, nullable=False, index=True),
        sa.Column("series_key", _UID, nullable=False),
        sa.Column("study_key", _UID, nullable=False, index=True),
        *_object_columns(),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("rejection_id", _ID, primary_key=True),
        sa.Column("study_key", _UID, nullable=False, index=True),
        sa.Column("series_key", _UID, nullable=False),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("instance_count", sa.Integer, nullable=False),
        sa.Column("said", sa.Boolean, nullable=False, index=True),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", _ID, primary_key=True),
        sa.Column("project_id", sa.String(100), nullable=False),
        sa.Column("study_key", _UID, nullable=False, index=True),
        sa.Column("series_key", _UID, nullable=False, index=True),
        sa.Column("phase", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("patient_key", sa.String(64), nullable=False),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("project_version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "splits",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("patient_key", sa.String(64), primary_key=True),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("imported", sa.Boolean, nullable=False),
    )
    op.create_table(
        "tombstones",
        sa.Column("study_key", _UID, primary_key=True),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("empty", sa.Boolean, nullable=False, index=True),
    )
    op.create_table("site_keys", sa.Column("fingerprint", sa.String(40), primary_key=True))
