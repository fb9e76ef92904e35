"""Watching real processes: ready, crash, restart, end, and the tether to whoever started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from radloop.errors import Conflict
from standalone.layout import Layout
from standalone.supervisor.platform import locked
from standalone.supervisor.ports import check_port, free_ports
from standalone.supervisor.process import Program, WatchedProcess, end_leftovers, identity_of
from standalone.supervisor.programs import clean_environment
from standalone.supervisor.tether import tethered

pytestmark = pytest.mark.integration

SLEEPER = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


def once(statement: str) -> list[str]:
    """Return arguments of ``python -m timeit`` that run a statement once: a module anybody has, to be forked."""
    return ["-n", "1", "-r", "1", "-s", "import os, pathlib, time", statement]


def wait_for(condition: Callable[[], object], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(params=["a command", "a forked module"])
def sleeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WatchedProcess]:
    sign = tmp_path / "sign"
    if request.param == "a command":
        program = Program("sleeper", [sys.executable, "-c", SLEEPER, str(sign)], dict(os.environ), is_ready=sign.exists)
    else:
        arguments = once(f"pathlib.Path({str(sign)!r}).touch(); time.sleep(60)")
        program = Program("sleeper", arguments, dict(os.environ), is_ready=sign.exists, module="timeit")
    process = WatchedProcess(program, tmp_path / "logs" / "sleeper.log")
    yield process
    process.kill()


def said(process: WatchedProcess, what: str) -> Callable[[], bool]:
    return lambda: process.step(time.monotonic()) == what


def test_a_process_is_ready_when_it_says_so(sleeper: WatchedProcess) -> None:
    sleeper.start(time.monotonic())
    assert not sleeper.ready
    wait_for(said(sleeper, "ready"))
    assert sleeper.ready
    assert sleeper.step(time.monotonic()) is None


def test_a_process_that_dies_starts_again_after_a_pause(sleeper: WatchedProcess) -> None:
    sleeper.start(time.monotonic())
    wait_for(said(sleeper, "ready"))
    first = sleeper.pid
    os.kill(first, signal.SIGKILL)
    wait_for(said(sleeper, "died"))
    assert sleeper.has_ended()
    wait_for(said(sleeper, "restarted"))
    assert sleeper.pid not in (first, -1)


def test_the_pause_grows_for_a_process_that_keeps_dying(tmp_path: Path) -> None:
    program = Program("dying", [sys.executable, "-c", "print('why')"], dict(os.environ), is_ready=lambda: False)
    process = WatchedProcess(program, tmp_path / "dying.log")
    process.start(time.monotonic())
    wait_for(said(process, "died"))
    now = time.monotonic()
    assert process.step(now) is None
    assert process.step(now + 31) == "restarted"
    wait_for(said(process, "died"))
    assert process.crashes == 2
    assert process.last_lines() == "why\nwhy"


def test_a_forked_module_has_an_environment_a_session_and_a_log_of_its_own(tmp_path: Path) -> None:
    statement = "print(sorted(os.environ.items()), os.getsid(0) == os.getpid())"
    program = Program("printer", once(statement), {"MINE": "this"}, is_ready=lambda: False, module="timeit")
    process = WatchedProcess(program, tmp_path / "printer.log")
    process.start(time.monotonic())
    wait_for(said(process, "died"))
    assert process.last_lines().splitlines()[0] == "[('MINE', 'this')] True"


TETHERED = f"subprocess.Popen(tethered([sys.executable, '-c', {SLEEPER!r}, sign]), start_new_session=True)"
FORKED = "Forked('timeit', ['-n', '1', '-r', '1', 'import pathlib, time; pathlib.Path(%r).touch(); time.sleep(60)' % sign], {}, log)"


@pytest.mark.parametrize("child", [TETHERED, FORKED], ids=["tethered", "forked"])
def test_a_child_ends_with_the_process_that_started_it(tmp_path: Path, child: str) -> None:
    sign = tmp_path / "sign"
    script = (
        "import pathlib, subprocess, sys, time\n"
        "from standalone.supervisor.forked import Forked\n"
        "from standalone.supervisor.tether import tethered\n"
        f"sign, log = {str(sign)!r}, pathlib.Path({str(tmp_path / 'log')!r})\n"
        f"child = {child}\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_for(sign.exists)
        parent.kill()
        parent.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_leftovers_are_ended_but_not_who_got_their_number() -> None:
    with subprocess.Popen(tethered(["sleep", "60"])) as left, subprocess.Popen(["sleep", "60"]) as innocent:
        known = identity_of(left.pid)
        reused = identity_of(innocent.pid)
        assert known is not None
        assert reused is not None
        reused["started"] -= 100
        # A child of ours stays a zombie until we look, and psutil waits for it by looking.
        assert end_leftovers([known, reused, {"pid": 2**22 - 1, "started": 1.0}], patience_s=5) == 1
        assert innocent.poll() is None
        innocent.kill()


def test_a_folder_holds_one_platform(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    with locked(layout), pytest.raises(Conflict, match="platform-runs-already"), locked(layout):
        pass
    with locked(layout):
        pass


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Conflict, match="--port"):
            check_port(taken.getsockname()[1], "--port")
    ports = free_ports(5)
    assert len(set(ports)) == 5
    check_port(ports[0], "--port")


def test_what_a_shell_says_to_another_platform_does_not_leak() -> None:
    shell = {
        "RADLOOP_URL": "x",
        "QA_DRAW_KEY": "y",
        "EDGE_MINER_POLL_S": "1",
        "PATH": "/bin",
        "RADLOOP_LOG_LEVEL": "debug",
    }
    kept = clean_environment(shell)
    assert "QA_DRAW_KEY" not in kept
    assert "EDGE_MINER_POLL_S" not in kept
    assert "RADLOOP_URL" not in kept
    assert (kept["PATH"], kept["RADLOOP_LOG_LEVEL"]) == ("/bin", "debug")
