"""The relay: publishes what handlers said, in the order they said it, at least once with the same id."""

import time

from radloop.crash import crash_point
from radloop.events.port import EventLog
from radloop.sql.database import Database
from radloop.sql.outbox import Unsent, open_outbox
from radloop.telemetry import OUTBOX_OLDEST_S

BATCH_ROWS = 2000
BATCH_BYTES = 4 * 2**20


class Relay:
    """Moves outbox rows to the event log.

    Of a service's replicas one publishes; when it dies, hangs or closes another takes over.
    """

    name = "outbox-relay"
    interval_s = 1.0
    """Longest pause between two looks, should a wake-up be lost."""

    def __init__(self, database: Database, log: EventLog) -> None:
        self._outbox, self._log = open_outbox(database), log
        self.active = False
        """Whether this replica published last time it looked, and not another."""
        self._oldest: Unsent | None = None
        self._oldest_since = 0.0
        self._published: list[int] = []
        """Rows the log has that are still to be purged: a database that is full must not make it repeat them."""
        OUTBOX_OLDEST_S.set_function(self._oldest_s)

    def wait(self) -> None:
        """Sleep until a unit of work of any replica has said something, at most ``interval_s``."""
        self._outbox.wait(self.interval_s)

    def step(self) -> bool:
        """Publish one batch; return whether there was any.

        Raises
        ------
        TemporaryError
            The database or the log is away; nothing is lost.
        """
        self.active = False
        self.active = self._outbox.is_mine()
        if not self.active:
            self._oldest = None
            return False
        self._purge()
        rows = self._outbox.oldest(BATCH_ROWS, BATCH_BYTES)
        self._note(rows[0] if rows else None)
        if not rows:
            return False
        self._log.append([row.record for row in rows])
        crash_point("after-publish")
        self._published = [row.id for row in rows]
        self._purge()
        return True

    def close(self) -> None:
        """Let another replica publish."""
        self._outbox.close()

    def _purge(self) -> None:
        if self._published:
            self._outbox.delete(self._published)
            self._published = []

    def _note(self, oldest: Unsent | None) -> None:
        if oldest is not None and (self._oldest is None or self._oldest.id != oldest.id):
            self._oldest_since = time.monotonic()
        self._oldest = oldest

    def _oldest_s(self) -> float:
        """Age of the oldest row when last looked; it goes on growing while a look or the log takes long.

        The clock says how old it was when first seen; should that be set back, it has waited since then at least.
        """
        oldest = self._oldest
        return 0.0 if oldest is None else max(time.time() - oldest.created_at, time.monotonic() - self._oldest_since)
