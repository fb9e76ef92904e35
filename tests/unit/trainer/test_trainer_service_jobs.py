"""The job worker: what it does about every state of a run and of its job, with the jobs and the results made up.

Everything is tried where a run and its job share a folder, and where they share the object store alone.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from radloop.errors import PermanentError, TemporaryError
from radloop.jobs import JobState, JobStatus, WaitsFor
from radloop.messages import Message
from radloop.objects.shelf import Shelf
from radloop.references import CaseDice, digest_of
from radloop.testing import FakeObjects
from trainer.adapters.job_worker import JobWorker
from trainer.adapters.run_files import FolderRunFiles, RunFiles, ShelfRunFiles
from trainer.domain.messages import (
    NoteJobEnded,
    NoteStart,
    NoteWait,
    RecordFailure,
    RecordModel,
    TrainingFailure,
    TrainingWait,
)
from trainer.domain.model import Run, RunState, bundle_key
from trainer.domain.waiting import wait_after

BUNDLE = b"a bundle"
EMPTY_PLAN = {"items": [], "serving": None, "threads": 2}


class FakeJobs:
    def __init__(self) -> None:
        self.states: dict[str, JobState | JobStatus] = {}
        self.refusal: Exception | None = None
        self.ends_at_once = True
        self.started: list[tuple[str, list[str], dict[str, str]]] = []
        self.cancelled: list[str] = []

    def start(self, run_id: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        if self.refusal:
            raise self.refusal
        self.started.append((run_id, list(argv), dict(env)))
        self.states[run_id] = JobState.RUNNING

    def status(self, run_id: str) -> JobStatus:
        state = self.states.get(run_id, JobState.UNKNOWN)
        return state if isinstance(state, JobStatus) else JobStatus(state)

    def log(self, run_id: str) -> bytes:
        return b"what the job wrote"

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)
        if self.ends_at_once:
            self.states[run_id] = JobState.FAILED


class FileObjects(FakeObjects):
    """Objects that have files, as those of the embedded store."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def path(self, ref: Any, hold: Path | None = None) -> Path:
        self.get(ref)
        return self.folder / ref.key


class Bench:
    """A job worker with everything around it made up."""

    def __init__(self, folder: Path, *, is_cluster: bool, max_jobs: int = 0) -> None:
        self.runs: list[Run] = []
        self.said: list[Message] = []
        self.waits: list[TrainingWait | None] = []
        self.jobs, self.objects, self.folder = FakeJobs(), FileObjects(folder), folder / "work"
        uow = SimpleNamespace(runs=SimpleNamespace(to_look_after=lambda: list(self.runs)))
        self.refuse: type[Message] | None = None
        self.is_cluster = is_cluster
        on_disk, in_store = FolderRunFiles(self.folder, self.objects), ShelfRunFiles(self.objects, "s3://bucket")
        self.files: RunFiles = in_store if is_cluster else on_disk
        self.worker = JobWorker(self, lambda: nullcontext(uow), self.jobs, self.files, self.objects, 3, max_jobs)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.objects, "trainer/p/runs/run-1")

    def write(self, name: str, data: bytes) -> None:
        """Be the job: write a file of the run."""
        if self.is_cluster:
            self.shelf.put(name, data)
        else:
            (self.folder / "run-1").mkdir(parents=True, exist_ok=True)
            (self.folder / "run-1" / name).write_bytes(data)

    def remove(self, name: str) -> None:
        self.shelf.remove(name)
        (self.folder / "run-1" / name).unlink(missing_ok=True)

    def dispatch(self, message: Message) -> list[Message]:
        if type(message) is self.refuse:
            raise TemporaryError("database-busy")
        if isinstance(message, NoteWait):
            self._note(message)
        else:
            self.said.append(message)
        return []

    def _note(self, note: NoteWait) -> None:
        self.waits.append(note.waits_for)
        (at,) = (at for at, run in enumerate(self.runs) if run.run_id == note.run_id)
        before = self.runs[at].wait
        after = wait_after(before, note.waits_for, note.detail, note.now) if note.waits_for else None
        self.runs[at] = replace(self.runs[at], wait=after)

    def run(
        self, state: RunState, job: JobState, *, attempts: int = 1, plan: dict | None = None, run_id: str = "run-1"
    ):
        text = json.dumps(plan or EMPTY_PLAN)
        run = Run(run_id, "p", 1, "sha256:d", "sha256:plan", text, "model", "", state=state, attempts=attempts)
        self.runs.append(run)
        self.jobs.states[run_id] = job

    def result(self, **content: Any) -> None:
        self.write("result.json", json.dumps({"plan_digest": "sha256:plan", **content}).encode())

    def model(self, **changes: Any) -> None:
        rows = {"validation_dice": [], "serving_validation_dice": [], "test_dice": []}
        content = {"outcome": "model", "bundle": "bundle.zip", "duration_s": 3.5, **rows}
        self.write("bundle.zip", BUNDLE)
        self.result(**content | changes)


@pytest.fixture(params=[False, True], ids=["process", "cluster"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, is_cluster=request.param)


@pytest.fixture
def cluster(tmp_path: Path) -> Bench:
    return Bench(tmp_path, is_cluster=True)


def test_nothing_to_look_after(bench: Bench) -> None:
    assert bench.worker.step() is False


def test_a_queued_run_gets_its_job_and_a_task_file(bench: Bench) -> None:
    volume, mask = bench.objects.put("ingest/v.nii", b"v"), bench.objects.put("labeling/m.nii", b"m")
    serving = bench.objects.put("trainer/p/models/s.zip", b"s")
    refs = [{"key": ref.key, "digest": ref.digest} for ref in (volume, mask, serving)]
    plan = {"items": [{"images": [refs[0]], "label": refs[1]}], "serving": refs[2], "threads": 2}
    bench.run(RunState.QUEUED, JobState.UNKNOWN, attempts=0, plan=plan)
    assert bench.worker.step() is True
    assert bench.said == [NoteStart("run-1")]
    ((run_id, argv, environment),) = bench.jobs.started
    threads = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    if bench.is_cluster:
        assert argv == ["python", "-m", "training_job.pod", "trainer/p/runs/run-1"]
        assert environment == threads | {"RADLOOP_OBJECTS_URL": "s3://bucket"}
        task = json.loads(bench.shelf.get("task.json") or b"")
        assert task["objects"] == refs
    else:
        task_file = bench.folder / "run-1" / "task.json"
        assert argv[1:] == ["-m", "training_job", str(task_file)]
        assert environment == threads
        task = json.loads(task_file.read_text())
        assert task["objects"] == {ref["key"]: str(bench.objects.folder / ref["key"]) for ref in refs}
    assert (run_id, task["plan"], task["plan_digest"]) == ("run-1", plan, "sha256:plan")


def test_a_job_that_runs_is_left_alone(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.RUNNING)
    assert bench.worker.step() is False
    assert (bench.said, bench.jobs.started) == ([], [])


def test_a_job_started_before_we_died_is_found(bench: Bench) -> None:
    bench.run(RunState.QUEUED, JobState.RUNNING, attempts=0)
    assert bench.worker.step() is True
    assert (bench.said, bench.jobs.started) == ([NoteStart("run-1")], [])


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING])
def test_a_model_is_stored_and_recorded(bench: Bench, state: RunState) -> None:
    plan = EMPTY_PLAN | {"items": [{"case_id": "c", "patient_key": "q"}]}
    bench.run(state, JobState.SUCCEEDED, plan=plan)
    row = {"case_id": "c", "segment": 2, "dice": 0.75}
    bench.model(validation_dice=[row], test_dice=[row])
    assert bench.worker.step() is True
    recorded = bench.said[-1]
    dice = (CaseDice("c", "q", 2, 0.75),)
    assert recorded == RecordModel("run-1", recorded.bundle, dice, (), dice, 3.5)
    assert recorded.bundle.key == bundle_key("p", digest_of(BUNDLE)) and bench.objects.get(recorded.bundle) == BUNDLE
    # One that succeeded while we were away was never noted as started.
    assert bench.said[:-1] == ([NoteStart("run-1")] if state is RunState.QUEUED else [])


def test_a_model_that_could_not_be_recorded_is_recorded_later(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.SUCCEEDED)
    bench.model()
    bench.refuse = RecordModel
    with pytest.raises(TemporaryError):
        bench.worker.step()
    bench.refuse = None
    assert bench.worker.step() is True
    assert isinstance(bench.said[-1], RecordModel)


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING])
@pytest.mark.parametrize("plan_digest", ["sha256:plan", ""], ids=["read", "unreadable plan"])
@pytest.mark.parametrize(
    ("reason", "failure"), [("bad-plan", TrainingFailure.BAD_PLAN), ("diverged", TrainingFailure.DIVERGED)]
)
def test_a_failure_that_would_come_again_ends_the_run_at_once(bench, state, plan_digest, reason, failure) -> None:
    bench.run(state, JobState.FAILED)
    bench.result(outcome="failed", reason=reason, plan_digest=plan_digest, detail="expected a patch of multiples of 8")
    assert bench.worker.step() is True
    assert (bench.said, bench.jobs.started) == ([RecordFailure("run-1", failure)], [])


@pytest.mark.parametrize("result", [None, "", "not json", '{"reason": "out of memory"}', '{"plan_digest": "'])
@pytest.mark.parametrize("attempts", [1, 2])
def test_a_job_that_died_is_started_again(bench: Bench, result: str | None, attempts: int) -> None:
    bench.run(RunState.RUNNING, JobState.FAILED, attempts=attempts)
    if result is not None:
        bench.write("result.json", result.encode())
    assert bench.worker.step() is True
    assert bench.said == [NoteStart("run-1")] and len(bench.jobs.started) == 1


def test_a_job_that_died_too_often_is_given_up(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.FAILED, attempts=3)
    assert bench.worker.step() is True
    assert (bench.said, bench.jobs.started) == ([RecordFailure("run-1", TrainingFailure.JOB_DIED)], [])


def test_a_job_whose_folder_was_emptied_is_started_again(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.UNKNOWN)
    assert bench.worker.step() is True
    assert bench.said == [NoteStart("run-1")] and len(bench.jobs.started) == 1


@pytest.mark.parametrize("result", [None, {"plan_digest": "sha256:another", "outcome": "model"}, {"outcome": "failed"}])
def test_a_success_without_a_result_of_this_plan_is_no_model(bench: Bench, result: dict | None) -> None:
    bench.run(RunState.RUNNING, JobState.SUCCEEDED)
    if result is not None:
        bench.result(**result)
    assert bench.worker.step() is True
    assert bench.said == [RecordFailure("run-1", TrainingFailure.JOB_DIED)]


def test_a_failure_of_another_plan_is_not_this_runs(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.FAILED)
    bench.result(outcome="failed", reason="bad-plan", plan_digest="sha256:another")
    assert bench.worker.step() is True
    assert bench.said == [NoteStart("run-1")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda bench: bench.remove("bundle.zip"),
        lambda bench: bench.model(validation_dice=[{"case_id": "no such case", "segment": 1, "dice": 0.5}]),
        lambda bench: bench.model(test_dice=[{"case_id": "c"}]),
        lambda bench: bench.model(duration_s="long"),
    ],
    ids=["no bundle", "unknown case", "half a row", "no number"],
)
def test_a_result_that_cannot_be_read_ends_the_run(bench: Bench, damage) -> None:
    # Otherwise the run would stay on for ever, and with it its whole project.
    bench.run(RunState.RUNNING, JobState.SUCCEEDED)
    bench.model()
    damage(bench)
    assert bench.worker.step() is True
    assert bench.said == [RecordFailure("run-1", TrainingFailure.JOB_DIED)]


def test_a_plan_whose_objects_are_gone_is_no_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, is_cluster=False)  # in a cluster the job itself looks, and ends with a bad plan
    gone = {"key": "ingest/gone.nii", "digest": "sha256:0"}
    bench.run(RunState.QUEUED, JobState.UNKNOWN, plan=EMPTY_PLAN | {"items": [{"images": [gone], "label": gone}]})
    assert bench.worker.step() is True
    assert (bench.said, bench.jobs.started) == ([RecordFailure("run-1", TrainingFailure.BAD_PLAN)], [])


@pytest.mark.parametrize("job", list(JobState))
def test_a_cancelled_run_leaves_no_job(bench: Bench, job: JobState) -> None:
    bench.run(RunState.CANCELLED, job)
    assert bench.worker.step() is True
    assert (bench.said, bench.jobs.cancelled, bench.jobs.started) == ([NoteJobEnded("run-1")], ["run-1"], [])


def test_a_run_in_trouble_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.SUCCEEDED)
    bench.model()
    bench.run(RunState.QUEUED, JobState.UNKNOWN, run_id="run-2")
    bench.refuse = RecordModel
    with pytest.raises(TemporaryError):
        bench.worker.step()
    assert bench.said == [NoteStart("run-2")]


@pytest.mark.parametrize("content", [None, "", '{"step": 1', '{"step": 7, "steps": 9}'])
def test_progress_is_what_the_job_last_wrote(bench: Bench, content: str | None) -> None:
    bench.run(RunState.RUNNING, JobState.RUNNING)
    if content is not None:
        bench.write("progress.json", content.encode())
    whole = content is not None and content.endswith("}")
    assert bench.worker.progress(bench.runs[0]) == ({"step": 7, "steps": 9} if whole else {})


WAITS = JobStatus(JobState.WAITING, None, WaitsFor.MACHINE, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")


def test_what_a_job_waits_for_is_said_until_it_runs(cluster: Bench) -> None:
    cluster.run(RunState.QUEUED, JobState.UNKNOWN, attempts=0)
    assert cluster.worker.step() is True
    cluster.runs[0] = replace(cluster.runs[0], state=RunState.RUNNING, attempts=1)
    cluster.jobs.states["run-1"] = WAITS
    assert cluster.worker.step() is False
    waiting = {"phase": "waiting", "waits_for": "machine", "detail": WAITS.detail}
    assert cluster.worker.progress(cluster.runs[0]) == waiting
    cluster.jobs.states["run-1"] = JobState.RUNNING
    assert cluster.worker.step() is False
    assert cluster.worker.progress(cluster.runs[0]) == {}
    assert cluster.waits == [TrainingWait.MACHINE, None]


def test_a_wait_is_noted_only_where_it_is_news(cluster: Bench) -> None:
    cluster.run(RunState.RUNNING, JobState.RUNNING)
    starts = JobStatus(JobState.WAITING, None, WaitsFor.START)
    other = replace(WAITS, detail="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    image = JobStatus(JobState.WAITING, None, WaitsFor.IMAGE, "ErrImagePull: pull access denied")
    for state in (JobState.RUNNING, starts, WAITS, WAITS, other, starts, WAITS, image, image):
        cluster.jobs.states["run-1"] = state
        cluster.worker.step()
    assert cluster.waits == [TrainingWait.MACHINE, TrainingWait.IMAGE]


def test_a_wait_that_could_not_be_noted_is_noted_later(cluster: Bench) -> None:
    cluster.run(RunState.RUNNING, JobState.UNKNOWN)
    cluster.jobs.states["run-1"] = WAITS
    cluster.refuse = NoteWait
    with pytest.raises(TemporaryError):
        cluster.worker.step()
    cluster.refuse = None
    cluster.worker.step()
    assert cluster.waits == [TrainingWait.MACHINE]


def test_a_job_that_waited_while_we_died_is_found(cluster: Bench) -> None:
    cluster.run(RunState.QUEUED, JobState.UNKNOWN, attempts=0)
    cluster.jobs.states["run-1"] = WAITS
    assert cluster.worker.step() is True
    assert (cluster.said, cluster.jobs.started) == ([NoteStart("run-1")], [])


def test_what_a_cluster_refuses_is_said_and_tried_again(cluster: Bench) -> None:
    cluster.run(RunState.QUEUED, JobState.UNKNOWN, attempts=0)
    cluster.jobs.refusal = PermanentError("cluster-refuses-us", do="look at the trainer's Role")
    with pytest.raises(PermanentError):
        cluster.worker.step()
    said = cluster.worker.progress(cluster.runs[0])
    assert said == {"phase": "waiting", "waits_for": "configuration", "detail": str(cluster.jobs.refusal)}
    with pytest.raises(PermanentError):
        cluster.worker.step()
    assert cluster.waits == [TrainingWait.CONFIGURATION]
    cluster.jobs.refusal = None
    assert cluster.worker.step() is True and cluster.said == [NoteStart("run-1")]


def test_a_cancelled_job_is_given_time_to_end(cluster: Bench) -> None:
    cluster.run(RunState.CANCELLED, JobState.RUNNING)
    cluster.write("checkpoints/epoch-1.pt", b"weights")
    cluster.jobs.ends_at_once = False
    assert cluster.worker.step() is False and cluster.said == []
    cluster.jobs.ends_at_once = True
    assert cluster.worker.step() is True and cluster.said == [NoteJobEnded("run-1")]
    assert cluster.shelf.names() == []


def test_of_a_run_that_ended_the_logs_stay_and_nothing_else(cluster: Bench) -> None:
    cluster.run(RunState.RUNNING, JobState.FAILED, attempts=1)
    cluster.write("checkpoints/epoch-1.pt", b"weights")
    assert cluster.worker.step() is True
    assert cluster.shelf.names() == ["checkpoints/epoch-1.pt", "log/attempt-1.txt", "task.json"]
    cluster.runs[0] = replace(cluster.runs[0], attempts=2)
    cluster.jobs.states["run-1"] = JobState.SUCCEEDED
    cluster.model()
    assert cluster.worker.step() is True and isinstance(cluster.said[-1], RecordModel)
    assert cluster.shelf.names() == ["log/attempt-1.txt", "log/attempt-2.txt"]
    assert cluster.shelf.get("log/attempt-1.txt") == b"what the job wrote"
    assert cluster.files.logs(cluster.runs[0]) == b"what the job wrote" * 2


def test_projects_wait_their_turn_where_only_so_many_jobs_may_be_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, is_cluster=False, max_jobs=1)
    for number, project_id in ((3, "p"), (1, "q"), (2, "r")):
        bench.run(RunState.QUEUED, JobState.UNKNOWN, attempts=0, run_id=f"run-{project_id}")
        bench.runs[-1] = replace(bench.runs[-1], project_id=project_id, run_number=number)
    for turn in ("run-q", "run-r", "run-p"):
        bench.worker.step()
        assert [run_id for run_id, _, _ in bench.jobs.started][-1] == turn
        at = next(at for at, run in enumerate(bench.runs) if run.run_id == turn)
        bench.runs[at] = replace(bench.runs[at], state=RunState.RUNNING, attempts=1)
        before = len(bench.jobs.started)
        assert bench.worker.step() is False and len(bench.jobs.started) == before
        waiting = {"phase": "waiting", "waits_for": "queue", "detail": "TRAINER_MAX_JOBS jobs are on"}
        assert all(bench.worker.progress(run) == waiting for run in bench.runs if run.state is RunState.QUEUED)
        del bench.runs[at]  # it has ended


def test_operators_see_how_far_a_job_is(bench: Bench) -> None:
    bench.run(RunState.RUNNING, JobState.RUNNING)
    bench.write("progress.json", b'{"step": 3, "steps": 12, "loss": 0.5}')
    bench.worker.step()
    assert REGISTRY.get_sample_value("radloop_trainer_progress_ratio", {"project": "p"}) == 0.25
    assert REGISTRY.get_sample_value("radloop_trainer_loss", {"project": "p"}) == 0.5
    bench.jobs.states["run-1"] = WAITS
    bench.worker.step()
    assert REGISTRY.get_sample_value("radloop_trainer_jobs_waiting", {"waits_for": "machine"}) == 1
    bench.jobs.states["run-1"] = JobState.SUCCEEDED
    bench.model()
    bench.worker.step()
    assert REGISTRY.get_sample_value("radloop_trainer_jobs_waiting", {"waits_for": "machine"}) == 0
    assert REGISTRY.get_sample_value("radloop_trainer_progress_ratio", {"project": "p"}) is None
