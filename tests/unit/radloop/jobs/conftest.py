"""A cluster in this process, named by KUBECONFIG."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from radloop.testing.fake_cluster import FakeCluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster whose pods are processes of this machine."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = FakeCluster(folder)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig()))
    yield cluster
    cluster.close()
