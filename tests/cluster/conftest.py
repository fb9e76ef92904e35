"""The cluster that KUBECONFIG names, engines beside it, and both planes installed in it."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standalone.setup import Plane
from tests.cluster.commands import apply, found, kubectl
from tests.cluster.engines import PlaneEngines, plane_engines
from tests.cluster.installation import SITE, namespace, secrets_of

GPU = "nvidia.com/gpu"
SITE_NAMESPACE, CLOUD_NAMESPACE = "hospital", "cloud"


@dataclass(frozen=True)
class Cluster:
    """What the tests know of the cluster.

    Attributes
    ----------
    node
        Its one node.
    api
        Address of the Kubernetes API's node.
    outside
        Address of this machine, as pods reach it.
    folder
        For what is written down meanwhile.
    """

    node: str
    api: str
    outside: str
    folder: Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave them out where nobody has named a cluster for them."""
    if "CLUSTER_TESTS" not in os.environ:
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="needs a cluster: make test-cluster runs it"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with one node that counts two GPUs, though it has none."""
    node = found("nodes")[0]["metadata"]["name"]
    counted = '[{"op":"add","path":"/status/capacity/nvidia.com~1gpu","value":"2"}]'
    kubectl("patch", "node", node, "--subresource=status", "--type=json", "--patch", counted)
    api = found("endpoints", "kubernetes", "--namespace", "default")["subsets"][0]["addresses"][0]["ip"]
    outside = os.environ.get("CLUSTER_OUTSIDE", "10.203.7.1")
    with tempfile.TemporaryDirectory(prefix="radloop-cluster-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Cluster(node, api, outside, Path(folder))


@pytest.fixture(scope="module")
def site_engines(cluster: Cluster) -> Iterator[PlaneEngines]:
    """The hospital's engines, new for each module: an index belongs to the site key that it was begun with."""
    with (
        tempfile.TemporaryDirectory(dir=cluster.folder, ignore_cleanup_errors=True) as folder,
        plane_engines(Path(folder), Plane.DATA, SITE, cluster.outside) as engines,
    ):
        yield engines


@pytest.fixture(scope="module")
def cloud_engines(cluster: Cluster) -> Iterator[PlaneEngines]:
    """The cloud's engines."""
    with (
        tempfile.TemporaryDirectory(dir=cluster.folder, ignore_cleanup_errors=True) as folder,
        plane_engines(Path(folder), Plane.CONTROL, "cloud", cluster.outside) as engines,
    ):
        yield engines


@pytest.fixture(scope="module")
def namespaces(site_engines: PlaneEngines, cloud_engines: PlaneEngines) -> None:
    """Two namespaces with the Secrets that the guide has people make."""
    for name, engines in ((CLOUD_NAMESPACE, cloud_engines), (SITE_NAMESPACE, site_engines)):
        namespace(name)
        apply(*secrets_of(name, engines))
