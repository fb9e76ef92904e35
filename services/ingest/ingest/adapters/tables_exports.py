"""Tables of what goes back to the PACS, and of the originals it is restored from. As in `tables`, a change needs a migration."""

import sqlalchemy as sa

from ingest.adapters.tables import METADATA

_UID, _ID, _PROJECT = sa.String(64), sa.String(40), sa.String(100)

ORIGINALS = sa.Table(
    "originals",
    METADATA,
    sa.Column("sop_key", _UID, primary_key=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("vault_version", sa.Integer, nullable=False, index=True),
)

EXPORT_SOURCES = sa.Table(
    "export_sources",
    METADATA,
    sa.Column("source_id", _ID, primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("case_id", _ID, nullable=False, index=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

EXPORTS = sa.Table(
    "exports",
    METADATA,
    sa.Column("export_id", _ID, primary_key=True),
    sa.Column("source_id", _ID, nullable=False),
    sa.Column("case_id", _ID, nullable=False, index=True),
    sa.Column("study_key", _UID, nullable=False, index=True),
    sa.Column("project_id", _PROJECT, nullable=False),
    sa.Column("form", sa.String(20), nullable=False),
    sa.Column("destination", sa.String(100), nullable=False),
    sa.Column("made_at", sa.Float, nullable=False, index=True),
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("asked_by", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("sent_at", sa.Float, nullable=False),
    sa.Index("ix_exports_due", "state", "due_at"),
)

DISCLOSURES = sa.Table(
    "disclosures",
    METADATA,
    sa.Column("disclosure_id", _ID, primary_key=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("target", sa.String(300), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
