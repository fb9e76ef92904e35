"""What Helm says of values: the right ones pass, a wrong one is named, in words that tell what to do."""

import subprocess
from pathlib import Path

import pytest

from tests.contract.charts.rendering import EXAMPLES, ROOT

HELM = ROOT / "helm"


def helm(tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools / "helm"), *arguments], capture_output=True, text=True, check=False, cwd=HELM)


def refusal(tools: Path, chart: str, *settings: str, example: str = "one-node") -> str:
    """Return what is said of an example with some values changed."""
    values = HELM / chart / "examples" / example / "values.yaml"
    changed = [word for setting in settings for word in ("--set", setting)]
    done = helm(tools, "template", "radloop", chart, "--values", str(values), *changed)
    assert done.returncode, "it was taken"
    return done.stderr


def test_lint_finds_nothing(tools: Path, example: Path) -> None:
    done = helm(tools, "lint", "--strict", str(example.parents[2]), "--values", str(example))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sitee=x", "additional properties 'sitee' not allowed"),
        ("components.ingest.replica=2", "additional properties 'replica' not allowed"),
        ("components.ingest.replicas=two", "got string, want integer"),
        ("components.qa.replicas=0", "minimum: got 0, want 1"),
        ("site=St. Mary", "'St. Mary' does not match pattern"),
        ("image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("image.digests.ingest=sha256:12", "does not match pattern '^sha256:[0-9a-f]{64}$'"),
        ("events.url=kafka://me:secret@kafka:9092", "does not match pattern '^(kafka://[^@]+)?$'"),
        ("identity.url=https://id.example.org", "does not match pattern"),
        ("dicom.aeTitle=much too long a title", "does not match pattern"),
        ("logLevel=loud", "value must be one of 'debug', 'info', 'warning', 'error'"),
    ],
)
def test_the_schema_refuses_it_and_names_it(tools: Path, setting: str, said: str) -> None:
    message = refusal(tools, "data-plane", setting)
    assert said in message
    assert "/".join(setting.partition("=")[0].split(".")[:-1]) in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["site="], "site is empty: name this site, e.g. --set site=st-mary"),
        (["bundled.kafka.enabled=false", "events.existingSecret="], "events is empty: set events.existingSecret, or"),
        (["database.existingSecret="], "database.existingSecret is empty: name the Secret"),
        (["bundled.objects.enabled=false", "networkPolicy.enabled=false"], "objects.url is empty: e.g. s3://bucket"),
        (["identity.tokenSecret="], "identity is empty: set identity.url to your OpenID Connect provider"),
        (["bundled.postgresql.enabled=false"], "networkPolicy.to.database.peers is empty: say where it is"),
        (["triton.enabled=false"], "triton.url is empty: name your own Triton's gRPC endpoint"),
        (["mirror.enabled=true"], "mirror.cloudBrokers is empty"),
        (["components.ingest.replicas=2"], "set siteKey.accessMode=ReadWriteMany"),
        (["jobs.processes=3"], "jobs.processes must be a divisor of jobs.batchSize"),
        (["jobs.queue.clusterQueue=gpus"], "jobs.queue.name is empty"),
        (["events.url=kafka://kafka:9092"], "bundled.kafka.enabled is true and events.url names another Kafka"),
        (["events.caSecret=ca"], "bundled.kafka.enabled is true and events.caSecret is set"),
        (["events.existingSecret="], "events.existingSecret is empty: the bundled Kafka has a password"),
        (["database.caSecret=ca"], "bundled.postgresql.enabled is true and database.caSecret is set"),
        (["bundled.existingSecret="], "bundled.existingSecret is empty: name the Secret with the passwords"),
        (["objects.url=s3://other"], "bundled.objects.enabled is true and objects.url names another object store"),
        (["objects.caSecret=ca"], "bundled.objects.enabled is true and objects.caSecret is set"),
        (["objects.existingSecret="], "objects.existingSecret is empty: the bundled object store takes its keys"),
    ],
)
def test_what_a_schema_cannot_say_is_said_too(tools: Path, changes: list[str], said: str) -> None:
    assert said in refusal(tools, "data-plane", *changes)


def test_the_control_plane_refuses_two_of_one_kind_too(tools: Path) -> None:
    said = refusal(tools, "control-plane", "events.url=kafka://kafka:9092")
    assert "bundled.kafka.enabled is true and events.url names another Kafka" in said


def test_the_mirror_of_a_site_without_its_own_kafka_must_be_told(tools: Path) -> None:
    assert "mirror.siteBrokers is empty" in refusal(tools, "data-plane", "mirror.siteBrokers=", example="hospital")


def test_labeling_replicas_without_one_secret_are_refused(tools: Path) -> None:
    said = refusal(tools, "data-plane", "identity.existingSecret=", example="hospital")
    assert "its replicas need one session-secret" in said


def test_a_provider_without_our_address_is_refused(tools: Path) -> None:
    said = refusal(tools, "data-plane", "identity.publicUrl=", example="hospital")
    assert "identity.publicUrl is empty" in said


def test_the_objects_are_kubernetes_own(tools: Path, render, example: Path) -> None:
    """Strictly, by schemas of Kubernetes' own description of its API; those of operators' objects are not at hand."""
    foreign = "HTTPRoute,LocalQueue,PrometheusRule,ServiceMonitor"
    schemas = str(tools / "schemas" / "{{.ResourceKind}}{{.KindSuffix}}.json")
    command = [str(tools / "kubeconform"), "-strict", "-summary", "-skip", foreign, "-schema-location", schemas, "-"]
    done = subprocess.run(command, input=render(example), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Errors: 0" in done.stdout and "Valid: 0" not in done.stdout


def test_a_misspelt_field_would_be_found(tools: Path, render) -> None:
    schemas = str(tools / "schemas" / "{{.ResourceKind}}{{.KindSuffix}}.json")
    command = [str(tools / "kubeconform"), "-strict", "-ignore-missing-schemas", "-schema-location", schemas, "-"]
    text = render(EXAMPLES[0]).replace("enableServiceLinks", "enableServiceLink", 1)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode and "enableServiceLink" in done.stdout + done.stderr


@pytest.mark.parametrize("chart", ["control-plane", "data-plane"])
def test_the_suites_of_the_charts_pass(tools: Path, chart: str) -> None:
    command = [str(tools / "helm-unittest"), "--strict", str(HELM / chart)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
