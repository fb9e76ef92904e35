"""Training Jobs on a real cluster, with small programs in the place of the training: what `radloop.jobs` promises of each fate."""

import dataclasses
import json
import uuid
from collections.abc import Iterator

import pytest

from radloop.errors import PermanentError
from radloop.jobs.kubernetes import KubernetesJobs, open_kubernetes
from radloop.jobs.manifest import RUN_LABEL, JobSettings, job_manifest, job_name
from radloop.jobs.port import JobState, JobStatus, WaitsFor
from tests.chaos.two_planes import wait_for
from tests.cluster.commands import ROOT, apply, found, helm, kubectl, run, secret
from tests.cluster.conftest import GPU, Cluster
from tests.cluster.installation import Images, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = f"jobs-{uuid.uuid4().hex[:6]}"
IMAGE = f"{Images().registry}/radloop/qa:{Images().tag}"
SMALL = JobSettings(
    image=IMAGE,
    namespace=NAMESPACE,
    cpu="10m",
    memory="96Mi",
    shared_memory="16Mi",
    scratch="64Mi",
    grace_s=2,
    backoff_limit=1,
)
SLEEPS = ["python", "-c", "import time; print('at work', flush=True); time.sleep(600)"]


@pytest.fixture(scope="module", autouse=True)
def own_namespace(cluster: Cluster) -> Iterator[None]:
    """A namespace of the Jobs' own, as restricted as that of the site."""
    namespace(NAMESPACE)
    apply(secret(NAMESPACE, "store", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def run_id() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def jobs_of(**changes: object) -> KubernetesJobs:
    return open_kubernetes(dataclasses.replace(SMALL, **changes))


def until(jobs: KubernetesJobs, run_id: str, state: JobState, seconds: float = 90) -> JobStatus:
    """Wait until a run is in a state."""
    last = []

    def is_there() -> bool:
        last[:] = [jobs.status(run_id)]
        return last[0].state is state

    wait_for(is_there, seconds, f"{run_id} to be {state}: {last}")
    return last[0]


def waiting(jobs: KubernetesJobs, run_id: str, waits_for: WaitsFor, seconds: float = 60) -> str:
    """Wait until a run waits for something, within the minute that is promised; return the cluster's words."""
    wait_for(lambda: jobs.status(run_id).waits_for is waits_for, seconds, f"{run_id} to wait for {waits_for}")
    return jobs.status(run_id).detail


def pods_of(run_id: str) -> list[str]:
    pods = found("pods", "--namespace", NAMESPACE, "--selector", f"{RUN_LABEL}={run_id}")
    return [pod["metadata"]["name"] for pod in pods]


def test_a_run_that_works_succeeds_and_its_log_is_kept(run_id: str) -> None:
    jobs = jobs_of(store_secret="store")
    program = "import os; print(sorted(n for n in os.environ if 'KEY' in n or n.endswith('_SERVICE_HOST')), os.getuid(), os.environ['A'])"
    jobs.start(run_id, ["python", "-c", program], {"A": "given"})
    jobs.start(run_id, ["python", "-c", program], {"A": "given"})  # already there
    until(jobs, run_id, JobState.SUCCEEDED)
    said = jobs.log(run_id).decode()
    assert "['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'KUBERNETES_SERVICE_HOST'] 10001 given" in said
    jobs.start(run_id, SLEEPS, {})
    assert jobs.status(run_id).state is JobState.SUCCEEDED
    assert len(pods_of(run_id)) == 1


def test_a_pod_writes_where_it_may_and_has_shared_memory(run_id: str) -> None:
    program = (
        "import os, pathlib; [pathlib.Path(p, 'x').write_text('x') for p in ('/work', '/tmp', '/dev/shm')];"
        "s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize); pathlib.Path('/opt/x').write_text('x')"
    )
    jobs = jobs_of(backoff_limit=0)
    jobs.start(run_id, ["python", "-c", program], {})
    until(jobs, run_id, JobState.FAILED)
    said = jobs.log(run_id).decode()
    assert str(16 * 2**20) in said and "Read-only file system: '/opt/x'" in said


def test_a_bad_plan_is_not_tried_again(run_id: str) -> None:
    jobs = jobs_of(backoff_limit=5)
    jobs.start(run_id, ["python", "-c", "raise SystemExit(3)"], {})
    status = until(jobs, run_id, JobState.FAILED)
    assert status.exit_code == 3 and "PodFailurePolicy" in status.detail
    assert len(pods_of(run_id)) == 1


def test_an_evicted_pod_is_made_again_and_not_counted(run_id: str) -> None:
    jobs = jobs_of(backoff_limit=0)
    jobs.start(run_id, SLEEPS, {})
    until(jobs, run_id, JobState.RUNNING)
    [first] = pods_of(run_id)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first, "namespace": NAMESPACE}}
    place = f"/api/v1/namespaces/{NAMESPACE}/pods/{first}/eviction"
    kubectl("create", "--raw", place, "--filename", "-", given=json.dumps(body))
    wait_for(lambda: set(pods_of(run_id)) - {first}, 60, "another pod")
    until(jobs, run_id, JobState.RUNNING)
    jobs.cancel(run_id)
    until(jobs, run_id, JobState.UNKNOWN)


def test_a_preempted_pod_is_made_again_and_not_counted(run_id: str, cluster: Cluster) -> None:
    for name, value in (("research", 10), ("clinic", 1000)):
        priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        apply(priority | {"value": value})
    jobs = jobs_of(backoff_limit=0, gpu_resource=GPU, gpu_count=2, priority_class="research")
    jobs.start(run_id, SLEEPS, {})
    until(jobs, run_id, JobState.RUNNING)
    other = jobs_of(gpu_resource=GPU, gpu_count=2, priority_class="clinic")
    other.start(f"{run_id}-urgent", ["python", "-c", "import time; time.sleep(5)"], {})
    until(other, f"{run_id}-urgent", JobState.SUCCEEDED)
    until(jobs, run_id, JobState.RUNNING)
    assert not found("job", job_name(run_id), "--namespace", NAMESPACE)["status"].get("failed")
    jobs.cancel(run_id)
    until(jobs, run_id, JobState.UNKNOWN)


def test_a_deadline_ends_a_run(run_id: str) -> None:
    jobs = jobs_of(deadline_s=5)
    jobs.start(run_id, SLEEPS, {})
    assert "DeadlineExceeded" in until(jobs, run_id, JobState.FAILED).detail


def test_a_pod_that_takes_too_much_memory_is_ended(run_id: str) -> None:
    jobs = jobs_of(backoff_limit=0)
    jobs.start(run_id, ["python", "-c", "x = bytearray(400 * 2**20)"], {})
    assert until(jobs, run_id, JobState.FAILED).exit_code == 137


def test_an_ended_run_goes_after_its_time_to_live(run_id: str) -> None:
    jobs = jobs_of(time_to_live_s=3)
    jobs.start(run_id, ["true"], {})
    until(jobs, run_id, JobState.UNKNOWN, 60)


def test_a_run_without_enough_gpus_says_so_in_the_schedulers_words(run_id: str) -> None:
    jobs = jobs_of(gpu_resource=GPU, gpu_count=5)
    jobs.start(run_id, SLEEPS, {})
    assert f"Insufficient {GPU}" in waiting(jobs, run_id, WaitsFor.MACHINE)
    jobs.cancel(run_id)


def test_an_image_that_cannot_be_fetched_is_said(run_id: str) -> None:
    jobs = jobs_of(image="registry.invalid/radloop/training-job:none")
    jobs.start(run_id, SLEEPS, {})
    assert "registry.invalid" in waiting(jobs, run_id, WaitsFor.IMAGE)
    jobs.cancel(run_id)


def test_a_missing_secret_is_said(run_id: str) -> None:
    jobs = jobs_of(store_secret="nowhere")
    jobs.start(run_id, SLEEPS, {})
    assert 'secret "nowhere" not found' in waiting(jobs, run_id, WaitsFor.CONFIGURATION)
    jobs.cancel(run_id)


def test_a_quota_that_allows_no_pod_is_said(run_id: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": NAMESPACE}}
    apply(quota | {"spec": {"hard": {"pods": "0"}}})
    try:
        jobs = jobs_of()
        jobs.start(run_id, SLEEPS, {})
        assert f"kubectl describe job {job_name(run_id)}" in waiting(jobs, run_id, WaitsFor.CONFIGURATION)
        jobs.cancel(run_id)
    finally:
        kubectl("delete", "resourcequota", "none", "--namespace", NAMESPACE)


def test_the_server_takes_every_field_as_it_is(run_id: str) -> None:
    """Every setting at once, validated strictly: a field that the API does not know is refused."""
    settings = dataclasses.replace(
        SMALL,
        gpu_resource=GPU,
        gpu_count=1,
        queue="radloop",
        priority_class="system-node-critical",
        runtime_class="nvidia",
        node_selector={"kind": "gpu"},
        tolerations=[{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        pull_secrets=["pull"],
        store_secret="store",
    )
    manifest = job_manifest(run_id, SLEEPS, {"A": "b"}, settings)
    kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "--namespace", NAMESPACE, "--filename", "-"),
        given=json.dumps(manifest),
    )


def test_the_role_of_the_chart_is_enough_and_no_more(run_id: str) -> None:
    """The trainer's Role as the chart renders it, bound to a user whom we then are."""
    rendered = helm(
        *("template", "radloop", "helm/data-plane", "--namespace", NAMESPACE, "--show-only", "templates/trainer.yaml"),
        *("--values", "helm/data-plane/examples/hospital/values.yaml", "--set", f"jobs.namespace={NAMESPACE}"),
    ).stdout
    user = f"system:serviceaccount:{NAMESPACE}:radloop-trainer"
    kubectl("apply", "--namespace", NAMESPACE, "--filename", "-", given=_of_kinds(rendered, "Role", "RoleBinding"))

    def may(verb: str, what: str, where: str = NAMESPACE) -> bool:
        asked = run("kubectl", "auth", "can-i", verb, what, "--namespace", where, "--as", user, check=False)
        return asked.stdout.strip() == "yes"

    allowed = [("create", "jobs.batch"), ("watch", "jobs.batch"), ("delete", "jobs.batch"), ("get", "pods/log")]
    assert all(may(*each) for each in allowed)
    forbidden = [
        ("get", "secrets"),
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("patch", "jobs.batch"),
    ]
    assert not any(may(*each) for each in forbidden)
    assert not may("create", "jobs.batch", "default")


def test_who_may_not_make_jobs_is_told_what_to_look_at(run_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--output", "json"))
    config["users"][0]["user"] = {"token": kubectl("create", "token", "default", "--namespace", NAMESPACE).strip()}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(PermanentError, match="cluster-refuses-us.*Role"):
        jobs_of().start(run_id, SLEEPS, {})


@pytest.mark.skipif(
    not (ROOT / ".engines/kubernetes/kueue-chart").exists(), reason="no Kueue: scripts/kubernetes builds it"
)
def test_a_queue_lets_one_run_after_the_other(run_id: str) -> None:
    image = {"repository": "docker.io/local/kueue", "tag": "v0.14.0", "pullPolicy": "IfNotPresent"}
    helm(
        *("upgrade", "--install", "kueue", ".engines/kubernetes/kueue-chart", "--namespace", "kueue-system"),
        *("--create-namespace", "--wait", "--timeout", "3m"),
        *(f"--set=controllerManager.manager.image.{name}={value}" for name, value in image.items()),
    )
    group = {"coveredResources": ["cpu", "memory", GPU], "flavors": [
        {"name": "plain", "resources": [
            {"name": "cpu", "nominalQuota": "2"}, {"name": "memory", "nominalQuota": "2Gi"}, {"name": GPU, "nominalQuota": "1"},
        ]},
    ]}  # fmt: skip
    api = "kueue.x-k8s.io/v1beta1"
    objects = (
        {"apiVersion": api, "kind": "ResourceFlavor", "metadata": {"name": "plain"}},
        {"apiVersion": api, "kind": "ClusterQueue", "metadata": {"name": "gpus"},
         "spec": {"namespaceSelector": {}, "resourceGroups": [group]}},
        {"apiVersion": api, "kind": "LocalQueue", "metadata": {"name": "radloop", "namespace": NAMESPACE},
         "spec": {"clusterQueue": "gpus"}},
    )  # fmt: skip
    apply(*objects)
    try:
        jobs = jobs_of(queue="radloop", gpu_resource=GPU, gpu_count=1)
        works = ["python", "-c", "import time; time.sleep(8)"]
        jobs.start(f"{run_id}-1", works, {})
        until(jobs, f"{run_id}-1", JobState.RUNNING)
        jobs.start(f"{run_id}-2", works, {})
        waiting(jobs, f"{run_id}-2", WaitsFor.QUEUE)
        until(jobs, f"{run_id}-1", JobState.SUCCEEDED)
        until(jobs, f"{run_id}-2", JobState.SUCCEEDED)
    finally:
        for kind, name in (("localqueue", "radloop"), ("clusterqueue", "gpus"), ("resourceflavor", "plain")):
            kubectl("delete", f"{kind}.kueue.x-k8s.io", name, "--namespace", NAMESPACE, "--wait=false", check=False)
        helm("uninstall", "kueue", "--namespace", "kueue-system", "--wait")


def _of_kinds(rendered: str, *kinds: str) -> str:
    documents = [part for part in rendered.split("\n---\n") if any(f"\nkind: {kind}\n" in part for kind in kinds)]
    return "\n---\n".join(documents)
