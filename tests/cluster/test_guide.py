"""The install guides' own commands, typed into a shell: hosts, passwords and sizes are others here, and a token's secret stands in
the place of an identity provider with TLS."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.cluster.commands import ROOT, environment_with_tools, found, helm, kubectl
from tests.cluster.conftest import Cluster
from tests.cluster.engines import PlaneEngines
from tests.cluster.installation import RELEASE, SMALL, Images

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

GUIDES = ROOT / "docs" / "operate"
NAMESPACE = "radloop"  # the guides' own
TOKEN = {"url": "", "tokenSecret": "token"}


def blocks(guide: str, begin: str, end: str) -> list[tuple[str, str]]:
    """Return the code blocks of a part of a guide: language and text."""
    part = (GUIDES / guide).read_text().split(begin)[1].split(end)[0]
    return re.findall(r"```(\w*)\n(.*?)```", part, flags=re.S)


def replaced(text: str, others: Mapping[str, str]) -> str:
    """Put our own places into a text of the guide; every one must be there."""
    for theirs, ours in others.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def follow(folder: Path, commands: str, values: str, small: Mapping[str, object], more: Mapping[str, str]) -> None:
    """Write the guide's values and type its commands."""
    (folder / "helm").symlink_to(ROOT / "helm")
    (folder / "values.yaml").write_text(values)
    (folder / "small.json").write_text(json.dumps(small))
    (folder / "ca.crt").write_text("a certificate that nobody asks for here\n")
    for name, text in more.items():
        (folder / name).write_text(text)
    commands = commands.replace("--values values.yaml", "--values values.yaml --values small.json")
    label = f"kubectl label namespace {NAMESPACE}"
    token = f"kubectl -n {NAMESPACE} create secret generic token --from-literal=secret={'0' * 40}"
    commands = replaced(commands, {label: f"{token}\n{label}"})
    done = subprocess.run(
        ["sh", "-eux"],
        input=commands,
        cwd=folder,
        env=environment_with_tools(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Take everything away again."""
    yield
    helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", check=False)
    kubectl("delete", "namespace", NAMESPACE, check=False)


def policies(engines: PlaneEngines, cluster: Cluster) -> dict[str, object]:
    """Say where everything is, as the guide's values do of its own places."""
    here = [{"ipBlock": {"cidr": f"{cluster.outside}/32"}}]
    return {name: {"peers": here, "ports": [port]} for name, port in engines.ports.items()}


def test_the_control_planes(cluster: Cluster, cloud_engines: PlaneEngines, tmp_path: Path) -> None:
    parts = blocks("install-control-plane.md", "## 2.", "## Later")
    commands = replaced(
        "".join(text for language, text in parts if not language),
        {
            "kafka://control-plane:PASSWORD@kafka.example.org:9093?tls=true&ca=/etc/radloop/events/ca.crt": f"kafka://{cloud_engines.brokers}",
            "postgresql+psycopg://control_plane:PASSWORD@db.example.org:5432/radloop": cloud_engines.database_urls()[
                "control-plane"
            ],
        },
    )
    [values] = [text for language, text in parts if language == "yaml"]
    values = replaced(
        values,
        {"registry.example.org": Images().registry},
    )
    to = policies(cloud_engines, cluster)
    to.pop("objects")
    small = {"identity": TOKEN, "components": {"control-plane": {"resources": SMALL}}, "networkPolicy": {"to": to}}
    follow(tmp_path, commands, values, small, {})
    assert len(found("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/name=control-plane")) == 2


def test_the_data_planes(cluster: Cluster, site_engines: PlaneEngines, tmp_path: Path) -> None:
    parts = blocks("install-data-plane.md", "## 2.", "## 5.")
    keys = site_engines.store_keys
    commands = replaced(
        "".join(text for language, text in parts if not language),
        {
            "kafka://$c:PASSWORD@kafka.st-mary.example:9093?tls=true&ca=/etc/radloop/events/ca.crt": f"kafka://{site_engines.brokers}",
            "AWS_ACCESS_KEY_ID=...": f"AWS_ACCESS_KEY_ID={keys['AWS_ACCESS_KEY_ID']}",
            "AWS_SECRET_ACCESS_KEY=...": f"AWS_SECRET_ACCESS_KEY={keys['AWS_SECRET_ACCESS_KEY']}",
        },
    )
    [values] = [text for language, text in parts if language == "yaml"]
    values = replaced(
        values,
        {
            "registry.st-mary.example": Images().registry,
            "s3://radloop/site?endpoint=https://s3.st-mary.example": f"{site_engines.objects_url}".replace(
                "s3://radloop?", "s3://radloop/guide?"
            ),
            "type: LoadBalancer": "type: NodePort",  # nobody gives out addresses here
        },
    )
    names = list(yaml.safe_load((ROOT / "helm/data-plane/values.yaml").read_text())["components"])
    here = [{"ipBlock": {"cidr": f"{cluster.outside}/32"}}]
    small = {
        "identity": TOKEN,
        "components": {name: {"resources": SMALL} for name in names},
        "triton": {"resources": SMALL},
        "networkPolicy": {
            "from": {"dicom": here, "gateway": here},
            "to": policies(site_engines, cluster)
            | {"kubernetesApi": {"peers": [{"ipBlock": {"cidr": f"{cluster.api}/32"}}]}},
        },
    }
    urls = {"database-urls.json": json.dumps(site_engines.database_urls())}
    follow(tmp_path, commands, values, small, urls)
    assert not (tmp_path / "database-urls.env").exists()
    ready = {
        pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for pod in found("pods", "--namespace", NAMESPACE)
        if all(each["ready"] for each in pod["status"].get("containerStatuses", [{"ready": False}]))
    }
    assert {*names, "triton"} <= ready
