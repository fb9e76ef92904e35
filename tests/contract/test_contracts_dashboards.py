"""The dashboards ask for metrics that exist, by labels that exist, and Grafana finds its way in them."""

import json
import re

import pytest
import yaml

from tests.contract.series import LABELS, MODULES, ROOT, labels_in, metrics, names_in, promtool, values_given, values_in

CHARTS = ("control-plane", "data-plane")
DASHBOARDS = {chart: json.loads((ROOT / "helm" / chart / "files" / "dashboard.json").read_text()) for chart in CHARTS}
TARGETS = [
    pytest.param(target["legendFormat"], target["expr"], id=f"{chart}-{panel['title']}-{target['refId']}")
    for chart, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
]
EXPRESSIONS = [each.values[1] for each in TARGETS]
FROM_THE_CLUSTER = {"namespace"}
"""A label that the Prometheus operator gives every series."""


@pytest.mark.parametrize(("legend", "expression"), TARGETS)
def test_what_a_panel_asks_for_exists(legend, expression):
    names = names_in(expression)
    assert names, "a panel without a metric"
    assert names <= metrics().keys()
    known = set.intersection(*(metrics()[name] for name in names))
    assert labels_in(expression) <= known | FROM_THE_CLUSTER
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    left = set(grouped[0].replace(" ", "").split(",")) if grouped else known
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= left


@pytest.mark.parametrize("label", LABELS)
def test_values_of_labels_are_those_the_code_gives(label):
    asked = set.union(*(values_in(label, expression) for expression in EXPRESSIONS))
    assert asked and asked <= values_given(label)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_panel_is_of_its_plane_and_of_the_chosen_namespaces(expression):
    for name in names_in(expression):
        assert expression.count(name) == expression.count(f'{name}{{namespace=~"$namespace", job')


def test_prometheus_reads_the_expressions(tmp_path):
    chosen = [each.replace("$__rate_interval", "5m").replace("$namespace", ".*") for each in EXPRESSIONS]
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(chosen)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yaml")


def test_every_metric_of_ours_is_known_to_these_tests():
    roots = [ROOT / "libs/radloop", *(folder for folder in ROOT.glob("services/*") if folder.is_dir())]
    defining = {
        ".".join(file.relative_to(root).with_suffix("").parts)
        for root in roots
        for file in root.glob("*/**/*.py")
        if re.search(r'^[A-Z_]+ = (?:Counter|Gauge|Histogram)\(\s*"radloop_', file.read_text(), re.MULTILINE)
    }
    assert defining == set(MODULES)


@pytest.mark.parametrize("chart", CHARTS)
def test_panels_lie_beside_one_another(chart):
    panels = DASHBOARDS[chart]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_two_are_told_apart():
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(CHARTS)
