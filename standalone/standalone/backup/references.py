"""Which objects the rows of a restored platform refer to, and which of them are not there."""

import re
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from radloop.sql import Database
from standalone.layout import Layout
from standalone.setup import SERVICES

# A key begins with the service that owns the object, and stands alone, in JSON, or in JSON within JSON.
_KEY = re.compile(rf'(?:^|")((?:{"|".join(SERVICES)})/[^"\\\s]+)')


def missing_objects(layout: Layout, services: Iterable[str], stored: Collection[str]) -> dict[str, int]:
    """Count the keys in each service's rows that are not among those stored; services without any are left out.

    What was withdrawn, swept or beyond its retention while the backup was made is missing and will not be asked for again.
    """
    found = {}
    for service in services:
        database = Database(layout.database_url(service), service)
        try:
            missing = {key for key in _keys(database) if key not in stored}
        finally:
            database.close()
        if missing:
            found[service] = len(missing)
    return found


def _keys(database: Database) -> set[str]:
    found: set[str] = set()
    metadata = sa.MetaData()
    with database.begin(read_only=True) as connection:
        metadata.reflect(connection, schema=database.schema)
        for table in metadata.tables.values():
            columns = [column for column in table.c if isinstance(column.type, sa.String)]
            if columns:
                for row in connection.execution_options(yield_per=1000).execute(sa.select(*columns)):
                    for text in row:
                        found.update(_KEY.findall(text or ""))
    return found
