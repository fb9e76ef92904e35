"""Training jobs: started once per run, found again, cancelled. `RADLOOP_JOBS_URL` chooses the engine."""

from pathlib import Path

from radloop.errors import PermanentError
from radloop.jobs.manifest import JobSettings
from radloop.jobs.port import Jobs, JobState, JobStatus, WaitsFor
from radloop.jobs.process import ProcessJobs

__all__ = ["JobSettings", "JobState", "JobStatus", "Jobs", "WaitsFor", "open_jobs"]


def open_jobs(url: str, work_dir: Path, settings: JobSettings | None = None) -> Jobs:
    """Open the launcher at ``process:`` or ``kubernetes:``.

    Parameters
    ----------
    url
        Which engine.
    work_dir
        Folder of processes.
    settings
        What a site decides about Kubernetes Jobs; of interest to that engine alone.

    Raises
    ------
    PermanentError
        When no engine answers to the URL's scheme, or a cluster is asked for and none is known.
    """
    if url == "process:":
        return ProcessJobs(work_dir)
    if url == "kubernetes:":
        from radloop.jobs.kubernetes import (
            open_kubernetes,
        )  # the client takes two seconds that no other process waits for

        return open_kubernetes(settings or JobSettings(image=""))
    raise PermanentError(
        "jobs-url-unknown",
        expected="process: or kubernetes:",
        got=url.split(":", 1)[0] + ":…",
        do="set RADLOOP_JOBS_URL",
    )
