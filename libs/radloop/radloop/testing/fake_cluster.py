"""A Kubernetes API for Jobs in one process: what `radloop.jobs.kubernetes` asks of a cluster, answered over real HTTP.

Its pods are processes of this machine, so that a Job really runs. The rules of the Job controller that matter here are kept:
podFailurePolicy, backoffLimit, a pod that was evicted is made again. It stands in for a cluster where none is to be had; that
a real one does the same is shown elsewhere (tests/cluster).
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

NAMESPACE = "radloop"
_PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
UNSCHEDULABLE = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


class FakeCluster:
    """A cluster of one namespace.

    Parameters
    ----------
    folder : pathlib.Path
        Each pod gets a folder in it, where its work folder would be.

    Attributes
    ----------
    requests : list of (str, str)
        Method and path of everything that was asked.
    refusal : (int, str) or None
        Status and message that every request is answered with.
    has_room : bool
        Whether new pods find a machine.
    image_error : str
        Reason why new pods' image cannot be fetched.
    has_logs : bool
        Whether the machines give the logs of their pods.
    secrets : dict of str to dict
        Secrets by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str]] = []
        self.refusal: tuple[int, str] | None = None
        self.has_room, self.image_error, self.has_logs = True, "", True
        self.secrets: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, Json] = {}
        self.pods: dict[str, Json] = {}
        self.lock = threading.RLock()
        self._numbers = itertools.count()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return the API server's address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def kubeconfig(self) -> Path:
        """Write a kubeconfig for this cluster; return its path."""
        context = {"cluster": "fake", "user": "trainer", "namespace": NAMESPACE}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "trainer", "user": {"token": "fake"}}],
            "contexts": [{"name": "fake", "context": context}],
            "current-context": "fake",
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(content))  # JSON is YAML, too
        return path

    def close(self) -> None:
        """End the API and every pod."""
        for name in list(self.jobs):
            self.delete(name)
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it has started
        self.stop()

    def stop(self) -> None:
        """End the API; pods go on."""
        self._server.shutdown()
        self._server.server_close()

    def create(self, body: Json) -> Json:
        """Take a Job and make its first pod."""
        metadata = body["metadata"]
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "namespace": NAMESPACE}
        body["status"] = {"conditions": [], "failed": 0}
        self.jobs[metadata["name"]] = body
        if not body["spec"].get("suspend"):
            self._make_pod(body)
        return body

    def delete(self, name: str) -> None:
        """Forget a Job and end its pods, as the propagation policy "Background" does."""
        with self.lock:
            job = self.jobs.pop(name)
            for pod in self._pods_of(job):
                if not self._kill(pod, signal.SIGTERM):
                    del self.pods[pod["metadata"]["name"]]

    def evict(self, name: str) -> None:
        """Drain the machine that a Job's pod runs on: the pod is told to end, then marked."""
        with self.lock:
            pod = self._pods_of(self.jobs[name])[-1]
            pod["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True", "reason": "Evicted"})
            self._kill(pod, signal.SIGTERM)

    def process_of(self, pod: str) -> int:
        """Return the id of a pod's first process."""
        return self._processes[pod].pid

    def log_of(self, pod: str) -> bytes:
        """Return what a pod wrote."""
        return (self.folder / pod / "log").read_bytes()

    def selected(self, label: str, value: str) -> list[Json]:
        """Return the pods that carry a label with a value."""
        return [pod for pod in list(self.pods.values()) if pod["metadata"]["labels"].get(label) == value]

    def _pods_of(self, job: Json) -> list[Json]:
        return self.selected("batch.kubernetes.io/controller-uid", job["metadata"]["uid"])

    def _make_pod(self, job: Json) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{next(self._numbers):05d}"
        labels = template["metadata"]["labels"] | {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        status: Json = {"phase": "Pending", "conditions": [], "containerStatuses": []}
        pod = {
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "creationTimestamp": _now()},
            "spec": template["spec"],
            "status": status,
        }
        self.pods[name] = pod
        (self.folder / name).mkdir(parents=True)
        if not self.has_room:
            said = {"reason": "Unschedulable", "message": UNSCHEDULABLE}
            status["conditions"].append({"type": "PodScheduled", "status": "False", **said})
            return
        status["conditions"].append({"type": "PodScheduled", "status": "True"})
        if self.image_error:
            self._state(pod, {"waiting": {"reason": self.image_error, "message": "pull access denied"}})
            return
        self._run(job, pod)

    def _run(self, job: Json, pod: Json) -> None:
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        folder = self.folder / name
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                container["command"],
                cwd=folder,
                env={"PATH": _PATH, "TMPDIR": str(folder)} | self._environment(container),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[name] = process
        pod["status"]["phase"] = "Running"
        self._state(pod, {"running": {"startedAt": _now()}})
        threading.Thread(target=self._wait, args=(job, pod, process), daemon=True).start()

    def _environment(self, container: Json) -> dict[str, str]:
        found = {}
        for each in container["env"]:
            if "value" in each:
                found[each["name"]] = each["value"]
            else:
                place = each["valueFrom"]["secretKeyRef"]
                if place["key"] in self.secrets[place["name"]] or not place.get("optional"):
                    found[each["name"]] = self.secrets[place["name"]][place["key"]]
        return found

    def _wait(self, job: Json, pod: Json, process: "subprocess.Popen[bytes]") -> None:
        """Be the kubelet, then the Job controller: note how a pod ended, then decide what becomes of its Job."""
        code = process.wait()
        code = code if code >= 0 else 128 - code
        with self.lock:
            pod["status"]["phase"] = "Failed" if code else "Succeeded"
            self._state(pod, {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}})
            if self.jobs.get(job["metadata"]["name"]) is not job:
                self.pods.pop(pod["metadata"]["name"], None)  # deleted meanwhile
                return
            if not code:
                self._end(job, "Complete", "CompletionsReached")
                return
            action = _action(job, pod, code)
            if action == "FailJob":
                self._end(job, "Failed", "PodFailurePolicy")
                return
            job["status"]["failed"] += action != "Ignore"
            if job["status"]["failed"] > job["spec"]["backoffLimit"]:
                self._end(job, "Failed", "BackoffLimitExceeded")
            else:
                self._make_pod(job)

    @staticmethod
    def _end(job: Json, kind: str, reason: str) -> None:
        job["status"]["conditions"].append({"type": kind, "status": "True", "reason": reason, "message": ""})

    @staticmethod
    def _state(pod: Json, state: Json) -> None:
        container = {"name": pod["spec"]["containers"][0]["name"], "image": "", "imageID": "", "ready": False}
        pod["status"]["containerStatuses"] = [container | {"restartCount": 0, "state": state}]

    def _kill(self, pod: Json, what: signal.Signals) -> bool:
        """Tell a pod's first process alone, as the runtime does; return whether there was one."""
        process = self._processes.get(pod["metadata"]["name"])
        if process is None or process.poll() is not None:
            return False
        process.send_signal(what)
        return True


def _action(job: Json, pod: Json, code: int) -> str:
    """Return what the first rule of podFailurePolicy that fits says; "Count" when none does."""
    marks = {(each["type"], each["status"]) for each in pod["status"]["conditions"]}
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes", {"values": ()})["values"]
        if code in codes or any((each["type"], each["status"]) in marks for each in rule.get("onPodConditions", ())):
            return str(rule["action"])
    return "Count"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class _Handler(BaseHTTPRequestHandler):
    """Paths and verbs that the trainer's Role allows; everything else is forbidden."""

    cluster: FakeCluster

    def do_GET(self) -> None:
        match self._place():
            case ["apis", "batch", "v1", "namespaces", _, "jobs", name] if name in self.cluster.jobs:
                self._answer(200, {"apiVersion": "batch/v1", "kind": "Job"} | self.cluster.jobs[name])
            case ["api", "v1", "namespaces", _, "pods"]:
                label, _, value = parse_qs(urlsplit(self.path).query)["labelSelector"][0].partition("=")
                found = self.cluster.selected(label, value)
                self._answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": found})
            case ["api", "v1", "namespaces", _, "pods", name, "log"] if name in self.cluster.pods:
                if not self.cluster.has_logs:
                    self._refuse(500, "dial tcp: no route to host")
                elif (self.cluster.folder / name / "log").exists():
                    self._bytes(200, self.cluster.log_of(name), "text/plain")
                else:
                    self._refuse(400, "container is waiting to start")
            case [*_, ("jobs" | "pods" | "log"), _]:
                self._refuse(404, "not found")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._place()[-1:] == ["jobs"]:
            if body["metadata"]["name"] in self.cluster.jobs:
                self._refuse(409, "already exists")
            else:
                self._answer(201, self.cluster.create(body))

    def do_DELETE(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        name = (self._place() or [""])[-1]
        with self.cluster.lock:
            job = self.cluster.jobs.get(name)
            if job is None:
                self._refuse(404, "not found")
            elif asked.get("preconditions", {}).get("uid", job["metadata"]["uid"]) != job["metadata"]["uid"]:
                self._refuse(409, "the UID in the precondition does not match")
            elif asked.get("propagationPolicy") != "Background":
                self._refuse(422, "pods would be orphaned")
            else:
                self.cluster.delete(name)
                self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _place(self) -> list[str]:
        """Return the parts of the path; nothing, and an answer given, where the cluster refuses."""
        path = urlsplit(self.path).path
        self.cluster.requests.append((self.command, path))
        if self.cluster.refusal:
            self._refuse(*self.cluster.refusal)
            return []
        return path.strip("/").split("/")

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"kind": "Status", "apiVersion": "v1", "message": message, "code": status})

    def _answer(self, status: int, content: Json) -> None:
        with self.cluster.lock:
            data = json.dumps(content).encode()
        self._bytes(status, data, "application/json")

    def _bytes(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
