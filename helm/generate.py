"""Write what in the charts is made of something else: ``make charts``. A test repeats it and fails on a difference.

From each ``values.yaml``, where every value is described above itself, come the table in the chart's README and, with
``constraints.yaml``, its ``values.schema.json``. Copied are the library chart into both others, the alerts of
docs/operate/alerts.yaml and the mirror's properties; Grafana's dashboards come from docs/operate/dashboards.yaml, and the
examples are rendered by Helm.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from standalone.engines.mirror import Mirror

HELM = Path(__file__).resolve().parent
ROOT = HELM.parent
CHARTS = ("control-plane", "data-plane")
LIBRARY = "radloop-lib"
PROGRAM = ROOT / ".engines" / "cluster-tools" / "helm"
RELEASE, NAMESPACE = "radloop", "radloop"
"""What the examples are rendered as."""

_LINE = re.compile(r"( *)([\w-]+):( .*)?$")
_TABLE = re.compile(r"(?<=\n## Values\n\n).*", re.DOTALL)
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_SERIES = re.compile(r"\b((?:radloop|process)_\w+|up)\b(\{)?")
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHTS = 24, {"stat": 4, "timeseries": 8}
"""Of Grafana's grid."""
_RESOURCES = {
    "type": "object",
    "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES},
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Value:
    """One value of a chart: where it stands, what is said above it, and its default."""

    path: str
    meaning: str
    default: Any


def values_of(text: str) -> list[Value]:
    """Return the described values of a values file, in its order.

    Raises
    ------
    ValueError
        A value has no description above it.
    """
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    above: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("# "))
            continue
        match = _LINE.match(line)
        if match:
            above[len(match[1]) // 2 :] = [match[2]]
            path = ".".join(above)
            inside = any(path.startswith(f"{value.path}.") for value in found)
            default = _at(defaults, path)
            if comment and not inside:
                found.append(Value(path, " ".join(comment), default))
            elif not inside and not (isinstance(default, dict) and default):
                raise ValueError(f"{path} is not described")
        comment = []
    return found


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def table(values: list[Value]) -> str:
    """Return the values as a Markdown table."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values:
        shown = "empty" if value.default == "" else f"`{json.dumps(value.default)}`"
        rows.append(f"| `{value.path}` | {shown} | {value.meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def schema(chart: str, values: list[Value], constraints: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON schema of a chart's values: nothing but what is in its values file is taken."""
    root = _object()
    for value in values:
        *parents, name = value.path.split(".")
        place = root
        for parent in parents:
            place = place["properties"].setdefault(parent, _object())
        place["properties"][name] = _schema_of(value, constraints)
    # Helm adds these two by itself.
    root["properties"] |= {"global": {"type": "object"}, LIBRARY: {"type": "object"}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"Values of the chart {chart}", **root}


def _object() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def _schema_of(value: Value, constraints: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": value.meaning}
    if value.path.endswith("resources"):
        return found | _RESOURCES
    found["type"] = _TYPES[type(value.default)]
    if found["type"] == "object":
        found["additionalProperties"] = {"type": "string"}
    for pattern, more in constraints.items():
        if fnmatchcase(value.path, pattern) and pattern.count(".") == value.path.count("."):
            found |= more
    return found


def dashboard(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it: a row of panels for each row of the plan, as wide as there is room."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in plan["rows"]:
        title = _panel("row", row["title"], {"x": 0, "y": y, "w": _WIDTH, "h": 1})
        panels.append(title | {"collapsed": False, "panels": []})
        y += 1
        kind = "stat" if "show" in row["panels"][0] else "timeseries"
        columns = len(row["panels"]) if kind == "stat" else min(len(row["panels"]), 3)
        width, height = _WIDTH // columns, _HEIGHTS[kind]
        for n, each in enumerate(row["panels"]):
            line, column = divmod(n, columns)
            place = {"x": column * width, "y": y + line * height, "w": width, "h": height}
            panels.append(_panel(kind, each["title"], place) | _queries(each, plan["series"]))
        y += math.ceil(len(row["panels"]) / columns) * height
    return {
        "uid": plan["uid"],
        "title": plan["title"],
        "tags": ["radloop"],
        "schemaVersion": 39,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [{"id": n, **panel} for n, panel in enumerate(panels, 1)],
    }


def _panel(kind: str, title: str, place: dict[str, int]) -> dict[str, Any]:
    return {"type": kind, "title": title, "gridPos": place}


def _queries(panel: Mapping[str, Any], series: str) -> dict[str, Any]:
    asked = panel.get("draw") or {panel["title"]: panel["show"]}
    shown: dict[str, Any] = {"unit": panel.get("unit", "short"), "min": 0}
    if "red" in panel:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel["red"]}]
        shown["thresholds"] = {"mode": "absolute", "steps": steps}
    elif "show" in panel:
        shown["color"] = {"mode": "fixed", "fixedColor": "text"}
    return {
        "description": panel.get("says", ""),
        "datasource": _SOURCE,
        "targets": [
            {"refId": chr(ord("A") + n), "legendFormat": legend, "expr": _narrowed(expression, series)}
            for n, (legend, expression) in enumerate(asked.items())
        ],
        "fieldConfig": {"defaults": shown, "overrides": []},
    }


def _narrowed(expression: str, series: str) -> str:
    """Put the dashboard's own labels into every selector."""
    return _SERIES.sub(lambda match: f"{match[1]}{{{series}{', ' if match[2] else '}'}", expression)


def _variables() -> list[dict[str, Any]]:
    """Return what a reader chooses: the Prometheus, and the namespaces. Outside a cluster no series has one: all are shown."""
    namespaces = 'label_values(up{job=~"radloop-.+"}, namespace)'
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "namespace",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": namespaces, "refId": "namespace"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def mirror_properties() -> str:
    """Return the mirror's properties as `radloop up` writes them, with names that the chart replaces."""
    mirror = Mirror(Path(), site="@site@", site_events="@site-events@", control_plane_events="@cloud-events@")
    return "".join(f"{name} = {value}\n" for name, value in mirror.properties().items())


def made_without_helm() -> Iterator[tuple[Path, str]]:
    """Yield each generated file and its text, the examples left out."""
    constraints = yaml.safe_load((HELM / "constraints.yaml").read_text())
    dashboards = yaml.safe_load((ROOT / "docs/operate/dashboards.yaml").read_text())
    for chart in CHARTS:
        folder = HELM / chart
        for file in sorted((HELM / LIBRARY).rglob("*")):
            if file.is_file():
                yield folder / "charts" / LIBRARY / file.relative_to(HELM / LIBRARY), file.read_text()
        yield folder / "files" / "alerts.yaml", (ROOT / "docs/operate/alerts.yaml").read_text()
        yield folder / "files" / "dashboard.json", json.dumps(dashboard(dashboards[chart]), indent=2) + "\n"
        values = values_of((folder / "values.yaml").read_text())
        yield folder / "values.schema.json", json.dumps(schema(chart, values, constraints), indent=2) + "\n"
        yield folder / "README.md", _TABLE.sub(lambda _, v=values: table(v), (folder / "README.md").read_text())
    yield HELM / "data-plane" / "files" / "mirror.properties", mirror_properties()


def examples() -> list[Path]:
    """Return the values files of the examples."""
    return sorted(HELM.glob("*/examples/*/values.yaml"))


def render(values: Path) -> str:
    """Return the objects of an example, as Helm renders them."""
    chart = values.parents[2]
    command = [str(PROGRAM), "template", RELEASE, str(chart), "--namespace", NAMESPACE, "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{chart.name}, {values.parent.name}: {done.stderr}")
    return done.stdout


def main() -> None:
    """Rewrite what differs."""
    _write(made_without_helm())
    if not PROGRAM.exists():
        sys.exit("the examples are not rendered: scripts/cluster-tools installs Helm")
    _write((values.with_name("rendered.yaml"), render(values)) for values in examples())


def _write(made: Any) -> None:
    for file, text in made:
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"written: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
