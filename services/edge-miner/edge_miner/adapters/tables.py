"""The tables this service owns, and the indices that keep every event one look-up."""

import sqlalchemy as sa

from radloop.sql import messaging_tables
from radloop.sql.tables import BIG_ID

metadata = sa.MetaData()
messaging_tables(metadata)

_ID = sa.String(100)
_KEY = sa.String(200)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", _ID, primary_key=True),
    sa.Column("project_version", sa.Integer, nullable=False),
    sa.Column("selection", sa.Text, nullable=False),
    sa.Column("always_present", sa.Text, nullable=False),
    sa.Column("members", sa.Text, nullable=False),
    sa.Column("serving_digest", _ID, nullable=False),
    sa.Column("deployment_sequence", sa.BigInteger, nullable=False),
)

cases = sa.Table(
    "cases",
    metadata,
    # Grows with every case, so that "in the pool when the sample was drawn" is one comparison, and no clock is asked.
    sa.Column("number", BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("case_id", _ID, nullable=False, unique=True),
    sa.Column("project_id", _ID, nullable=False),
    sa.Column("study_key", _KEY, nullable=False, index=True),
    sa.Column("patient_key", _KEY, nullable=False),
    sa.Column("split", sa.String(20), nullable=False),
    sa.Column("labelled", sa.Boolean, nullable=False),
    sa.Column("open_in", _ID, nullable=False, index=True),
    sa.Column("arrived_at", sa.Float, nullable=False),
    sa.Index("cases_by_arrival", "project_id", "number"),
    sa.Index("cases_eligible", "project_id", "split", "labelled", "open_in", "patient_key", "number"),
)

approved_cases = sa.Table(
    "approved_cases",
    metadata,
    sa.Column("case_id", _ID, primary_key=True),
    sa.Column("study_key", _KEY, nullable=False, index=True),
)

withdrawn_studies = sa.Table("withdrawn_studies", metadata, sa.Column("study_key", _KEY, primary_key=True))

predictions = sa.Table(
    "predictions",
    metadata,
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
    sa.Index("predictions_of_model", "project_id", "model_digest"),
)

rounds = sa.Table(
    "rounds",
    metadata,
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
    sa.Index("rounds_of_project", "project_id", "kind", "state"),
)

entries = sa.Table(
    "entries",
    metadata,
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
    sa.Index("entries_by_state", "round_id", "state"),
    sa.Index("entries_of_case", "case_id", "prediction_id"),
)
