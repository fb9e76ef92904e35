"""Starts, watches and ends the jobs of runs. Everything it must know stands in the database and where a run and its job meet
(`run_files.py`), so a restarted trainer goes on where it was: a job that is running is found by its run's id, one that ended is read.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from radloop.dispatch import Dispatcher
from radloop.errors import PermanentError
from radloop.jobs import Jobs, JobState, JobStatus, WaitsFor
from radloop.objects import Objects
from radloop.references import CaseDice, digest_of
from radloop.telemetry import logger
from trainer.adapters.metrics import forget_progress, show_progress, show_waits
from trainer.adapters.run_files import RunFiles
from trainer.domain.messages import (
    NoteJobEnded,
    NoteStart,
    NoteWait,
    RecordFailure,
    RecordModel,
    TrainingFailure,
    TrainingWait,
)
from trainer.domain.model import ACTIVE, Run, RunState, bundle_key
from trainer.domain.waiting import wait_after

log = logger(__name__)

_REASONS = {"bad-plan": TrainingFailure.BAD_PLAN, "diverged": TrainingFailure.DIVERGED}
_MEASURE_S = 15.0
_IS_ON = (JobState.WAITING, JobState.RUNNING)


class JobWorker:
    """The loop over runs that need something.

    Parameters
    ----------
    dispatcher, read
        Commands, and a read-only unit of work.
    jobs, files
        What runs programs, and where a run and its job meet.
    objects
        Where bundles go.
    max_attempts
        How often a job that died is started at most.
    max_jobs
        How many jobs may be on at a time, over all projects; 0 for any number.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        read: Callable[[], AbstractContextManager[Any]],
        jobs: Jobs,
        files: RunFiles,
        objects: Objects,
        max_attempts: int,
        max_jobs: int = 0,
    ) -> None:
        self._dispatcher, self._read, self._jobs = dispatcher, read, jobs
        self._files, self._objects, self._max_attempts, self._max_jobs = files, objects, max_attempts, max_jobs
        self._measured_at: dict[str, float] = {}
        self._waits: dict[str, JobStatus] = {}
        """Jobs that do not run yet, by run; for people only, and known again after the next look."""

    def step(self) -> bool:
        """Look after each run once; return whether anything changed.

        An error about one run is raised when all have been looked after: it must not hold up the other projects.
        """
        with self._read() as uow:
            runs = uow.runs.to_look_after()
        # Who is on comes first, so that it is counted before others are let in; then whose project has had the fewest runs.
        runs = sorted(runs, key=lambda run: (run.state is RunState.QUEUED, run.run_number, run.project_id))
        self._on = 0
        changed, errors = False, []
        for run in runs:
            try:
                changed |= self._look_after(run)
            except Exception as error:  # whatever it is, the next look tries again
                errors.append(error)
        show_waits(status.waits_for for status in self._waits.values())
        if errors:
            raise errors[0]
        return changed

    def progress(self, run: Run) -> dict[str, Any]:
        """Return what the run's job last wrote about its progress, ``{}`` before it has.

        While the job waits, the phase is ``waiting``, ``waits_for`` says for what (`WaitsFor`), and ``detail`` is the engine's
        word on it.
        """
        content: dict[str, Any] = _json(self._files.read(run, "progress.json"))
        waits = self._waits.get(run.run_id)
        if waits is not None and waits.waits_for is not None and run.state in ACTIVE:
            content |= {"phase": "waiting", "waits_for": waits.waits_for.value, "detail": waits.detail}
        return content

    def _look_after(self, run: Run) -> bool:
        if run.state is RunState.CANCELLED:
            self._jobs.cancel(run.run_id)
            if self._jobs.status(run.run_id).state in _IS_ON:  # it is given time to end
                return False
            self._end(run)
            self._dispatcher.dispatch(NoteJobEnded(run.run_id))
            return True
        status = self._jobs.status(run.run_id)
        self._note_wait(run, status)
        if status.state in _IS_ON:
            self._on += 1
            self._measure(run)
            if run.state is RunState.QUEUED:  # started, and we died before we could note it
                self._dispatcher.dispatch(NoteStart(run.run_id))
                return True
            return False
        if status.state is JobState.SUCCEEDED:
            if run.state is RunState.QUEUED:
                self._dispatcher.dispatch(NoteStart(run.run_id))
            return self._take_model(run)
        if status.state is JobState.FAILED:
            self._files.keep_log(run, self._jobs.log(run.run_id))
            result = self._result(run)
            if result.get("reason") in _REASONS:
                log.warning("training failed", run=run.run_id, reason=result["reason"], detail=result.get("detail", ""))
                return self._fail(run, _REASONS[result["reason"]])
            if run.attempts >= self._max_attempts:
                return self._fail(run, TrainingFailure.JOB_DIED)
            log.warning("training job died, starting again", run=run.run_id, attempts=run.attempts, why=status.detail)
        if run.state is RunState.QUEUED and 0 < self._max_jobs <= self._on:
            self._say_wait(run, JobStatus(JobState.WAITING, None, WaitsFor.QUEUE, "TRAINER_MAX_JOBS jobs are on"))
            return False
        self._on += 1
        return self._start(run)

    def _measure(self, run: Run) -> None:
        """Show operators how far a job is, now and then."""
        now = time.monotonic()
        if now - self._measured_at.get(run.run_id, -_MEASURE_S) >= _MEASURE_S:
            self._measured_at[run.run_id] = now
            show_progress(run.project_id, _json(self._files.read(run, "progress.json")))

    def _note_wait(self, run: Run, status: JobStatus) -> None:
        """Remember what a job waits for, and log it once each time that changes."""
        before = self._waits.pop(run.run_id, None)
        if status.state is JobState.RUNNING and run.wait is not None:
            self._dispatcher.dispatch(NoteWait(run.run_id, None, "", time.time()))
        if status.state is not JobState.WAITING:
            return
        self._say_wait(run, status)
        if status != before and status.waits_for is not WaitsFor.START:
            log.warning("training job waits", run=run.run_id, waits_for=status.waits_for, detail=status.detail)

    def _say_wait(self, run: Run, status: JobStatus) -> None:
        """Show what a job waits for, and have it said where that is news: what is none must not cost a transaction at every look."""
        self._waits[run.run_id] = status
        if status.waits_for in (None, WaitsFor.START):  # nothing is wrong, and a wait before it may come back
            return
        waits_for, now = TrainingWait(status.waits_for.value), time.time()
        if wait_after(run.wait, waits_for, status.detail, now) is not run.wait:
            self._dispatcher.dispatch(NoteWait(run.run_id, waits_for, status.detail, now))

    def _start(self, run: Run) -> bool:
        try:
            argv, environment = self._files.offer(run)
        except PermanentError as error:
            log.error("an object the plan names is gone or damaged", run=run.run_id, reason=error.code)
            return self._fail(run, TrainingFailure.BAD_PLAN)
        threads = str(json.loads(run.plan)["threads"])
        # Threads that spin while they wait take the cores from the services: a step beside them took ten times as long.
        environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        try:
            self._jobs.start(run.run_id, argv, environment)
        except PermanentError as error:  # somebody must mend something; until then people see what
            self._say_wait(run, JobStatus(JobState.WAITING, None, WaitsFor.CONFIGURATION, str(error)))
            raise
        self._dispatcher.dispatch(NoteStart(run.run_id))
        return True

    def _fail(self, run: Run, reason: TrainingFailure) -> bool:
        self._dispatcher.dispatch(RecordFailure(run.run_id, reason))
        self._end(run)
        return True

    def _end(self, run: Run) -> None:
        self._waits.pop(run.run_id, None)
        self._measured_at.pop(run.run_id, None)
        forget_progress(run.project_id)
        self._files.release(run)

    def _result(self, run: Run) -> dict[str, Any]:
        """Return what the job said at its end, ``{}`` when that is nothing about this plan."""
        result = _json(self._files.read(run, "result.json"))
        # A plan the job could not even read has no digest there.
        return result if result.get("plan_digest") in ("", run.plan_digest) else {}

    def _take_model(self, run: Run) -> bool:
        self._files.keep_log(run, self._jobs.log(run.run_id))
        result = self._result(run)
        try:
            data, record = self._model_of(run, result)
        except (KeyError, TypeError, ValueError):
            # Trying again would read the same: the run ends, or its project would wait for it for ever.
            log.warning("training job ended without a model of this plan", run=run.run_id)
            return self._fail(run, TrainingFailure.JOB_DIED)
        bundle = self._objects.put(bundle_key(run.project_id, digest_of(data)), data)
        self._dispatcher.dispatch(record(bundle=bundle))
        self._end(run)
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
        data = self._files.read(run, result["bundle"])
        if data is None:
            raise ValueError("no bundle")
        return data, record


def _json(data: bytes | None) -> dict[str, Any]:
    """Return a JSON object; ``{}`` when there is none, or it is cut short."""
    try:
        content = json.loads(data or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _dice(rows: list[dict[str, Any]], patients: dict[str, str]) -> tuple[CaseDice, ...]:
    return tuple(CaseDice(row["case_id"], patients[row["case_id"]], row["segment"], row["dice"]) for row in rows)
