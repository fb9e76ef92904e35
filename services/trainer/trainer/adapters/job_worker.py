"""Starts, watches and ends the jobs of runs. Everything it knows stands in the database and in the run's folder, so a
restarted trainer goes on where it was: a job that is running is found by its run's id, one that ended is read.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from radloop.dispatch import Dispatcher
from radloop.errors import PermanentError
from radloop.jobs import Jobs, JobState
from radloop.objects import Objects
from radloop.references import CaseDice, ObjectRef, digest_of
from radloop.telemetry import logger
from trainer.domain.messages import NoteJobEnded, NoteStart, RecordFailure, RecordModel, TrainingFailure
from trainer.domain.model import Run, RunState, bundle_key

log = logger(__name__)

_REASONS = {"bad-plan": TrainingFailure.BAD_PLAN, "diverged": TrainingFailure.DIVERGED}


_HELD = "objects"
"""Folder of a run with the copies its job reads, where the object store is not on this machine."""


class JobWorker:
    """The loop over runs that need something.

    Parameters
    ----------
    dispatcher, read
        Commands, and a read-only unit of work.
    jobs, objects
        What runs programs, and where volumes, labels and bundles are.
    work_dir
        Folder with one folder for each run.
    max_attempts
        How often a job that died is started at most.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        read: Callable[[], AbstractContextManager[Any]],
        jobs: Jobs,
        objects: Objects,
        work_dir: Path,
        max_attempts: int,
    ) -> None:
        self._dispatcher, self._read, self._jobs, self._objects = dispatcher, read, jobs, objects
        self._work_dir, self._max_attempts = work_dir.resolve(), max_attempts

    def step(self) -> bool:
        """Look after each run once; return whether anything changed.

        An error about one run is raised when all have been looked after: it must not hold up the other projects.
        """
        with self._read() as uow:
            runs = uow.runs.to_look_after()
        changed, errors = False, []
        for run in runs:
            try:
                changed |= self._look_after(run)
            except Exception as error:  # whatever it is, the next look tries again
                errors.append(error)
        if errors:
            raise errors[0]
        return changed

    def progress(self, run_id: str) -> dict[str, Any]:
        """Return what the run's job last wrote about its progress, ``{}`` before it has."""
        try:
            return json.loads((self._work_dir / run_id / "progress.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def _look_after(self, run: Run) -> bool:
        if run.state is RunState.CANCELLED:
            self._jobs.cancel(run.run_id)
            self._release(run)
            self._dispatcher.dispatch(NoteJobEnded(run.run_id))
            return True
        status = self._jobs.status(run.run_id)
        if status.state is JobState.RUNNING:
            if run.state is RunState.QUEUED:  # started, and we died before we could note it
                self._dispatcher.dispatch(NoteStart(run.run_id))
                return True
            return False
        if status.state is JobState.SUCCEEDED:
            if run.state is RunState.QUEUED:
                self._dispatcher.dispatch(NoteStart(run.run_id))
            return self._take_model(run)
        if status.state is JobState.FAILED:
            result = self._result(run)
            if result.get("reason") in _REASONS:
                log.warning("training failed", run=run.run_id, reason=result["reason"], detail=result.get("detail", ""))
                return self._fail(run, _REASONS[result["reason"]])
            if run.attempts >= self._max_attempts:
                return self._fail(run, TrainingFailure.JOB_DIED)
            log.warning("training job died, starting again", run=run.run_id, attempts=run.attempts)
        return self._start(run)

    def _start(self, run: Run) -> bool:
        plan = json.loads(run.plan)
        folder = self._work_dir / run.run_id
        folder.mkdir(parents=True, exist_ok=True)
        try:
            places = self._places(plan, folder / _HELD)
        except PermanentError as error:
            log.error("an object the plan names is gone or damaged", run=run.run_id, reason=error.code)
            return self._fail(run, TrainingFailure.BAD_PLAN)
        task = {"plan": plan, "plan_digest": run.plan_digest, "objects": places, "output": "."}
        unfinished = folder / "task.json.new"
        unfinished.write_text(json.dumps(task))
        unfinished.rename(folder / "task.json")
        threads = str(plan["threads"])
        self._jobs.start(
            run.run_id,
            [sys.executable, "-m", "training_job", str(folder / "task.json")],
            # Threads that spin while they wait take the cores from the services: a step beside them took ten times as long.
            {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        self._dispatcher.dispatch(NoteStart(run.run_id))
        return True

    def _fail(self, run: Run, reason: TrainingFailure) -> bool:
        self._release(run)
        self._dispatcher.dispatch(RecordFailure(run.run_id, reason))
        return True

    def _release(self, run: Run) -> None:
        """Let the copies of images go that were held for a job which has ended."""
        shutil.rmtree(self._work_dir / run.run_id / _HELD, ignore_errors=True)

    def _places(self, plan: dict[str, Any], hold: Path) -> dict[str, str]:
        references = [ref for item in plan["items"] for ref in (*item["images"], item["label"])]
        if plan["serving"]:
            references.append(plan["serving"])
        return {
            ref["key"]: str(self._objects.path(ObjectRef(ref["key"], ref["digest"], 0), hold)) for ref in references
        }

    def _result(self, run: Run) -> dict[str, Any]:
        """Return what the job said at its end, ``{}`` when that is nothing about this plan."""
        try:
            result = json.loads((self._work_dir / run.run_id / "result.json").read_text())
            # A plan the job could not even read has no digest there.
            return result if result["plan_digest"] in ("", run.plan_digest) else {}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def _take_model(self, run: Run) -> bool:
        result = self._result(run)
        try:
            data, record = self._model_of(run, result)
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            # Trying again would read the same: the run ends, or its project would wait for it for ever.
            log.warning("training job ended without a model of this plan", run=run.run_id)
            return self._fail(run, TrainingFailure.JOB_DIED)
        bundle = self._objects.put(bundle_key(run.project_id, digest_of(data)), data)
        self._release(run)
        self._dispatcher.dispatch(record(bundle=bundle))
        return True

    def _model_of(self, run: Run, result: dict[str, Any]) -> tuple[bytes, Callable[..., RecordModel]]:
        """Return a result's bundle and its command, which still lacks where the bundle is stored."""
        if (result["outcome"], result["plan_digest"]) != ("model", run.plan_digest):
            raise ValueError("no model of this plan")
        patients = {item["case_id"]: item["patient_key"] for item in json.loads(run.plan)["items"]}
        record = partial(
            RecordModel,
            run_id=run.run_id,
            validation_dice=_dice(result["validation_dice"], patients),
            serving_validation_dice=_dice(result["serving_validation_dice"], patients),
            test_dice=_dice(result["test_dice"], patients),
            duration_s=float(result["duration_s"]),
        )
        return (self._work_dir / run.run_id / result["bundle"]).read_bytes(), record


def _dice(rows: list[dict[str, Any]], patients: dict[str, str]) -> tuple[CaseDice, ...]:
    return tuple(CaseDice(row["case_id"], patients[row["case_id"]], row["segment"], row["dice"]) for row in rows)
