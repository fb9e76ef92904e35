"""One process of the platform: started, watched, restarted after a pause that grows, ended."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from standalone.supervisor.forked import Forked
from standalone.supervisor.tether import tethered

# A process that ran this long before it died starts again at once; the pause grows only for one that keeps dying.
SETTLED_S = 30.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_LOG_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes
    ----------
    name
        Shown to people; also the name of the log.
    arguments, environment
        Command and its whole environment.
    is_ready
        Asks the process whether it is ready; quick, never raises.
    module
        A Python module of ours that is run by forking (see `forked`); ``arguments`` are then its own. "" for a command.
    """

    name: str
    arguments: list[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    module: str = ""


class WatchedProcess:
    """A program under watch. Not thread-safe: the supervisor's one loop owns it.

    Parameters
    ----------
    program
        What to run.
    log_file
        Its output is appended here.
    """

    def __init__(self, program: Program, log_file: Path) -> None:
        self.program = program
        self.log_file = log_file
        self.ready = False
        self.ready_after_s = 0.0
        self.crashes = 0
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._started_at = 0.0
        self._not_before = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def pid(self) -> int:
        """Process id, -1 while it does not run."""
        return self._process.pid if self._process else -1

    def start(self, now: float) -> None:
        """Start the program in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log_file.stat().st_size > _LOG_LIMIT_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
        self._process = _launch(self.program, self.log_file)
        self._started_at = now
        self.ready = False

    def step(self, now: float) -> str | None:
        """Look after the process once; return what to tell, if anything: "ready", "died", "restarted"."""
        if self._process is None:
            if now < self._not_before:
                return None
            self.start(now)
            return "restarted"
        if self._process.poll() is not None:
            lasted_s = now - self._started_at
            self._pause_s = FIRST_PAUSE_S if lasted_s > SETTLED_S else min(self._pause_s * 2, LONGEST_PAUSE_S)
            self.crashes = 1 if lasted_s > SETTLED_S else self.crashes + 1
            self._not_before = now + self._pause_s
            self._process, self.ready = None, False
            return "died"
        if not self.ready and self.program.is_ready():
            self.ready = True
            self.ready_after_s = now - self._started_at
            return "ready"
        return None

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL to what did not end."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def last_lines(self, count: int = 8) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""


def _launch(program: Program, log_file: Path) -> subprocess.Popen[bytes] | Forked:
    if program.module:
        return Forked(program.module, program.arguments, program.environment, log_file)
    with log_file.open("ab") as log:
        return subprocess.Popen(
            tethered(program.arguments),
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def identity_of(pid: int) -> dict[str, float] | None:
    """Describe a process so that its id, used again by the system, is not mistaken for it; None when it is gone."""
    if pid <= 0:  # it has died and waits for its restart
        return None
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return None


def end_leftovers(identities: list[dict[str, Any]], *, patience_s: float) -> int:
    """End processes of an earlier start that are still there; return how many there were."""
    left = []
    for identity in identities:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(identity["pid"]))
            if abs(process.create_time() - identity["started"]) < 0.01:
                process.send_signal(signal.SIGTERM)
                left.append(process)
    _, stubborn = psutil.wait_procs(left, timeout=patience_s)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=patience_s)
    return len(left)
