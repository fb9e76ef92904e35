"""Where a run and its job meet: a task on one side, progress and a result on the other.

On one machine that is the run's folder. In a cluster the two share no disk, and it is the run's shelf in the object store.
"""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from radloop.objects import Objects
from radloop.objects.shelf import Shelf
from radloop.references import ObjectRef
from trainer.domain.model import ACTIVE, Run

LOGS = "log"
_HELD = "objects"
"""Folder of a run with the copies its job reads, where the object store is not on this machine."""


class RunFiles(Protocol):
    """What the job worker needs of either place."""

    def offer(self, run: Run) -> tuple[list[str], dict[str, str]]:
        """Put the task of a run where its job finds it; return the job's command line and its variables.

        Raises
        ------
        PermanentError
            An object the plan names is gone or damaged.
        TemporaryError
            The store is away.
        """
        ...

    def read(self, run: Run, name: str) -> bytes | None:
        """Return a file the job wrote; None when it has not."""
        ...

    def keep_log(self, run: Run, log: bytes) -> None:
        """Keep what the job wrote on its outputs in this attempt."""
        ...

    def logs(self, run: Run) -> bytes:
        """Return the logs that are kept of the run's job, oldest first."""
        ...

    def release(self, run: Run) -> None:
        """Let go what only a job that goes on needs."""
        ...


class FolderRunFiles:
    """A folder for each run.

    Parameters
    ----------
    work_dir
        With one folder for each run, in which the job runs, too; its log lies there by itself.
    objects
        Must have files.
    """

    def __init__(self, work_dir: Path, objects: Objects) -> None:
        self._work_dir, self._objects = work_dir.resolve(), objects

    def offer(self, run: Run) -> tuple[list[str], dict[str, str]]:
        """Write ``task.json``, with the local file of every object."""
        folder = self._work_dir / run.run_id
        folder.mkdir(parents=True, exist_ok=True)
        places = {ref.key: str(self._objects.path(ref, folder / _HELD)) for ref in references_of(run)}
        unfinished = folder / "task.json.new"
        unfinished.write_text(json.dumps(_task(run) | {"objects": places, "output": "."}))
        unfinished.rename(folder / "task.json")
        return [sys.executable, "-m", "training_job", str(folder / "task.json")], {}

    def read(self, run: Run, name: str) -> bytes | None:
        """Return a file of the run's folder."""
        try:
            return (self._work_dir / run.run_id / name).read_bytes()
        except FileNotFoundError:
            return None

    def keep_log(self, run: Run, log: bytes) -> None:
        """Do nothing: it is kept."""

    def logs(self, run: Run) -> bytes:
        """Return ``log.txt``, into which every start of the job wrote."""
        return self.read(run, "log.txt") or b""

    def release(self, run: Run) -> None:
        """Let the copies of images go."""
        shutil.rmtree(self._work_dir / run.run_id / _HELD, ignore_errors=True)


class ShelfRunFiles:
    """A shelf in the object store for each run; `training_job.pod` is at its other end.

    Parameters
    ----------
    objects, url
        The store, and the address under which the job reaches it.
    """

    def __init__(self, objects: Objects, url: str) -> None:
        self._objects, self._url = objects, url

    def offer(self, run: Run) -> tuple[list[str], dict[str, str]]:
        """Put ``task.json`` on the shelf, with the objects it names."""
        references = [{"key": ref.key, "digest": ref.digest} for ref in references_of(run)]
        shelf = self._shelf(run)
        shelf.put("task.json", json.dumps(_task(run) | {"objects": references}).encode())
        return ["python", "-m", "training_job.pod", shelf.prefix], {"RADLOOP_OBJECTS_URL": self._url}

    def read(self, run: Run, name: str) -> bytes | None:
        """Return a file's newest version; of a run that has ended none is left, and the store is not asked."""
        return self._shelf(run).get(name) if run.state in ACTIVE else None

    def keep_log(self, run: Run, log: bytes) -> None:
        """Put it on the shelf, under the attempt's number."""
        if log:
            self._shelf(run).put(f"{LOGS}/attempt-{run.attempts}.txt", log)

    def logs(self, run: Run) -> bytes:
        """Return the logs of ended attempts; that of a job that runs is the cluster's (``kubectl logs``)."""
        shelf = self._shelf(run)
        names = sorted(shelf.names(f"{LOGS}/"), key=lambda name: (len(name), name))
        return b"".join(shelf.get(name) or b"" for name in names)

    def release(self, run: Run) -> None:
        """Let everything but the logs go."""
        self._shelf(run).clear(keep=(f"{LOGS}/",))

    def _shelf(self, run: Run) -> Shelf:
        return Shelf(self._objects, f"trainer/{run.project_id}/runs/{run.run_id}")


def references_of(run: Run) -> Iterable[ObjectRef]:
    """Return the objects a run's plan names, each with its digest."""
    plan: dict[str, Any] = json.loads(run.plan)
    references = [ref for item in plan["items"] for ref in (*item["images"], item["label"])]
    if plan["serving"]:
        references.append(plan["serving"])
    return [ObjectRef(ref["key"], ref["digest"], 0) for ref in references]


def _task(run: Run) -> dict[str, Any]:
    return {"plan": json.loads(run.plan), "plan_digest": run.plan_digest}
