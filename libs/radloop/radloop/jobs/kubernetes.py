"""Jobs as Kubernetes Jobs, one for each run, in one namespace.

The cluster does what the cluster does best: it finds a machine, replaces a pod that was evicted, ends what takes too long.
Nothing is remembered here: the Job is found again by its name, its pods by their label. What a Job looks like stands in
`radloop.jobs.manifest`, and how its states are read in `radloop.jobs.kubernetes_status`.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3.exceptions
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from radloop.errors import PermanentError, RadloopError, Unavailable
from radloop.jobs.kubernetes_status import has_failed, status_of
from radloop.jobs.manifest import CONTAINER, RUN_LABEL, JobSettings, job_manifest, job_name
from radloop.jobs.port import JobStatus

_TIMEOUT_S = (5, 30)
"""To connect, and to wait for an answer."""
_DELAY_S = 5.0
_LOG_BYTES = 16 * 2**20
_ATTEMPTS = 5
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubernetesJobs:
    """Launcher of Kubernetes Jobs.

    Parameters
    ----------
    api : kubernetes.client.ApiClient
        Knows where the cluster is and who we are.
    namespace : str
        Where the Jobs are.
    settings : JobSettings
        What the site decides about them.
    """

    def __init__(self, api: client.ApiClient, namespace: str, settings: JobSettings) -> None:
        self._batch, self._core = client.BatchV1Api(api), client.CoreV1Api(api)
        self._namespace, self._settings = namespace, settings

    def start(self, run_id: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Make the run's Job; one that is there and has not failed stays as it is, a failed one makes way for a new one."""
        # The client takes its own classes, or what they are made of.
        body: Any = job_manifest(run_id, argv, env, self._settings)
        for _ in range(_ATTEMPTS):
            with _in_our_words():
                try:
                    self._batch.create_namespaced_job(self._namespace, body, _request_timeout=_TIMEOUT_S)
                    return
                except ApiException as error:
                    if error.status != 409:
                        raise
                job = self._job(run_id)
                if job is not None and not has_failed(job):
                    return
                if job is not None:
                    self._delete(job)
        raise Unavailable(
            "job-being-deleted", delay_s=_DELAY_S, expected="the failed Job to go", got="one that is still there"
        )

    def status(self, run_id: str) -> JobStatus:
        """Say where the run's Job stands."""
        with _in_our_words():
            return status_of(self._job(run_id), self._pods(run_id), time.time())

    def log(self, run_id: str) -> bytes:
        """Return the logs of the Job's pods, oldest first; those of pods that were evicted went with them."""
        with _in_our_words():
            logs = ((pod.metadata.name, self._log_of(pod)) for pod in self._pods(run_id))
            return b"".join(f"--- pod {name}\n".encode() + log for name, log in logs)

    def cancel(self, run_id: str) -> None:
        """Delete the run's Job; its pods are ended in the background, with their grace time, and it counts as running until then."""
        with _in_our_words():
            job = self._job(run_id)
            if job is not None:
                self._delete(job)

    def _job(self, run_id: str) -> Any:
        return _or_none(
            lambda: self._batch.read_namespaced_job(job_name(run_id), self._namespace, _request_timeout=_TIMEOUT_S)
        )

    def _pods(self, run_id: str) -> list[Any]:
        """Return the run's pods, oldest first; also those of an earlier Job of it, or of one that was deleted."""
        pods = self._core.list_namespaced_pod(
            self._namespace, label_selector=f"{RUN_LABEL}={run_id}", _request_timeout=_TIMEOUT_S
        ).items
        return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def _delete(self, job: Any) -> None:
        """Delete this very Job, not one that somebody has made under its name meanwhile."""
        options = client.V1DeleteOptions(
            propagation_policy="Background", preconditions=client.V1Preconditions(uid=job.metadata.uid)
        )
        try:
            self._batch.delete_namespaced_job(
                job.metadata.name, self._namespace, body=options, _request_timeout=_TIMEOUT_S
            )
        except ApiException as error:
            if error.status not in (404, 409):  # gone, or another by now
                raise

    def _log_of(self, pod: Any) -> bytes:
        try:
            answer: Any = self._core.read_namespaced_pod_log(
                pod.metadata.name,
                self._namespace,
                container=CONTAINER,
                limit_bytes=_LOG_BYTES,
                _preload_content=False,  # the client would decode it, and may not be able to
                _request_timeout=_TIMEOUT_S,
            )
        except ApiException as error:
            if error.status in (400, 404):  # not started yet, or gone
                return b""
            if error.status is not None and error.status >= 500:  # its node is away: a result must not wait for its log
                return b"(its node does not give the log)\n"
            raise
        data: bytes = answer.data
        return data


def open_kubernetes(settings: JobSettings) -> KubernetesJobs:
    """Open the cluster this service runs in, else the one that ``KUBECONFIG`` or ``~/.kube/config`` names.

    Raises
    ------
    PermanentError
        Neither is there, or no image is named.
    """
    if not settings.image:
        raise PermanentError(
            "job-image-missing", expected="the image of the training program", got="none", do="set TRAINER_JOB_IMAGE"
        )
    configuration = client.Configuration()
    namespace = "default"
    try:
        config.load_incluster_config(client_configuration=configuration)
        namespace = _OWN_NAMESPACE.read_text().strip()
    except config.ConfigException:
        # The client asks for KUBECONFIG when it is imported, and would miss one that is set later.
        file = os.environ.get("KUBECONFIG", "~/.kube/config")
        try:
            config.load_kube_config(file, client_configuration=configuration)
            _, context = config.list_kube_config_contexts(file)
            namespace = context["context"].get("namespace", namespace)
        except config.ConfigException as error:
            raise PermanentError(
                "cluster-unknown",
                expected="a pod's service account token, or a kubeconfig",
                got="neither",
                do="mount the service account's token into the trainer, or set KUBECONFIG",
            ) from error
    configuration.client_side_validation = False  # the server knows its version better
    return KubernetesJobs(client.ApiClient(configuration), settings.namespace or namespace, settings)


def _or_none(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ApiException as error:
        if error.status == 404:
            return None
        raise


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except ApiException as error:
        raise _ours(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(
            "cluster-unavailable",
            delay_s=_DELAY_S,
            expected="an answer of the Kubernetes API",
            got=type(error).__name__,
            do="look at the API server, and at what the network policy lets the trainer reach",
        ) from error


def _ours(error: ApiException) -> RadloopError:
    said = _message_of(error)
    if error.status in (401, 403):
        return PermanentError(
            "cluster-refuses-us",
            expected="leave to create, get, list, watch and delete jobs, and to get and list pods and their logs",
            got=said,
            do="look at the trainer's Role (radloop.jobs.manifest.ROLE) and at the quota of the namespace",
        )
    if error.status in (400, 404, 422):
        return PermanentError(
            "job-refused", expected="a Job the cluster takes", got=said, do="look at the TRAINER_JOB_* settings"
        )
    return Unavailable(
        "cluster-unavailable", delay_s=_DELAY_S, expected="an answer of the Kubernetes API", got=f"{error.status}"
    )


def _message_of(error: ApiException) -> str:
    """Return what the API server says in its Status, in one line of bearable length."""
    try:
        said = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.reason)
    return " ".join(said.split())[:300]
