"""The shape of the code as a test: who imports whom (`.importlinter`), how large a module is, and what no module is called.

Every import contract is also broken on purpose in a copy of the source, so that it is known to bite.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
PACKAGES = {
    "radloop": "libs/radloop/radloop",
    "ingest": "services/ingest/ingest",
    "labeling": "services/labeling/labeling",
    "qa": "services/qa/qa",
    "trainer": "services/trainer/trainer",
    "training_job": "services/trainer/job/training_job",
    "inference": "services/inference/inference",
    "bundle_runner": "services/inference/triton/bundle_runner",
    "edge_miner": "services/edge-miner/edge_miner",
    "control_plane": "services/control-plane/control_plane",
    "standalone": "standalone/standalone",
}
MODULE_LINES = 500
# Names that say nothing about their subject (style guide, rule 4).
SHAPELESS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


def lint(folder: Path) -> subprocess.CompletedProcess:
    """Check the import contracts of the packages in a folder, not of the installed ones."""
    command = [LINT_IMPORTS, "--config", ROOT / ".importlinter", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of every package, side by side."""
    folder = tmp_path_factory.mktemp("source")
    for name, place in PACKAGES.items():
        shutil.copytree(ROOT / place, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyi", "web"))
    return folder


def broken(output: str) -> set[str]:
    """Read which contracts import-linter found broken."""
    return {match.strip() for match in re.findall(r"^(.*\S)\s+BROKEN", output, re.MULTILINE)}


ANATOMY = "Inside a service, arrows point at the domain"
WIRING = "Only app.py plugs adapters in"
INDEPENDENCE = "No service knows another"
PROGRAMS = "Services meet the Triton program and the training job by files only"
LIBRARY = "The library knows no service; the one-machine platform stands above all"
PURITY = "Domain, ports and handlers know no database, broker, HTTP, cluster or wire format"
TORCH = "Only the Triton program and the training job import torch"
PLUMBING = "What a domain may import of the library is as pure as a domain"

# (module that is changed or made, line that is planted, contract that must break)
PLANTED = [
    ("qa/handlers", "import qa.adapters.sql", ANATOMY),
    ("trainer/domain/model", "import trainer.ports", ANATOMY),
    ("ingest/adapters/wire", "import ingest.settings", ANATOMY),
    ("edge_miner/adapters/sql", "import edge_miner.handlers", ANATOMY),
    ("control_plane/utils", "", ANATOMY),
    ("inference/settings", "import inference.adapters.wire", WIRING),
    ("labeling/adapters/planted", "import qa.domain", INDEPENDENCE),
    ("trainer/adapters/planted", "import training_job", PROGRAMS),
    ("inference/adapters/planted", "import bundle_runner", PROGRAMS),
    ("radloop/planted", "import ingest.domain", LIBRARY),
    ("qa/adapters/planted", "import standalone", LIBRARY),
    ("bundle_runner/planted", "import training_job", LIBRARY),
    ("ingest/domain/planted", "import sqlalchemy", PURITY),
    ("control_plane/domain/planted", "import radloop.contracts.qa.v1.qa_pb2", PURITY),
    ("control_plane/domain/planted", "import google.protobuf.message", PURITY),
    ("control_plane/handlers", "import radloop.events", PURITY),
    ("edge_miner/ports", "import radloop.sql", PURITY),
    ("labeling/domain/planted", "import fastapi", PURITY),
    ("trainer/domain/planted", "import kubernetes", PURITY),
    ("inference/adapters/planted", "import torch", TORCH),
    ("radloop/imaging", "import monai", TORCH),
    ("radloop/uow", "import radloop.sql", PLUMBING),
]


def test_the_contracts_hold(source):
    result = lint(source)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"), PLANTED, ids=[f"{m}-{n}" for n, (m, _, _) in enumerate(PLANTED)]
)
def test_a_planted_fault_breaks_its_contract(source, module, line, contract):
    path = source / f"{module}.py"
    if not path.exists() and (source / module / "__init__.py").exists():
        path = source / module / "__init__.py"
    before = path.read_text() if path.exists() else None
    try:
        path.write_text(f"{before or ''}\n{line}\n")
        result = lint(source)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    assert result.returncode != 0
    assert contract in broken(result.stdout), result.stdout


def modules() -> list[Path]:
    """List every Python module that a person wrote, tests and programs included."""
    skipped = {".venv", ".git", "node_modules", "__pycache__", ".bootstrap", ".triton", ".radloop", ".engines"}
    generated = ROOT / "libs/radloop/radloop/contracts"
    return sorted(
        path
        for path in ROOT.rglob("*.py")
        if not skipped & set(path.relative_to(ROOT).parts)
        and not (path.is_relative_to(generated) and path.name.endswith("_pb2.py"))
    )


def test_no_module_is_too_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    too_long = {path: lines for path, lines in lengths.items() if lines > MODULE_LINES}
    assert not too_long, f"split by subject what has more than {MODULE_LINES} lines"


def test_no_module_has_a_shapeless_name():
    shapeless = [
        str(path.relative_to(ROOT))
        for path in modules()
        if SHAPELESS & set(path.relative_to(ROOT).with_suffix("").parts)
    ]
    assert not shapeless, "name a module by its subject"
