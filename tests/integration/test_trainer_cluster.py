"""`trainer` with RADLOOP_JOBS_URL=kubernetes: on a cluster that answers from within this process; its pods really train.

What a real cluster does about the same manifests is shown in tests/cluster.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.jobs.manifest import job_name
from radloop.objects.shelf import Shelf
from radloop.testing.fake_cluster import UNSCHEDULABLE, FakeCluster
from tests.integration.trainer_platform import PROJECT, SAID, Platform, project
from tests.integration.training_pods import hold_in_mid_training, let_go

pytestmark = [
    pytest.mark.integration,
    # With PostgreSQL comes S3, and a cluster's pods reach no other store.
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]


class ClusterPlatform(Platform):
    """A `trainer` that starts Jobs."""

    def shelf(self, run_id: str) -> Shelf:
        return Shelf(self.objects, f"trainer/{PROJECT}/runs/{run_id}")

    def run(self, run_id: str) -> dict:
        return self.ask("GET", f"/v1/runs/{run_id}")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = FakeCluster(folder)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig()))
    yield cluster
    cluster.close()


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def platform(cluster: FakeCluster, tmp_path: Path, database_url: str, objects_url: str) -> Iterator[ClusterPlatform]:
    # Pods get nothing of this process's environment: the keys of S3 reach them by the Secret, or not at all.
    cluster.secrets["objects"] = {name: os.environ.get(name, "") for name in KEYS}
    jobs = {"jobs_url": "kubernetes:", "job_image": "training:1", "job_store_secret": "objects"}
    platform = ClusterPlatform(tmp_path, database_url, objects_url, **jobs)
    yield platform
    platform.close()


@pytest.mark.timeout(600)
def test_a_job_evicted_in_mid_training_ends_with_a_model_though_the_trainer_restarts(
    cluster: FakeCluster, platform: ClusterPlatform
) -> None:
    platform.hear(project(initial_steps=12), *platform.cohort(range(2), range(2, 4)))
    (started,) = platform.said("training-started")
    shelf = platform.shelf(started.run_id)
    (first,) = cluster.pods
    pod = cluster.process_of(first)
    hold_in_mid_training(pod, cluster.folder / first)
    platform.until(lambda: shelf.names("checkpoints/"))
    platform.restart()
    run = platform.run(started.run_id)
    assert (run["state"], run["attempts"], run["progress"]["steps"]) == ("running", 1, 12)

    cluster.evict(job_name(started.run_id))
    let_go(pod)
    platform.until(lambda: len(cluster.pods) == 2)
    (trained,) = platform.until(lambda: platform.said("model-trained"))
    assert platform.run(started.run_id)["attempts"] == 1  # the cluster made the pod again, we did not
    assert len(cluster.pods) == 2 and platform.objects.keys(trained.bundle.key) == [trained.bundle.key]
    assert shelf.names() == ["log/attempt-1.txt"]
    log = (shelf.get("log/attempt-1.txt") or b"").decode()
    assert log.count("--- pod ") == 2 and log.count(f'"plan": "{started.plan_digest}"') == 2
    assert not list((platform.folder / "work").glob("*"))  # nothing on the trainer's own disk
    assert [len(platform.said(topic)) for topic in SAID] == [1, 1, 0, 0]


def test_a_job_that_no_machine_fits_says_so_to_people(cluster: FakeCluster, platform: ClusterPlatform) -> None:
    cluster.has_room = False
    began = time.time()
    platform.hear(project(), *platform.cohort(range(2), range(2, 4)))
    (started,) = platform.said("training-started")
    progress = platform.until(lambda: platform.run(started.run_id)["progress"])
    assert progress == {"phase": "waiting", "waits_for": "machine", "detail": f"Unschedulable: {UNSCHEDULABLE}"}
    (waiting,) = platform.until(lambda: platform.said("training-waiting"))
    assert time.time() - began < 60
    assert waiting == trainer_pb2.TrainingWaiting(
        run_id=started.run_id,
        project_id=PROJECT,
        run_number=1,
        waits_for=trainer_pb2.TRAINING_WAIT_MACHINE,
        scheduler_said="0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
        since_s=waiting.since_s,
        sequence=1,
    )
    assert began - 1 <= waiting.since_s <= time.time()
    platform.restart()
    platform.turn()
    assert platform.run(started.run_id)["progress"] == progress and len(cluster.jobs) == 1
    assert len(platform.said("training-waiting")) == 1

    assert platform.ask("POST", f"/v1/runs/{started.run_id}/cancel")["state"] == "cancelled"
    platform.until(lambda: platform.run(started.run_id)["job_ended"])
    assert not cluster.jobs and not cluster.pods
    assert platform.shelf(started.run_id).names() == []


@pytest.mark.timeout(300)
def test_a_bad_plan_fails_at_once(cluster: FakeCluster, platform: ClusterPlatform) -> None:
    platform.hear(project(patch=[20, 20, 20]), *platform.cohort(range(2), range(2, 4)))
    (failed,) = platform.until(lambda: platform.said("training-failed"))
    assert (failed.reason, failed.attempts) == (trainer_pb2.TRAINING_FAILURE_BAD_PLAN, 1)
    assert len(cluster.pods) == 1


@pytest.mark.timeout(300)
def test_a_run_that_is_cancelled_leaves_no_pod(cluster: FakeCluster, platform: ClusterPlatform) -> None:
    platform.hear(project(initial_steps=100_000), *platform.cohort(range(2), range(2, 4)))
    (started,) = platform.said("training-started")
    platform.until(lambda: platform.run(started.run_id)["progress"].get("phase"))
    platform.ask("POST", f"/v1/runs/{started.run_id}/cancel")
    platform.until(lambda: platform.run(started.run_id)["job_ended"])
    assert not cluster.jobs and not cluster.pods
    (failed,) = platform.said("training-failed")
    assert failed.reason == trainer_pb2.TRAINING_FAILURE_CANCELLED
