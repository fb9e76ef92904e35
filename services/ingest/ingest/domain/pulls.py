"""Pulls: cohorts that are fetched from an archive (PACS) by a query, a study at a time, as slowly as the site wants.

What is asked for is a `Query`; how it goes on, when the next study may begin and what is left are functions of numbers here.
Which studies an archive's answers make is in `domain.cohorts`; who talks to archives is in ``adapters``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum

from radloop.errors import IllegalTransition, Invalid, PermanentError

MOST_ATTEMPTS = 4
"""Times a study is asked for before it is given up."""
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 60.0, 3600.0
_HOUR_S = 3600.0


class Way(StrEnum):
    """How studies come: PS3.4 sections C.4.2 (C-MOVE) and C.4.3 (C-GET), PS3.18 section 10.4 (WADO-RS)."""

    C_MOVE = "c-move"
    """The archive sends to our own DICOM door, whose address it must know."""
    C_GET = "c-get"
    """The archive sends back over the association that asks."""
    WADO = "wado"
    """DICOMweb: found by QIDO-RS, fetched by WADO-RS."""


class PullState(StrEnum):
    """Where a pull stands. That it waits for its window or for the throttle is seen from the clock: see `next_allowed`."""

    PLANNED = "planned"
    """Its studies are still to be listed, or it is to go on."""
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    """Nothing is left; some studies may have failed."""
    CANCELLED = "cancelled"


class PullStep(StrEnum):
    """What can happen to a pull."""

    BEGIN = "begin"
    """Its studies are listed."""
    PAUSE = "pause"
    RESUME = "resume"
    """Go on; of one that is done, try again what failed."""
    FINISH = "finish"
    CANCEL = "cancel"


_S, _T = PullState, PullStep
_TRANSITIONS: dict[tuple[PullState, PullStep], PullState] = {
    (_S.PLANNED, _T.BEGIN): _S.RUNNING,
    (_S.PLANNED, _T.PAUSE): _S.PAUSED,
    (_S.RUNNING, _T.PAUSE): _S.PAUSED,
    (_S.PAUSED, _T.PAUSE): _S.PAUSED,
    (_S.PAUSED, _T.RESUME): _S.PLANNED,
    (_S.DONE, _T.RESUME): _S.PLANNED,
    (_S.RUNNING, _T.FINISH): _S.DONE,
    **{(state, _T.CANCEL): _S.CANCELLED for state in (_S.PLANNED, _S.RUNNING, _S.PAUSED, _S.CANCELLED)},
}


def next_state(state: PullState, step: PullStep) -> PullState:
    """Return the state after a step.

    Raises
    ------
    IllegalTransition
        ``pull-state``: the table has no such step.
    """
    if (state, step) not in _TRANSITIONS:
        possible = ", ".join(sorted(known.value for known, what in _TRANSITIONS if what is step))
        raise IllegalTransition(
            "pull-state",
            expected=f"a pull that is {possible}, for {step}",
            got=f"one that is {state}",
            do="see where it stands: radloop pull show",
        )
    return _TRANSITIONS[(state, step)]


class Fate(StrEnum):
    """Where one study of a pull stands."""

    WAITING = "waiting"
    RETRIEVING = "retrieving"
    """Asked for; where a service was killed, it is asked for again unless all of it is there."""
    DONE = "done"
    """Every instance the archive counts was received, or refused for a reason."""
    KNOWN = "known"
    """All of it was here before."""
    WITHDRAWN = "withdrawn"
    """It is to be forgotten, so it is not asked for."""
    FAILED = "failed"


LEFT = (Fate.WAITING, Fate.RETRIEVING)


class Failure(StrEnum):
    """Why a study did not come."""

    GONE = "gone"
    """The archive no longer finds it."""
    INCOMPLETE = "incomplete"
    """Fewer instances came than the archive counts."""
    ARCHIVE_REFUSED = "archive-refused"
    """The archive answered the request with a failure."""
    BROKEN_OFF = "broken-off"
    """The connection ended in the middle."""
    NOT_STORED = "not-stored"
    """The object store or the index could not take it."""


class StudyFailed(PermanentError):
    """The archive was there, and one study did not come; ``got`` says why, without an identifier."""

    def __init__(self, failure: Failure, got: str) -> None:
        super().__init__(failure.value, expected="all instances of the study", got=got)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Throttle:
    """How fast a pull may go at most; None is as fast as the archive gives."""

    studies_per_hour: float | None = None
    instances_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The hours of each day in which studies may be asked for; over midnight where ``end`` is not after ``start``."""

    start: time
    end: time

    @property
    def length_s(self) -> float:
        """Seconds it is open a day; a whole day where it ends as it begins."""
        minutes = _minutes(self.end) - _minutes(self.start)
        return 60.0 * (minutes if minutes > 0 else minutes + 24 * 60)


def window_of(text: str) -> Window:
    """Read ``"20:00-06:00"``.

    Raises
    ------
    Invalid
        ``window-unclear``.
    """
    found = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", text)
    try:
        if found is None:
            raise ValueError
        hours = [int(part) for part in found.groups()]
        return Window(time(hours[0], hours[1]), time(hours[2], hours[3]))
    except ValueError as error:
        raise Invalid("window-unclear", expected='two times of day, as "20:00-06:00"', got="other text") from error


def opens_at(window: Window | None, now: float, zone: tzinfo) -> float:
    """Return ``now`` where the window is open, else when it opens next: seconds since the epoch.

    Parameters
    ----------
    window : Window or None
        None is always open.
    now : float
        Seconds since the epoch.
    zone : tzinfo
        Of the site: the window is by its clocks, also when they change.
    """
    if window is None:
        return now
    local = datetime.fromtimestamp(now, zone)
    minute = 60 * local.hour + local.minute
    start, end = _minutes(window.start), _minutes(window.end)
    is_open = start <= minute < end if start < end else minute >= start or minute < end
    if is_open:
        return now
    day = local.date() if minute < start else local.date() + timedelta(days=1)
    return datetime.combine(day, window.start, zone).timestamp()


def _minutes(of_day: time) -> int:
    return 60 * of_day.hour + of_day.minute


def paced_until(throttle: Throttle, begun_at: float, instances: int) -> float:
    """Return before when the next study must not begin, after one that began at ``begun_at`` and brought ``instances``."""
    until = begun_at
    if throttle.studies_per_hour:
        until = max(until, begun_at + _HOUR_S / throttle.studies_per_hour)
    if throttle.instances_per_second:
        until = max(until, begun_at + instances / throttle.instances_per_second)
    return until


def backoff_s(attempts: int) -> float:
    """Return how long to wait after the ``attempts``-th failure in a row: 1, 4, 16 minutes, at most an hour."""
    return min(_FIRST_BACKOFF_S * 4.0 ** max(0, attempts - 1), _LONGEST_BACKOFF_S)


def estimated_s(throttle: Throttle, studies: int, instances: int) -> float | None:
    """Return how long a pull takes at its throttle; None where nothing holds it back."""
    times = []
    if throttle.studies_per_hour:
        times.append(studies * _HOUR_S / throttle.studies_per_hour)
    if throttle.instances_per_second:
        times.append(instances / throttle.instances_per_second)
    return max(times) if times else None


@dataclass(frozen=True, slots=True)
class Query:
    """Which studies: all that is given must match. Patients and accession numbers are identity, so it is never shown whole.

    Attributes
    ----------
    modality : str
        A defined term of Modality (0008,0060), or empty.
    dates : tuple of str
        First and last Study Date, YYYYMMDD, each or empty.
    study_description : str
        With ``*`` and ``?``, as C-FIND has them; case does not matter.
    body_part : str
        Body Part Examined (0018,0015) of one series.
    patient_ids, accession_numbers : tuple of str
        A study of any of them.
    at_most : int or None
        Studies, the newest ones.
    """

    modality: str = ""
    dates: tuple[str, str] = ("", "")
    study_description: str = ""
    body_part: str = ""
    patient_ids: tuple[str, ...] = field(default=(), repr=False)
    accession_numbers: tuple[str, ...] = field(default=(), repr=False)
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a query file asks for."""

    archive: str
    project_id: str
    purpose: str
    way: Way
    queries: tuple[Query, ...]
    priors: int = 0
    throttle: Throttle = Throttle()
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull as it stands.

    Attributes
    ----------
    order : str
        What was asked for, encrypted: it may name patients.
    listed : bool
        The archive was asked, and its studies are known.
    problem : str
        Code of what keeps it waiting, e.g. that the archive is away; empty while all is well.
    tries : int
        Failures in a row of the archive as a whole.
    not_before, paced_until : float
        Before when nothing may begin, because of a problem and of the throttle; seconds since the epoch.
    holder, held_until : str, float
        Which replica works on it, and until when nobody else may.
    """

    pull_id: str
    state: PullState
    archive: str
    way: Way
    project_id: str
    created_by: str
    created_at: float
    order: str = field(repr=False)
    vault_version: int = 1
    listed: bool = False
    problem: str = ""
    tries: int = 0
    not_before: float = 0.0
    paced_until: float = 0.0
    ended_at: float = 0.0
    holder: str = ""
    held_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One study of a pull.

    Attributes
    ----------
    identity : str
        Original study UID, patient id and issuer, encrypted; empty once nobody needs them.
    expected : int or None
        Instances the archive counts.
    present : int
        Of them, those that are here or held in quarantine.
    refused : mapping of str to int
        Instances refused in the last attempt, by reason.
    """

    entry_id: str
    pull_id: str
    position: int
    study_key: str
    fate: Fate
    identity: str = field(repr=False)
    vault_version: int = 1
    modality: str = ""
    prior: bool = False
    expected: int | None = None
    present: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    not_before: float = 0.0
    reason: str = ""
    detail: str = ""
    ended_at: float = 0.0


def next_allowed(pull: Pull, window: Window | None, now: float, zone: tzinfo) -> tuple[float, str]:
    """Return when the next study may begin, ``now`` or later, and what holds it back: "", "problem", "throttle" or "window"."""
    at, why = now, ""
    for until, reason in ((pull.not_before, "problem"), (pull.paced_until, "throttle")):
        if until > at:
            at, why = until, reason
    opening = opens_at(window, at, zone)
    return (opening, "window") if opening > at else (at, why)


def standing(pull: Pull, window: Window | None, now: float, zone: tzinfo) -> str:
    """Return the state in words for a person: that of the pull, or ``waiting-for-window``."""
    going = pull.state in (PullState.PLANNED, PullState.RUNNING)
    _, why = next_allowed(pull, window, now, zone)
    return "waiting-for-window" if going and why == "window" else pull.state.value


def is_complete(expected: int, present: int, refused: Mapping[str, int]) -> bool:
    """Whether every instance the archive counts is here, or was refused for a reason."""
    return present + sum(refused.values()) >= expected


def left(fates: Mapping[Fate, int]) -> int:
    """Count the studies that are still to come."""
    return sum(fates.get(fate, 0) for fate in LEFT)
