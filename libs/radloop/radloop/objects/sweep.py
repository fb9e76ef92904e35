"""Removes what nothing refers to. Each service sweeps what it owns, for only its own tables know what it still needs.

Safe beside writers: an object younger than the grace time is never touched, one that is put again becomes young, and
`Objects.discard` looks a last time. All that a writer must do is refer to what it put before the grace time is over.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from prometheus_client import Counter

from radloop.errors import Busy
from radloop.objects.port import Objects, StoredObject
from radloop.telemetry import logger

log = logger(__name__)

SWEPT_OBJECTS = Counter("radloop_objects_swept_total", "Objects that a sweep removed", ["service"])
SWEPT_BYTES = Counter("radloop_objects_swept_bytes_total", "Bytes that a sweep freed", ["service"])

_AT_ONCE = 500


@dataclass
class Swept:
    """What a sweep found and did; in a dry run, what it would have done."""

    service: str
    kept: int = 0
    kept_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    uploads_aborted: int = 0
    """Uploads in parts that killed writers left; a dry run does not look for them."""


@dataclass(frozen=True)
class Retention:
    """Objects that go by age although something refers to them.

    Attributes
    ----------
    expired
        ``expired(objects, now)`` gives the keys whose time is over.
    give_up
        ``give_up(uow, keys)`` makes the service's own tables forget them.
    """

    expired: Callable[[Sequence[StoredObject], datetime], set[str]]
    give_up: Callable[[Any, Collection[str]], None]


class Sweeper:
    """Sweeps the objects of one service.

    Parameters
    ----------
    service
        Name of the service, with which its keys begin.
    objects
        The site's object store.
    unit_of_work
        ``unit_of_work(read_only=True)`` for questions.
    needed
        ``needed(uow, keys)`` gives those of the keys that must stay: a row refers to them, or work that is not at its end
        may come to.
    retention
        What goes by age.
    """

    def __init__(
        self,
        service: str,
        objects: Objects,
        unit_of_work: Callable[..., Any],
        needed: Callable[[Any, Sequence[str]], set[str]],
        retention: Retention | None = None,
    ) -> None:
        self.service, self._objects, self._unit_of_work = service, objects, unit_of_work
        self._needed, self._retention = needed, retention
        self._one_at_a_time = threading.Lock()

    def sweep(self, subject: str, grace: timedelta, *, dry_run: bool = False) -> Swept:
        """Go through all objects of the service once.

        Parameters
        ----------
        subject
            Who asked, for the audit trail: every removal is an entry, written before it.
        grace
            Age below which nothing is touched. Longer than the longest time between an object being put and a row
            referring to it, and than the clocks of service and store differ.
        dry_run
            Only count.

        Raises
        ------
        Busy
            A sweep of this service runs.
        TemporaryError
            The store or the database is away; what was not reached stays for the next sweep.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise Busy("sweep-runs", delay_s=60, expected="one sweep at a time", got="another", do="wait for its end")
        try:
            return self._sweep(subject, datetime.now(UTC) - grace, dry_run)
        finally:
            self._one_at_a_time.release()

    def _sweep(self, subject: str, before: datetime, dry_run: bool) -> Swept:
        swept = Swept(self.service)
        listing = self._objects.listing(f"{self.service}/")
        while batch := list(islice(listing, _AT_ONCE)):
            gone = self._remove(subject, batch, before, dry_run)
            for each in batch:
                if each.key in gone:
                    swept.removed += 1
                    swept.removed_bytes += each.size_bytes
                else:
                    swept.kept += 1
                    swept.kept_bytes += each.size_bytes
        if not dry_run:
            swept.uploads_aborted = self._objects.abort_unfinished(f"{self.service}/", before)
            SWEPT_OBJECTS.labels(self.service).inc(swept.removed)
            SWEPT_BYTES.labels(self.service).inc(swept.removed_bytes)
            log.info("objects swept", service=self.service, kept=swept.kept, removed=swept.removed)
        return swept

    def _remove(self, subject: str, batch: Sequence[StoredObject], before: datetime, dry_run: bool) -> set[str]:
        """Remove what may go; return its keys."""
        old = [each for each in batch if each.stored_at < before]
        expired = self._retention.expired(old, datetime.now(UTC)) if self._retention else set()
        with self._unit_of_work(read_only=True) as uow:
            needed = self._needed(uow, [each.key for each in old])
        keys = [each.key for each in old if each.key not in needed or each.key in expired]
        if dry_run or not keys:
            return set(keys)
        with self._unit_of_work() as uow:
            if self._retention and expired:
                self._retention.give_up(uow, expired)
            for key in keys:
                uow.audit(subject, "object-swept", key)
            uow.commit()
        return {key for key in keys if self._objects.discard(key, before)}


def part_of(key: str, number: int) -> str:
    """Return a part of a key, counted from 0; empty when it has fewer. Part 1 is the study key of what is a patient's."""
    parts = key.split("/")
    return parts[number] if number < len(parts) else ""
