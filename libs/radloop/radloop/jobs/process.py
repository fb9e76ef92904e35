"""Jobs as processes of this machine, in sessions of their own, so that they outlive the service that started them.

A shell around the program writes down who it is, and at the end the program's exit code; a process is known by its id and its
start time, so that an id used again by the system is not mistaken for ours.
"""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from radloop.jobs.port import JobState, JobStatus

_CANCEL_GRACE_S = 10.0

# The job writes down itself that it runs, and holds the lock of its start until then: whoever started it may die in between, and
# the next start must not begin a second one.
_INTRODUCTION = (
    """printf '{"pid": %d, "started": "%s"}' $$ "$(cut -d ' ' -f 22 /proc/$$/stat)" > process.json.new"""
    " && mv process.json.new process.json; exec 9>&-"
)
_LOCK_OF_JOB = 9


class ProcessJobs:
    """Launcher of local processes; each run has a folder with ``process.json``, ``exit_code`` and ``log.txt``."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir.resolve()

    def start(self, run_id: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start the run's program; a run that is running or has succeeded stays as it is, a failed one starts again."""
        folder = self._work_dir / run_id
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as lock:
            if self.status(run_id).state in (JobState.RUNNING, JobState.SUCCEEDED):
                return
            (folder / "exit_code").unlink(missing_ok=True)
            program = f"{shlex.join(argv)}; echo $? > exit_code.new; mv exit_code.new exit_code"
            # posix_spawn and not Popen: nothing in this process is bound to the job's life.
            os.posix_spawn(
                "/bin/sh",
                ["/bin/sh", "-c", f"cd {shlex.quote(str(folder))} && {{ {_INTRODUCTION}; {program}; }}"],
                {**os.environ, **env},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(folder / "log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, lock, _LOCK_OF_JOB),
                ],
                setsid=True,
            )
        with _locked(folder):  # it has introduced itself
            pass

    def status(self, run_id: str) -> JobStatus:
        """Say where the run's job stands."""
        folder = self._work_dir / run_id
        running = self._running_pid(folder)
        with contextlib.suppress(FileNotFoundError):
            exit_code = int((folder / "exit_code").read_text())
            return JobStatus(JobState.FAILED if exit_code else JobState.SUCCEEDED, exit_code)
        if running:
            return JobStatus(JobState.RUNNING)
        return JobStatus(JobState.FAILED if (folder / "process.json").exists() else JobState.UNKNOWN)

    def log(self, run_id: str) -> bytes:
        """Return what the run's jobs wrote, all starts of it."""
        try:
            return (self._work_dir / run_id / "log.txt").read_bytes()
        except FileNotFoundError:
            return b""

    def cancel(self, run_id: str) -> None:
        """End the run's job and everything it started: first politely, then for good."""
        folder = self._work_dir / run_id
        pid = self._running_pid(folder)
        if not pid:
            return
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _CANCEL_GRACE_S
        while self._running_pid(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._running_pid(folder):
            os.killpg(pid, signal.SIGKILL)

    @staticmethod
    def _running_pid(folder: Path) -> int:
        """Return the process id of the run's shell while it runs, else 0."""
        try:
            process = json.loads((folder / "process.json").read_text())
        except FileNotFoundError:
            return 0
        pid = int(process["pid"])
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # ours, if this service started it: take its exit, else it stays as a zombie
        return pid if process["started"] and _start_time(pid) == process["started"] else 0


def _start_time(pid: int) -> str:
    """Return the kernel's start time of a living process (field 22 of ``/proc/<pid>/stat``, proc(5)), else ``""``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
