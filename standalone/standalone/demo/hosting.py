"""The platform a demo runs on: the one that runs in its folder already, or one of its own for as long as it lasts."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from radloop.errors import NotFound, PermanentError, RadloopError
from standalone.demo.progress import Board
from standalone.demo.script import Interrupted
from standalone.demo.stopping import Stop
from standalone.layout import Layout, Platform, read_platform
from standalone.setup import Engines
from standalone.supervisor.tether import tethered

START_PATIENCE_S = 240.0
END_PATIENCE_S = 12.0


@contextmanager
def running_platform(
    layout: Layout, board: Board, stop: Stop, port: int, environment: Mapping[str, str], engines: Engines
) -> Iterator[tuple[Platform, Callable[[], object]]]:
    """Use the platform that runs in the folder, or run one for as long as the demo lasts."""
    _wait_for_the_last(layout, board, stop)
    try:
        platform = read_platform(layout)
        board.note(f"Using the platform that runs in {layout.folder}.")
        yield platform, lambda: read_platform(layout)
        return
    except NotFound:
        pass
    layout.logs_folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "standalone", "up", "--data", str(layout.folder), "--owner", str(os.getpid())]
    command += ["--port", str(port), "--dicom-port", "0", "--engines", engines.value]
    with (layout.logs_folder / "up.log").open("ab") as log:
        process = subprocess.Popen(
            tethered(command),
            env={**environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def check() -> None:
        if process.poll() is not None:
            end = (layout.logs_folder / "up.log").read_text(errors="replace").splitlines()[-12:]
            raise PermanentError(
                "platform-ended", expected="a running platform", got="\n".join(end), do="read logs/up.log"
            )

    try:
        yield _started(layout, process.pid, board, stop, check), check
    finally:
        process.terminate()
        try:
            process.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(layout: Layout, pid: int, board: Board, stop: Stop, check: Callable[[], None]) -> Platform:
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        if stop.is_set():
            raise Interrupted
        check()
        try:
            platform = read_platform(layout)
            if platform.pid == pid and platform.ready:
                return platform
        except RadloopError:
            pass
        board.say(0, 1, "Triton and seven services")
        stop.wait(0.2)
    raise PermanentError(
        "platform-slow",
        expected=f"a ready platform within {START_PATIENCE_S:.0f} s",
        got="none",
        do="read logs/ in the data folder",
    )


def _wait_for_the_last(layout: Layout, board: Board, stop: Stop) -> None:
    """Let a platform end that belonged to a demo which was killed: it has noticed, and needs a few seconds."""
    deadline = time.monotonic() + END_PATIENCE_S
    while time.monotonic() < deadline and not stop.is_set():
        try:
            owner = read_platform(layout).owner
        except RadloopError:
            return
        if not owner or Path(f"/proc/{owner}").exists():
            return
        board.say(0, 1, "the platform of the last start is ending")
        stop.wait(0.2)
