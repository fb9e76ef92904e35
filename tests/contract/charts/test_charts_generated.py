"""What in the charts is made of something else is as it would be made now: ``make charts``."""

import json
from pathlib import Path

import pytest
import yaml

from standalone.engines.mirror import Mirror
from tests.contract.charts.rendering import GENERATE, ROOT, named

MADE = {str(file.relative_to(ROOT)): text for file, text in GENERATE["made_without_helm"]()}


@pytest.mark.parametrize("file", MADE)
def test_it_is_as_generated(file: str) -> None:
    assert (ROOT / file).read_text() == MADE[file], "run: make charts"


@pytest.mark.parametrize("chart", GENERATE["CHARTS"])
def test_nothing_else_lies_in_the_copy_of_the_library(chart: str) -> None:
    folder = ROOT / "helm" / chart / "charts"
    assert {str(file.relative_to(ROOT)) for file in folder.rglob("*") if file.is_file()} <= MADE.keys()


def test_an_example_is_as_rendered(render, example: Path) -> None:
    assert example.with_name("rendered.yaml").read_text() == render(example), "run: make charts"


def test_a_value_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image\.tag is not described"):
        GENERATE["values_of"]('image:\n  # Said.\n  registry: ""\n  tag: ""\n')


def test_what_lies_in_a_described_value_needs_no_description() -> None:
    (value,) = GENERATE["values_of"]("# Said.\nresources:\n  requests: {cpu: 1}\n")
    assert value.default == {"requests": {"cpu": 1}}


def test_the_three_planes_of_the_issue_have_examples() -> None:
    assert {file.parent.name for file in GENERATE["examples"]()} == {"one-node", "hospital", "cloud"}


def test_the_mirror_of_the_chart_has_the_properties_of_ours(hospital) -> None:
    text = named(hospital, "ConfigMap", "mirror")["data"]["mirror.properties"]
    written = dict(line.split(" = ", 1) for line in text.strip().splitlines())
    brokers = {"site_events": "kafka.st-mary.example:9093", "control_plane_events": "kafka.radloop.example.org:9093"}
    assert written == Mirror(Path(), site="st-mary", **brokers).properties()


def test_the_alerts_of_the_chart_are_those_of_the_operators_page(hospital) -> None:
    alerts = yaml.safe_load((ROOT / "docs/operate/alerts.yaml").read_text())
    assert named(hospital, "PrometheusRule", "alerts")["spec"] == alerts


def test_the_dashboard_is_where_grafanas_sidecar_finds_it(hospital) -> None:
    found = named(hospital, "ConfigMap", "dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads((ROOT / "helm/data-plane/files/dashboard.json").read_text())
    assert json.loads(found["data"]["radloop-data-plane.json"]) == dashboard
