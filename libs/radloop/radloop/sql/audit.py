"""The audit trail read back: pages of entries in the order in which they were made. Nothing here changes or removes one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from radloop.sql.tables import messaging_tables

_AUDIT = messaging_tables(sa.MetaData()).audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which pseudonymous id, and when.

    Attributes
    ----------
    id : int
        Grows with every entry of the service; gaps mean nothing.
    at : datetime
        In UTC.
    subject : str
        As the identity provider names the person; a service's own name for what it did by itself.
    action, target : str
    """

    id: int
    at: datetime
    subject: str
    action: str
    target: str


def audit_entries(connection: sa.Connection, after: int, limit: int) -> Sequence[AuditEntry]:
    """Return at most ``limit`` entries with an id above ``after``, in order.

    One transaction of a service writes at a time, so ids are in the order of commits: no entry becomes visible later with an id
    that was passed by.
    """
    query = sa.select(_AUDIT).where(_AUDIT.c.id > after).order_by(_AUDIT.c.id).limit(limit)
    return [
        AuditEntry(row.id, datetime.fromtimestamp(row.at, UTC), row.subject, row.action, row.target)
        for row in connection.execute(query)
    ]
