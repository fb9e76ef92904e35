"""What operators see of the jobs: what they wait for, how far they are."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client import Gauge

from radloop.jobs import WaitsFor

WAITING = Gauge("radloop_trainer_jobs_waiting", "Jobs that do not run yet, by what they wait for", ["waits_for"])
PROGRESS = Gauge("radloop_trainer_progress_ratio", "Share of its steps that a training has done, 0..1", ["project"])
LOSS = Gauge("radloop_trainer_loss", "Loss of a training's newest step", ["project"])


def show_waits(waits: Iterable[WaitsFor | None]) -> None:
    """Show what jobs wait for now."""
    counts = Counter(waits)
    for what in WaitsFor:
        WAITING.labels(what.value).set(counts[what])


def show_progress(project_id: str, progress: dict[str, Any]) -> None:
    """Show what a run's job last wrote of its progress; what it has not written stays as it was."""
    steps, loss = progress.get("steps"), progress.get("loss")
    if steps:
        PROGRESS.labels(project_id).set(progress.get("step", 0) / steps)
    if loss is not None:
        LOSS.labels(project_id).set(loss)


def forget_progress(project_id: str) -> None:
    """Show nothing of a project any more: no job of it runs."""
    for gauge in (PROGRESS, LOSS):
        gauge.remove_by_labels({"project": project_id})
