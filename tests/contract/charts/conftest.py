"""The charts as Helm renders them, each example once in a session."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.charts.rendering import EXAMPLES, GENERATE, TOOLS


@pytest.fixture(scope="session")
def tools() -> Path:
    """Folder of helm, helm-unittest and kubeconform."""
    if not (TOOLS / ".radloop-stamp").exists():
        pytest.skip("no helm: scripts/cluster-tools builds it, once")
    return TOOLS


@pytest.fixture(scope="session")
def render(tools: Path):
    """Render an example as `helm/generate.py` does; the text."""
    made: dict[Path, str] = {}

    def rendered(values: Path) -> str:
        if values not in made:
            made[values] = GENERATE["render"](values)
        return made[values]

    return rendered


@pytest.fixture(params=EXAMPLES, ids=lambda file: f"{file.parents[2].name}-{file.parent.name}")
def example(request: pytest.FixtureRequest) -> Path:
    """Values file of each example in turn."""
    return request.param


@pytest.fixture
def objects(render, example: Path) -> list[dict[str, Any]]:
    """The objects of each example in turn."""
    return [each for each in yaml.safe_load_all(render(example)) if each]


@pytest.fixture(scope="session")
def hospital(render) -> list[dict[str, Any]]:
    """The objects of the example that uses most."""
    (values,) = (file for file in EXAMPLES if file.parent.name == "hospital")
    return [each for each in yaml.safe_load_all(render(values)) if each]
