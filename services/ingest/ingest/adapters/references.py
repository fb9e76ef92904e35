"""Which stored objects the service still needs, for the sweep."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ingest.adapters.sql_cases import stored_case
from ingest.adapters.tables import CASES, HELD, INSTANCES, RECEPTIONS, STUDIES
from radloop.objects.sweep import part_of


def needed(uow: Any, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that instances, quarantine and cases refer to, and all of studies at which work goes on."""
    connection: sa.Connection = uow.connection
    of_study: dict[str, set[str]] = {}
    for key in keys:
        of_study.setdefault(part_of(key, 1), set()).add(key)
    studies = list(of_study)

    def column(query: sa.Select[Any]) -> set[str]:
        return set(connection.execute(query).scalars())

    at_work = column(sa.select(RECEPTIONS.c.study_key).where(RECEPTIONS.c.study_key.in_(studies)))
    at_work |= column(sa.select(STUDIES.c.study_key).where(STUDIES.c.study_key.in_(studies), STUDIES.c.waiting))
    found = column(sa.select(INSTANCES.c.object_key).where(INSTANCES.c.study_key.in_(studies)))
    found |= column(sa.select(HELD.c.object_key).where(HELD.c.study_key.in_(studies), sa.not_(HELD.c.released)))
    for row in connection.execute(sa.select(CASES).where(CASES.c.study_key.in_(studies))):
        case = stored_case(row).case
        found |= {ref.key for ref in (case.manifest, *case.volumes)}
    return found.intersection(keys).union(*(of_study[study] for study in at_work))
