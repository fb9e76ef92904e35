"""The Job of a run, against golden files. After a wanted change: ``RADLOOP_GOLDEN=write pytest`` here, and read the difference."""

import os
from pathlib import Path

import pytest
import yaml

from radloop.jobs import JobSettings
from radloop.jobs.manifest import job_manifest

GOLDEN = Path(__file__).parent / "golden"
RUN = "7f8b0a52-93c1-5d4e-8a68-0e1f9d3c2b11"
ARGV = ["python", "-m", "training_job.pod", f"trainer/liver/runs/{RUN}"]
ENV = {"RADLOOP_OBJECTS_URL": "s3://radloop?endpoint=http://objects:9000", "OMP_NUM_THREADS": "4"}

SETTINGS = {
    "smallest": JobSettings(image="registry.example.org/radloop/training-job:0.2.0"),
    "one-gpu": JobSettings(
        image="registry.example.org/radloop/training-job@sha256:" + "ab" * 32,
        gpu_resource="nvidia.com/gpu",
        gpu_count=1,
        cpu="4",
        memory="32Gi",
        shared_memory="8Gi",
        node_selector={"radloop.io/gpu": "true"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        pull_secrets=["registry"],
        store_secret="objects",
    ),
    "four-gpus-in-a-queue": JobSettings(
        image="registry.example.org/radloop/training-job:0.2.0",
        service_account="training-job",
        gpu_resource="nvidia.com/gpu",
        gpu_count=4,
        queue="training",
        priority_class="training",
        runtime_class="nvidia",
        deadline_s=7200,
        time_to_live_s=600,
        backoff_limit=0,
        store_secret="objects",
        store_ca_secret="objects-ca",
    ),
}


def text_of(name: str) -> str:
    return yaml.safe_dump(job_manifest(RUN, ARGV, ENV, SETTINGS[name]), sort_keys=False, width=120)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_manifest_is_the_golden_one(name: str) -> None:
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("RADLOOP_GOLDEN") == "write":
        golden.write_text(text_of(name))
    assert text_of(name) == golden.read_text()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_arguments_give_the_same_manifest(name: str) -> None:
    assert text_of(name) == text_of(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_pod_meets_pod_security_restricted(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    pod = job_manifest(RUN, ARGV, ENV, SETTINGS[name])["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {"emptyDir", "secret"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]} and not context["allowPrivilegeEscalation"]
        assert context["readOnlyRootFilesystem"]
    assert not pod["automountServiceAccountToken"] and not pod["enableServiceLinks"]


def test_what_the_cluster_client_sends_is_the_manifest() -> None:
    """The client reads the manifest into its own classes first: nothing may get lost on the way."""
    from kubernetes.client import ApiClient, V1Job  # two seconds

    for settings in SETTINGS.values():
        manifest = job_manifest(RUN, ARGV, ENV, settings)
        assert ApiClient().sanitize_for_serialization(V1Job.from_dict(manifest)) == manifest
