"""What a handler needs from its transaction. The SQL side is `radloop.sql`, kept apart so that ports import no database."""

from types import TracebackType
from typing import Protocol, Self


class UnitOfWork(Protocol):
    """State, outbox rows and inbox row of one message, committed together or not at all."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back what was not committed."""
        ...

    def arrived(self, token: str) -> None:
        """Say that what parked events wait for under ``token`` is there once this transaction commits."""
        ...

    def audit(self, subject: str, action: str, target: str) -> None:
        """Append to the audit trail: who (subject of the identity provider) did what to which pseudonymous id."""
        ...

    def commit(self) -> None:
        """Make everything since the beginning durable."""
        ...
