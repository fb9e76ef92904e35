"""A platform as a process: started as people start it, with the most talkative logs, and asked until something is true."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from radloop.auth import Role
from radloop.errors import NotFound, RadloopError, TemporaryError
from standalone.client import Client, issue_token
from standalone.layout import Layout, Platform, read_platform

PATIENCE_S = 600.0


@contextlib.contextmanager
def running(layout: Layout, *options: str) -> Iterator[Platform]:
    """Run a platform in a folder until the end of the block."""
    command = [sys.executable, "-m", "standalone", "up", "--data", str(layout.folder), "--owner", str(os.getpid())]
    command += ["--port", "0", "--dicom-port", "0", *options]
    layout.logs_folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"RADLOOP_LOG_LEVEL": "debug"}
    with (layout.logs_folder / "up.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield wait_for(lambda: _ready(layout, process), PATIENCE_S)
    finally:
        process.terminate()
        process.wait(60)


def _ready(layout: Layout, process: subprocess.Popen[bytes]) -> Platform | None:
    assert process.poll() is None, (layout.logs_folder / "up.log").read_text()[-2000:]
    try:
        platform = read_platform(layout)
    except RadloopError:
        return None
    return platform if platform.ready and platform.pid == process.pid else None


def wait_for(call: Callable[[], Any], limit_s: float = PATIENCE_S) -> Any:
    """Call until it gives something true; what is temporary or not there yet is asked for again."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if found := call():
                return found
        except (TemporaryError, NotFound):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def client_for(layout: Layout, subject: str, *roles: Role) -> Client:
    """Open the one door with somebody's token."""
    return Client(read_platform(layout).url, issue_token(layout, subject, {"*": roles}))


def paths_under(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that are there."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
