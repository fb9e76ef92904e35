"""The worker that pulls: one study at a time over all pulls, each as fast as its throttle and its window allow.

Killed anywhere it goes on: a study counts as done when the index has what the archive counts, and is asked for again until then.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any

from ingest.adapters.archives import ArchivesFile
from ingest.adapters.pull_planning import Planning
from ingest.adapters.query_file import order_from_fields
from ingest.adapters.reception import Dispatch, Outcome, Receiver
from ingest.adapters.reception import Fate as Answer
from ingest.adapters.vault import Vault
from ingest.domain.cohorts import Found
from ingest.domain.messages import CompleteStudies
from ingest.domain.model import UNREADABLE
from ingest.domain.pull_messages import ClaimPull, DelayPull, ListPull, NoteEntry, StepPull
from ingest.domain.pulls import (
    MOST_ATTEMPTS,
    Entry,
    Failure,
    Fate,
    Order,
    Pull,
    PullState,
    PullStep,
    StudyFailed,
    Way,
    backoff_s,
    is_complete,
    left,
    next_allowed,
    paced_until,
)
from ingest.ports import Clock
from ingest.ports.pulling import ArchiveConnection
from radloop.errors import Conflict, IllegalTransition, NotFound, RadloopError
from radloop.telemetry import logger

log = logger(__name__)

CLAIM_S = 120.0
"""How long nobody else works on a pull whose replica died."""
RENEW_S = 5.0


@dataclass
class _AtHand:
    """What this replica is doing right now."""

    pull_id: str = ""
    connection: ArchiveConnection | None = None


@dataclass
class _Came:
    """What came of a study in one attempt: instances answered, those refused by reason, and how many there are."""

    expected: int
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failure: StudyFailed | None = None


class Pace:
    """Holds instances back so that they come no faster than so many a second.

    Parameters
    ----------
    wait : callable
        Waits for so many seconds, or until the service ends.
    now : callable
        Seconds, growing evenly.
    """

    def __init__(self, wait: Callable[[float], object], now: Callable[[], float] = time.monotonic) -> None:
        self._wait, self._now = wait, now
        self._per_s: float | None = None
        self._next_at = 0.0

    def begin(self, instances_per_second: float | None) -> None:
        """Hold back by this from now on; None does not."""
        self._per_s, self._next_at = instances_per_second, self._now()

    def __call__(self) -> None:
        """Return when the next instance may come."""
        if self._per_s is None:
            return
        early_s = self._next_at - self._now()
        if early_s > 0:
            self._wait(early_s)
        self._next_at += 1.0 / self._per_s


class Pulling:
    """Pulls studies.

    Parameters
    ----------
    dispatch : callable
        Runs a command's handler in a transaction.
    unit_of_work : callable
        Makes a read-only unit of work.
    receiver : Receiver
    archives : ArchivesFile
    connect : callable
        ``connect(archive, way)`` returns an `ArchiveConnection`; nothing is asked yet.
    planning : Planning
    vault : Vault
    pace : Pace
        The one that connections ask before each instance.
    clock : callable
    zone : tzinfo
        Of the site, for windows.
    holder : str, optional
        Name of this replica; that of the machine.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        unit_of_work: Callable[[], Any],
        receiver: Receiver,
        *,
        archives: ArchivesFile,
        connect: Callable[..., ArchiveConnection],
        planning: Planning,
        vault: Vault,
        pace: Pace,
        clock: Clock,
        zone: tzinfo,
        holder: str = "",
    ) -> None:
        self._dispatch, self._unit_of_work, self._receiver = dispatch, unit_of_work, receiver
        self._archives, self._connect, self._planning, self._vault = archives, connect, planning, vault
        self._pace, self._clock, self._zone = pace, clock, zone
        self._holder = holder or socket.gethostname()[:100]
        self._at_hand = _AtHand()
        self._stopped = threading.Event()

    def step(self) -> bool:
        """Do one piece of work: list the studies of a pull, or fetch one study; return whether there was any."""
        with self._unit_of_work() as uow:
            going = uow.pulls.going()
        for pull in going:
            if self._stopped.is_set():
                return False
            if pull.listed and self._needs_nobody(pull):
                return True
            order = order_from_fields(self._vault.open_fields(pull.order))
            if next_allowed(pull, order.window, self._clock(), self._zone)[1]:
                continue
            if self._worked(pull, order):
                return True
        return False

    def _needs_nobody(self, pull: Pull) -> bool:
        """Do what takes no archive: go on with a list that is there, and finish; return whether there was any of it."""
        if pull.state is PullState.PLANNED:
            self._dispatch(ListPull(pull.pull_id))
            return True
        with self._unit_of_work() as uow:
            is_over = left(uow.pulls.counts(pull.pull_id)) == 0
        if is_over:
            try:
                self._dispatch(StepPull(pull.pull_id, PullStep.FINISH))
            except IllegalTransition:  # paused or cancelled since we looked
                return False
        return is_over

    def renew(self) -> bool:
        """Keep others from what is at hand, or end it where its pull was cancelled; called every `RENEW_S`."""
        at_hand = self._at_hand
        if at_hand.connection is not None:
            with self._unit_of_work() as uow:
                pull = uow.pulls.get(at_hand.pull_id)
            if pull is not None and pull.state is PullState.CANCELLED:
                at_hand.connection.abort()
            else:
                self._claim(at_hand.pull_id)
        return False

    def close(self) -> None:
        """End what is under way; the next start asks for that study again."""
        self._stopped.set()
        connection = self._at_hand.connection
        if connection is not None:
            connection.abort()

    def _worked(self, pull: Pull, order: Order) -> bool:
        with self._unit_of_work() as uow:
            entry = uow.pulls.next_entry(pull.pull_id, self._clock())
        if pull.listed and entry is None:
            return False  # all that is left waits to be tried again
        try:
            self._claim(pull.pull_id)
        except Conflict:
            return False
        try:
            with self._connected(pull, order) as archive:
                if entry is None:
                    self._list(pull, order, archive)
                else:
                    self._fetch(pull, order, entry, archive)
            if pull.problem:
                self._dispatch(DelayPull(pull.pull_id, "", 0, 0.0))
        except RadloopError as error:
            if self._stopped.is_set():
                return False
            self._delay(pull, error)
        finally:
            self._let_go(pull.pull_id)
        return True

    @contextmanager
    def _connected(self, pull: Pull, order: Order):  # type: ignore[no-untyped-def]
        archive = self._connect(self._archives.get(pull.archive, order.way), order.way)
        self._at_hand = _AtHand(pull.pull_id, archive)
        try:
            yield archive
        finally:
            self._at_hand = _AtHand()

    def _claim(self, pull_id: str) -> None:
        self._dispatch(ClaimPull(pull_id, self._holder, self._clock() + CLAIM_S))

    def _let_go(self, pull_id: str) -> None:
        self._dispatch(ClaimPull(pull_id, self._holder, 0.0))

    def _delay(self, pull: Pull, error: RadloopError) -> None:
        """The archive as a whole cannot be asked: wait, longer each time, whatever kind of error it is: a person may mend it."""
        tries = pull.tries + 1
        log.warning("a pull waits", pull=pull.pull_id, reason=error.code, tries=tries)
        self._dispatch(DelayPull(pull.pull_id, error.code, tries, self._clock() + backoff_s(tries)))

    def _list(self, pull: Pull, order: Order, archive: ArchiveConnection) -> None:
        entries = self._planning.entries(pull.pull_id, self._planning.plan(order, archive))
        self._dispatch(ListPull(pull.pull_id, entries))
        log.info("the studies of a pull are listed", pull=pull.pull_id, studies=len(entries))

    def _fetch(self, pull: Pull, order: Order, entry: Entry, archive: ArchiveConnection) -> None:
        begun_at = self._clock()
        whom = self._planning.found_of(entry)
        study_key, study_keys = self._planning.keys_of(whom)
        entry = replace(entry, study_key=study_key)
        present, withdrawn = self._planning.here(study_keys)
        if withdrawn:
            self._dispatch(NoteEntry(self._ended(entry, Fate.WITHDRAWN)))
            return
        found = archive.look(whom.study_instance_uid)
        if found is None:
            self._failed(entry, Failure.GONE, "")
            return
        entry = replace(entry, expected=found.instances, present=present, refused={})
        if found.instances and present >= found.instances:
            # Everything is here: it came before, or did and a restart came in between.
            fate = Fate.KNOWN if entry.fate is Fate.WAITING and not entry.attempts else Fate.DONE
            self._dispatch(NoteEntry(self._ended(entry, fate)))
            return
        entry = replace(entry, fate=Fate.RETRIEVING)
        self._dispatch(NoteEntry(entry))
        came = self._retrieve(order, found, study_keys, archive)
        if (
            not self._stopped.is_set()
        ):  # else it is not the archive's doing: asked for again, and not counted as an attempt
            self._settle(entry, study_keys, came, paced_until(order.throttle, begun_at, came.answered))

    def _retrieve(self, order: Order, found: Found, study_keys: tuple[str, ...], archive: ArchiveConnection) -> _Came:
        self._pace.begin(order.throttle.instances_per_second if order.way is not Way.C_MOVE else None)
        came = _Came(expected=found.instances or 0)
        with self._counting(came, study_keys, order.way):
            try:
                said = archive.retrieve(found, came.refused.clear)
                # An archive that counts nothing says at least what it sent.
                came.expected = came.expected or (said.sent or 0) + (said.failed or 0)
            except StudyFailed as error:
                came.failure = error
        return came

    def _settle(self, entry: Entry, study_keys: tuple[str, ...], came: _Came, until: float) -> None:
        """Note what became of a study that was asked for."""
        present, withdrawn = self._planning.here(study_keys)
        with self._unit_of_work() as uow:
            stored = next((key for key in study_keys if uow.studies.get(key) is not None), None)
        entry = replace(
            entry,
            study_key=stored or entry.study_key,
            expected=came.expected,
            present=present,
            refused=dict(came.refused),
        )
        if withdrawn:
            self._dispatch(NoteEntry(self._ended(entry, Fate.WITHDRAWN), until))
        elif came.expected and is_complete(came.expected, present, came.refused):
            self._dispatch(NoteEntry(self._ended(entry, Fate.DONE), until))
            if stored is not None:
                self._tell_complete(stored)
        elif came.failure is not None:
            self._failed(entry, came.failure.failure, came.failure.got, until)
        else:
            self._failed(entry, Failure.INCOMPLETE, "", until)

    def _tell_complete(self, study_key: str) -> None:
        """Nothing more of a study comes: its cases need not wait for the quiet time."""
        try:
            self._dispatch(CompleteStudies(study_key))
        except NotFound:  # withdrawn since
            log.info("a study that was pulled is gone again")

    @contextmanager
    def _counting(self, came: _Came, study_keys: tuple[str, ...], way: Way):  # type: ignore[no-untyped-def]
        """Count the answers to a study's instances while it is sent, and those refused by reason."""

        def watch(outcome: Outcome) -> None:
            # What cannot be read names no study; over an association or answer of our own it can only be of this one.
            if outcome.study_key in study_keys or (outcome.study_key == UNREADABLE and way is not Way.C_MOVE):
                came.answered += 1
                if outcome.fate is Answer.REFUSED and outcome.reason is not None:
                    came.refused[outcome.reason.value] += 1

        self._receiver.watches.append(watch)
        try:
            yield
        finally:
            self._receiver.watches.remove(watch)

    def _ended(self, entry: Entry, fate: Fate) -> Entry:
        return replace(entry, fate=fate, reason="", detail="", ended_at=self._clock())

    def _failed(self, entry: Entry, failure: Failure, detail: str, until: float = 0.0) -> None:
        attempts = entry.attempts + 1
        entry = replace(entry, attempts=attempts, reason=failure.value, detail=detail)
        if attempts >= MOST_ATTEMPTS:
            entry = replace(entry, fate=Fate.FAILED, ended_at=self._clock())
            log.warning("a study of a pull did not come", pull=entry.pull_id, reason=failure.value)
        else:
            entry = replace(entry, fate=Fate.WAITING, not_before=self._clock() + backoff_s(attempts))
        self._dispatch(NoteEntry(entry, until))
