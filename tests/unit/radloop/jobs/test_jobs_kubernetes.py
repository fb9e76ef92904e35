"""What only a cluster does: pods that wait, are evicted, are made again; and what it refuses."""

import time
from pathlib import Path

import pytest

from radloop.errors import Invalid, PermanentError, Unavailable
from radloop.jobs import JobSettings, JobState, JobStatus, WaitsFor, open_jobs
from radloop.jobs.kubernetes import KubernetesJobs
from radloop.jobs.manifest import ROLE, job_name
from radloop.testing.fake_cluster import NAMESPACE, UNSCHEDULABLE, FakeCluster
from radloop.testing.jobs_contract import LIMIT_S, python, until

FOR_EVER = python("import time; print('begun', flush=True); time.sleep(60)")


@pytest.fixture
def jobs(cluster: FakeCluster, tmp_path: Path) -> KubernetesJobs:
    jobs = open_jobs("kubernetes:", tmp_path, JobSettings(image="training:1", backoff_limit=1))
    assert isinstance(jobs, KubernetesJobs)
    return jobs


VERBS = {"POST": "create", "GET": "get", "DELETE": "delete"}


def resource_of(path: str) -> str:
    """Return a path's resource as a Role names it."""
    parts = path.partition(f"/namespaces/{NAMESPACE}/")[2].split("/")
    return "pods/log" if parts[-1] == "log" else parts[0]


def pods_of(cluster: FakeCluster, run_id: str) -> list[str]:
    return sorted(name for name in list(cluster.pods) if name.startswith(job_name(run_id)))


def test_one_that_no_machine_fits_says_so_in_the_schedulers_words(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.has_room = False
    jobs.start("r", FOR_EVER, {})
    assert jobs.status("r") == JobStatus(
        JobState.WAITING, waits_for=WaitsFor.MACHINE, detail=f"Unschedulable: {UNSCHEDULABLE}"
    )
    jobs.start("r", FOR_EVER, {})  # it waits: a second start changes nothing
    assert len(cluster.jobs) == len(cluster.pods) == 1
    jobs.cancel("r")
    assert jobs.status("r").state is JobState.UNKNOWN and not cluster.pods


def test_an_image_that_is_not_to_be_had(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.image_error = "ImagePullBackOff"
    jobs.start("r", FOR_EVER, {})
    status = jobs.status("r")
    assert (status.state, status.waits_for) == (JobState.WAITING, WaitsFor.IMAGE)
    assert status.detail == "ImagePullBackOff: pull access denied"


def test_one_that_a_queue_holds_back(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.has_room = False
    jobs.start("r", FOR_EVER, {})
    cluster.jobs[job_name("r")]["spec"]["suspend"] = True  # Kueue's webhook does
    assert jobs.status("r").waits_for is WaitsFor.QUEUE


def test_no_pod_for_long_means_that_something_refuses_it(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", FOR_EVER, {})
    cluster.pods.clear()
    assert jobs.status("r").waits_for is WaitsFor.START
    cluster.jobs[job_name("r")]["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    assert jobs.status("r").waits_for is WaitsFor.CONFIGURATION
    assert "kubectl describe job radloop-run-r" in jobs.status("r").detail


def test_an_evicted_pod_is_made_again_and_does_not_count(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", FOR_EVER, {})
    for count in (2, 3, 4):
        until(jobs, "r", JobState.RUNNING)
        cluster.evict(job_name("r"))
        deadline = time.monotonic() + LIMIT_S
        while len(pods_of(cluster, "r")) < count:
            assert time.monotonic() < deadline
    assert until(jobs, "r", JobState.RUNNING)


def test_one_that_crashes_is_made_again_so_often_and_no_more(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", python("import os; print('crash', flush=True); os._exit(1)"), {})
    status = until(jobs, "r", JobState.FAILED)
    assert (status.exit_code, status.detail) == (1, "BackoffLimitExceeded")
    assert len(pods_of(cluster, "r")) == 2
    assert jobs.log("r").count(b"crash\n") == 2  # both pods'


def test_a_log_that_a_lost_node_has_is_none_to_wait_for(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", python("pass"), {})
    until(jobs, "r", JobState.SUCCEEDED)
    cluster.has_logs = False
    assert jobs.log("r") == b"--- pod radloop-run-r-00000\n(its node does not give the log)\n"


@pytest.mark.parametrize("code", [2, 3, 4])
def test_what_would_fail_again_fails_at_once(cluster: FakeCluster, jobs: KubernetesJobs, code: int) -> None:
    jobs.start("r", python(f"import sys; sys.exit({code})"), {})
    status = until(jobs, "r", JobState.FAILED)
    assert (status.exit_code, status.detail) == (code, "PodFailurePolicy")
    assert len(pods_of(cluster, "r")) == 1


def test_one_past_its_deadline_has_failed_without_an_exit_code(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.has_room = False
    jobs.start("r", FOR_EVER, {})
    cluster.jobs[job_name("r")]["status"]["conditions"] = [
        {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"},
        {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active too long"},
    ]
    assert jobs.status("r") == JobStatus(JobState.FAILED, detail="DeadlineExceeded: Job was active too long")


def test_one_whose_pods_still_end_is_not_ended(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", FOR_EVER, {})
    cluster.jobs[job_name("r")]["status"]["conditions"] = [
        {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}
    ]
    assert until(jobs, "r", JobState.RUNNING)


def test_pods_of_an_earlier_job_of_the_name_do_not_count(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.has_room = False
    jobs.start("r", FOR_EVER, {})
    (earlier,) = cluster.pods.values()
    earlier["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "of-another"
    earlier["status"]["phase"] = "Running"
    assert jobs.status("r").state is JobState.WAITING


def test_one_that_was_cancelled_runs_until_its_pod_has_ended(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    slow = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(1)))"
    jobs.start("r", python(f"{slow}; print('begun', flush=True); time.sleep(60)"), {})
    deadline = time.monotonic() + LIMIT_S
    while b"begun" not in jobs.log("r"):
        assert time.monotonic() < deadline
    jobs.cancel("r")
    assert not cluster.jobs and jobs.status("r").state is JobState.RUNNING
    assert until(jobs, "r", JobState.UNKNOWN)


def test_it_asks_for_nothing_but_what_the_role_allows(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    jobs.start("r", python("import sys; sys.exit(3)"), {})
    until(jobs, "r", JobState.FAILED)
    jobs.log("r")
    jobs.start("r", python("pass"), {})  # the failed one is deleted first
    jobs.cancel("r")
    allowed = {(resource, verb) for _, resources, verbs in ROLE for resource in resources for verb in verbs}
    asked = {
        (resource_of(path), "list" if path.endswith("/pods") else VERBS[method]) for method, path in cluster.requests
    }
    assert asked == {("jobs", "create"), ("jobs", "get"), ("jobs", "delete"), ("pods", "list"), ("pods/log", "get")}
    assert asked <= allowed


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, PermanentError, "cluster-refuses-us"),
        (403, PermanentError, "got no leave; look at the trainer's Role"),
        (422, PermanentError, "TRAINER_JOB_"),
        (429, Unavailable, "got 429"),
        (503, Unavailable, "got 503"),
    ],
)
def test_refusals_in_our_words(cluster: FakeCluster, jobs: KubernetesJobs, status: int, kind: type, said: str) -> None:
    cluster.refusal = (status, "no\nleave")
    for ask in (lambda: jobs.start("r", [], {}), lambda: jobs.status("r"), lambda: jobs.cancel("r")):
        with pytest.raises(kind, match=said):
            ask()


def test_a_cluster_that_is_away_is_asked_again_later(cluster: FakeCluster, jobs: KubernetesJobs) -> None:
    cluster.stop()
    with pytest.raises(Unavailable, match="network policy"):
        jobs.status("r")


def test_a_run_id_that_is_no_name_is_refused(jobs: KubernetesJobs) -> None:
    for run_id in ("", "Run", "a/b", "-a", "a" * 41):
        with pytest.raises(Invalid, match="run-id-invalid"):
            jobs.start(run_id, [], {})
