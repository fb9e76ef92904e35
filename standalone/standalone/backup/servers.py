"""The real engines of a folder for a backup or a restore: those of the platform that runs, or started for as long as it takes."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from radloop.errors import Conflict, PermanentError
from standalone.engines.real import RealEngines
from standalone.layout import Layout
from standalone.supervisor.platform import END_PATIENCE_S, ENGINE_PATIENCE_S, locked
from standalone.supervisor.process import Program, WatchedProcess, end_leftovers

READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.05


@contextlib.contextmanager
def engines_up(layout: Layout) -> Iterator[None]:
    """See that a folder's real engines answer: while its platform runs, or by starting them. Nothing for embedded ones."""
    engines = layout.engines
    if engines is None:
        yield
        return
    # Where boto3 looks for them.
    os.environ.update(engines.s3.credentials)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(layout))
        except Conflict:
            yield
            return
        with contextlib.suppress(FileNotFoundError, ValueError):
            # Left behind by a platform that was killed.
            end_leftovers(json.loads(layout.processes_file.read_text()), patience_s=END_PATIENCE_S)
        stack.enter_context(started(engines, layout.logs_folder))
        yield


@contextlib.contextmanager
def started(engines: RealEngines, logs: Path) -> Iterator[None]:
    """Run engines until the block ends.

    Raises
    ------
    PermanentError
        One does not start.
    """
    engines.prepare()
    processes = [_start(program, logs) for program in engines.programs()]
    try:
        _wait_until_ready(processes)
        yield
    finally:
        for process in processes:
            process.ask_to_end()
        deadline = time.monotonic() + ENGINE_PATIENCE_S
        while time.monotonic() < deadline and not all(process.has_ended() for process in processes):
            time.sleep(_LOOK_EVERY_S)
        for process in processes:
            process.kill()


def _start(program: Program, logs: Path) -> WatchedProcess:
    process = WatchedProcess(program, logs / f"{program.name}.log")
    process.start(time.monotonic())
    return process


def _wait_until_ready(processes: list[WatchedProcess]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not all(process.ready for process in processes):
        for process in processes:
            if process.step(time.monotonic()) == "died" or time.monotonic() > deadline:
                raise PermanentError(
                    "program-does-not-start",
                    expected=f"{process.program.name} to start",
                    got=process.last_lines() or "no word from it",
                    do=f"read {process.log_file}",
                )
        time.sleep(_LOOK_EVERY_S)
