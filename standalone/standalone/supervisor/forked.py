"""Python programs started in a moment: forked from a process that has imported what most of them need.

Seven services import the same libraries, which takes each some seconds of a core and some hundred megabytes. Here one process
imports them (`preloaded`), and every service is a fork of it, with an environment, a session and a log of its own: ready sooner
after a start and after a crash, and the libraries are in memory once.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

from setproctitle import setproctitle

from standalone.supervisor.tether import end_with_parent

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["standalone.supervisor.preloaded"])


class Forked:
    """A running module of ours; what `subprocess.Popen` has and a supervisor needs.

    Parameters
    ----------
    module, arguments
        As in ``python -m module arguments...``.
    environment
        Its whole environment.
    log_file
        Its output is appended here.
    """

    def __init__(self, module: str, arguments: list[str], environment: Mapping[str, str], log_file: Path) -> None:
        what = (module, arguments, dict(environment), str(log_file))
        self._process = _CONTEXT.Process(target=_become, args=what, name=module)
        self._process.start()
        self.pid = self._process.pid or -1

    def poll(self) -> int | None:
        """Return its exit status, the negative signal number where one ended it, None while it runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until it is gone."""
        self._process.join()


def _become(module: str, arguments: list[str], environment: dict[str, str], log_file: str) -> None:
    end_with_parent()
    launcher = multiprocessing.parent_process()
    if launcher is None or not launcher.is_alive():  # it died in the moment before
        sys.exit(1)
    os.setsid()
    log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what is said is read at once
    setproctitle(" ".join([sys.executable, "-m", module, *arguments]))  # it finds its place by the old environment
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
