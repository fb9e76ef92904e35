"""What pulls need: their tables, and an archive that is asked."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.domain.cohorts import Found
from ingest.domain.pulls import Entry, Fate, Pull, Query


class Pulls(Protocol):
    """Pulls and their studies."""

    def get(self, pull_id: str) -> Pull | None:
        """Return a pull."""
        ...

    def save(self, pull: Pull) -> None:
        """Insert or update a pull; what is encrypted of it stays as it was inserted."""
        ...

    def going(self) -> list[Pull]:
        """Return those that are planned or running, the oldest first."""
        ...

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Insert studies."""
        ...

    def entry(self, entry_id: str) -> Entry | None:
        """Return one study of a pull."""
        ...

    def save_entry(self, entry: Entry) -> None:
        """Update a study."""
        ...

    def next_entry(self, pull_id: str, now: float) -> Entry | None:
        """Return the study to ask for now: one that was at hand first, then in order, without those that wait to be tried again."""
        ...

    def counts(self, pull_id: str) -> dict[Fate, int]:
        """Count the studies of a pull by what became of them."""
        ...

    def retry_failed(self, pull_id: str) -> None:
        """Put studies that failed back among those that wait."""
        ...

    def present(self, study_keys: Collection[str]) -> int:
        """Count the instances of a study that are here or held, each once, under any of its keys."""
        ...

    def forget(self, study_key: str) -> None:
        """Mark a study as withdrawn in every pull, and forget whose it is."""
        ...


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What an archive said of sending a study; None where it does not count."""

    sent: int | None = None
    failed: int | None = None


class ArchiveConnection(Protocol):
    """An archive that is asked.

    All of it raises `TemporaryError` where the archive cannot be asked now, and `PermanentError` where it will not answer so.
    """

    def find(self, query: Query) -> list[Found]:
        """Return the studies that match at the study level, and maybe others."""
        ...

    def look(self, study_instance_uid: str) -> Found | None:
        """Return one study as it is now, its instances counted; None where it is not there."""
        ...

    def body_parts(self, study_instance_uid: str) -> frozenset[str]:
        """Return Body Part Examined of the series of a study."""
        ...

    def retrieve(self, study: Found, anew: Callable[[], None]) -> Retrieved:
        """Have a study sent to the one reception; return when all of it was answered.

        ``anew`` is called before all of it is sent again: what was refused until then is not to be counted twice.

        Raises
        ------
        StudyFailed
            The archive was there, and this study did not come.
        """
        ...

    def abort(self) -> None:
        """End what is under way, from another thread."""
