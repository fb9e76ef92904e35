"""Key versions: which one a patient, a study or a split was pseudonymised under, and what the vault is sealed with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SEALED = ("studies", "series", "held")
_NAMED = ("studies", "splits", "tombstones")


def upgrade() -> None:
    """Everything there is was made under the first version."""
    for table in _SEALED:
        op.add_column(table, _version("vault_version"))
        op.create_index(f"ix_{table}_vault_version", table, ["vault_version"])
    for table in _NAMED:
        op.add_column(table, _version("key_version"))
    op.add_column("site_keys", _version("version"))
    op.create_table(
        "patients",
        sa.Column("patient", sa.String(64), primary_key=True),
        sa.Column("key_version", sa.Integer, nullable=False),
    )
    op.execute("INSERT INTO patients (patient, key_version) SELECT DISTINCT patient, 1 FROM studies")


def _version(name: str) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Integer, nullable=False, server_default="1")
