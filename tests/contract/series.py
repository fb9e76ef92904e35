"""What our code offers to Prometheus, what an expression asks for, and Prometheus' own word on it: for the tests of alerts and
dashboards.
"""

import importlib
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from radloop.contracts.topics import TOPICS
from radloop.jobs import WaitsFor
from standalone.layout import SERVICES

ROOT = Path(__file__).parents[2]
PROMTOOL = ROOT / ".engines" / "cluster-tools" / "promtool"
MODULES = (
    "radloop.telemetry",
    "radloop.objects.sweep",
    "ingest.adapters.metrics",
    "inference.adapters.triton_replicas",
    "inference.adapters.workers",
    "edge_miner.adapters.metrics",
    "qa.adapters.metrics",
    "trainer.adapters.metrics",
)
FROM_PROMETHEUS = {"up": {"job", "instance"}}
SCRAPED = {"job", "instance"}

_ASIDE = r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(?:by|ignoring|group_left)\s*\([^)]*\)|\boffset \w+'
_OPERATORS = {"and", "or", "unless"}


def promtool(*arguments: str | Path) -> None:
    """Ask Prometheus' own checker, and fail with its words.

    Where it is not installed the test is skipped by that reason.
    """
    if not PROMTOOL.exists():
        pytest.skip("no promtool: scripts/cluster-tools builds it, once")
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def metrics() -> dict[str, set[str]]:
    """Return the labels of every series our code offers, by its name."""
    for name in MODULES:
        importlib.import_module(name)
    found = dict(FROM_PROMETHEUS)
    for collector, names in REGISTRY._collector_to_names.items():
        labels = set(getattr(collector, "_labelnames", ())) | SCRAPED
        found |= {name: labels | ({"le"} if name.endswith("_bucket") else set()) for name in names}
    return found


def names_in(expression: str) -> set[str]:
    """Return the series an expression asks for: all words that are no function, label or operator."""
    return set(re.findall(r"\b[a-z_]\w*\b(?!\s*\()", re.sub(_ASIDE, " ", expression))) - _OPERATORS


def labels_in(expression: str) -> set[str]:
    """Return the labels an expression selects or groups by."""
    asked = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", expression))
    for inside in re.findall(r"(?:by|ignoring) \(([^)]*)\)", expression):
        asked |= {name.strip() for name in inside.split(",")}
    return asked


def values_in(label: str, expression: str) -> set[str]:
    """Return the values of a label that an expression names."""
    found = re.findall(rf'\b{label}(?:=~|!=|!~|=)"([^"]+)"', expression)
    return {value for values in found for value in values.split("|")}


@cache
def values_given(label: str) -> set[str]:
    """Return the values that our code gives a label."""
    if label in _WRITTEN:
        file, pattern = _WRITTEN[label]
        return set(re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE))
    return {
        "topic": set(TOPICS),
        "waits_for": {what.value for what in WaitsFor},
        "job": {f"radloop-{name}" for name in SERVICES} | {"radloop-.+"},
    }[label]


_WRITTEN = {
    "outcome": ("libs/radloop/radloop/consumer.py", r'EVENTS_HANDLED\.labels\(record\.topic, "([^"]+)"\)'),
    "fate": ("services/ingest/ingest/adapters/reception.py", r'^    [A-Z]+ = "([a-z]+)"$'),
}
"""Where values stand in the code, and how."""
LABELS = ("outcome", "fate", "topic", "waits_for", "job")
