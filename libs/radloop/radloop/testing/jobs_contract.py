"""What every engine of `radloop.jobs` must do. Subclasses give the fixture ``jobs``: an engine whose programs run here."""

import sys
import time
from pathlib import Path

from radloop.jobs import Jobs, JobState, JobStatus

LIMIT_S = 20.0


def python(program: str) -> list[str]:
    """Return the command line of a Python program."""
    return [sys.executable, "-c", program]


def until(jobs: Jobs, run_id: str, *states: JobState) -> JobStatus:
    """Wait for a state."""
    deadline = time.monotonic() + LIMIT_S
    while (status := jobs.status(run_id)).state not in states:
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


class JobsContract:
    """One test per promise."""

    def test_a_job_nobody_started_is_unknown(self, jobs: Jobs) -> None:
        assert jobs.status("r").state is JobState.UNKNOWN
        assert jobs.log("r") == b""
        jobs.cancel("r")

    def test_a_job_that_succeeded_is_not_started_again(self, jobs: Jobs, tmp_path: Path) -> None:
        count = python(f"open({str(tmp_path / 'n')!r}, 'a').write('x')")
        for _ in range(2):
            jobs.start("r", count, {})
            assert until(jobs, "r", JobState.SUCCEEDED).exit_code == 0
        assert (tmp_path / "n").read_text() == "x"

    def test_a_job_that_runs_is_not_started_again(self, jobs: Jobs, tmp_path: Path) -> None:
        count = python(f"open({str(tmp_path / 'n')!r}, 'a').write('x'); import time; time.sleep(60)")
        for _ in range(2):
            jobs.start("r", count, {})
            until(jobs, "r", JobState.RUNNING)
        deadline = time.monotonic() + LIMIT_S
        while not (tmp_path / "n").exists() or (tmp_path / "n").read_text() == "":
            assert time.monotonic() < deadline
        assert (tmp_path / "n").read_text() == "x"
        jobs.cancel("r")
        until(jobs, "r", JobState.FAILED, JobState.UNKNOWN)

    def test_a_failed_job_says_its_exit_code_and_starts_again(self, jobs: Jobs, tmp_path: Path) -> None:
        jobs.start("r", python("import sys; sys.exit(3)"), {})
        assert until(jobs, "r", JobState.FAILED).exit_code == 3
        jobs.start("r", python("pass"), {})
        assert until(jobs, "r", JobState.SUCCEEDED).exit_code == 0

    def test_two_jobs_do_not_disturb_one_another(self, jobs: Jobs) -> None:
        jobs.start("a", python("import sys; sys.exit(4)"), {})
        jobs.start("b", python("import time; time.sleep(60)"), {})
        until(jobs, "a", JobState.FAILED)
        jobs.cancel("a")
        assert until(jobs, "b", JobState.RUNNING)
        jobs.cancel("b")

    def test_what_the_program_wrote_is_its_log(self, jobs: Jobs) -> None:
        jobs.start(
            "r",
            python("import os, sys; print(os.environ['SAY'], flush=True); print('end', file=sys.stderr)"),
            {"SAY": "so"},
        )
        until(jobs, "r", JobState.SUCCEEDED)
        assert jobs.log("r").splitlines()[-2:] == [b"so", b"end"]
