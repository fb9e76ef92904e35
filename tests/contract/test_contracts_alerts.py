"""The alerts ask for metrics that exist, the runbook has a section for each, and the documents name tests that exist."""

import ast
import re
from functools import cache

import pytest
import yaml

from tests.contract.series import LABELS, ROOT, SCRAPED, labels_in, metrics, names_in, promtool, values_given, values_in

OPERATE = ROOT / "docs/operate"
RUNBOOK = OPERATE / "runbook.md"
RULES = [rule for group in yaml.safe_load((OPERATE / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_what_a_rule_asks_for_exists(rule):
    names = names_in(rule["expr"])
    assert names, "a rule without a metric"
    assert names <= metrics().keys()
    labels = set.intersection(*(metrics()[name] for name in names))
    # A side of a comparison may leave a label out, but none is asked for that no side has.
    assert labels_in(rule["expr"]) <= set.union(*(metrics()[name] for name in names))
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= labels | SCRAPED
    assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize("label", [label for label in LABELS if label != "topic"])
def test_values_of_labels_are_those_the_code_gives(label):
    asked = set.union(*(values_in(label, rule["expr"]) for rule in RULES))
    assert asked and asked <= values_given(label)


def test_every_alert_has_its_section_and_every_section_its_alert():
    text = RUNBOOK.read_text()
    alerts = [rule["alert"] for rule in RULES]
    assert len(set(alerts)) == len(alerts)
    assert re.findall(r"^### (Radloop\w+)$", text, re.MULTILINE) == alerts
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"


@cache
def known_tests() -> dict[str, set[str]]:
    """Return the names of tests by file; those of the contract suites count where the suites stand."""
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("libs/radloop/radloop/testing/*.py")]
    found = {}
    for file in files:
        functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
        found[file.name] = {node.name for node in functions if node.name.startswith("test_")}
    return found


@pytest.mark.parametrize("page", ["docs/operate/runbook.md", "docs/explanation/delivery.md"])
def test_the_tests_a_page_names_exist(page):
    text = (ROOT / page).read_text()
    files = set(re.findall(r"`([a-z0-9_]+\.py)`", text))
    assert files and files <= known_tests().keys()
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named and named <= set.union(*(known_tests()[file] for file in files))


@pytest.mark.parametrize(
    "page", [*sorted(OPERATE.glob("*.md")), ROOT / "docs/explanation/delivery.md"], ids=lambda p: p.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("what", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")])
def test_prometheus_takes_the_rules(what):
    *words, file = what
    promtool(*words, OPERATE / file)
