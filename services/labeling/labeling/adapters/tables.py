"""The tables of labeling. Times are seconds since 1970 (UTC); lists are JSON texts; persons are pseudonyms."""

import sqlalchemy as sa

from radloop.sql import messaging_tables
from radloop.sql.tables import BIG_ID

metadata = sa.MetaData()
messaging_tables(metadata)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("newest_round", sa.Integer, nullable=False, default=0),
)

project_versions = sa.Table(
    "project_versions",
    metadata,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("instructions", sa.Text, nullable=False),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("study_key", sa.String(200), primary_key=True),
    sa.Column("purged", sa.Boolean, nullable=False, index=True),
)

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(200), nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    # Out of the body, for queries; series_key is empty for a case kept before labeling knew of series.
    sa.Column("project_id", sa.String(100), nullable=False, server_default=""),
    sa.Column("split", sa.String(20), nullable=False, server_default=""),
    sa.Column("series_key", sa.String(200), nullable=False, server_default=""),
    sa.Column("phase", sa.Integer, nullable=False, server_default="0"),
    sa.Index("cases_of_series", "project_id", "series_key", "phase"),
    # Whether a task is blind is told by this alone; the bodies are large.
    sa.Index("cases_by_split", "case_id", "split"),
)

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("prediction_id", sa.String(100), primary_key=True),
    sa.Column("case_id", sa.String(100), nullable=False),
    sa.Column("study_key", sa.String(200), nullable=False, index=True),
    sa.Column("mask_key", sa.String(500), nullable=False),
    sa.Column("mask_digest", sa.String(100), nullable=False),
    sa.Column("mask_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("uncertainty_key", sa.String(500)),
    sa.Column("uncertainty_digest", sa.String(100)),
    sa.Column("uncertainty_size_bytes", sa.BigInteger),
    # Grows with each prediction of a case that is heard: the newest has the highest.
    sa.Column("number", sa.Integer, nullable=False, server_default="0"),
    sa.Index("predictions_of_case", "case_id", "number"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.String(100), primary_key=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(200), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("reading", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("round_id", sa.String(100), nullable=False),
    sa.Column("arm", sa.String(20)),
    sa.Column("flag_reasons", sa.Text, nullable=False),
    sa.Column("show_proposal", sa.Boolean, nullable=False),
    sa.Column("prediction_id", sa.String(100), nullable=False),
    sa.Column("review_id", sa.String(100), nullable=False),
    sa.Column("label_version_ids", sa.Text, nullable=False),
    sa.Column("reader", sa.String(100), nullable=False),
    sa.Column("lease_id", sa.String(100), nullable=False),
    sa.Column("lease_expires_at", sa.Float),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("returned", sa.Text, nullable=False),
    sa.Column("skip_reason", sa.String(30)),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("row_version", sa.Integer, nullable=False),
    sa.Column("score", sa.Float),
    # A page of the worklist reads its own rows and no others, whatever it filters by.
    sa.Index("tasks_by_urgency", "project_id", "priority", "round_number", "rank", "task_id"),
    sa.Index("tasks_by_state", "project_id", "state", "priority", "round_number", "rank", "task_id"),
    sa.Index("tasks_by_reader", "project_id", "reader", "priority", "round_number", "rank", "task_id"),
    # What a reader holds, and what waits for them, whatever else they have read over the years.
    sa.Index("tasks_of_reader", "project_id", "reader", "state", "priority", "round_number", "rank", "task_id"),
    sa.Index("tasks_by_expiry", "state", "lease_expires_at"),
)

exclusions = sa.Table(
    "task_exclusions",
    metadata,
    sa.Column("task_id", sa.String(100), primary_key=True),
    sa.Column("reader", sa.String(100), primary_key=True),
)

labels = sa.Table(
    "label_versions",
    metadata,
    sa.Column("label_version_id", sa.String(100), primary_key=True),
    sa.Column("task_id", sa.String(100), nullable=False, index=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("study_key", sa.String(200), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("project_version", sa.Integer, nullable=False),
    sa.Column("reader", sa.String(100), nullable=False),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("reading", sa.String(20), nullable=False),
    sa.Column("mask_key", sa.String(500), nullable=False),
    sa.Column("mask_digest", sa.String(100), nullable=False),
    sa.Column("mask_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("segments", sa.Text, nullable=False),
    sa.Column("started_from_model", sa.Boolean, nullable=False),
    sa.Column("prediction_id", sa.String(100), nullable=False),
    sa.Column("round_id", sa.String(100), nullable=False),
    sa.Column("arm", sa.String(20)),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("active_time_s", sa.Float, nullable=False),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("saved", sa.Boolean, nullable=False, server_default=sa.false()),
)

drafts = sa.Table(
    "draft_entries",
    metadata,
    sa.Column("task_id", sa.String(100), primary_key=True),
    sa.Column("reader", sa.String(100), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("made_at", sa.Float, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("review_id", sa.String(100), primary_key=True),
    sa.Column("label_version_id", sa.String(100), primary_key=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("task_id", sa.String(100), nullable=False),
    sa.Column("round_id", sa.String(100), nullable=False),
)

returns = sa.Table(
    "label_returns",
    metadata,
    sa.Column("review_id", sa.String(100), primary_key=True),
    sa.Column("label_version_id", sa.String(100), primary_key=True),
    sa.Column("reasons", sa.Text, nullable=False),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("report_id", sa.String(100), primary_key=True),
    sa.Column("case_id", sa.String(100), nullable=False),
    sa.Column("study_key", sa.String(200), nullable=False, index=True),
    sa.Column("reader", sa.String(100), nullable=False),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("key", sa.String(500), primary_key=True),
    sa.Column("study_key", sa.String(200), nullable=False),
    sa.Column("begun_at", sa.Float, nullable=False, index=True),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("case_id", sa.String(100), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("action", sa.String(30), nullable=False),
    sa.Column("reader", sa.String(100), nullable=False),
    sa.Column("task_id", sa.String(100), nullable=False),
    sa.Column("label_version_id", sa.String(100), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
)
