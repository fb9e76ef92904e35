"""The control plane's tables. `migrations/` makes them; a test compares the two.

Rows are facts as they were heard, each by its own key and with no foreign keys between topics, because topics arrive in any order.
Identities are pseudonymous throughout; nothing here can name a patient.
"""

import sqlalchemy as sa

from radloop.sql import messaging_tables

METADATA = sa.MetaData()
ID = sa.String(200)
NAME = sa.String(100)

projects = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("model_name", NAME, nullable=False, unique=True),
)

project_versions = sa.Table(
    "project_versions",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("configured_by", ID, nullable=False),
    sa.Column("configured_at", sa.Float, nullable=False),
)

wishes = sa.Table(
    "wishes",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("kind", NAME, nullable=False),
    sa.Column("model_digest", ID, nullable=False),
    sa.Column("wished_by", ID, nullable=False),
    sa.Column("wished_at", sa.Float, nullable=False),
)

training_requests = sa.Table(
    "training_requests",
    METADATA,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("requested_by", ID, nullable=False),
    sa.Column("requested_at", sa.Float, nullable=False),
)

studies = sa.Table(
    "studies",
    METADATA,
    sa.Column("study_key", ID, primary_key=True),
    sa.Column("project_id", ID, primary_key=True, index=True),
    sa.Column("site", NAME, nullable=False),
    sa.Column("patient_key", ID, nullable=False),
    sa.Column("split", NAME, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)

cases = sa.Table(
    "cases",
    METADATA,
    sa.Column("case_id", ID, primary_key=True),
    sa.Column("study_key", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("patient_key", ID, nullable=False),
    sa.Column("split", NAME, nullable=False),
)

withdrawn_studies = sa.Table(
    "withdrawn_studies",
    METADATA,
    sa.Column("study_key", ID, primary_key=True),
    sa.Column("site", NAME, nullable=False),
    sa.Column("reason", NAME, nullable=False),
)

withdrawn_cases = sa.Table(
    "withdrawn_cases",
    METADATA,
    sa.Column("case_id", ID, primary_key=True),
    sa.Column("study_key", ID, nullable=False, index=True),
)

rejections = sa.Table(
    "rejections",
    METADATA,
    sa.Column("rejection_id", ID, primary_key=True),
    sa.Column("site", NAME, nullable=False),
    sa.Column("reason", NAME, nullable=False),
    sa.Column("instance_count", sa.Integer, nullable=False),
)

predictions = sa.Table(
    "predictions",
    METADATA,
    sa.Column("prediction_id", ID, primary_key=True),
    sa.Column("case_id", ID, nullable=False),
    sa.Column("study_key", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("model_digest", ID, nullable=False),
    sa.Column("failure", NAME, nullable=True),
)

flags = sa.Table(
    "flags",
    METADATA,
    sa.Column("round_id", ID, primary_key=True),
    sa.Column("case_id", ID, primary_key=True),
    sa.Column("study_key", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("round_number", sa.Integer, nullable=False),
    sa.Column("arm", NAME, nullable=False),
    sa.Column("pool_size", sa.Integer, nullable=False),
    sa.Column("batch_size", sa.Integer, nullable=False),
    sa.Column("model_digest", ID, nullable=False),
)

approvals = sa.Table(
    "approvals",
    METADATA,
    sa.Column("case_id", ID, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label_version_id", ID, nullable=False),
    sa.Column("study_key", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("source", NAME, nullable=False),
    sa.Column("started_from_model", sa.Boolean, nullable=False),
    sa.Column("round_id", ID, nullable=False),
    sa.Column("arm", NAME, nullable=True),
    sa.Column("prediction_dice", sa.JSON, nullable=False),
)

datasets = sa.Table(
    "datasets",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("digest", ID, primary_key=True),
)

dataset_items = sa.Table(
    "dataset_items",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("dataset_version", ID, primary_key=True),
    sa.Column("label_version_id", ID, primary_key=True),
    sa.Column("case_id", ID, nullable=False),
    sa.Column("study_key", ID, nullable=False, index=True),
    sa.Column("image_digest", ID, nullable=False),
    sa.Column("label_digest", ID, nullable=False),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("split", NAME, nullable=False),
    sa.Column("arm", NAME, nullable=True),
)

runs = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("run_number", sa.Integer, nullable=True),
    sa.Column("dataset_version", ID, nullable=True),
    sa.Column("plan_digest", ID, nullable=True),
    sa.Column("request_id", ID, nullable=True),
    sa.Column("model_digest", ID, nullable=True),
    sa.Column("failure", NAME, nullable=True),
    sa.Column("attempts", sa.Integer, nullable=True),
    sa.Column("waits_for", NAME, nullable=True),
    sa.Column("scheduler_said", sa.Text, nullable=True),
    sa.Column("waiting_since_s", sa.BigInteger, nullable=True),
    sa.Column("wait_sequence", sa.BigInteger, nullable=True),
)

models = sa.Table(
    "models",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("digest", ID, primary_key=True),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("bundle", sa.JSON, nullable=False),
    sa.Column("run_id", ID, nullable=True),
    sa.Column("run_number", sa.Integer, nullable=True),
    sa.Column("dataset_version", ID, nullable=True),
    sa.Column("plan_digest", ID, nullable=True),
    sa.Column("train_patient_count", sa.Integer, nullable=True),
    sa.Column("comparison", sa.JSON, nullable=True),
    sa.Column("duration_s", sa.Float, nullable=True),
)

case_dice = sa.Table(
    "case_dice",
    METADATA,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("model_digest", ID, primary_key=True),
    sa.Column("part", NAME, primary_key=True),
    sa.Column("case_id", ID, primary_key=True, index=True),
    sa.Column("segment", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("patient_key", ID, nullable=False),
    sa.Column("dice", sa.Float, nullable=False),
)

deployments = sa.Table(
    "deployments",
    METADATA,
    sa.Column("site", NAME, primary_key=True),
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("outcome", NAME, nullable=False),
    sa.Column("serving_digest", ID, nullable=False),
    sa.Column("candidate_digest", ID, nullable=False),
    sa.Column("previous_digest", ID, nullable=False),
    sa.Column("wish_sequence", sa.BigInteger, nullable=False, server_default="0"),
)

messaging_tables(METADATA)
