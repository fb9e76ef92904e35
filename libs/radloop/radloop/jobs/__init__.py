"""Training jobs: started once per run, found again, cancelled. `RADLOOP_JOBS_URL` chooses the engine."""

from pathlib import Path

from radloop.errors import PermanentError
from radloop.jobs.port import Jobs, JobState, JobStatus
from radloop.jobs.process import ProcessJobs

__all__ = ["JobState", "JobStatus", "Jobs", "open_jobs"]


def open_jobs(url: str, work_dir: Path) -> Jobs:
    """Open the launcher at ``process:``.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme.
    """
    if url == "process:":
        return ProcessJobs(work_dir)
    raise PermanentError(
        "jobs-url-unknown", expected="process:", got=url.split(":", 1)[0] + ":…", do="set RADLOOP_JOBS_URL"
    )
