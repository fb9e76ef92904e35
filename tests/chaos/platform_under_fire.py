"""Runs a platform whose services are killed on purpose; started by the tests as a process of its own.

    python tests/chaos/platform_under_fire.py DATA SEED RANDOM_KILLS

Each service dies at each kill point it has, one life after the other: ``RADLOOP_KILL_AT`` is set anew at each start. When the
schedule of all is done, processes drawn by the seed are killed at random moments. What was killed stands in ``DATA/kills.json``.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from radloop.crash import POINTS
from standalone.layout import SERVICES, Layout
from standalone.supervisor import platform, process

WRITES_NO_OBJECT = {"edge-miner", "qa", "control-plane"}
FIRST_RANDOM_KILL_AFTER_S = 3.0
PAUSE_S = (0.6, 1.6)


def points_of(service: str) -> list[str]:
    """Return the kill points a service passes, in the order it dies at them.

    `ingest` hears few events and `control-plane` says one: what each passes but once comes first.
    """
    points = sorted(POINTS, key=lambda point: (point == "after-handler") == (service == "control-plane"))
    return [point for point in points if point != "after-object-write" or service not in WRITES_NO_OBJECT]


class Schedule(Mapping[str, str]):
    """A service's environment, another at each start: its next kill point, until there is none left."""

    def __init__(self, environment: Mapping[str, str], points: list[str]) -> None:
        self._environment, self._left = dict(environment), list(points)
        self.done: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether every point has killed."""
        return not self._left

    def died(self, by_kill: bool) -> None:
        """Note that the process has ended; the point counts only if it was what ended it."""
        if by_kill and self._left:
            self.done.append(self._left.pop(0))

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, str]:
        return self._environment | ({"RADLOOP_KILL_AT": self._left[0]} if self._left else {})


def main() -> None:
    """Run until SIGTERM."""
    folder, seed, random_kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    layout, draw = Layout(folder), random.Random(seed)
    # The platform's own patience with programs that keep dying is not what is tested here.
    process.FIRST_PAUSE_S = process.LONGEST_PAUSE_S = 0.2
    platform.MOST_FAILED_STARTS = 1000
    schedules: dict[str, Schedule] = {}
    killed_at_random: list[str] = []

    def journal() -> None:
        text = {"points": {name: s.done for name, s in schedules.items()}, "random": killed_at_random}
        (folder / "kills.json").write_text(json.dumps(text))

    def said(what: str, name: str, watched: process.WatchedProcess | None) -> None:
        if what == "died" and name in schedules:
            schedules[name].died(by_kill=name not in hit)
            hit.discard(name)
            journal()

    hit: set[str] = set()
    original = platform.service_programs

    def under_fire(*args: object, **kwargs: object) -> list[process.Program]:
        programs = []
        for program in original(*args, **kwargs):
            schedules[program.name] = Schedule(program.environment, points_of(program.name))
            programs.append(replace(program, environment=schedules[program.name]))
        return programs

    platform.service_programs = under_fire

    def kill_at_random() -> None:
        while not all(schedule.finished for schedule in schedules.values()) or not schedules:
            time.sleep(0.2)
        time.sleep(FIRST_RANDOM_KILL_AFTER_S)
        while len(killed_at_random) < random_kills:
            name = draw.choice(SERVICES)
            watched = next(each for each in supervisor.processes if each.program.name == name)
            if watched.pid > 0 and watched.ready:
                hit.add(name)
                os.kill(watched.pid, signal.SIGKILL)
                killed_at_random.append(name)
                journal()
            time.sleep(draw.uniform(*PAUSE_S))

    with platform.locked(layout):
        supervisor = platform.Supervisor(
            layout, port=0, dicom_port=0, environment=os.environ, overrides={}, owner=0, said=said
        )
        threading.Thread(target=kill_at_random, daemon=True).start()
        supervisor.run()


if __name__ == "__main__":
    main()
