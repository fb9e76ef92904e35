"""Each service's README shows its settings as they are."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = runpy.run_path(str(ROOT / "docs" / "generate.py"))


@pytest.mark.parametrize("service", DOCS["SERVICES"])
def test_the_settings_table_is_as_generated(service):
    text = (ROOT / "services" / service / "README.md").read_text()
    assert DOCS["with_table"](text, service) == text, "run: make docs"
    has_own = len(DOCS["settings_of"](service).model_fields) > 1
    assert ("| variable | default | meaning |" in text) == has_own
