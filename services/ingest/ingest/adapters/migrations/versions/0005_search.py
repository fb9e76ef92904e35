"""What DICOMweb searches: a few attributes of a study and of a series, as they stand in an instance after cleaning."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What came before has none of them: it is found by its UIDs, and an empty search."""
    for name, kind in (("described", sa.Text()), ("date", sa.String(8)), ("time", sa.String(16))):
        op.add_column("studies", _searched(name, kind))
    for name, kind in (("described", sa.Text()), ("modality", sa.String(16))):
        op.add_column("series", _searched(name, kind))
    op.add_column("series", sa.Column("number", sa.BigInteger))
    op.create_index("ix_studies_date", "studies", ["date", "study_key"])


def _searched(name: str, kind: Any) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, kind, nullable=False, server_default="")
