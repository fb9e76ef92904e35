"""How labels become runs and runs become models. Every test runs on repositories in memory and on the real embedded database."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from radloop.errors import NotFound, NotYet
from radloop.messages import Message
from radloop.references import Arm, CaseDice, ObjectRef, SegmentState, SegmentStatus, Split, digest_of
from radloop.sql import Database
from radloop.testing import FakeObjects, deliver
from radloop.testing.databases import ENGINES
from tests.unit.trainer.memory import NOW, FakeTrainer
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.tables import METADATA
from trainer.adapters.wire import WIRE
from trainer.domain import messages as m
from trainer.domain.model import RunState, run_id_of
from trainer.domain.plan import Recipe
from trainer.domain.policy import Situation
from trainer.handlers import HANDLERS, keep_label, start_run

PROJECT = "hippocampus"
RECIPE = Recipe(batch_size=2, epoch_steps=5, initial_learning_rate=2e-3, update_learning_rate=1e-3, threads=2)
RUN_1, RUN_2, RUN_3 = (run_id_of("site-1", PROJECT, number) for number in (1, 2, 3))
MODEL = ObjectRef("trainer/hippocampus/models/1.zip", "sha256:model-1", 9)


class SqlTrainer(TrainerSqlUnitOfWork):
    """The real one; like the fake it is one object for a whole test, committed after each message."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, WIRE, source="/site-1/trainer")
        self.arrived_tokens: list[str] = []
        self.__enter__()

    def arrived(self, token: str) -> None:
        super().arrived(token)
        self.arrived_tokens.append(token)

    def state(self) -> Any:
        tables = [table for table in METADATA.sorted_tables if table.name not in ("outbox", "audit", "parked")]
        return repr([sorted(map(tuple, self.connection.execute(sa.select(table)))) for table in tables])


class Site:
    """Handlers over one unit of work; what a handler cannot take yet is parked as the consumer would."""

    def __init__(self, uow: Any) -> None:
        self.uow, self.objects, self.clock = uow, FakeObjects(), NOW
        self.handlers = {
            **HANDLERS,
            m.LabelApproved: partial(keep_label, now=lambda: self.clock),
            m.StartRun: partial(start_run, site="site-1", recipe=RECIPE, store=self.objects),
        }
        self.parked: list[tuple[str, Message]] = []

    def tell(self, *messages: Message) -> list[Message]:
        said: list[Message] = []
        for message in messages:
            try:
                said += deliver(self.handlers, self.uow, message)
            except NotYet as early:
                self.parked.append((early.token, message))
            awake = [waiting for token, waiting in self.parked if token in self.uow.arrived_tokens]
            self.parked = [entry for entry in self.parked if entry[0] not in self.uow.arrived_tokens]
            self.uow.arrived_tokens.clear()
            if awake:
                said += self.tell(*awake)
        return said

    def start(self) -> list[Message]:
        return self.tell(m.StartRun(PROJECT, self.clock))

    def run(self, run_id: str = RUN_1) -> Any:
        return self.uow.runs.get(run_id)

    def plan(self, run_id: str = RUN_1) -> dict[str, Any]:
        return json.loads(self.run(run_id).plan)

    @property
    def situation(self) -> Situation:
        return self.uow.runs.situation(PROJECT, self.clock)


@pytest.fixture(params=["memory", *ENGINES])
def site(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> Iterator[Site]:
    if request.param == "memory":
        yield Site(FakeTrainer())
        return
    database = Database(make_database(request.param), "trainer")
    database.migrate("trainer.adapters.migrations")
    uow = SqlTrainer(database)
    yield Site(uow)
    uow.connection.close()
    database.close()


@pytest.fixture
def ready(site: Site) -> Site:
    """A project with four training labels (its policy wants four) and two of validation."""
    site.tell(project(), *(study(n) for n in range(4)), *(study(n, Split.VALIDATION) for n in (4, 5)))
    site.tell(*(approved(n) for n in range(6)))
    return site


def project(version: int = 1, segments: tuple[int, ...] = (1, 2), **training: Any) -> m.ProjectConfigured:
    policy = m.TrainingPolicy(4, 2, 0, 100, 50, 3.0, 1, 7, (), (16, 16, 16), 0)
    return m.ProjectConfigured(
        PROJECT,
        version,
        "hippocampus-model",
        tuple(m.Segment(value, f"segment-{value}") for value in segments),
        dataclasses.replace(policy, **training),
        m.PromotionPolicy(m.PromotionMode.AUTOMATIC, 0.0, 0.05),
        (),
    )


def study(number: int, split: Split = Split.TRAIN) -> m.StudyIngested:
    volume = ObjectRef(f"ingest/study-{number}/case-{number}.nii", f"sha256:volume-{number}", 9)
    case = m.Case(f"case-{number}", (volume,))
    return m.StudyIngested(f"study-{number}", PROJECT, f"patient-{number}", split, (case,))


def approved(number: int, sequence: int = 1, arm: Arm | None = None) -> m.LabelApproved:
    return m.LabelApproved(
        f"label-{number}-{sequence}",
        f"case-{number}",
        f"study-{number}",
        PROJECT,
        ObjectRef(f"labeling/study-{number}/{sequence}.nii", f"sha256:mask-{number}-{sequence}", 9),
        (SegmentStatus(1, SegmentState.ANNOTATED), SegmentStatus(2, SegmentState.ABSENT)),
        arm,
        sequence,
    )


def flagged(number: int, arm: Arm = Arm.MINED) -> m.EdgeCaseFlagged:
    return m.EdgeCaseFlagged(f"case-{number}", f"study-{number}", PROJECT, arm)


def deployed(
    serving: str = "sha256:model-1",
    candidate: str = "sha256:model-1",
    sequence: int = 1,
    outcome: m.Deployment = m.Deployment.SERVING,
) -> m.ModelDeployed:
    bundle = dataclasses.replace(MODEL, digest=serving) if serving else None
    return m.ModelDeployed(PROJECT, serving, candidate, outcome, sequence, bundle)


def trained(run_id: str = RUN_1, bundle: ObjectRef = MODEL, new: float = 0.8, serving: float | None = None):
    def dice(value: float) -> tuple[CaseDice, ...]:
        return tuple(CaseDice(f"case-{n}", f"patient-{n}", 1, value + n / 100) for n in (4, 5))

    return m.RecordModel(run_id, bundle, dice(new), dice(serving) if serving is not None else (), (), 12.5)


def serve_first_model(site: Site) -> None:
    """Carry the first run to its end, and add as many new labels as the policy wants."""
    site.tell(m.StartRun(PROJECT, NOW), m.NoteStart(RUN_1), trained(), deployed())
    site.tell(*(study(n) for n in range(10, 14)), *(approved(n) for n in range(10, 14)))


def test_the_newest_label_of_a_case_counts(ready: Site) -> None:
    ready.tell(approved(0, sequence=3), approved(0, sequence=2))
    assert ready.uow.labels.label("case-0").label_version_id == "label-0-3"
    assert ready.situation.train_labels == 4
    (started,) = ready.start()
    assert [item.label_version_id for item in started.items][:2] == ["label-0-3", "label-1-1"]


def test_a_newer_label_is_new_again_an_older_or_the_same_is_not(ready: Site) -> None:
    ready.tell(approved(0, sequence=3))
    ready.start()
    ready.tell(approved(0, sequence=2), approved(0, sequence=3), approved(1))
    assert ready.situation.new_labels == 0
    ready.tell(approved(0, sequence=4))
    assert ready.situation.new_labels == 1


def test_a_label_before_its_study_waits_for_it(site: Site) -> None:
    with pytest.raises(NotYet, match="case:case-1"):
        deliver(site.handlers, site.uow, approved(1))
    site.tell(project(), approved(1), study(2))
    assert site.parked == [("case:case-1", approved(1))] and site.situation.train_labels == 0
    site.tell(study(1))
    assert site.parked == [] and site.situation.train_labels == 1


def test_flags_before_labels_weigh(ready: Site) -> None:
    ready.tell(flagged(6), flagged(7, Arm.CONTROL), flagged(8), study(6), study(7), study(8, Split.VALIDATION))
    ready.tell(*(approved(n) for n in (6, 7, 8)))
    (started,) = ready.start()
    weights = {item.case_id: (item.weight, item.arm) for item in started.items}
    assert weights["case-6"] == (3.0, Arm.MINED)
    assert weights["case-7"] == (1.0, Arm.CONTROL)
    assert weights["case-8"] == (1.0, Arm.MINED)
    assert weights["case-0"] == (1.0, None)


def test_the_newest_flag_counts(ready: Site) -> None:
    ready.tell(flagged(0, Arm.CONTROL), flagged(0, Arm.REPORTED))
    assert ready.uow.labels.flags(PROJECT) == {"case-0": Arm.REPORTED}
    assert ready.uow.labels.flags("another") == {}


def test_the_quiet_time_runs_from_the_last_new_label(ready: Site) -> None:
    ready.clock = NOW + 50
    ready.tell(approved(0, sequence=2))
    ready.clock = NOW + 80
    assert ready.situation.since_last_s == 30.0


def test_an_older_project_version_is_ignored(ready: Site) -> None:
    ready.tell(project(version=3, new_labels=9), project(version=2))
    assert ready.uow.projects.get(PROJECT).project_version == 3
    assert ready.start() == []


def test_a_run_starts_with_a_frozen_dataset_version(ready: Site) -> None:
    (started,) = ready.start()
    run = ready.run()
    assert isinstance(started, m.TrainingStarted)
    assert (started.run_id, started.run_number, started.request_id) == (RUN_1, 1, "")
    assert [item.case_id for item in started.items] == [f"case-{n}" for n in range(6)]
    assert (run.state, run.attempts, run.plan_digest) == (RunState.QUEUED, 0, started.plan_digest)
    assert run.plan_digest == digest_of(run.plan.encode())
    dataset = ready.uow.runs.dataset(started.dataset_version)
    assert dataset.items == started.items
    assert [source.mask.digest for source in dataset.sources] == [f"sha256:mask-{n}-1" for n in range(6)]
    assert digest_of(ready.objects.get(dataset.manifest)) == started.dataset_version
    assert ready.situation == Situation(True, 1, 4, 2, 0, 0.0, False)


def test_a_second_start_in_the_same_situation_starts_nothing(ready: Site) -> None:
    ready.start()
    before = ready.uow.state()
    assert ready.start() == []
    assert ready.uow.state() == before


def test_nothing_starts_without_a_project_or_a_reason(site: Site) -> None:
    assert site.start() == []
    site.tell(project(), study(0), approved(0))
    assert site.start() == []


def test_after_an_answer_the_same_labels_start_no_other_run(ready: Site) -> None:
    ready.start()
    ready.tell(m.NoteStart(RUN_1), trained(), deployed())
    assert ready.start() == []
    ready.tell(m.TrainingRequested("request-1", PROJECT))
    (again,) = ready.start()
    assert (again.run_number, again.run_id, again.request_id) == (2, RUN_2, "request-1")
    assert again.dataset_version == ready.run(RUN_1).dataset_version


def test_a_request_is_served_once(ready: Site) -> None:
    ready.tell(m.TrainingRequested("request-2", PROJECT), m.TrainingRequested("request-1", PROJECT))
    (started,) = ready.start()
    assert started.request_id == "request-1"
    ready.tell(m.RecordFailure(RUN_1, m.TrainingFailure.BAD_PLAN), m.TrainingRequested("request-1", PROJECT))
    assert ready.start() == []


def test_a_request_waits_for_the_run_that_is_on(ready: Site) -> None:
    ready.start()
    ready.tell(m.TrainingRequested("request-1", PROJECT))
    assert ready.start() == []
    ready.tell(m.RecordFailure(RUN_1, m.TrainingFailure.JOB_DIED))
    (started,) = ready.start()
    assert started.request_id == "request-1"


def test_the_next_run_goes_on_from_our_own_serving_model(ready: Site) -> None:
    serve_first_model(ready)
    ready.start()
    plan = ready.plan(RUN_2)
    assert (plan["warm_start"], plan["steps"], plan["serving"]["digest"]) == (True, 50, "sha256:model-1")


def test_a_brought_model_is_compared_with_not_gone_on_from(ready: Site) -> None:
    ready.tell(deployed("sha256:brought", "sha256:brought", outcome=m.Deployment.IMPORTED))
    ready.start()
    plan = ready.plan()
    assert (plan["warm_start"], plan["steps"], plan["serving"]["digest"]) == (False, 100, "sha256:brought")


def test_when_nothing_serves_a_run_starts_from_random_weights(ready: Site) -> None:
    serve_first_model(ready)
    ready.tell(deployed("", "", 2, m.Deployment.NONE))
    ready.start()
    assert (ready.plan(RUN_2)["warm_start"], ready.plan(RUN_2)["serving"]) == (False, None)


def test_a_model_with_other_outputs_is_compared_with_not_gone_on_from(ready: Site) -> None:
    # A segment was added: the serving network has no channel for it, and its weights would not load.
    serve_first_model(ready)
    ready.tell(project(version=2, segments=(1, 2, 3)))
    ready.start()
    plan = ready.plan(RUN_2)
    assert (plan["warm_start"], plan["steps"], plan["serving"]["digest"]) == (False, 100, "sha256:model-1")


def test_a_model_is_said_with_its_lineage(ready: Site) -> None:
    (started,) = ready.start()
    ready.tell(m.NoteStart(RUN_1))
    (said,) = ready.tell(trained())
    assert said.comparison == m.Comparison("", 0.0, 0.0, 0.0, 2, passes=True)
    assert (said.model_name, said.model_digest, said.bundle) == ("hippocampus-model", "sha256:model-1", MODEL)
    assert (said.run_id, said.dataset_version, said.plan_digest) == (
        RUN_1,
        started.dataset_version,
        started.plan_digest,
    )
    assert (said.train_patient_count, said.duration_s) == (4, 12.5)
    assert (ready.run().state, ready.run().job_ended) == (RunState.TRAINED, True)


@pytest.mark.parametrize("after", [[], [deployed()]], ids=["trained", "answered"])
def test_a_model_recorded_twice_is_said_once(ready: Site, after: list[Message]) -> None:
    ready.start()
    ready.tell(m.NoteStart(RUN_1), trained(), *after)
    before = ready.uow.state()
    assert ready.tell(trained()) == []
    assert ready.uow.state() == before


def test_a_model_is_compared_with_the_one_its_plan_names(ready: Site) -> None:
    serve_first_model(ready)
    ready.start()
    ready.tell(m.NoteStart(RUN_2), deployed("sha256:brought", "sha256:brought", 2, m.Deployment.IMPORTED))
    (said,) = ready.tell(trained(RUN_2, dataclasses.replace(MODEL, digest="sha256:model-2"), 0.8, serving=0.5))
    assert said.comparison.serving_digest == "sha256:model-1"
    assert said.comparison.mean_difference == pytest.approx(0.3) and said.comparison.passes


def test_a_worse_model_does_not_pass(ready: Site) -> None:
    serve_first_model(ready)
    ready.start()
    ready.tell(m.NoteStart(RUN_2))
    (said,) = ready.tell(trained(RUN_2, dataclasses.replace(MODEL, digest="sha256:model-2"), 0.5, serving=0.8))
    assert not said.comparison.passes


@pytest.mark.parametrize("reason", list(m.TrainingFailure))
def test_a_failure_is_said_once(ready: Site, reason: m.TrainingFailure) -> None:
    ready.start()
    ready.tell(m.NoteStart(RUN_1), m.NoteStart(RUN_1))
    assert ready.tell(m.RecordFailure(RUN_1, reason)) == [m.TrainingFailed(RUN_1, PROJECT, reason, 2)]
    assert ready.tell(m.RecordFailure(RUN_1, reason), trained()) == []
    assert ready.run().state is RunState.FAILED
    assert not ready.situation.unfinished and ready.situation.new_labels == 0


NO_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def test_what_a_job_waits_for_is_said_once_for_each_reason(ready: Site) -> None:
    ready.start()
    machine = m.NoteWait(RUN_1, m.TrainingWait.MACHINE, f"Unschedulable: {NO_GPU}", 100.0)
    said = m.TrainingWaiting(RUN_1, PROJECT, 1, m.TrainingWait.MACHINE, NO_GPU, 100, 1)
    assert ready.tell(m.NoteStart(RUN_1), machine, dataclasses.replace(machine, now=102.0)) == [said]
    image = m.NoteWait(RUN_1, m.TrainingWait.IMAGE, "ErrImagePull: pull access denied", 110.0)
    assert ready.tell(image) == [m.TrainingWaiting(RUN_1, PROJECT, 1, m.TrainingWait.IMAGE, "", 100, 2)]
    over = m.NoteWait(RUN_1, None, "", 120.0)
    assert ready.tell(over, over) == [] and ready.run().wait is None
    # It was evicted: it waits anew.
    again = dataclasses.replace(machine, now=130.0)
    assert ready.tell(again) == [dataclasses.replace(said, since_s=130, sequence=3)]


@pytest.mark.parametrize(
    "end", [trained(), m.RecordFailure(RUN_1, m.TrainingFailure.JOB_DIED), m.CancelRun(RUN_1, "ada")]
)
def test_a_run_that_has_ended_waits_for_nothing(ready: Site, end: Message) -> None:
    ready.start()
    waits = m.NoteWait(RUN_1, m.TrainingWait.MACHINE, NO_GPU, 100.0)
    ready.tell(m.NoteStart(RUN_1), waits, end)
    assert ready.run().wait is None
    assert ready.tell(waits) == [] and ready.run().wait is None


@pytest.mark.parametrize("command", [m.NoteStart, m.NoteJobEnded, partial(m.CancelRun, subject="ada"), trained])
def test_an_unknown_run_is_told_so(site: Site, command: Callable[[str], Message]) -> None:
    with pytest.raises(NotFound, match="run-unknown"):
        site.tell(command("no such run"))
