"""Stand-ins that keep everything in memory. For unit tests of handlers only."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from radloop.errors import Conflict, NotFound, PermanentError, Unavailable
from radloop.messages import Message
from radloop.objects.port import StoredObject
from radloop.references import ObjectRef, digest_of


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
    """Object store in memory; ``full=True`` makes it refuse new objects as a full disk would, ``away=True`` everything."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.stored_at: dict[str, datetime] = {}
        self.full = self.away = False

    def put(self, key: str, data: bytes, digest: str = "") -> ObjectRef:
        """Store bytes; never overwrite."""
        self.check()
        if self.full:
            raise Unavailable("object-store-unavailable", delay_s=5, got="No space left on device")
        if self.stored.setdefault(key, data) != data:
            raise Conflict("object-exists")
        self.stored_at[key] = datetime.now(UTC)
        return ObjectRef(key=key, digest=digest or digest_of(data), size_bytes=len(data))

    def put_file(self, key: str, path: Path) -> ObjectRef:
        """Store a file's bytes."""
        return self.put(key, path.read_bytes())

    def get(self, ref: ObjectRef) -> bytes:
        """Return the bytes, their digest verified."""
        self.check()
        if ref.key not in self.stored:
            raise NotFound("object-missing")
        if digest_of(self.stored[ref.key]) != ref.digest:
            raise PermanentError("object-damaged")
        return self.stored[ref.key]

    def path(self, ref: ObjectRef, hold: Path | None = None) -> Path:
        """Refuse: nothing here is a file."""
        raise NotFound("object-has-no-file")

    def presigned_url(self, ref: ObjectRef, expires_s: int) -> str | None:
        """Return None: nothing here has an address."""
        return None

    def delete(self, key: str) -> None:
        """Forget an object."""
        self.check()
        self.stored.pop(key, None)

    def discard(self, key: str, before: datetime) -> bool:
        """Forget an object unless it was put at or after a time."""
        self.check()
        if key in self.stored and self.stored_at[key] >= before:
            return False
        self.stored.pop(key, None)
        return True

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""
        return sorted(each.key for each in self.listing(prefix))

    def listing(self, prefix: str) -> Iterator[StoredObject]:
        """Go through the objects whose keys begin with ``prefix``."""
        self.check()
        for key, data in list(self.stored.items()):
            if key.startswith(prefix):
                yield StoredObject(key, len(data), self.stored_at[key])

    def abort_unfinished(self, prefix: str, before: datetime) -> int:
        """Return 0: nothing is ever half written in memory."""
        return 0

    def check(self) -> None:
        """Raise when the store is away."""
        if self.away:
            raise Unavailable("object-store-unavailable", delay_s=5, got="EndpointConnectionError")


def deliver(handlers: Mapping[type, Callable[..., list[Message]]], uow: Any, *messages: Message) -> list[Message]:
    """Hand messages to their handlers one after the other; return all that was said."""
    said: list[Message] = []
    for message in messages:
        said.extend(handlers[type(message)](message, uow))
    return said
