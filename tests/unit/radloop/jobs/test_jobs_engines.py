"""Both engines of `radloop.jobs` keep the contract; what differs between them stands here side by side."""

from pathlib import Path

import pytest

from radloop.errors import PermanentError
from radloop.jobs import Jobs, JobSettings, JobState, open_jobs
from radloop.testing.fake_cluster import FakeCluster
from radloop.testing.jobs_contract import JobsContract, python, until


class TestProcessJobs(JobsContract):
    @pytest.fixture
    def jobs(self, tmp_path: Path) -> Jobs:
        return open_jobs("process:", tmp_path / "work")

    def test_a_cancelled_job_has_failed(self, jobs: Jobs) -> None:
        jobs.start("r", python("import time; time.sleep(60)"), {})
        jobs.cancel("r")
        assert jobs.status("r").state is JobState.FAILED


class TestKubernetesJobs(JobsContract):
    @pytest.fixture
    def jobs(self, cluster: FakeCluster, tmp_path: Path) -> Jobs:
        return open_jobs("kubernetes:", tmp_path, JobSettings(image="training:1", backoff_limit=0))

    def test_a_cancelled_job_is_forgotten(self, jobs: Jobs) -> None:
        jobs.start("r", python("import time; time.sleep(60)"), {})
        jobs.cancel("r")
        assert until(jobs, "r", JobState.UNKNOWN)


def test_an_engine_nobody_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="expected process: or kubernetes:; got slurm:…"):
        open_jobs("slurm:here", tmp_path)


def test_a_cluster_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="set TRAINER_JOB_IMAGE"):
        open_jobs("kubernetes:", tmp_path)


def test_no_cluster_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(PermanentError, match="set KUBECONFIG"):
        open_jobs("kubernetes:", tmp_path, JobSettings(image="training:1"))
