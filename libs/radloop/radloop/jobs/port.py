"""What the trainer needs of whatever runs its jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class JobState(StrEnum):
    """Where a job stands."""

    UNKNOWN = "unknown"
    """Never started here, or forgotten since: cancelled, or past its time to live."""
    WAITING = "waiting"
    """Started, but nothing runs it yet; `JobStatus.waits_for` says why. A process never waits."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Ended with another exit code than 0, or died without one."""


class WaitsFor(StrEnum):
    """What a job that does not run yet waits for."""

    START = "start"
    """It has just been made, or its image is being fetched: nothing is wrong."""
    QUEUE = "queue"
    """A queue holds it back (Kueue)."""
    MACHINE = "machine"
    """No machine fits, or all that fit are taken; the scheduler's words say which."""
    IMAGE = "image"
    """Its image cannot be fetched."""
    CONFIGURATION = "configuration"
    """Something it names is missing or refused, e.g. a Secret, or a quota lets no pod be made."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """State of a job.

    Attributes
    ----------
    exit_code : int or None
        Once it ended by itself.
    waits_for : WaitsFor or None
        While it waits.
    detail : str
        What the engine says about a wait or a failure, for people; holds nothing of the job's data.
    """

    state: JobState
    exit_code: int | None = None
    waits_for: WaitsFor | None = None
    detail: str = ""


class Jobs(Protocol):
    """Runs programs under a run's id. They outlive the service that started them."""

    def start(self, run_id: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start the run's program; a run that waits, runs or has succeeded stays as it is, a failed one starts again.

        Raises
        ------
        TemporaryError
            The engine is away.
        PermanentError
            The engine refuses the job, or us; the message says what to do.
        """
        ...

    def status(self, run_id: str) -> JobStatus:
        """Say where the run's job stands; raises as `start` does."""
        ...

    def log(self, run_id: str) -> bytes:
        """Return what the run's job wrote on its two outputs, as far as the engine still has it."""
        ...

    def cancel(self, run_id: str) -> None:
        """End the run's job; one that is not running is no error. Soon it is failed or unknown, and until then it runs."""
        ...
