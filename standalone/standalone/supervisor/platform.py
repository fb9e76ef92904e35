"""A whole platform: locked to its folder, started, watched until somebody ends it, ended in order."""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TextIO

from radloop.auth import secret_of
from radloop.errors import Conflict, PermanentError
from standalone.engines.provision import mirror_of, provision
from standalone.layout import Layout, Platform
from standalone.supervisor.ports import HOST, check_port, free_ports
from standalone.supervisor.process import Program, WatchedProcess, end_leftovers, identity_of
from standalone.supervisor.programs import AE_TITLE, gateway_program, service_programs, triton_program

# Services may take five seconds for requests in flight and a little more for the work at hand; what is not done by then
# is killed, which loses nothing: killing any of them at any moment is what they are built for.
END_PATIENCE_S = 7.0
TRITON_PATIENCE_S = 2.0
# Engines write down what they hold before they end; a killed one recovers at its next start, which takes longer.
ENGINE_PATIENCE_S = 10.0
_LOOK_EVERY_S = 0.05
# A program that dies this often before it was ever ready will not start at all.
MOST_FAILED_STARTS = 4

Said = Callable[[str, str, WatchedProcess | None], None]


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[TextIO]:
    """Hold a data folder for one platform; the lock goes with the process, whatever ends it.

    Raises
    ------
    Conflict
        Another platform runs there.
    """
    layout.folder.mkdir(parents=True, exist_ok=True)
    with layout.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "platform-runs-already",
                expected=f"nobody else in {layout.folder}",
                got="a platform that runs there",
                do=f"use it (radloop status --data {layout.folder}), end it, or choose another folder with --data",
            ) from error
        yield lock


class Supervisor:
    """Runs the platform of one folder.

    Parameters
    ----------
    layout
        The data folder, locked by the caller.
    port
        Port of the one door; 0 for any.
    dicom_port
        Port C-STORE comes to; 0 for any.
    environment
        The shell's variables.
    overrides
        Variables of single services that the caller wants otherwise.
    owner
        Process id of the command this platform lives and dies with; 0 for none.
    said
        Told what happens: (what, process name, process). ``what`` is "starting", "ready", "died", "restarted", "up".
    """

    def __init__(
        self,
        layout: Layout,
        *,
        port: int,
        dicom_port: int,
        environment: Mapping[str, str],
        overrides: Mapping[str, str],
        owner: int,
        said: Said,
    ) -> None:
        self._layout, self._said = layout, said
        self._environment, self._overrides = environment, overrides
        if port:
            check_port(port, "--port")
        if dicom_port:
            check_port(dicom_port, "--dicom-port")
        names = layout.setup.services
        ports = free_ports(len(names) + 5)
        services = {name: f"http://{HOST}:{free}" for name, free in zip(names, ports, strict=False)}
        self._triton_ports = (ports[-5], ports[-4], ports[-3])
        self.platform = Platform(
            url=f"http://{HOST}:{port or ports[-2]}",
            pid=os.getpid(),
            services=services,
            dicom_host=HOST,
            dicom_port=dicom_port or ports[-1],
            dicom_ae_title=AE_TITLE,
            login_code=secrets.token_urlsafe(24),
            ready=False,
            owner=owner,
        )
        self._ending = False
        self.processes: list[WatchedProcess] = []

    def run(self) -> None:
        """Start everything, watch it until SIGINT or SIGTERM, and end it.

        Raises
        ------
        PermanentError
            A program does not start; everything else is ended then.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._start()
            self._watch()
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self._ending = True

    def _start(self) -> None:
        layout = self._layout
        self._end_leftovers()
        for folder in (layout.state_folder, layout.objects_folder, layout.work_folder, layout.logs_folder):
            folder.mkdir(parents=True, exist_ok=True)
        secret_of(layout.secret_file)
        self.platform.write(layout)
        if engines := layout.engines:
            engines.prepare()
            self._begin(engines.programs())
            self._watch(until_ready=True)
            if self._ending:
                return
            provision(engines, layout.setup)
        self._begin(self._programs())

    def _programs(self) -> list[Program]:
        layout, addresses = self._layout, self.platform.services
        programs = [gateway_program(layout, self.platform.url, self._environment)]
        if "inference" in addresses:
            programs.insert(0, triton_program(layout, self._environment, self._triton_ports))
        programs += service_programs(
            layout,
            addresses,
            triton_port=self._triton_ports[1],
            dicom_port=self.platform.dicom_port,
            environment=self._environment,
            overrides=self._overrides,
        )
        mirror = mirror_of(layout)
        if mirror is not None:
            mirror.prepare()
            programs.append(mirror.program())
        return programs

    def _begin(self, programs: list[Program]) -> None:
        new = [WatchedProcess(program, self._layout.logs_folder / f"{program.name}.log") for program in programs]
        self.processes += new
        for process in new:
            process.start(time.monotonic())
            self._said("starting", process.program.name, process)
        self._write_identities()

    def _watch(self, *, until_ready: bool = False) -> None:
        """Look after every process until somebody ends the platform, or until all are ready."""
        while not self._ending:
            for process in self.processes:
                what = process.step(time.monotonic())
                if what is None:
                    continue
                if what == "died" and not self.platform.ready and process.crashes >= MOST_FAILED_STARTS:
                    raise PermanentError(
                        "program-does-not-start",
                        expected=f"{process.program.name} to start",
                        got=process.last_lines() or "no word from it",
                        do=f"read {process.log_file}",
                    )
                self._write_identities()
                self._said(what, process.program.name, process)
            all_ready = all(process.ready for process in self.processes)
            if until_ready and all_ready:
                return
            if not until_ready and all_ready and not self.platform.ready:
                self.platform = replace(self.platform, ready=True)
                self.platform.write(self._layout)
                self._said("up", "", None)
            time.sleep(_LOOK_EVERY_S)

    def _end(self) -> None:
        """End the services first, then Triton, then the engines, so that work in flight can still be finished."""
        engines = self._layout.engines
        engine_names = {program.name for program in engines.programs()} if engines else set()
        triton = [process for process in self.processes if process.program.name == "triton"]
        stores = [process for process in self.processes if process.program.name in engine_names]
        others = [process for process in self.processes if process not in triton and process not in stores]
        _end_all(others, END_PATIENCE_S)
        _end_all(triton, TRITON_PATIENCE_S)
        _end_all(stores, ENGINE_PATIENCE_S)
        self._layout.platform_file.unlink(missing_ok=True)
        self._layout.processes_file.unlink(missing_ok=True)

    def _write_identities(self) -> None:
        identities = [
            {"name": process.program.name, "ready": process.ready, **identity}
            for process in self.processes
            if (identity := identity_of(process.pid))
        ]
        unfinished = self._layout.processes_file.with_suffix(".new")
        unfinished.write_text(json.dumps(identities))
        unfinished.rename(self._layout.processes_file)

    def _end_leftovers(self) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            end_leftovers(json.loads(self._layout.processes_file.read_text()), patience_s=END_PATIENCE_S)


def _end_all(processes: list[WatchedProcess], patience_s: float) -> None:
    for process in processes:
        process.ask_to_end()
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not all(process.has_ended() for process in processes):
        time.sleep(_LOOK_EVERY_S)
    for process in processes:
        process.kill()
