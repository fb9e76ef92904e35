"""Tables of `ingest`. A change here needs a migration; a test compares the two."""

from typing import Any

import sqlalchemy as sa

from radloop.sql import messaging_tables

METADATA = sa.MetaData()
messaging_tables(METADATA)

_UID, _ID, _KEY, _DIGEST = sa.String(64), sa.String(40), sa.String(300), sa.String(80)


def _object_columns() -> list[sa.Column]:  # type: ignore[type-arg]
    return [
        sa.Column("object_key", _KEY, nullable=False),
        sa.Column("object_digest", _DIGEST, nullable=False),
        sa.Column("object_size", sa.BigInteger, nullable=False),
    ]


def _version(name: str, *, index: bool = False) -> sa.Column:  # type: ignore[type-arg]
    """Return a column with a version of the site key; rows older than versions are of the first."""
    return sa.Column(name, sa.Integer, nullable=False, server_default="1", index=index)


def _flag(name: str) -> sa.Column:  # type: ignore[type-arg]
    """Return a column that is false in rows older than it."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _searched(*columns: tuple[str, Any]) -> list[sa.Column]:  # type: ignore[type-arg]
    """Return columns of text that came later, most of them for searches; empty in rows older than them."""
    return [sa.Column(name, kind, nullable=False, server_default="") for name, kind in columns]


PATIENTS = sa.Table(
    "patients",
    METADATA,
    sa.Column("patient", sa.String(64), primary_key=True),
    sa.Column("key_version", sa.Integer, nullable=False),
)

STUDIES = sa.Table(
    "studies",
    METADATA,
    sa.Column("study_key", _UID, primary_key=True),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("completed_generation", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Boolean, nullable=False, index=True),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False, index=True),
    sa.Column("broken", sa.Boolean, nullable=False),
    _flag("again"),
    _version("vault_version", index=True),
    _version("key_version"),
    *_searched(("described", sa.Text), ("date", sa.String(8)), ("time", sa.String(16))),
    sa.Index("ix_studies_date", "date", "study_key"),
)

SERIES = sa.Table(
    "series",
    METADATA,
    sa.Column("series_key", _UID, primary_key=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("routing", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    _version("vault_version", index=True),
    *_searched(("described", sa.Text), ("modality", sa.String(16))),
    sa.Column("number", sa.BigInteger),
)

CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("digest", _ID, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

INSTANCES = sa.Table(
    "instances",
    METADATA,
    sa.Column("sop_key", _UID, primary_key=True),
    sa.Column("series_key", _UID, nullable=False),
    sa.Column("study_key", _UID, nullable=False, index=True),
    *_object_columns(),
    sa.Column("header", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    *_searched(("changes", _ID)),
)

DIFFERENCES = sa.Table(
    "differences",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("sop_key", _UID, nullable=False, index=True),
    sa.Column("keywords", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

RECEPTIONS = sa.Table(
    "receptions",
    METADATA,
    sa.Column("reception_id", _ID, primary_key=True),
    sa.Column("study_key", _UID, primary_key=True, index=True),
    sa.Column("at_hand", sa.Boolean, nullable=False),
)

HELD = sa.Table(
    "held",
    METADATA,
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
    _version("vault_version", index=True),
    *_searched(("changes", _ID), ("proposed_by", sa.String(255))),
    sa.Column("proposed_at", sa.Float),
)

REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("rejection_id", _ID, primary_key=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("series_key", _UID, nullable=False),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("instance_count", sa.Integer, nullable=False),
    sa.Column("said", sa.Boolean, nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    _flag("hurried"),
)

CASES = sa.Table(
    "cases",
    METADATA,
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

PROJECTS = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("project_version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

SPLITS = sa.Table(
    "splits",
    METADATA,
    sa.Column("project_id", sa.String(100), primary_key=True),
    sa.Column("patient_key", sa.String(64), primary_key=True),
    sa.Column("split", sa.String(20), nullable=False),
    sa.Column("imported", sa.Boolean, nullable=False),
    _version("key_version"),
)

TOMBSTONES = sa.Table(
    "tombstones",
    METADATA,
    sa.Column("study_key", _UID, primary_key=True),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("empty", sa.Boolean, nullable=False, index=True),
    _version("key_version"),
)

SITE_KEYS = sa.Table(
    "site_keys", METADATA, sa.Column("fingerprint", sa.String(40), primary_key=True), _version("version")
)

PULLS = sa.Table(
    "pulls",
    METADATA,
    sa.Column("pull_id", _ID, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("archive", sa.String(100), nullable=False),
    sa.Column("way", sa.String(10), nullable=False),
    sa.Column("project_id", sa.String(100), nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False, index=True),
    sa.Column("sealed", sa.Text, nullable=False),
    _version("vault_version", index=True),
    _flag("listed"),
    sa.Column("problem", sa.String(60), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("not_before", sa.Float, nullable=False),
    sa.Column("paced_until", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float, nullable=False),
    sa.Column("holder", sa.String(100), nullable=False),
    sa.Column("held_until", sa.Float, nullable=False),
)

PULL_STUDIES = sa.Table(
    "pull_studies",
    METADATA,
    sa.Column("entry_id", _ID, primary_key=True),
    sa.Column("pull_id", _ID, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("fate", sa.String(20), nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    _version("vault_version", index=True),
    sa.Column("modality", sa.String(16), nullable=False),
    sa.Column("prior", sa.Boolean, nullable=False),
    sa.Column("expected", sa.Integer),
    sa.Column("present", sa.Integer, nullable=False),
    sa.Column("refused", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("not_before", sa.Float, nullable=False),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Float, nullable=False),
    sa.Index("ix_pull_studies_fate", "pull_id", "fate", "position"),
)

SITE_PROFILES = sa.Table(
    "site_profiles",
    METADATA,
    sa.Column("label", sa.String(64), primary_key=True),
    sa.Column("fingerprint", _ID, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

REFUSED_PATIENTS = sa.Table(
    "refused_patients",
    METADATA,
    sa.Column("patient", sa.String(64), primary_key=True),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    _version("key_version"),
)

LABELLED_CASES = sa.Table(
    "labelled_cases",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
)

FLAGGED_CASES = sa.Table(
    "flagged_cases",
    METADATA,
    sa.Column("case_id", sa.String(100), primary_key=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
)

RETENTION_NOTICES = sa.Table(
    "retention_notices",
    METADATA,
    sa.Column("study_key", _UID, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
