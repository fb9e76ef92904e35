"""The relay: publishes what handlers said, in the order they said it, at least once with the same id."""

import json
import time

import sqlalchemy as sa

from radloop.crash import crash_point
from radloop.events.port import EventLog
from radloop.messages import Record
from radloop.sql.database import Database
from radloop.sql.tables import messaging_tables
from radloop.telemetry import OUTBOX_OLDEST_S

_OUTBOX = messaging_tables(sa.MetaData()).outbox
_BATCH = 500


class Relay:
    """Moves outbox rows to the event log. Rows are chosen by being there, never by a highest id."""

    name = "outbox-relay"
    interval_s = 1.0

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database, self._log = database, log

    def wait(self) -> None:
        """Sleep until a unit of work has said something, at most ``interval_s``."""
        self._database.outbox_changed.wait(self.interval_s)

    def step(self) -> bool:
        """Publish one batch; return whether there was any."""
        self._database.outbox_changed.clear()
        with self._database.begin(read_only=True) as connection:
            rows = connection.execute(sa.select(_OUTBOX).order_by(_OUTBOX.c.id).limit(_BATCH)).all()
        OUTBOX_OLDEST_S.set(time.time() - rows[0].created_at if rows else 0.0)
        if not rows:
            return False
        self._log.append([Record(topic=r.topic, key=r.key, value=r.value, headers=json.loads(r.headers)) for r in rows])
        crash_point("after-publish")
        with self._database.begin() as connection:
            connection.execute(_OUTBOX.delete().where(_OUTBOX.c.id.in_([row.id for row in rows])))
        return True
