"""What the trainer needs of whatever runs its jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class JobState(StrEnum):
    """Where a job stands."""

    UNKNOWN = "unknown"
    """Never started here."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Ended with another exit code than 0, or died without one."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """State of a job and, once it ended by itself, its exit code."""

    state: JobState
    exit_code: int | None = None


class Jobs(Protocol):
    """Runs programs under a run's id. They outlive the service that started them."""

    def start(self, run_id: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start the run's program; a run that is running or has succeeded stays as it is, a failed one starts again."""
        ...

    def status(self, run_id: str) -> JobStatus:
        """Say where the run's job stands."""
        ...

    def cancel(self, run_id: str) -> None:
        """End the run's job; one that is not running is no error."""
        ...
