"""Several copies of this program that train together on one machine, e.g. one for each GPU of a pod.

They are told who they are by the variables that ``torchrun`` sets, so that it can start them, too; it is not used here, for it
answers 1 whatever the exit code of the program was.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RANK, SIZE = "RANK", "WORLD_SIZE"
MEETING_PLACE = "rendezvous"
"""File in the run's folder by which the processes find one another."""
_GRACE_S = 10.0
_LOOK_S = 0.1


def rank() -> int:
    """Return this process's number, from 0; the first writes, the others only count."""
    return int(os.environ.get(RANK, 0))


def is_one_of_several() -> bool:
    """Whether somebody has started this process as one of several."""
    return RANK in os.environ


def run_together(count: int, task_file: Path, folder: Path) -> int:
    """Run the training on a task file in several processes; return 0, or the exit code of the first that failed.

    When one fails, the others get some seconds to come to the same end, and are then ended. When this process is told to end,
    so are they.
    """
    (folder / MEETING_PLACE).unlink(missing_ok=True)  # of an earlier start
    argv = [sys.executable, "-m", "training_job", str(task_file)]
    team: list[subprocess.Popen[bytes]] = []

    def end(*_: Any) -> None:
        _kill(team)
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        for number in range(count):
            place = {RANK: str(number), "LOCAL_RANK": str(number), SIZE: str(count)}
            team.append(subprocess.Popen(argv, env=os.environ | place))
        return _wait(team)
    finally:
        _kill(team)
        signal.signal(signal.SIGTERM, before)


def _wait(team: Sequence["subprocess.Popen[bytes]"]) -> int:
    while True:
        codes = [each.poll() for each in team]
        if failed := next((code for code in codes if code), None):
            deadline = time.monotonic() + _GRACE_S
            while None in [each.poll() for each in team] and time.monotonic() < deadline:
                time.sleep(_LOOK_S)
            return failed if failed > 0 else 128 - failed
        if None not in codes:
            return 0
        time.sleep(_LOOK_S)


def _kill(team: Sequence["subprocess.Popen[bytes]"]) -> None:
    for each in team:
        with contextlib.suppress(ProcessLookupError):
            each.kill()
    for each in team:
        each.wait()
