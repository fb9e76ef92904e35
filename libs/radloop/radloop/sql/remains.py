"""What is left of a study in a service's tables, whichever they are: every row that names it, counted."""

from collections.abc import Mapping

import sqlalchemy as sa

from radloop.sql.tables import messaging_tables

_TABLES = messaging_tables(sa.MetaData())
STUDY_KEY = "study_key"


def rows_of_study(connection: sa.Connection, metadata: sa.MetaData, study_key: str) -> dict[str, int]:
    """Count the rows of a study in every table of a service that has a column ``study_key``; tables with none are left out."""
    counted = {}
    for table in metadata.sorted_tables:
        if STUDY_KEY in table.c:
            query = sa.select(sa.func.count()).select_from(table).where(table.c[STUDY_KEY] == study_key)
            if number := connection.execute(query).scalar_one():
                counted[table.name] = number
    return counted


def events_of_study(connection: sa.Connection, study_key: str) -> Mapping[str, int]:
    """Count what waits under the key of a study: to be said (``outbox``), and for something else to be heard (``parked``)."""
    return {
        table.name: connection.execute(
            sa.select(sa.func.count()).select_from(table).where(table.c.key == study_key)
        ).scalar_one()
        for table in (_TABLES.outbox, _TABLES.parked)
    }
