"""What the platform needs of an object store, whatever its engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from radloop.references import ObjectRef


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing says of an object."""

    key: str
    size_bytes: int
    stored_at: datetime
    """When it was stored, UTC; engines may round it down to the second."""


class Objects(Protocol):
    """Immutable objects by key. An object is never overwritten."""

    def put(self, key: str, data: bytes, digest: str = "") -> ObjectRef:
        """Store bytes durably under ``key``; the same bytes again change nothing but the object's age.

        Parameters
        ----------
        key
        data
        digest
            ``sha256:<hex>`` of the bytes, where it is known already.

        Raises
        ------
        Conflict
            When other bytes stand under the key.
        TemporaryError
            When the store cannot take them now (full, away); nothing is visible then.
        """
        ...

    def put_file(self, key: str, path: Path) -> ObjectRef:
        """Store a file's bytes as `put` does, without holding them in memory at once."""
        ...

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified.

        Raises
        ------
        NotFound
            When there is no such object.
        PermanentError
            When the bytes are not those that were stored.
        TemporaryError
            When the store cannot give them now.
        """
        ...

    def path(self, ref: ObjectRef, hold: Path | None = None) -> Path:
        """Return a local file with the object's bytes, for programs that read files. Read only.

        Parameters
        ----------
        ref
            Which object.
        hold
            A folder of the caller's, on the disk of the work folder. Where the file is only a cached copy, which may go at
            any time, it is linked into this folder and stays as long as that does.

        Raises
        ------
        NotFound, PermanentError, TemporaryError
            As `get`.
        """
        ...

    def presigned_url(self, ref: ObjectRef, expires_s: int) -> str | None:
        """Return an address from which anybody may read the object for so many seconds; None when the engine has none."""
        ...

    def delete(self, key: str) -> None:
        """Forget an object; one that is not there is no error."""
        ...

    def discard(self, key: str, before: datetime) -> bool:
        """Forget an object unless it was stored, or put again, at or after a time; return whether it is gone.

        Safe beside writers: a `put` of the same bytes either makes the object young, or stores it anew.
        """
        ...

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        ...

    def listing(self, prefix: str) -> Iterator[StoredObject]:
        """Go through the objects whose keys begin with ``prefix``, in no order."""
        ...

    def abort_unfinished(self, prefix: str, before: datetime) -> int:
        """Forget what killed writers left half written under a prefix before a time; return how many there were."""
        ...

    def check(self) -> None:
        """Return when the store answers and may be read.

        Raises
        ------
        TemporaryError
            When it does not; the message says what an operator can do.
        """
        ...
