"""What `ingest` needs: repositories inside a unit of work, and a clock."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.domain.changes import Changes
from ingest.domain.exports import Export, ExportSource
from ingest.domain.keys import Known
from ingest.domain.messages import NoteDisclosure, ProjectConfigured, Sealed
from ingest.domain.model import (
    FormedCase,
    HeldInstance,
    Instance,
    Original,
    Refusal,
    SeriesRecord,
    StudyRecord,
    StudyState,
)
from ingest.domain.reasons import WithdrawReason
from ingest.ports.pulling import Pulls
from radloop.references import ObjectRef, Split
from radloop.uow import UnitOfWork

Clock = Callable[[], float]
"""Seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Study:
    """A study as it stands.

    Attributes
    ----------
    record : StudyRecord
    state : StudyState
    generation : int
        Grows by one with every instance accepted.
    completed_generation : int
        What had been accepted when the study was last looked at; behind ``generation`` while something waits.
    told : bool
        Somebody said that it is complete: the quiet time need not pass.
    received_at : float
        When the last instance came, seconds since the epoch.
    broken : bool
        The association that brought the last instance broke off.
    again : bool
        Somebody wants it formed again, though nothing came since.
    """

    record: StudyRecord
    state: StudyState
    generation: int
    completed_generation: int
    told: bool
    received_at: float
    broken: bool = False
    again: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is to be looked at."""
        return self.again or self.generation > self.completed_generation


@dataclass(frozen=True, slots=True)
class Series:
    """A series, and the study's generation when its last instance came."""

    record: SeriesRecord
    generation: int


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case with what its project made of it."""

    case: FormedCase
    revision: int
    patient_key: str
    split: Split


@dataclass(frozen=True, slots=True)
class NotedRefusal:
    """A refusal with its identity; ``said`` once it has been announced, ``hurried`` when the quiet time need not pass."""

    rejection_id: str
    refusal: Refusal
    said: bool
    at: float
    hurried: bool = False


class Studies(Protocol):
    """Studies and their series."""

    def get(self, study_key: str) -> Study | None:
        """Return a study."""
        ...

    def save(self, study: Study) -> None:
        """Insert or update a study."""
        ...

    def save_series(self, series: Series) -> None:
        """Insert a series, or update its generation; the routing attributes of its first instance stay."""
        ...

    def series_of(self, study_key: str) -> list[Series]:
        """Return the series of a study."""
        ...

    def next_due(
        self, quiet_since: float, broken_since: float, skip: Collection[str] = (), *, not_after: float = math.inf
    ) -> str | None:
        """Return a study that waits and was told complete, or was last sent to before ``quiet_since``; none of ``skip``.

        One whose sender broke off, or is still at it, is due when the last came before ``broken_since``. One that came after
        ``not_after`` came before the clock was set back, nobody knows when: it is due.
        """
        ...

    def tell_all(self) -> None:
        """Mark every study that waits as told."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete a study, its series and instances."""
        ...


class Instances(Protocol):
    """Instances that count."""

    def get(self, sop_key: str) -> Instance | None:
        """Return an instance."""
        ...

    def add(self, instance: Instance, generation: int) -> None:
        """Insert an instance as the study's ``generation``-th."""
        ...

    def of_study(self, study_key: str) -> list[tuple[int, Instance]]:
        """Return (generation, instance) of a study, in order of arrival."""
        ...

    def note_difference(self, sop_key: str, keywords: Sequence[str], at: float) -> None:
        """Remember in which attributes a repeated instance differed."""
        ...


class Receptions(Protocol):
    """Studies that somebody is writing objects of: what is left here after a crash is swept."""

    def open(self, reception_id: str, study_key: str) -> None:
        """Begin; a repeat changes nothing. The study is the one at hand from now on."""
        ...

    def mark_broken(self, reception_id: str) -> None:
        """Note on its studies that it broke off."""
        ...

    def close(self, reception_id: str) -> None:
        """End."""
        ...


class Held(Protocol):
    """Instances that wait for a person."""

    def get(self, held_id: str) -> HeldInstance | None:
        """Return a held instance; None when there is none or it was released."""
        ...

    def add(self, held: HeldInstance, at: float) -> None:
        """Insert a held instance; a repeat changes nothing."""
        ...

    def propose(self, held_id: str, by: str, at: float) -> None:
        """Note who wants it released."""
        ...

    def release(self, held_id: str) -> None:
        """Mark as released."""
        ...


class Refusals(Protocol):
    """What was refused and why."""

    def note(self, refusal: Refusal, at: float) -> None:
        """Add to what has not been said yet of this study, series and reason, or begin anew."""
        ...

    def unsaid(self, study_key: str) -> list[NotedRefusal]:
        """Return what has not been said of a study, in order of time."""
        ...

    def mark_said(self, study_key: str) -> None:
        """All of a study has been said."""
        ...

    def next_due(self, quiet_since: float, *, not_after: float = math.inf) -> str | None:
        """Return a study key with something unsaid since before ``quiet_since``, of which nothing waits to be formed.

        What came after ``not_after`` is due as well, as with studies.
        """
        ...

    def hurry(self, study_key: str | None) -> None:
        """Make what is unsaid due at once, of one study or of all (None)."""
        ...


class Cases(Protocol):
    """Cases that were formed."""

    def get(self, case_id: str) -> StoredCase | None:
        """Return a case."""
        ...

    def of_study(self, study_key: str) -> list[StoredCase]:
        """Return the cases of a study."""
        ...

    def add(self, stored: StoredCase) -> None:
        """Insert a case."""
        ...


class Projects(Protocol):
    """Projects as last configured."""

    def get(self, project_id: str) -> ProjectConfigured | None:
        """Return a project."""
        ...

    def save(self, project: ProjectConfigured) -> None:
        """Insert or replace a project."""
        ...

    def all(self) -> list[ProjectConfigured]:
        """Return all projects, in order of id."""
        ...


class Splits(Protocol):
    """The split of each patient in each project, decided once."""

    def get(self, project_id: str, patient_key: str) -> Split | None:
        """Return the split, None when nobody has decided."""
        ...

    def decide(self, project_id: str, patient_key: str, split: Split, *, imported: bool, key_version: int) -> None:
        """Insert a decision about a patient who is named under a key version."""
        ...


class Tombstones(Protocol):
    """Studies that are to be forgotten and stay forgotten."""

    def has(self, study_key: str) -> bool:
        """Whether a study was withdrawn."""
        ...

    def add(self, study_key: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        """Insert a tombstone whose objects are still to be deleted."""
        ...

    def mark_empty(self, study_key: str) -> None:
        """The objects are gone."""
        ...


class RefusedPatients(Protocol):
    """Patients of whom nothing is taken in."""

    def has(self, patients: Collection[str]) -> bool:
        """Whether one of these pseudonyms, of one patient under every key version, is refused."""
        ...

    def add(self, patient: str, reason: WithdrawReason, at: float, key_version: int) -> None:
        """Insert a patient; a repeat changes nothing."""
        ...

    def remove(self, patients: Collection[str]) -> int:
        """Delete a patient, and return how many rows that were."""
        ...


class Patients(Known, Protocol):
    """Who is known, and under which key version."""

    def remember(self, patient: str, key_version: int) -> None:
        """Insert a patient; one that is known stays as it is."""
        ...


class SiteKeys(Protocol):
    """The key versions this index belongs to."""

    def fingerprints(self) -> dict[int, str]:
        """Return the fingerprint of each version; empty in a new index."""
        ...

    def current(self) -> int:
        """Return the newest version, 0 in a new index."""
        ...

    def remember(self, version: int, fingerprint: str) -> None:
        """Insert a version."""
        ...

    def forget(self, version: int) -> None:
        """Delete a version."""
        ...

    def needs(self) -> dict[int, dict[str, int]]:
        """Count what needs each version: patients, studies, splits, withdrawn studies, and what is encrypted with it."""
        ...


class SealedThings(Protocol):
    """What is encrypted in the index."""

    def older_than(self, version: int, limit: int) -> list[Sealed]:
        """Return some of what is encrypted with an older key version."""
        ...

    def replace(self, old: Sealed, text: str, version: int, ref: ObjectRef | None) -> bool:
        """Put the newly encrypted in its place, unless it has changed meanwhile; return whether it was put."""
        ...


class UsedCases(Protocol):
    """What retention looks at: which cases have a label or are asked for, and which studies were given notice of."""

    def label(self, case_id: str, study_key: str) -> None:
        """Note that a case has an approved label; a repeat changes nothing."""
        ...

    def flag(self, case_id: str, study_key: str, at: float) -> None:
        """Note that a round asks for a case; the last time counts."""
        ...

    def notice(self, study_key: str, why: str, at: float) -> None:
        """Give notice of a study; a repeat changes nothing."""
        ...

    def drop_notice(self, study_key: str) -> None:
        """Take notice back."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete all of it about a study."""
        ...


class ChangesMade(Protocol):
    """What de-identification did, each different set once."""

    def remember(self, changes: Changes) -> None:
        """Insert what was done to an instance; a repeat changes nothing."""
        ...


class SiteProfiles(Protocol):
    """The profiles that instances were cleaned under."""

    def fingerprint(self, label: str) -> str | None:
        """Return what tells the contents of a profile, by name and version; None when it is new."""
        ...

    def remember(self, label: str, fingerprint: str, body: str, at: float) -> None:
        """Insert a profile."""
        ...


class Originals(Protocol):
    """Under which UIDs each instance is known outside, encrypted."""

    def has(self, sop_key: str) -> bool:
        """Whether they are known of an instance."""
        ...

    def add(self, original: Original) -> None:
        """Insert those of an instance; a repeat changes nothing."""
        ...

    def sealed(self, sop_keys: Sequence[str]) -> dict[str, str]:
        """Return the encrypted originals of instances, by key; those that are not known are left out."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete those of a study."""
        ...


class Exports(Protocol):
    """Masks that could go back to the PACS, those that do, and who was told whose case it is."""

    def add_source(self, source: ExportSource, at: float) -> None:
        """Insert a mask; a repeat changes nothing."""
        ...

    def source(self, source_id: str) -> ExportSource | None:
        """Return a mask."""
        ...

    def sources_of(self, case_id: str) -> list[ExportSource]:
        """Return the masks of a case, the oldest first."""
        ...

    def get(self, export_id: str) -> Export | None:
        """Return an export."""
        ...

    def save(self, export: Export) -> None:
        """Insert or replace an export."""
        ...

    def next_due(self, now: float) -> str | None:
        """Return an export to be sent now: one that waits, or whose attempt was not ended within its lease."""
        ...

    def take_back(self, now: float) -> None:
        """Make what is being sent due at once: whoever sent it is dead."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete what could go and what goes of a study; who was told about it stays."""
        ...

    def note_disclosure(self, noted: NoteDisclosure, at: float) -> None:
        """Insert an entry."""
        ...


class IngestUnitOfWork(UnitOfWork, Protocol):
    """All of `ingest`'s state in one transaction."""

    studies: Studies
    instances: Instances
    receptions: Receptions
    held: Held
    refusals: Refusals
    cases: Cases
    projects: Projects
    splits: Splits
    tombstones: Tombstones
    site_keys: SiteKeys
    patients: Patients
    sealed: SealedThings
    pulls: Pulls
    changes: ChangesMade
    used_cases: UsedCases
    refused_patients: RefusedPatients
    site_profiles: SiteProfiles
    originals: Originals
    exports: Exports
