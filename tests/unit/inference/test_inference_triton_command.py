"""How Triton is started: which libraries its python backend finds first."""

import os
import sys
from pathlib import Path

import pytest

from bundle_runner.server import TritonUnavailable, python_library_folder, triton_command

MINOR = sys.version_info.minor
PORTS = {"http_port": 1, "grpc_port": 2, "metrics_port": 3}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Lay out the wheel's folders; none of it is a program."""
    server = tmp_path / "wheel" / "pytriton" / "tritonserver"
    for name in ("bin/tritonserver", "backends/python/x", f"python_backend_stubs/3.{MINOR}/triton_python_backend_stub"):
        (server / name).parent.mkdir(parents=True, exist_ok=True)
        (server / name).write_bytes(b"")
    (tmp_path / "wheel" / "nvidia_pytriton.libs").mkdir()
    return tmp_path / "wheel"


def test_the_backend_finds_this_interpreters_library_before_the_wheels_copy(wheel: Path, tmp_path: Path) -> None:
    name = f"libpython3-419a3a08.{MINOR}.so.1.0"
    (wheel / "nvidia_pytriton.libs" / name).write_bytes(b"built for another standard library")
    for _ in range(2):  # a second start finds its links and changes nothing
        _, environment = triton_command(wheel, tmp_path / "work", **PORTS)
        folders = [Path(folder) for folder in environment["LD_LIBRARY_PATH"].split(os.pathsep)]
        found = next(folder / name for folder in folders if (folder / name).exists())
        own = python_library_folder() / f"libpython3.{MINOR}.so.1.0"
        assert found.resolve() == own.resolve()


def test_a_wheel_without_a_stub_for_this_interpreter_is_said_to_be_so(wheel: Path, tmp_path: Path) -> None:
    stub = wheel / "pytriton" / "tritonserver" / "python_backend_stubs" / f"3.{MINOR}" / "triton_python_backend_stub"
    stub.unlink()
    with pytest.raises(TritonUnavailable, match=f"Python 3.{MINOR}"):
        triton_command(wheel, tmp_path / "work", **PORTS)
