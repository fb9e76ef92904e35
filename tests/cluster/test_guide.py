"""The install guides' own commands, typed into a shell: hosts, passwords and sizes are others here, and a token's secret stands in
the place of an identity provider with TLS."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml

from standalone.demo.cohort import load_cohort, phantom_source
from standalone.demo.sending import Destination, send_patients
from tests.chaos.two_planes import wait_for
from tests.cluster.commands import ROOT, environment_with_tools, found, helm, kubectl
from tests.cluster.conftest import Cluster
from tests.cluster.engines import PlaneEngines
from tests.cluster.installation import RELEASE, SMALL, Images, address_of, troubles

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

GUIDES = ROOT / "docs" / "operate"
NAMESPACE = "radloop"  # the guides' own
SERVICES = list(yaml.safe_load((ROOT / "helm/data-plane/values.yaml").read_text())["components"])
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
    commands = commands.replace("--values values.yaml", "--values values.yaml --values small.json")
    label = f"kubectl label namespace {NAMESPACE}"
    token = f"kubectl -n {NAMESPACE} create secret generic token --from-literal=secret={'0' * 40}"
    files = {
        "values.yaml": values,
        "small.json": json.dumps(small),
        "ca.crt": "a certificate that nobody asks for here\n",
    }
    type_in(folder, replaced(commands, {label: f"{token}\n{label}"}), files | more)


def type_in(folder: Path, commands: str, files: Mapping[str, str]) -> str:
    """Run commands beside files and the charts; returns what they print."""
    (folder / "helm").symlink_to(ROOT / "helm")
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["sh", "-eux"],
        input=commands,
        cwd=folder,
        env=environment_with_tools(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:] + troubles(NAMESPACE)
    return done.stdout


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
    here = [{"ipBlock": {"cidr": f"{cluster.outside}/32"}}]
    small = {
        "identity": TOKEN,
        "components": {name: {"resources": SMALL} for name in SERVICES},
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
    assert {*SERVICES, "triton"} <= ready


# Says how many studies the topic has heard were rejected; it signs in as the service does.
HEARD = """
import os
from kafka import KafkaConsumer, TopicPartition
from radloop.events.kafka.address import KafkaAddress
consumer = KafkaConsumer(**KafkaAddress.parse(os.environ["RADLOOP_EVENTS_URL"]).client_options())
parts = [TopicPartition("study-rejected", part) for part in consumer.partitions_for_topic("study-rejected")]
print(sum(consumer.end_offsets(parts).values()))
"""


def test_trying_on_one_node(cluster: Cluster, tmp_path: Path) -> None:
    parts = blocks("try-on-one-node.md", "## 1.", "## A control plane")
    commands = "".join(text for language, text in parts if not language)
    # Who types goes on to forward a port; this machine reaches the Services.
    commands = commands.split(f"kubectl -n {NAMESPACE} port-forward")[0]
    values = "--values helm/data-plane/examples/one-node/values.yaml"
    here = [{"ipBlock": {"cidr": f"{cluster.outside}/32"}}]
    engine = {"storage": {"size": "8Gi"}, "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}}
    small = {
        "image": Images().values,
        "components": {name: {"resources": SMALL} for name in SERVICES},
        "triton": {"resources": SMALL},
        "bundled": dict.fromkeys(("kafka", "postgresql", "objects"), engine),
        "networkPolicy": {"from": {"gateway": here}},
    }
    commands = replaced(commands, {values: f"{values} --values small.json"})
    said = type_in(tmp_path, commands, {"small.json": json.dumps(small)})
    assert "create bucket radloop" in said and "create topic study-ingested" in said
    headers = {"Authorization": f"Bearer {said.splitlines()[-1]}"}

    # A study goes through all three engines; no project is there to take it, and so it says.
    ingest = f"http://{address_of(NAMESPACE, f'{RELEASE}-ingest')}:8080"
    assert httpx.get(f"{ingest}/v1/status", trust_env=False).status_code == 401
    cohort = load_cohort(phantom_source(), seed=4, test=1, validation=0, start=0, pool=0)
    send_patients(cohort.patients, Destination(address_of(NAMESPACE, f"{RELEASE}-dicom"), 11112, "RADLOOP"))
    [study] = httpx.get(f"{ingest}/v1/studies", headers=headers, trust_env=False).json()["studies"]
    httpx.post(
        f"{ingest}/v1/studies/{study['study_key']}/complete", headers=headers, trust_env=False
    ).raise_for_status()
    heard = ("exec", f"deployment/{RELEASE}-ingest", "--", "python", "-c", HEARD)
    wait_for(lambda: kubectl("--namespace", NAMESPACE, *heard, check=False).strip() == "1", 60, "the event in Kafka")

    helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    wait_for(lambda: not found("pods", "--namespace", NAMESPACE), 120, "the last pod to end")
    left = [each["metadata"]["name"] for each in found("pvc,jobs,services", "--namespace", NAMESPACE)]
    assert left == [f"{RELEASE}-site-key"]
