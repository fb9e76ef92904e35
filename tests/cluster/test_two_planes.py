"""A hospital and its cloud, each installed by its chart: one round of the loop on real images, while the cluster does what clusters do.

The pods are upgraded while studies come in, the training's pod is evicted, pods of services are killed, and in the end the whole
node is drained. What both planes left is then judged by the checker of the chaos tests, which knows none of our code.
"""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from standalone.client import Client, operator_token
from standalone.demo.cohort import find_real_source, phantom_source
from standalone.demo.state import PROJECT_ID, Choices
from standalone.engines.mirror import incoming_topics, outgoing_topics
from standalone.layout import Layout
from tests.chaos.independent_checker import all_faults, read_keys
from tests.chaos.planes_under_fire import evidence, is_quiet
from tests.chaos.two_planes import ReadingRoom, wait_for
from tests.cluster.commands import ROOT, apply, found, helm, kubectl, run
from tests.cluster.conftest import CLOUD_NAMESPACE, GPU, SITE_NAMESPACE, Cluster
from tests.cluster.engines import PlaneEngines
from tests.cluster.installation import CHARTS, RELEASE, Images, doors, install, pods, shared_values, site_values

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

SERVICES = ("ingest", "inference", "edge-miner", "labeling", "qa", "trainer")
OLD = "0.0.9"
CHOICES = Choices(
    seed=7,
    rounds=1,
    batch=4,
    start=5,
    pool=8,
    test=4,
    validation=3,
    initial_steps=150,
    update_steps=50,
    error_share=0.15,
    cohort="real",
)


@dataclass
class Story:
    """What happened, for the tests to judge.

    Attributes
    ----------
    site, cloud
        Folders by which our commands find the planes.
    """

    site: Layout
    cloud: Layout
    room: ReadingRoom
    seen: dict[str, Any] = field(default_factory=dict)


class Work(threading.Thread):
    """The script and the readers of the demo, beside what the cluster does."""

    def __init__(self, room: ReadingRoom) -> None:
        super().__init__(daemon=True)
        self._room = room
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work until one round is whole."""
        try:
            self._room.work(patience_s=1500)
        except BaseException as error:
            self.failure = error

    def check(self) -> None:
        """Raise what stopped it."""
        if self.failure is not None:
            raise self.failure


def packed(folder: Path, plane: str) -> Path:
    """Pack a chart as an older release."""
    helm("package", str(CHARTS / plane), "--version", OLD, "--destination", str(folder))
    return folder / f"{plane}-{OLD}.tgz"


def job_pods() -> list[dict[str, Any]]:
    """Return the pods of training Jobs, oldest first."""
    every = found("pods", "--namespace", SITE_NAMESPACE, "--selector", "app.kubernetes.io/name=training-job")
    return sorted(every, key=lambda pod: pod["metadata"]["creationTimestamp"])


def evict(pod: dict[str, Any]) -> None:
    """Evict a pod, as a drain does."""
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": SITE_NAMESPACE}}
    kubectl("create", "--raw", f"/api/v1/namespaces/{SITE_NAMESPACE}/pods/{name}/eviction", "--filename", "-",
            given=json.dumps(body))  # fmt: skip


def all_ready() -> bool:
    """Whether every Deployment of both planes is as it should be."""
    deployments = [
        each for name in (SITE_NAMESPACE, CLOUD_NAMESPACE) for each in found("deployments", "--namespace", name)
    ]
    return all(each["status"].get("readyReplicas", 0) == each["spec"]["replicas"] for each in deployments)


@pytest.fixture(scope="module")
def story(
    cluster: Cluster, site_engines: PlaneEngines, cloud_engines: PlaneEngines, namespaces: None
) -> Iterator[Story]:
    """Install, work, upgrade, evict, kill, drain; then read what is left."""
    of_cloud, of_site = shared_values(cloud_engines), site_values(site_engines, cloud_engines, cluster.api)
    install(packed(cluster.folder, "control-plane"), CLOUD_NAMESPACE, of_cloud, cluster.folder)
    install(packed(cluster.folder, "data-plane"), SITE_NAMESPACE, of_site, cluster.folder)
    site, cloud = site_engines.layout, cloud_engines.layout
    with doors(CLOUD_NAMESPACE, cloud), doors(SITE_NAMESPACE, site):
        source = find_real_source({}, ROOT) or phantom_source()
        story = Story(site, cloud, ReadingRoom(site, cloud, CHOICES, Console(), source))
        work = Work(story.room)
        work.start()
        client = Client(json.loads(site.platform_file.read_text())["url"], operator_token(site))

        def until(look: Any, seconds: float, what: str) -> Any:
            def looked() -> Any:
                work.check()
                return look()

            return wait_for(looked, seconds, what)

        # Studies come in; everything is replaced by the present release meanwhile.
        until(lambda: _came_in(client) > 2, 300, "the first studies")
        before = _came_in(client)
        for values in (of_cloud, of_site):
            values["logLevel"] = "debug"
        install(CHARTS / "control-plane", CLOUD_NAMESPACE, of_cloud, cluster.folder)
        install(CHARTS / "data-plane", SITE_NAMESPACE, of_site, cluster.folder)
        story.seen["came in"] = (before, story.room.studies)

        # The first training has written a checkpoint, and its pod is evicted.
        first = until(lambda: next(iter(job_pods()), None), 600, "a training Job's pod")
        story.seen["job"] = found("job", first["metadata"]["labels"]["job-name"], "--namespace", SITE_NAMESPACE)
        until(lambda: _has_checkpoint(site_engines), 600, "a checkpoint in the store")
        evict(first)
        name = first["metadata"]["name"]
        second = until(
            lambda: next((pod for pod in job_pods() if pod["metadata"]["name"] != name), None),
            120,
            "the pod that goes on",
        )
        story.seen["pods of the first run"] = [pod["metadata"]["name"] for pod in (first, second)]

        # Pods of services are killed, one after the other.
        draw = random.Random(CHOICES.seed)
        for component in draw.sample(SERVICES, len(SERVICES)):
            for pod in pods(SITE_NAMESPACE, component):
                kubectl(
                    "--namespace",
                    SITE_NAMESPACE,
                    "delete",
                    "pod",
                    pod["metadata"]["name"],
                    "--grace-period=0",
                    "--force",
                )
            until(all_ready, 180, f"{component} to be back")

        while work.is_alive():
            work.join(5)
        work.check()

        # The node is drained: nothing of ours holds it up. It is the only one, so all come back to it.
        kubectl("drain", cluster.node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s")
        story.seen["left by the drain"] = [
            each["metadata"]["name"]
            for each in found("pods", "--namespace", SITE_NAMESPACE)
            if each["status"]["phase"] == "Running"
        ]
        kubectl("uncordon", cluster.node)
        wait_for(all_ready, 300, "all to be back after the drain")
        wait_for(lambda: is_quiet(site, cloud), 300, "the planes to come to rest")
        story.seen["runs"] = client.get("/trainer/v1/runs", project_id=PROJECT_ID)["runs"]
        run_id = min(story.seen["runs"], key=lambda run: run["run_number"])["run_id"]
        story.seen["log of the first run"] = client.get_bytes(f"/trainer/v1/runs/{run_id}/log").decode()
        client.close()
        yield story


@pytest.fixture
def stray(story: Story) -> Iterator[str]:
    """A pod in the site's namespace that is none of ours."""
    container = {
        "name": "stray",
        "image": f"{Images().registry}/radloop/qa:{Images().tag}",
        "command": ["sleep", "600"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "namespace": SITE_NAMESPACE}, "spec": spec})
    kubectl("--namespace", SITE_NAMESPACE, "wait", "--for=condition=Ready", "pod/stray", "--timeout=60s")
    yield "stray"
    kubectl("--namespace", SITE_NAMESPACE, "delete", "pod", "stray", "--grace-period=0", "--force")


def _came_in(client: Client) -> int:
    return sum(client.get("/ingest/v1/status")["studies"].values())


def _has_checkpoint(engines: PlaneEngines) -> bool:
    chosen = engines.layout.engines
    assert chosen is not None
    keys = read_keys(chosen.s3.endpoint, "radloop", chosen.s3.access_key, chosen.s3.secret_key)
    return any("/checkpoints/" in key for key in keys)


def test_nothing_was_lost_and_nothing_done_twice(story: Story) -> None:
    faults = all_faults(
        evidence(story.site),
        evidence(story.cloud),
        accepted=story.room.studies,
        acknowledged=story.room.acknowledged,
        outgoing=outgoing_topics(),
        incoming=incoming_topics(),
    )
    # What killed uploads left is swept later; here nobody has swept.
    assert not {name: found for name, found in faults.items() if name != "no orphan object"}


def test_the_pods_were_replaced_while_studies_came_in(story: Story) -> None:
    before, all_of_them = story.seen["came in"]
    assert 0 < before < all_of_them


def test_the_training_was_a_job_that_asked_for_a_gpu(story: Story) -> None:
    [container] = story.seen["job"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"][GPU] == "1"


def test_the_evicted_training_went_on_from_its_checkpoint(story: Story) -> None:
    assert len(set(story.seen["pods of the first run"])) == 2
    assert '{"goes_on_after_epoch": ' in story.seen["log of the first run"]
    assert [run["state"] for run in story.seen["runs"]] == ["answered"] * 2


def test_the_drain_left_none_of_ours(story: Story) -> None:
    assert story.seen["left by the drain"] == []


def test_a_triton_is_lost_without_a_lost_prediction(story: Story) -> None:
    here = ("--namespace", SITE_NAMESPACE)
    kubectl(*here, "scale", f"statefulset/{RELEASE}-triton", "--replicas=2")
    client = Client(json.loads(story.site.platform_file.read_text())["url"], operator_token(story.site))
    serving = client.get("/inference/v1/status")["serving"][PROJECT_ID]
    models = {model["model_digest"]: model["triton_name"] for model in client.get("/inference/v1/models")["models"]}
    for number in range(2):
        pod = f"{RELEASE}-triton-{number}"
        wait_for(lambda pod=pod: models[serving] in loaded(pod), 120, f"the serving model on {pod}")
    studies = client.get("/ingest/v1/studies", limit=100)["studies"]
    details = [client.get(f"/ingest/v1/studies/{study['study_key']}") for study in studies]
    cases = [case["case_id"] for detail in details for case in detail["cases"]]
    # What was never asked of the model that serves now is made anew.
    asked = [{"project_id": PROJECT_ID, "case_id": case} for case in cases]
    with ThreadPoolExecutor(8) as askers:
        answers = askers.map(lambda body: client.post("/inference/v1/infer", body), asked)
        kubectl(*here, "delete", "pod", f"{RELEASE}-triton-0", "--grace-period=0", "--force", "--wait=false")
        states = [answer["state"] for answer in answers]
    client.close()
    assert states == ["made"] * len(cases) and len(cases) >= CHOICES.pool
    wait_for(lambda: models[serving] in loaded(f"{RELEASE}-triton-0"), 180, "the one that was lost to have it again")
    kubectl(*here, "scale", f"statefulset/{RELEASE}-triton", "--replicas=1")


def loaded(pod: str) -> set[str]:
    """Return the names of the models that a pod of Triton has; none while it cannot be asked."""
    # Not the repository index: it leaves out models whose files came with the load call.
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/v2/models/stats').read().decode())"
    done = run("kubectl", "--namespace", SITE_NAMESPACE, "exec", pod, "--", "python", "-c", program, check=False)
    return {model["name"] for model in json.loads(done.stdout or "{}").get("model_stats", [])}


def test_every_pod_is_asked_and_ready(story: Story) -> None:
    for name in (CLOUD_NAMESPACE, SITE_NAMESPACE):
        helm("test", RELEASE, "--namespace", name, "--timeout", "3m")


def reaches(name: str, pod: str, address: str, port: int) -> bool:
    """Whether a pod can open a connection."""
    program = f"import socket; socket.create_connection(('{address}', {port}), 3).close()"
    done = run("kubectl", "--namespace", name, "exec", pod, "--", "python3", "-c", program, check=False)
    assert done.returncode == 0 or "Error" in done.stderr, done.stderr
    return done.returncode == 0


def test_a_stray_pod_reaches_none_of_ours(story: Story, stray: str) -> None:
    """Of another namespace, and of our own without our labels."""
    ours = [pod for name in (SITE_NAMESPACE, CLOUD_NAMESPACE) for pod in found("pods", "--namespace", name)]
    running = [pod for pod in ours if pod["status"]["phase"] == "Running" and pod["metadata"]["name"] != stray]
    assert len(running) >= 9
    open_ways = [
        (pod["metadata"]["name"], port)
        for pod in running
        for port in (8080, 8001, 11112)
        if reaches(SITE_NAMESPACE, stray, pod["status"]["podIP"], port)
    ]
    assert open_ways == []


def test_the_site_reaches_what_is_on_its_list_and_nothing_else(
    story: Story, cluster: Cluster, site_engines: PlaneEngines, cloud_engines: PlaneEngines
) -> None:
    [qa], [mirror], [trainer] = (pods(SITE_NAMESPACE, each) for each in ("qa", "mirror", "trainer"))
    here, there = site_engines.ports, cloud_engines.ports

    def way(pod: dict[str, Any], port: int) -> bool:
        return reaches(SITE_NAMESPACE, pod["metadata"]["name"], cluster.outside, port)

    assert all(way(qa, here[name]) for name in ("events", "database", "objects"))
    assert not any(way(qa, there[name]) for name in ("events", "database", "objects"))
    assert way(mirror, here["events"]) and way(mirror, there["events"])
    assert not any(way(mirror, port) for port in (here["database"], here["objects"], there["database"]))
    assert way(trainer, here["objects"])


def test_another_name_for_the_site_is_refused(story: Story) -> None:
    place = ("--namespace", SITE_NAMESPACE, "--reuse-values", "--dry-run=server")
    done = helm("upgrade", RELEASE, str(CHARTS / "data-plane"), *place, "--set", "site=other", check=False)
    assert done.returncode != 0 and 'was "site-1"' in done.stderr and "never changes" in done.stderr


def test_the_release_before_comes_back(story: Story) -> None:
    helm("rollback", RELEASE, "1", "--namespace", SITE_NAMESPACE, "--wait", "--timeout", "5m")
    assert helm("list", "--namespace", SITE_NAMESPACE).stdout.count(f"data-plane-{OLD}") == 1
    wait_for(all_ready, 60, "all to be ready")


KINDS = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,persistentvolumeclaims,poddisruptionbudgets"


def left_in(name: str) -> set[tuple[str, str]]:
    """Return kind and name of what is in a namespace, without what is the cluster's, or a person's who followed the guide."""
    left = {(each["kind"], each["metadata"]["name"]) for each in found(KINDS, "--namespace", name)}
    of_trainings = {each for each in left if each[0] in ("Job", "Pod") and "-run-" in each[1]}
    secrets = {("Secret", f"radloop-{each}") for each in ("database", "objects", "identity")}
    return left - of_trainings - secrets - {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def test_uninstalling_leaves_what_the_guide_says(story: Story) -> None:
    kept = {
        SITE_NAMESPACE: {
            ("NetworkPolicy", "radloop-training-job"),
            ("ServiceAccount", "radloop-training-job"),
            ("PersistentVolumeClaim", "radloop-site-key"),
        },
        CLOUD_NAMESPACE: set(),
    }
    for name in kept:
        helm("uninstall", RELEASE, "--namespace", name, "--wait", "--timeout", "3m")
    for name, stays in kept.items():
        wait_for(lambda name=name: not [each for each in left_in(name) if each[0] == "Pod"], 120, "the pods to end")
        assert left_in(name) == stays
