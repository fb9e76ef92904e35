"""What the reading room shows: doubts, scores, phases, instructions, saved versions, notes of those who skipped."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_AT_ONCE = 1000


def upgrade() -> None:
    """Add columns with values that say "not known", and fill in what the rows themselves tell."""
    for name, kind in (("key", sa.String(500)), ("digest", sa.String(100)), ("size_bytes", sa.BigInteger)):
        op.add_column("predictions", sa.Column(f"uncertainty_{name}", kind))
    op.add_column("predictions", sa.Column("number", sa.Integer, nullable=False, server_default="0"))
    op.create_index("predictions_of_case", "predictions", ["case_id", "number"])

    for name, length in (("project_id", 100), ("split", 20), ("series_key", 200)):
        op.add_column("cases", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("cases", sa.Column("phase", sa.Integer, nullable=False, server_default="0"))
    op.create_index("cases_of_series", "cases", ["project_id", "series_key", "phase"])
    _fill_cases(op.get_bind())

    op.add_column("tasks", sa.Column("score", sa.Float))
    op.add_column("label_versions", sa.Column("saved", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("history", sa.Column("note", sa.Text, nullable=False, server_default=""))

    op.create_table(
        "project_versions",
        sa.Column("project_id", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instructions", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO project_versions SELECT project_id, version, '' FROM projects")


def _fill_cases(connection: sa.Connection) -> None:
    """Take project and split out of each case's body. Which series it came from, `study-ingested` said: nobody kept it."""
    case_id, body = sa.column("case_id", sa.String), sa.column("body", sa.Text)
    cases = sa.table("cases", case_id, body, sa.column("project_id"), sa.column("split"))
    fill = cases.update().where(case_id == sa.bindparam("of"))
    fill = fill.values(project_id=sa.bindparam("project"), split=sa.bindparam("its_split"))
    last = ""
    while True:
        page = sa.select(case_id, body).select_from(cases).where(case_id > last).order_by(case_id).limit(_AT_ONCE)
        rows = connection.execute(page).all()
        if not rows:
            return
        told = [(row.case_id, json.loads(row.body)) for row in rows]
        connection.execute(
            fill, [{"of": of, "project": b.get("project_id", ""), "its_split": b.get("split", "")} for of, b in told]
        )
        last = rows[-1].case_id
