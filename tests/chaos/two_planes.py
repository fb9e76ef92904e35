"""A hospital and its cloud on one machine, each with engines of its own, joined by the mirror; and the people who work there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from radloop.errors import RadloopError
from radloop.events import open_event_log
from standalone.client import Client, operator_token
from standalone.demo.cohort import Source, load_cohort, phantom_source
from standalone.demo.facts import Facts
from standalone.demo.progress import Board
from standalone.demo.readers import Person, Tally
from standalone.demo.reading_room import open_reading_room
from standalone.demo.script import Script, plan_of
from standalone.demo.sending import Destination
from standalone.demo.state import PROJECT_ID, Choices
from standalone.demo.stopping import Stop
from standalone.layout import Layout, read_platform
from standalone.supervisor.tether import tethered

T = TypeVar("T")

START_WITHIN_S = 240.0
POOL_SAMPLE = 30
"""Cases each round predicts on: a round must be short, or nothing else happens."""


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Wait until there is something true, and return it.

    Raises
    ------
    AssertionError
        It did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.3)
    return seen


@contextmanager
def platform(folder: Path, *arguments: str) -> Iterator[Layout]:
    """Run ``radloop up`` in a folder, and end it."""
    layout = Layout(folder)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "standalone", "up", "--data", str(folder), "--port", "0", "--dicom-port", "0"]
    with (folder / "up.log").open("ab") as output:
        process = subprocess.Popen(
            tethered([*command, *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"RADLOOP_SWEEP_SHORTEST_GRACE_S": "0"},  # swept when nobody writes any more
        )
    try:

        def up() -> bool:
            assert process.poll() is None, (folder / "up.log").read_text()[-2000:]
            with contextlib.suppress(RadloopError):
                return read_platform(layout).ready
            return False

        wait_for(up, START_WITHIN_S, f"the platform in {folder}")
        yield layout
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def control_plane(folder: Path) -> contextlib.AbstractContextManager[Layout]:
    """Run a control plane."""
    return platform(folder, "--plane", "control", "--engines", "real")


@contextmanager
def two_planes(folder: Path, *, brokers: int = 1) -> Iterator[tuple[Layout, Layout]]:
    """Run a control plane and one site; yield the folders of site and cloud."""
    with ExitStack() as stack:
        cloud = stack.enter_context(control_plane(folder / "cloud"))
        site = stack.enter_context(join(folder / "site", cloud, site="site-1", brokers=brokers))
        yield site, cloud


def join(folder: Path, cloud: Layout, *, site: str, brokers: int = 1) -> contextlib.AbstractContextManager[Layout]:
    """Run the data plane of one more site of a cloud."""
    assert cloud.engines is not None
    arguments = ["--plane", "data", "--engines", "real", "--site", site, "--brokers", str(brokers)]
    return platform(folder, *arguments, "--control-plane-events", cloud.engines.events_url)


class TwoPlanesClient(Client):
    """Talks to the site, and to the cloud about projects and models."""

    def __init__(self, site: Layout, cloud: Layout) -> None:
        super().__init__(read_platform(site).url, operator_token(site))
        self._cloud = Client(read_platform(cloud).url, operator_token(cloud))

    def close(self) -> None:
        """Close the connections to both."""
        self._cloud.close()
        super().close()

    def put(self, path: str, body: Any) -> Any:
        """Put JSON; a project predicts on fewer cases here."""
        if path.startswith("/control-plane/v1/projects/"):
            body = body | {"selection": body["selection"] | {"pool_sample": POOL_SAMPLE}}
        return super().put(path, body)

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if path.startswith("/control-plane/"):
            return self._cloud._send(method, path, **arguments)
        return super()._send(method, path, **arguments)


class ReadingRoom:
    """The demo's script and readers, on two planes, begun again whenever a failure stops them.

    Parameters
    ----------
    site, cloud
        Folders of the two planes.
    choices
        What the demo would be started with.
    output
        Told how far it is.
    source
        Images; phantoms where none are named.
    """

    def __init__(
        self, site: Layout, cloud: Layout, choices: Choices, output: Any, source: Source | None = None
    ) -> None:
        self.site, self.cloud, self.choices = site, cloud, choices
        self.cohort = load_cohort(
            source or phantom_source(),
            seed=choices.seed,
            test=choices.test,
            validation=choices.validation,
            start=choices.start,
            pool=choices.pool,
        )
        self.acknowledged: list[str] = []
        self.attempts = 0
        self._output = output

    @property
    def studies(self) -> int:
        """Studies that are sent."""
        return len(self.cohort.patients)

    def work(self, patience_s: float) -> None:
        """Run the script to its end, however often it takes.

        Raises
        ------
        RadloopError
            The last failure, when it is not done in time.
        """
        deadline = time.monotonic() + patience_s
        while True:
            self.attempts += 1
            try:
                return self._attempt()
            except (RadloopError, httpx.HTTPError, OSError) as error:
                self._output.print(f"attempt {self.attempts} stopped: {type(error).__name__}: {error}", markup=False)
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _attempt(self) -> None:
        log = open_event_log(self.site.events_url)
        facts, tally, stop, reading_ends = Facts(PROJECT_ID), Tally(), Stop(), threading.Event()
        client = TwoPlanesClient(self.site, self.cloud)
        at = read_platform(self.site)
        readers: list[Person] = []

        def check() -> None:
            if tally.failure is not None:
                raise tally.failure

        try:
            facts.look(log)
            with Board(plan_of(self.choices, 36 * self.studies), self._output) as board:
                destination = Destination(at.dicom_host, at.dicom_port, at.dicom_ae_title)
                script = Script(self.choices, self.cohort, client, destination, log, facts, board, stop, tally, check)
                script.prepare()
                readers = open_reading_room(at.url, self.site, self.choices, script.expert, tally, reading_ends)
                script.import_labels()
                script.watch_training(0)
                for number in range(1, self.choices.rounds + 1):
                    script.watch_mining(number)
                    script.watch_reading(number)
                    script.watch_training(number)
        finally:
            reading_ends.set()
            for reader in readers:
                reader.join()
            self.acknowledged += tally.acknowledged
            client.close()
            log.close()


def processes(layout: Layout) -> list[dict[str, Any]]:
    """Return who runs in a folder, as its supervisor wrote it down."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return json.loads(layout.processes_file.read_text())
    return []


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
