"""The API server takes every rendered example, strictly, and refuses no pod of theirs."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.commands import ROOT, apply, kubectl, run
from tests.cluster.installation import namespace

pytestmark = pytest.mark.cluster

EXAMPLES = sorted((ROOT / "helm").glob("*/examples/*/rendered.yaml"))
# Kinds of other projects, which a cluster need not know; the charts make them only where their values say so.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "LocalQueue"}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parts[-4]}-{path.parent.name}")
def test_the_server_takes_it(example: Path) -> None:
    known = {line.split()[-1] for line in kubectl("api-resources", "--no-headers").splitlines()}
    objects = [each for each in yaml.safe_load_all(example.read_text()) if each]
    assert {each["kind"] for each in objects} - known <= FOREIGN
    places = {each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]}
    for name in places:
        namespace(name)
    # A pod is only looked at where its service account is there.
    apply(*(each for each in objects if each["kind"] == "ServiceAccount"))
    given = yaml.safe_dump_all([each for each in objects if each["kind"] in known])
    done = run(
        *("kubectl", "apply", "--dry-run=server", "--validate=strict", "--filename", "-"), given=given, check=False
    )
    for name in places:
        kubectl("delete", "namespace", name)
    assert done.returncode == 0, done.stderr
    # Pod Security refuses no Deployment, it warns; and a warning is one pod that would not be made.
    assert "would violate PodSecurity" not in done.stderr
