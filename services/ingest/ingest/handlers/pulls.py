"""What `ingest` does about pulls: one function per command, ending in the table HANDLERS. The worker is ``adapters.pulling``."""

import dataclasses

from ingest.domain.pull_messages import ClaimPull, DelayPull, ListPull, NoteEntry, StartPull, StepPull
from ingest.domain.pulls import LEFT, Fate, Pull, PullState, PullStep, next_state
from ingest.ports import Clock, IngestUnitOfWork
from radloop.errors import Conflict, NotFound
from radloop.messages import Message


def start_pull(cmd: StartPull, uow: IngestUnitOfWork) -> list[Message]:
    """Remember what somebody asked for.

    Raises
    ------
    NotFound
        ``project-unknown``.
    """
    if uow.projects.get(cmd.pull.project_id) is None:
        raise NotFound(
            "project-unknown",
            expected="a configured project",
            got="another id",
            do="set it up first: radloop project apply",
        )
    uow.pulls.save(cmd.pull)
    uow.audit(cmd.pull.created_by, "pull-start", cmd.pull.pull_id)
    return []


def list_pull(cmd: ListPull, uow: IngestUnitOfWork) -> list[Message]:
    """Take over the list of its studies, once, and begin; one that was paused or cancelled meanwhile stays so."""
    pull = _get(uow, cmd.pull_id)
    if pull.state is not PullState.PLANNED:
        return []
    if not pull.listed:
        uow.pulls.add_entries(cmd.entries)
    uow.pulls.save(dataclasses.replace(pull, state=next_state(pull.state, PullStep.BEGIN), listed=True))
    return []


def step_pull(cmd: StepPull, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Pause, resume, cancel or finish.

    Raises
    ------
    NotFound
        ``pull-unknown``.
    IllegalTransition
        ``pull-state``.
    """
    pull = _get(uow, cmd.pull_id)
    state = next_state(pull.state, cmd.step)
    ended_at = clock() if state in (PullState.DONE, PullState.CANCELLED) else 0.0
    changed = dataclasses.replace(pull, state=state, ended_at=ended_at)
    if cmd.step is PullStep.RESUME:
        changed = dataclasses.replace(changed, problem="", tries=0, not_before=0.0)
        uow.pulls.retry_failed(cmd.pull_id)
    uow.pulls.save(changed)
    if cmd.subject:
        uow.audit(cmd.subject, f"pull-{cmd.step.value}", cmd.pull_id)
    return []


def claim_pull(cmd: ClaimPull, uow: IngestUnitOfWork, clock: Clock) -> list[Message]:
    """Let one replica work on a pull, and on its archive: there is one association at a time.

    Raises
    ------
    Conflict
        ``pull-claimed``: another replica does.
    """
    pull = _get(uow, cmd.pull_id)
    now = clock()
    for other in uow.pulls.going():
        mine = other.holder == cmd.holder or other.held_until <= now
        if other.archive == pull.archive and not mine:
            raise Conflict("pull-claimed", expected="an archive that nobody asks", got="one that another replica asks")
    uow.pulls.save(dataclasses.replace(pull, holder=cmd.holder, held_until=cmd.held_until))
    return []


def delay_pull(cmd: DelayPull, uow: IngestUnitOfWork) -> list[Message]:
    """Remember why a pull waits, and until when."""
    pull = _get(uow, cmd.pull_id)
    uow.pulls.save(dataclasses.replace(pull, problem=cmd.problem, tries=cmd.tries, not_before=cmd.not_before))
    return []


def note_entry(cmd: NoteEntry, uow: IngestUnitOfWork) -> list[Message]:
    """Remember what became of a study; who it is about is forgotten once it need not be asked for again."""
    entry, pull = cmd.entry, _get(uow, cmd.entry.pull_id)
    known = uow.pulls.entry(entry.entry_id)
    if known is None or known.fate is Fate.WITHDRAWN:
        return []
    if entry.fate not in (*LEFT, Fate.FAILED):
        entry = dataclasses.replace(entry, identity="")
    else:  # it may have been encrypted anew meanwhile
        entry = dataclasses.replace(entry, identity=known.identity, vault_version=known.vault_version)
    uow.pulls.save_entry(entry)
    if cmd.paced_until:
        uow.pulls.save(dataclasses.replace(pull, paced_until=cmd.paced_until))
    return []


def _get(uow: IngestUnitOfWork, pull_id: str) -> Pull:
    pull = uow.pulls.get(pull_id)
    if pull is None:
        raise NotFound("pull-unknown", expected="the id of a pull", got="another", do="see radloop pull list")
    return pull


HANDLERS = {
    StartPull: start_pull,
    ListPull: list_pull,
    StepPull: step_pull,
    ClaimPull: claim_pull,
    DelayPull: delay_pull,
    NoteEntry: note_entry,
}
