"""Tables of `trainer`. What is asked for by column has a column; the rest of an entity is one JSON document."""

import sqlalchemy as sa

from radloop.sql import messaging_tables

METADATA = sa.MetaData()
messaging_tables(METADATA)

projects = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("project_version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

cases = sa.Table(
    "cases",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("split", sa.String(20), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

labels = sa.Table(
    "labels",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("approved_at", sa.Float, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

flags = sa.Table(
    "flags",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(100), nullable=False, index=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("arm", sa.String(20), nullable=False),
)

serving = sa.Table(
    "serving",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

requests = sa.Table(
    "requests",
    METADATA,
    sa.Column("request_id", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("open", sa.Boolean, nullable=False),
)

datasets = sa.Table(
    "datasets",
    METADATA,
    sa.Column("digest", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("document", sa.Text, nullable=False),
)

dataset_studies = sa.Table(
    "dataset_studies",
    METADATA,
    sa.Column("digest", sa.String(100), primary_key=True),
    sa.Column("study_key", sa.String(100), primary_key=True, index=True),
)

runs = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", sa.String(100), primary_key=True),
    sa.Column("project_id", sa.String(100), nullable=False, index=True),
    sa.Column("run_number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("job_ended", sa.Boolean, nullable=False),
    sa.Column("dataset_version", sa.String(100), nullable=False, index=True),
    sa.Column("model_digest", sa.String(100), nullable=False, index=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("project_id", "run_number", name="run_number_of_project"),
)

withdrawn = sa.Table("withdrawn", METADATA, sa.Column("study_key", sa.String(100), primary_key=True))

withdrawn_datasets = sa.Table(
    "withdrawn_datasets",
    METADATA,
    sa.Column("study_key", sa.String(100), primary_key=True),
    sa.Column("digest", sa.String(100), primary_key=True),
)
