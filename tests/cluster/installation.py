"""Both charts in the cluster, joined to engines outside; and the way to their services from this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from radloop.auth import secret_of
from standalone.layout import Layout, Platform
from standalone.supervisor.ports import HOST, free_ports
from tests.chaos.two_planes import wait_for
from tests.cluster.commands import ROOT, apply, found, helm, kubectl, secret
from tests.cluster.engines import PlaneEngines

RELEASE = "radloop"
SITE = "site-1"
CHARTS = Path(os.environ.get("CLUSTER_CHARTS", ROOT / "helm"))
# The node of the tests has two cores: what pods ask for in a hospital would not fit, what they may take at most does.
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}}
INSTALLED_WITHIN = "8m"


@dataclass(frozen=True)
class Images:
    """Where the cluster takes images from."""

    registry: str = os.environ.get("CLUSTER_REGISTRY", "localhost")
    tag: str = os.environ.get("CLUSTER_TAG", "0.1.0")

    @property
    def values(self) -> dict[str, Any]:
        """The chart's value ``image``."""
        return {"registry": self.registry, "repository": "radloop", "tag": self.tag}


def namespace(name: str) -> None:
    """Make a namespace in which only pods of Pod Security "restricted" may be."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def secrets_of(name: str, engines: PlaneEngines) -> list[dict[str, Any]]:
    """Describe the Secrets that both charts name, in a namespace."""
    return [
        secret(name, "radloop-database", engines.database_urls()),
        secret(name, "radloop-objects", engines.store_keys),
        secret(name, "radloop-identity", {"secret": secret_of(engines.layout.secret_file)}),
    ]


def shared_values(engines: PlaneEngines) -> dict[str, Any]:
    """Values of either chart: all that the control plane's needs."""
    here = [{"ipBlock": {"cidr": f"{engines.address}/32"}}]
    ports = engines.ports
    return {
        "image": Images().values,
        "events": {"url": f"kafka://{engines.brokers}"},
        "database": {"existingSecret": "radloop-database"},
        "identity": {"tokenSecret": "radloop-identity"},
        "components": {name: {"resources": SMALL, "replicas": 1} for name in engines.layout.setup.services},
        "networkPolicy": {
            "from": {"gateway": here},
            "to": {name: {"peers": here, "ports": [ports[name]]} for name in ("events", "database")},
        },
    }


def site_values(engines: PlaneEngines, cloud: PlaneEngines | None, api: str) -> dict[str, Any]:
    """Values of the data plane; ``api`` is the address of the Kubernetes API's node."""
    values = shared_values(engines)
    here = [{"ipBlock": {"cidr": f"{engines.address}/32"}}]
    values |= {
        "site": SITE,
        "objects": {"url": engines.objects_url, "existingSecret": "radloop-objects"},
        "dicom": {"service": {"type": "NodePort"}},
        "jobs": {
            "gpuResource": "nvidia.com/gpu",
            "cpu": "100m",
            "memory": "4Gi",
            "scratch": "8Gi",
            "sharedMemory": "512Mi",
            "graceSeconds": 20,
        },
        "triton": {"resources": {"requests": {"cpu": "20m", "memory": "256Mi"}, "limits": {"memory": "8Gi"}}},
    }
    values["components"]["ingest"]["env"] = {"INGEST_QUIET_S": "2"}
    policy = values["networkPolicy"]
    policy["from"]["dicom"] = here
    policy["to"]["objects"] = {"peers": here, "ports": [engines.ports["objects"]]}
    policy["to"]["kubernetesApi"] = {"peers": [{"ipBlock": {"cidr": f"{api}/32"}}]}
    if cloud is not None:
        values["mirror"] = {
            "enabled": True,
            "siteBrokers": engines.brokers,
            "cloudBrokers": cloud.brokers,
            "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "768Mi"}},
        }
        policy["to"]["controlPlane"] = {"peers": here, "ports": [cloud.ports["events"]]}
    return values


def install(chart: Path, name: str, values: Mapping[str, Any], folder: Path, *more: str) -> None:
    """Install a chart, or upgrade to it, and wait until all is ready."""
    file = folder / f"values-{name}.json"
    file.write_text(json.dumps(values, indent=2))
    done = helm(
        *("upgrade", "--install", RELEASE, str(chart), "--namespace", name, "--values", str(file)),
        *("--wait", "--timeout", INSTALLED_WITHIN, *more),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + troubles(name)


def troubles(name: str) -> str:
    """Say what a person would look at when an installation does not come to its end."""
    said = [kubectl("--namespace", name, "get", "pods,jobs", "--output", "wide", check=False)]
    said.append(kubectl("--namespace", name, "get", "events", "--sort-by=.lastTimestamp", check=False)[-3000:])
    for pod in found("pods", "--namespace", name):
        if not all(each["ready"] for each in pod["status"].get("containerStatuses", [{"ready": False}])):
            logs = ("logs", pod["metadata"]["name"], "--all-containers", "--tail=15")
            said.append(kubectl("--namespace", name, *logs, check=False))
    return "\n".join(said)


@contextmanager
def doors(name: str, layout: Layout) -> Iterator[Platform]:
    """Put the one door of a machine before the pods, so that the demo's script and readers find them as they find any platform."""
    services = {service: f"http://{address_of(name, f'{RELEASE}-{service}')}:8080" for service in layout.setup.services}
    dicom_host, dicom_port = "", 0
    if "ingest" in services:
        dicom_host, dicom_port = address_of(name, f"{RELEASE}-dicom"), 11112
    platform = Platform(
        url=f"http://{HOST}:{free_ports(1)[0]}",
        pid=os.getpid(),
        services=services,
        dicom_host=dicom_host,
        dicom_port=dicom_port,
        dicom_ae_title="RADLOOP",
        login_code="",
        ready=True,
    )
    platform.write(layout)
    command = [sys.executable, "-m", "standalone.gateway", "--data", str(layout.folder)]
    with (layout.logs_folder / "gateway.log").open("ab") as log:
        gateway = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(platform.url), 30, "the gateway")
        yield platform
    finally:
        gateway.terminate()
        gateway.wait(15)
        layout.platform_file.unlink(missing_ok=True)


def address_of(name: str, service: str) -> str:
    """Return the address of a Service in a namespace."""
    return found("service", service, "--namespace", name)["spec"]["clusterIP"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


def pods(name: str, component: str) -> list[dict[str, Any]]:
    """Return the running pods of a component."""
    label = f"app.kubernetes.io/name={component}"
    every = found("pods", "--namespace", name, "--selector", label)
    return [pod for pod in every if not pod["metadata"].get("deletionTimestamp")]
