"""Stand-ins that keep everything in memory. For unit tests of handlers only."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from radloop.errors import Conflict, NotFound, PermanentError, TemporaryError
from radloop.messages import Message
from radloop.objects.files import digest_of
from radloop.references import ObjectRef


class FakeUnitOfWork:
    """Base of a service's fake: the service adds its fake repositories as attributes."""

    def __init__(self) -> None:
        self.arrived_tokens: list[str] = []
        self.audit_entries: list[tuple[str, str, str]] = []
        self.committed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def arrived(self, token: str) -> None:
        """Remember the token."""
        self.arrived_tokens.append(token)

    def audit(self, subject: str, action: str, target: str) -> None:
        """Remember the entry."""
        self.audit_entries.append((subject, action, target))

    def publish(self, *messages: Message) -> None:
        """Accept what a dispatcher publishes."""

    def commit(self) -> None:
        """Remember that the transaction was committed."""
        self.committed = True


class FakeObjects:
    """Object store in memory; ``full=True`` makes it refuse new objects as a full disk would."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.full = False

    def put(self, key: str, data: bytes) -> ObjectRef:
        """Store bytes; never overwrite."""
        if self.full:
            raise TemporaryError("object-store-unavailable", delay_s=5, got="No space left on device")
        if self.stored.setdefault(key, data) != data:
            raise Conflict("object-exists")
        return ObjectRef(key=key, digest=digest_of(data), size_bytes=len(data))

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified."""
        if ref.key not in self.stored:
            raise NotFound("object-missing")
        if digest_of(self.stored[ref.key]) != ref.digest:
            raise PermanentError("object-damaged")
        return self.stored[ref.key]

    def path(self, ref: ObjectRef) -> Path:
        """Refuse: nothing here is a file."""
        raise NotFound("object-has-no-file")

    def delete(self, key: str) -> None:
        """Forget an object."""
        self.stored.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        return sorted(key for key in self.stored if key.startswith(prefix))


def deliver(handlers: Mapping[type, Callable[..., list[Message]]], uow: Any, *messages: Message) -> list[Message]:
    """Hand messages to their handlers one after the other; return all that was said."""
    said: list[Message] = []
    for message in messages:
        said.extend(handlers[type(message)](message, uow))
    return said
