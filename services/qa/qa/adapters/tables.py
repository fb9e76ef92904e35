"""Tables of `qa`. What is asked for by column has a column; the rest of an entity is one JSON document."""

import sqlalchemy as sa

from radloop.sql import messaging_tables

METADATA = sa.MetaData()
messaging_tables(METADATA)

# SQLite gives ids only to INTEGER PRIMARY KEY.
_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

projects = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("project_version", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

cases = sa.Table(
    "cases",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("document", sa.Text, nullable=False),
)

predictions = sa.Table(
    "predictions",
    METADATA,
    sa.Column("number", _BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("prediction_id", sa.String(100), nullable=False, unique=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("round_id", sa.String(100), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

reviews = sa.Table(
    "reviews",
    METADATA,
    sa.Column("number", _BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("review_id", sa.String(100), nullable=False, unique=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("state", sa.String(40), nullable=False, index=True),
    sa.Column("prediction_id", sa.String(100), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False, server_default="0", index=True),
    sa.Column("changed_at", sa.Float, nullable=False, server_default="0"),
    sa.Column("document", sa.Text, nullable=False),
)

labels = sa.Table(
    "labels",
    METADATA,
    sa.Column("number", _BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("label_version_id", sa.String(100), nullable=False, unique=True),
    sa.Column("review_id", sa.String(100), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("reader", sa.String(100), nullable=False),
    sa.Column("outcome", sa.String(40), nullable=False, index=True),
    sa.Column("mean_agreement", sa.Float, nullable=True),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

approvals = sa.Table(
    "approvals",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("label_version_id", sa.String(100), nullable=False),
    sa.Column("split", sa.String(20), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("mean_prediction_dice", sa.Float, nullable=True),
    sa.Column("approved_at", sa.Float, nullable=False),
    sa.Column("measurement", sa.Text, nullable=False),
)

gold_cases = sa.Table(
    "gold_cases",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("label_version_id", sa.String(100), nullable=False),
)

gold_readings = sa.Table(
    "gold_readings",
    METADATA,
    sa.Column("review_id", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("asked_of", sa.String(100), nullable=False),
    sa.Column("mean_dice", sa.Float, nullable=True),
    sa.Column("scored_at", sa.Float, nullable=True),
)

withdrawn = sa.Table("withdrawn", METADATA, sa.Column("study_key", sa.String(100), primary_key=True))
