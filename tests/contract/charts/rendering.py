"""The charts as Helm renders them: where they are, and how to look into what comes out."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".engines" / "cluster-tools"
GENERATE = runpy.run_path(str(ROOT / "helm" / "generate.py"))
EXAMPLES = GENERATE["examples"]()


def pods_of(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield name, pod spec and labels of everything that makes pods."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["metadata"]["name"].partition("-")[2], each["spec"], each["metadata"]["labels"]
        elif "template" in each.get("spec", {}):
            template = each["spec"]["template"]
            yield each["metadata"]["name"].partition("-")[2], template["spec"], template["metadata"]["labels"]


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the one object of a kind and name."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == f"radloop-{name}")
    return found
