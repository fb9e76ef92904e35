"""Starting the Triton server of the ``nvidia-pytriton`` wheel: which command, which environment.

The wheel (``triton.lock.txt``) is installed with ``uv pip install --no-deps --require-hashes --target <folder>``; only its
server binary, its python backend and the backend's stubs are used. This module only prepares files and names the command;
the caller starts and watches the process. Standard library only.
"""

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

MODEL_CONTROL = "explicit"


class TritonUnavailable(Exception):
    """The server cannot be started here; the text names what is missing and the line that installs it."""


def triton_command(
    wheel: Path,
    work_dir: Path,
    *,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    host: str = "127.0.0.1",
    repository: Path | None = None,
    load: tuple[str, ...] = (),
    threads: int | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Prepare the server's folders and return how to start it.

    Parameters
    ----------
    wheel : pathlib.Path
        Folder the wheel was installed into.
    work_dir : pathlib.Path
        Folder of this server; gets the backends and, unless given, an empty model repository. Kept between starts.
    http_port, grpc_port, metrics_port : int
        Ports to listen on.
    host : str
        Address to bind all three to.
    repository : pathlib.Path, optional
        Model repository; models sent by the load call need none.
    load : tuple of str
        Models of the repository to load at the start.
    threads : int, optional
        Threads torch uses per model; the environment's own choice where left out.

    Returns
    -------
    tuple of (list of str, dict of str to str)
        Arguments, and the whole environment of the process. Explicit model control: a model is loaded and unloaded by call.

    Raises
    ------
    TritonUnavailable
        The wheel is not there, has no stub for this interpreter, or the interpreter's shared library is missing.
    """
    server = wheel / "pytriton" / "tritonserver"
    binary = server / "bin" / "tritonserver"
    if not binary.is_file():
        raise TritonUnavailable(
            f"expected the nvidia-pytriton wheel in {wheel.name}, found none; do: make bootstrap, or "
            "uv pip install --no-deps --require-hashes --target <folder> -r services/inference/triton/triton.lock.txt"
        )
    bundled = wheel / "nvidia_pytriton.libs"
    libraries = [_own_library_for(bundled, work_dir / "libraries"), bundled, python_library_folder()]
    backends = _copy_backends(server, work_dir / "backends")
    repository = repository or work_dir / "models"
    repository.mkdir(parents=True, exist_ok=True)

    arguments = [
        str(binary),
        f"--backend-directory={backends}",
        f"--model-repository={repository}",
        f"--model-control-mode={MODEL_CONTROL}",
        *(f"--load-model={name}" for name in load),
        f"--http-address={host}",
        f"--http-port={http_port}",
        f"--grpc-address={host}",
        f"--grpc-port={grpc_port}",
        f"--metrics-address={host}",
        f"--metrics-port={metrics_port}",
        # A server without models is ready: the service decides what is loaded.
        "--strict-readiness=false",
        "--exit-timeout-secs=10",
        "--log-format=ISO8601",
    ]
    environment = {
        **os.environ,
        "PYTHONHOME": sys.base_prefix,
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in dict.fromkeys(libraries)),
        "RADLOOP_TRITON_SITE": os.pathsep.join(dict.fromkeys([*site.getsitepackages(), sysconfig.get_path("purelib")])),
        # Without it, torch's threads spin at every barrier; where another program uses the cores, a prediction then takes
        # twenty times as long (measured: 2.7 s against 0.1 s on two cores).
        "OMP_WAIT_POLICY": "PASSIVE",
        # The stub writes its byte code into the environment otherwise, with another magic number in mind.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTHONPATH", None)
    environment.pop("VIRTUAL_ENV", None)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    return arguments, environment


def python_library_folder() -> Path:
    """Return the folder of the running interpreter's shared library, which the backend's stub is linked against.

    Raises
    ------
    TritonUnavailable
        There is none; the text holds the line that installs it.
    """
    name = _library_name()
    folders = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", *_system_folders()]
    for folder in filter(None, folders):
        if (Path(folder) / name).is_file():
            return Path(folder)
    package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    raise TritonUnavailable(f"expected {name}, found none; do: apt-get install {package}")


def _library_name() -> str:
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def _own_library_for(bundled: Path, into: Path) -> Path:
    """Fill a folder, to be searched first, with the interpreter's shared library under the name of the wheel's own copy.

    The stub for Python 3.13 asks for a renamed copy in the wheel, unlike the others. That copy was built with other modules
    inside than a distribution's: with Debian 13's standard library it does not find ``_struct`` anywhere.
    """
    into.mkdir(parents=True, exist_ok=True)
    for copy in bundled.glob(f"libpython{sys.version_info.major}-*.{sys.version_info.minor}.so.1.0"):
        link = into / copy.name
        link.unlink(missing_ok=True)
        link.symlink_to(python_library_folder() / _library_name())
    return into


def _system_folders() -> list[str]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return [*([f"/usr/lib/{multiarch}"] if multiarch else []), "/usr/lib", "/usr/local/lib", "/usr/lib64"]


def _copy_backends(server: Path, into: Path) -> Path:
    """Copy the backends beside a stub that fits the interpreter; what is there and complete is kept."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise TritonUnavailable(
            f"expected a python backend for Python {version}, found none; do: use Python 3.11 to 3.13"
        )
    done = into / f".complete-{version}-{stub.stat().st_size}"
    if not done.is_file():
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(server / "backends", into)
        target = into / "python" / "triton_python_backend_stub"
        shutil.copy2(stub, target)
        target.chmod(0o755)
        done.touch()
    return into
