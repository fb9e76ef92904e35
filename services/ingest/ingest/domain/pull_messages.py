"""Commands about pulls; nothing of a pull is announced, what it brings is announced as any other study is."""

from dataclasses import dataclass

from ingest.domain.pulls import Entry, Pull, PullStep
from radloop.messages import Message


@dataclass(frozen=True, slots=True)
class StartPull(Message):
    """Begin a pull whose studies are still to be listed."""

    pull: Pull


@dataclass(frozen=True, slots=True)
class ListPull(Message):
    """The archive was asked: these are its studies. None where they are listed already."""

    pull_id: str
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class StepPull(Message):
    """Pause, resume, cancel or finish a pull; ``subject`` is empty where the service does so itself."""

    pull_id: str
    step: PullStep
    subject: str = ""


@dataclass(frozen=True, slots=True)
class ClaimPull(Message):
    """This replica works on a pull until then, and nobody else; ``held_until`` 0 lets go of it."""

    pull_id: str
    holder: str
    held_until: float


@dataclass(frozen=True, slots=True)
class DelayPull(Message):
    """The archive as a whole cannot be asked now; an empty ``problem`` says that it can again."""

    pull_id: str
    problem: str
    tries: int
    not_before: float


@dataclass(frozen=True, slots=True)
class NoteEntry(Message):
    """What became of one study, and when the next may begin."""

    entry: Entry
    paced_until: float = 0.0
