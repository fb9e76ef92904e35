"""What a demo was started with. Everything else a second start needs to know, it asks the platform."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from radloop.errors import Conflict
from standalone.demo.cohort import Source
from standalone.layout import Layout

PROJECT_ID = "hippocampus"
READERS = ("demo-reader-1", "demo-reader-2", "demo-reader-3")
REVIEWER = "demo-reviewer"
SENIOR = "demo-senior"


@dataclass(frozen=True)
class Choices:
    """The options of a demo.

    Attributes
    ----------
    seed
        Decides everything that is drawn.
    rounds, batch
        Rounds, and cases put before readers in each.
    start, pool, test, validation
        Patients in each part of the cohort.
    initial_steps, update_steps
        Optimizer steps of the first training and of every further one; 0 for the demo's own.
    error_share
        Share of first readings that are grossly wrong on purpose, 0..1.
    cohort
        "auto", "real" or "phantom".
    """

    seed: int
    rounds: int
    batch: int
    start: int
    pool: int
    test: int
    validation: int
    initial_steps: int
    update_steps: int
    error_share: float
    cohort: str


def remembered(layout: Layout) -> tuple[Choices, Source] | None:
    """Return what the demo in a folder was started with; None where there is none."""
    try:
        stored = json.loads(layout.demo_file.read_text())
    except FileNotFoundError:
        return None
    return Choices(**stored["choices"]), Source(**stored["source"])


def check_same(asked: Choices, begun: Choices, layout: Layout) -> None:
    """Make sure that a demo goes on as it began.

    Raises
    ------
    Conflict
        An option differs.
    """
    differing = [
        f"{field.name} {getattr(begun, field.name)} (not {getattr(asked, field.name)})"
        for field in fields(Choices)
        if getattr(asked, field.name) != getattr(begun, field.name)
    ]
    if differing:
        raise Conflict(
            "demo-begun-otherwise",
            expected=f"the options the demo in {layout.folder} began with: {', '.join(differing)}",
            got="others",
            do="leave them as they were, or begin another demo in another folder with --data",
        )


def remember(layout: Layout, choices: Choices, source: Source) -> None:
    """Write down what a demo is started with, whole or not at all."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"begun": begun, "choices": asdict(choices), "source": asdict(source)}, indent=2)
    unfinished = layout.demo_file.with_suffix(".new")
    unfinished.write_text(text + "\n")
    unfinished.rename(layout.demo_file)
