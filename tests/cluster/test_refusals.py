"""What is wrong with an installation is said, by Helm, by the state of a pod or by its log: never a wait without an end."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.two_planes import wait_for
from tests.cluster.commands import apply, found, helm, kubectl
from tests.cluster.conftest import Cluster
from tests.cluster.engines import PlaneEngines
from tests.cluster.installation import CHARTS, RELEASE, namespace, secrets_of, shared_values

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture
def place(cloud_engines: PlaneEngines) -> Iterator[str]:
    """A namespace with the control plane's Secrets."""
    name = f"wrong-{uuid.uuid4().hex[:6]}"
    namespace(name)
    apply(*secrets_of(name, cloud_engines))
    yield name
    helm("uninstall", RELEASE, "--namespace", name, "--no-hooks", check=False)
    kubectl("delete", "namespace", name, "--wait=false")


def refused(place: str, values: dict[str, Any], cluster: Cluster, timeout: str = "25s") -> str:
    """Install what cannot come up; return what Helm says of it."""
    file = cluster.folder / f"{place}.json"
    file.write_text(json.dumps(values))
    arguments = ("--namespace", place, "--values", str(file), "--wait", "--timeout", timeout)
    done = helm("install", RELEASE, str(CHARTS / "control-plane"), *arguments, check=False)
    assert done.returncode != 0
    return done.stderr


def waiting_of(place: str, component: str) -> str:
    """Return why a pod's container waits, reason and message."""
    for pod in found("pods", "--namespace", place, "--selector", f"app.kubernetes.io/name={component}"):
        for state in pod["status"].get("containerStatuses", []):
            if waiting := state["state"].get("waiting"):
                return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""


def test_a_misspelt_value_is_named(place: str, cloud_engines: PlaneEngines, cluster: Cluster) -> None:
    said = refused(place, shared_values(cloud_engines) | {"evnts": {}}, cluster)
    assert "evnts" in said and found("pods", "--namespace", place) == []


def test_a_missing_secret_is_named_in_the_state_of_the_pod(
    place: str, cloud_engines: PlaneEngines, cluster: Cluster
) -> None:
    kubectl("delete", "secret", "radloop-database", "--namespace", place)
    refused(place, shared_values(cloud_engines), cluster)
    said = wait_for(lambda: waiting_of(place, "migrate"), 60, "a reason")
    assert "CreateContainerConfigError" in said and 'secret "radloop-database" not found' in said


def test_an_image_that_cannot_be_pulled_is_named(place: str, cloud_engines: PlaneEngines, cluster: Cluster) -> None:
    values = shared_values(cloud_engines)
    values["image"] = values["image"] | {"registry": "registry.invalid"}
    refused(place, values, cluster)
    said = wait_for(lambda: waiting_of(place, "migrate"), 60, "a reason")
    assert "ImagePull" in said and "registry.invalid/radloop/control-plane" in said


def test_a_database_that_is_away_fails_the_migration_with_its_log(
    place: str, cloud_engines: PlaneEngines, cluster: Cluster
) -> None:
    away = {"control-plane": f"postgresql+psycopg://control_plane:hidden@{cluster.outside}:9/radloop"}
    kubectl("delete", "secret", "radloop-database", "--namespace", place)
    kubectl("create", "secret", "generic", "radloop-database", "--namespace", place,
            f"--from-literal=control-plane={away['control-plane']}")  # fmt: skip
    values = shared_values(cloud_engines)
    values["migrate"] = {"waitSeconds": 4}
    values["networkPolicy"]["to"]["database"]["ports"] = [9]
    said = refused(place, values, cluster, timeout="90s")
    assert "radloop-migrate failed" in said
    log = kubectl("logs", "job/radloop-migrate", "--namespace", place, "--all-containers")
    assert "database-unavailable" in log and "no connection" in log and "hidden" not in log


def test_a_kafka_that_is_away_is_in_the_log_of_the_pod_that_is_not_ready(
    place: str, cloud_engines: PlaneEngines, cluster: Cluster
) -> None:
    values = shared_values(cloud_engines)
    values["events"] = {"url": f"kafka://{cluster.outside}:9"}
    values["networkPolicy"]["to"]["events"]["ports"] = [9]
    refused(place, values, cluster, timeout="45s")
    log = kubectl("logs", f"deployment/{RELEASE}-control-plane", "--namespace", place)
    told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(
        line.get("error") == "event-log-unreachable" and f"{cluster.outside}:9" in line["expected"] for line in told
    ), log
    [pod] = found("pods", "--namespace", place, "--selector", "app.kubernetes.io/name=control-plane")[:1]
    assert pod["status"]["phase"] == "Running" and not pod["status"]["containerStatuses"][0]["ready"]
