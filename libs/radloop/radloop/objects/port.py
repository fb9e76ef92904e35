"""What the platform needs of an object store, whatever its engine."""

from pathlib import Path
from typing import Protocol

from radloop.references import ObjectRef


class Objects(Protocol):
    """Immutable objects by key. An object is never overwritten."""

    def put(self, key: str, data: bytes) -> ObjectRef:
        """Store bytes durably under ``key``; the same bytes again change nothing.

        Raises
        ------
        Conflict
            When other bytes stand under the key.
        TemporaryError
            When the store cannot take them now (full, away); nothing is visible then.
        """
        ...

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified.

        Raises
        ------
        NotFound
            When there is no such object.
        PermanentError
            When the bytes are not those that were stored.
        """
        ...

    def path(self, ref: ObjectRef) -> Path:
        """Return a local file with the object's bytes, for programs that read files. Read only."""
        ...

    def delete(self, key: str) -> None:
        """Forget an object; one that is not there is no error."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        ...
