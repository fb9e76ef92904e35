"""Shows what the demo is doing: which step, how far, how long, and about how long the rest will take.

On a terminal the list of steps is drawn anew as it changes; in a pipe each step is a line when it begins and ends, with a
line in between now and then.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_LINE_EVERY_S = 10.0


@dataclass
class Step:
    """One step and how far it is.

    Attributes
    ----------
    name
        Shown to the person.
    expected_s
        Seconds it takes on two cores, for the estimate.
    """

    name: str
    expected_s: float
    fraction: float = 0.0
    text: str = ""
    began: float | None = None
    took_s: float | None = None


def remaining_s(steps: list[Step], now: float) -> float:
    """Estimate the rest in seconds from what the steps so far took against what was expected of them.

    A step that was done before this start says nothing about speed, so only steps of more than a second count.
    """
    measured = [step for step in steps if step.took_s is not None and step.took_s > 1]
    pace = 1.0
    if measured:
        pace = sum(step.took_s or 0 for step in measured) / sum(step.expected_s for step in measured)
    rest = 0.0
    for step in steps:
        if step.took_s is not None:
            continue
        if step.began is None:
            rest += step.expected_s * pace
        elif step.fraction > 0.05:
            rest += (now - step.began) / step.fraction * (1 - step.fraction)
        else:
            rest += max(step.expected_s * pace - (now - step.began), 1.0)
    return rest


def spoken(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.1f} min"


class Board:
    """The steps of one run on a screen; used as a context manager.

    Parameters
    ----------
    steps
        All steps in their order.
    out
        The terminal or the pipe.
    """

    def __init__(self, steps: list[Step], out: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._out, self._clock = steps, out, clock
        self._began = clock()
        self._last_line = 0.0
        self._live = Live(get_renderable=self._table, console=out, refresh_per_second=4) if out.is_terminal else None

    def __enter__(self) -> "Board":
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw for the last time."""
        if self._live:
            self._live.stop()

    def begin(self, name: str) -> None:
        """Begin a step; the one before it is done."""
        self.end()
        step = next(step for step in self._steps if step.name == name)
        step.began = self._last_line = self._clock()
        self._line(step, "begins")

    def end(self) -> None:
        """End the step at hand."""
        step = self._current()
        if step is not None and step.began is not None:
            step.took_s = self._clock() - step.began
            self._line(step, f"done in {spoken(step.took_s)}" + (f": {step.text}" if step.text else ""))

    def say(self, done: float, total: float, text: str) -> None:
        """Say how far the step at hand is."""
        step = self._current()
        if step is None:
            return
        step.fraction = min(done / total, 1.0) if total else 0.0
        step.text = text
        if not self._live and self._clock() - self._last_line >= _LINE_EVERY_S:
            self._last_line = self._clock()
            self._line(step, f"{text}; about {spoken(remaining_s(self._steps, self._clock()))} left in all")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._out.print(text, markup=False)

    def _current(self) -> Step | None:
        return next((step for step in self._steps if step.began is not None and step.took_s is None), None)

    def _line(self, step: Step, text: str) -> None:
        if not self._live:
            self._out.print(f"[{self._clock() - self._began:5.0f} s] {step.name}: {text}", markup=False)

    def _table(self) -> Table:
        now = self._clock()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for step in self._steps:
            if step.took_s is not None:
                table.add_row(Text("done", "green"), step.name, spoken(step.took_s), Text(step.text, "dim"))
            elif step.began is not None:
                share = f"{step.fraction:4.0%}" if step.fraction else ""
                table.add_row(
                    Text("now", "bold yellow"), step.name, spoken(now - step.began), f"{share} {step.text}".strip()
                )
            else:
                table.add_row("", Text(step.name, "dim"), "", "")
        rest = spoken(remaining_s(self._steps, now))
        table.add_row("", Text(f"{spoken(now - self._began)} so far, about {rest} left", "bold"), "", "")
        return table
