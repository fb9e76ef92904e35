"""The Kubernetes Job of a run, as a pure function: the same arguments give the same manifest, which a golden file can hold.

What a reader of the cluster's security asks is answered here: the pod meets Pod Security "restricted", has no service account
token, hears of no Service, and the only secret it holds are the keys of the object store, with the certificate that signed it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from radloop.errors import Invalid

NAME_PREFIX = "radloop-run-"
CONTAINER = "training"
RUN_LABEL = "radloop.io/run"
WORK_FOLDER = "/work"
"""The pod's only large writable folder, and its working directory."""
NEVER_AGAIN = (2, 3, 4)
"""Exit codes of a wrong call, a bad plan and a loss that was not finite (`training_job.__main__`): trying again gives the same."""
ROLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("batch", ("jobs",), ("create", "get", "list", "watch", "delete")),
    ("", ("pods", "pods/log"), ("get", "list")),
)
"""All that the trainer's Role must allow, in the namespace of the jobs alone: (API group, resources, verbs)."""

_RUN_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_HOME = {"HOME": "/tmp", "USER": "radloop"}
"""The user's number has no entry in the image's list of users, and its root folder cannot be written to."""
_STORE_KEYS = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}
"""What is taken from the Secret, and whether it may be missing there."""
_STORE_CA = "/etc/radloop/objects"
"""Folder with the certificate of who signed the object store's own."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a site decides about its jobs. Quantities are Kubernetes' (``500m``, ``8Gi``)."""

    image: str
    namespace: str = ""
    """Empty: the namespace this service runs in."""
    service_account: str = "default"
    """Its token is never mounted."""
    gpu_resource: str = ""
    """Name of the resource that counts GPUs, e.g. ``nvidia.com/gpu``; empty for none."""
    gpu_count: int = 0
    cpu: str = "2"
    memory: str = "8Gi"
    """Request and limit; what lies in /dev/shm counts."""
    shared_memory: str = "1Gi"
    """Size of /dev/shm."""
    scratch: str = "50Gi"
    """Size of the work folder: copies of the images, checkpoints, the bundle."""
    deadline_s: int = 24 * 3600
    """After so many seconds, waiting included, the job is ended as failed."""
    time_to_live_s: int = 24 * 3600
    """For so many seconds an ended job and its log can be looked at."""
    backoff_limit: int = 2
    """How often a pod that crashed is made again, after 10 s, then 20 s; one that was evicted or preempted does not count."""
    grace_s: int = 60
    """Between being told to end and being killed: time to bring the last checkpoint to the store."""
    queue: str = ""
    """Kueue's LocalQueue; empty for none."""
    priority_class: str = ""
    runtime_class: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    pull_secrets: Sequence[str] = ()
    store_secret: str = ""
    """Existing Secret with the object store's keys, named as boto3 names them; empty where the pod needs none."""
    store_ca_secret: str = ""
    """Existing Secret whose ca.crt signed the object store's certificate; empty for what the image trusts."""
    user: int = 10001
    """User and group the pod runs as; not root."""


def job_name(run_id: str) -> str:
    """Return the name of a run's Job: a second creation of it is refused as already there.

    Raises
    ------
    Invalid
        The run's id cannot be part of a name.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise Invalid("run-id-invalid", expected="lower-case letters, digits and -, 40 at most", got="another run id")
    return NAME_PREFIX + run_id


def job_manifest(run_id: str, argv: Sequence[str], env: Mapping[str, str], settings: JobSettings) -> dict[str, Any]:
    """Return the Job (batch/v1) of a run.

    Parameters
    ----------
    run_id
        Becomes name and label.
    argv
        The program, as the image knows it.
    env
        Plain variables; no secrets, for everybody who may see the Job sees them.
    settings
        The site's.

    Raises
    ------
    Invalid
        The run's id cannot be part of a name.
    """
    labels = {
        "app.kubernetes.io/name": "training-job",
        "app.kubernetes.io/part-of": "radloop",
        "app.kubernetes.io/managed-by": "trainer",
        RUN_LABEL: run_id,
    }
    queue = {"kueue.x-k8s.io/queue-name": settings.queue} if settings.queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(run_id), "labels": labels | queue},
        "spec": {
            "activeDeadlineSeconds": settings.deadline_s,
            "ttlSecondsAfterFinished": settings.time_to_live_s,
            "backoffLimit": settings.backoff_limit,
            # A pod is replaced when it has ended, not while it still writes.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": list(NEVER_AGAIN),
                        },
                    },
                    # Eviction, preemption, a drained or lost node: made again, and not counted.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(argv, env, settings)},
        },
    }


def _pod(argv: Sequence[str], env: Mapping[str, str], settings: JobSettings) -> dict[str, Any]:
    certificate = {"secretName": settings.store_ca_secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    optional = {
        "priorityClassName": settings.priority_class,
        "runtimeClassName": settings.runtime_class,
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(each) for each in settings.tolerations],
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
    }
    return {
        "restartPolicy": "Never",  # what podFailurePolicy asks for
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **{name: value for name, value in optional.items() if value},
        "containers": [_container(argv, env, settings)],
        "volumes": [
            {"name": "work", "emptyDir": {"sizeLimit": settings.scratch}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            # The runtime's own /dev/shm has 64 MiB, too little for processes that hand tensors to one another.
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
            *([{"name": "objects-ca", "secret": certificate}] if settings.store_ca_secret else []),
        ],
    }


def _container(argv: Sequence[str], env: Mapping[str, str], settings: JobSettings) -> dict[str, Any]:
    limits = {"memory": settings.memory}
    if settings.gpu_resource and settings.gpu_count:
        limits[settings.gpu_resource] = str(settings.gpu_count)
    trusted = {"AWS_CA_BUNDLE": f"{_STORE_CA}/ca.crt"} if settings.store_ca_secret else {}
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(argv),
        "workingDir": WORK_FOLDER,
        "env": [{"name": name, "value": value} for name, value in sorted((_HOME | trusted | dict(env)).items())]
        + _store_keys(settings.store_secret),
        "resources": {"requests": {"cpu": settings.cpu, **limits}, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The end of the log, where there is one, tells a person who looks at the pod why it failed.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "work", "mountPath": WORK_FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            *([{"name": "objects-ca", "mountPath": _STORE_CA, "readOnly": True}] if trusted else []),
        ],
    }


def _store_keys(secret: str) -> list[dict[str, Any]]:
    if not secret:
        return []
    return [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": secret, "key": name, **({"optional": True} if optional else {})}},
        }
        for name, optional in _STORE_KEYS.items()
    ]
