"""scripts/bootstrap before it installs anything: which Python it takes, and what it says is missing."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = ["uv.lock", "pyproject.toml", "scripts/bootstrap", "scripts/bootstrap-requirements.txt"]
WEB = Path("services/labeling/web")
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing installed, and no Python but those a test puts there."""
    packages = [path.relative_to(ROOT) for path in ROOT.glob("*/*/pyproject.toml")]
    packages += [path.relative_to(ROOT) for path in ROOT.glob("services/*/*/pyproject.toml")]
    for name in [*FILES, "standalone/pyproject.toml", *map(str, packages)]:
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / WEB, tmp_path / "checkout" / WEB, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (tmp_path / "bin").mkdir()
    for name in PYTHONS:
        put_python(tmp_path / "checkout", name, version="", lack="")
    return tmp_path / "checkout"


def put_python(checkout: Path, name: str, *, version: str, lack: str) -> None:
    """Put an interpreter there that answers the two questions the script asks; used further it says so and fails."""
    program = checkout.parent / "bin" / name
    program.write_text(
        "#!/bin/sh\n"
        f'case "$1" in -c) printf "%s" "{version}" ;; -) cat >/dev/null; printf "%s" "{lack}" ;;\n'
        f'--version) echo Python {version or "2.7"} ;; *) echo "{name} is taken"; exit 9 ;; esac\n'
    )
    program.chmod(0o755)


def bootstrap(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{checkout.parent / 'bin'}:{os.defpath}", "HOME": str(checkout.parent)}
    return subprocess.run([checkout / "scripts" / "bootstrap"], env=environment, capture_output=True, text=True)


def test_without_a_fitting_python_it_says_what_to_install(checkout: Path) -> None:
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert "expected: Python 3.11, 3.12 or 3.13" in done.stderr
    assert "sudo apt-get install python3" in done.stderr


@pytest.mark.parametrize(
    ("lack", "line"),
    [("venv", "sudo apt-get install python3.12-venv"), ("libpython", "sudo apt-get install libpython3.12")],
)
def test_the_first_error_names_the_missing_package(checkout: Path, lack: str, line: str) -> None:
    put_python(checkout, "python3", version="3.12", lack=lack)
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert done.stderr.count("expected:") == 1
    assert line in done.stderr


def test_a_whole_python_is_preferred_to_one_that_lacks_something(checkout: Path) -> None:
    put_python(checkout, "python3", version="3.13", lack="libpython")
    put_python(checkout, "python3.11", version="3.11", lack="")
    assert "python3.11 is taken" in bootstrap(checkout).stdout


def test_what_is_there_is_used_again(checkout: Path) -> None:
    digest = hashlib.sha256()
    order = ["uv.lock", "pyproject.toml", "libs/radloop/pyproject.toml", "standalone/pyproject.toml"]
    order += sorted(str(p.relative_to(checkout)) for p in checkout.glob("services/*/pyproject.toml"))
    order += sorted(str(p.relative_to(checkout)) for p in checkout.glob("services/*/*/pyproject.toml"))
    for name in [*order, "scripts/bootstrap-requirements.txt"]:
        digest.update((checkout / name).read_bytes())
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "radloop").touch(mode=0o755)
    (checkout / ".venv" / ".radloop-stamp").write_text(digest.hexdigest())
    (checkout / ".triton").mkdir()
    (checkout / ".triton" / ".radloop-stamp").write_text(hashlib.sha256(b"").hexdigest())
    (checkout / WEB / "dist").mkdir()
    (checkout / WEB / "dist" / ".radloop-stamp").write_text(stamp_of_web(checkout / WEB))
    done = bootstrap(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Another page, and what is there is no longer what would be built.
    (checkout / WEB / "src" / "main.tsx").write_text("")
    assert bootstrap(checkout).returncode != 0


def stamp_of_web(web: Path) -> str:
    """Return what the script writes into ``dist`` when it has built the pages: every file of theirs, and the lock file."""
    modules = hashlib.sha256((web / "package-lock.json").read_bytes() + (web / ".npmrc").read_bytes()).hexdigest()
    files = [web / "index.html", *web.glob("*.json"), *web.glob("*.ts")]
    files += [file for folder in ("src", "public") for file in (web / folder).rglob("*") if file.is_file()]
    names = sorted(str(file.relative_to(web)) for file in files)
    lines = [f"{hashlib.sha256((web / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    return hashlib.sha256((modules + "\n" + "".join(lines)).encode()).hexdigest()


def test_every_target_of_the_makefile_is_listed() -> None:
    done = subprocess.run(["make", "--no-print-directory", "-C", ROOT], capture_output=True, text=True, check=True)
    for target in ("demo", "up", "test", "test-unit", "lint", "proto", "benchmark", "clean", "help"):
        assert f"make {target} " in done.stdout
