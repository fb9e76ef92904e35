"""How runs end and what they leave, on the real embedded database: answers, cancellation, withdrawn studies, repeats."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from radloop.errors import Conflict, NotYet
from radloop.messages import Message
from radloop.references import Arm, ObjectRef, SegmentState, SegmentStatus, Split
from radloop.sql import Database
from radloop.testing import FakeObjects
from radloop.testing.databases import ONE_ENGINE
from trainer.adapters.sql import TrainerSqlUnitOfWork
from trainer.adapters.tables import METADATA
from trainer.adapters.wire import WIRE
from trainer.domain import messages as m
from trainer.domain.model import RunState, run_id_of
from trainer.domain.plan import Recipe
from trainer.domain.policy import Situation
from trainer.handlers import HANDLERS, keep_label, start_run

PROJECT = "hippocampus"
RUN_1, RUN_2 = (run_id_of("site-1", PROJECT, number) for number in (1, 2))
MODEL = ObjectRef("trainer/hippocampus/models/1.zip", "sha256:model-1", 9)
RECIPE = Recipe(batch_size=2, epoch_steps=5, initial_learning_rate=2e-3, update_learning_rate=1e-3, threads=2)
START = m.StartRun(PROJECT, 1_000.0)


class Site:
    """Handlers over the service's own unit of work, one transaction for each message; early events wait to be told again."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, "trainer")
        self.database.migrate("trainer.adapters.migrations")
        self.handlers = {
            **HANDLERS,
            m.LabelApproved: partial(keep_label, now=lambda: 1_000.0),
            m.StartRun: partial(start_run, site="site-1", recipe=RECIPE, store=FakeObjects()),
        }
        self.early: list[Message] = []

    def open(self, **options: bool) -> TrainerSqlUnitOfWork:
        return TrainerSqlUnitOfWork(self.database, WIRE, source="/site-1/trainer", **options)

    def tell(self, *messages: Message) -> list[Message]:
        said: list[Message] = []
        for message in messages:
            with self.open() as uow:
                try:
                    said += self.handlers[type(message)](message, uow)
                except NotYet:
                    self.early.append(message)
                uow.commit()
        return said

    def retry(self) -> None:
        """Tell the early events again, as the consumer does when something arrived and now and then."""
        waiting, self.early = self.early, []
        self.tell(*waiting)

    def rows(self, *, of: str = "") -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of each table, or those in which a text occurs."""
        with self.open(read_only=True) as uow:
            found = {
                table.name: sorted(map(tuple, uow.connection.execute(sa.select(table))), key=repr)
                for table in METADATA.sorted_tables
            }
        return {name: kept for name, rows in found.items() if (kept := [row for row in rows if of in repr(row)])}

    def run(self, run_id: str = RUN_1) -> Any:
        with self.open(read_only=True) as uow:
            return uow.runs.get(run_id)

    @property
    def situation(self) -> Situation:
        with self.open(read_only=True) as uow:
            return uow.runs.situation(PROJECT, 1_000.0)


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    site = Site(database_url)
    yield site
    site.database.close()


@pytest.fixture
def ready(site: Site) -> Site:
    """A project, four training labels (its policy wants four) and one of validation."""
    site.tell(PROJECT_1, *(study(n) for n in range(4)), study(4, Split.VALIDATION), *(approved(n) for n in range(5)))
    return site


PROJECT_1 = m.ProjectConfigured(
    PROJECT,
    1,
    "hippocampus-model",
    (m.Segment(1, "anterior"),),
    m.TrainingPolicy(4, 1, 0, 100, 50, 3.0, 1, 7, (), (16, 16, 16), 0),
    m.PromotionPolicy(m.PromotionMode.AUTOMATIC, 0.0, 0.05),
    (),
)


def study(number: int, split: Split = Split.TRAIN) -> m.StudyIngested:
    volume = ObjectRef(f"ingest/study-{number}/case-{number}.nii", f"sha256:volume-{number}", 9)
    return m.StudyIngested(
        f"study-{number}", PROJECT, f"patient-{number}", split, (m.Case(f"case-{number}", (volume,)),)
    )


def approved(number: int, sequence: int = 1) -> m.LabelApproved:
    mask = ObjectRef(f"labeling/study-{number}/{sequence}.nii", f"sha256:mask-{number}-{sequence}", 9)
    states = (SegmentStatus(1, SegmentState.ANNOTATED),)
    label_version_id = f"label-{number}-{sequence}"
    return m.LabelApproved(label_version_id, f"case-{number}", f"study-{number}", PROJECT, mask, states, None, sequence)


def flagged(number: int) -> m.EdgeCaseFlagged:
    return m.EdgeCaseFlagged(f"case-{number}", f"study-{number}", PROJECT, Arm.MINED)


def deployed(
    serving: str, sequence: int = 1, *, candidate: str = "", outcome: m.Deployment = m.Deployment.SERVING
) -> m.ModelDeployed:
    bundle = ObjectRef("inference/model.zip", serving, 9) if serving else None
    return m.ModelDeployed(PROJECT, serving, candidate or serving, outcome, sequence, bundle)


def withdrawn(number: int) -> m.StudyWithdrawn:
    return m.StudyWithdrawn(f"study-{number}")


TRAINED = m.RecordModel(RUN_1, MODEL, (), (), (), 12.5)
NEWS = [study(9), approved(9), flagged(9), withdrawn(9)]
ORDERS = list(itertools.permutations(NEWS))


def name(order: tuple[Message, ...]) -> str:
    return " ".join(type(message).__name__ for message in order)


# The answer


def test_a_wish_for_the_model_that_was_overtaken_is_no_answer(ready: Site) -> None:
    ready.tell(START, m.NoteStart(RUN_1), TRAINED)
    ready.tell(deployed("", 1, candidate=MODEL.digest, outcome=m.Deployment.OVERTAKEN))
    assert ready.run().state is RunState.TRAINED
    ready.tell(deployed(MODEL.digest, 2))
    assert ready.run().state is RunState.ANSWERED


@pytest.mark.parametrize("outcome", [m.Deployment.SERVING, m.Deployment.KEPT, m.Deployment.LOAD_FAILED])
def test_any_answer_makes_way_for_the_next_run(ready: Site, outcome: m.Deployment) -> None:
    ready.tell(START, m.NoteStart(RUN_1), TRAINED, *(approved(n, sequence=2) for n in range(4)))
    assert ready.tell(START) == []
    serving = "sha256:model-1" if outcome is m.Deployment.SERVING else ""
    ready.tell(deployed(serving, candidate="sha256:model-1", outcome=outcome))
    assert ready.run().state is RunState.ANSWERED
    (started,) = ready.tell(START)
    assert started.run_number == 2


def test_an_old_answer_still_answers_but_does_not_say_what_serves(ready: Site) -> None:
    ready.tell(START, m.NoteStart(RUN_1), TRAINED, deployed("sha256:brought", 5), deployed("sha256:model-1", 4))
    assert ready.run().state is RunState.ANSWERED
    with ready.open(read_only=True) as uow:
        assert uow.runs.serving(PROJECT).model_digest == "sha256:brought"


def test_news_about_another_model_answers_nothing(ready: Site) -> None:
    ready.tell(START, m.NoteStart(RUN_1), TRAINED, deployed("sha256:brought"))
    ready.tell(deployed("", 2, outcome=m.Deployment.NONE))
    assert ready.run().state is RunState.TRAINED


def test_no_model_at_all_answers_no_run_that_has_none_yet(ready: Site) -> None:
    ready.tell(START, m.NoteStart(RUN_1), deployed("", 1, outcome=m.Deployment.NONE))
    assert ready.run().state is RunState.RUNNING


# A person's cancellation


@pytest.mark.parametrize("starts", [0, 1], ids=["queued", "running"])
def test_a_person_cancels_a_run(ready: Site, starts: int) -> None:
    ready.tell(START, *[m.NoteStart(RUN_1)] * starts)
    cancelled = m.TrainingFailed(RUN_1, PROJECT, m.TrainingFailure.CANCELLED, starts)
    assert ready.tell(m.CancelRun(RUN_1, "ada")) == [cancelled]
    assert [row[2:] for row in ready.rows()["audit"]] == [("ada", "run-cancelled", RUN_1)]
    assert (ready.run().state, ready.run().job_ended) == (RunState.CANCELLED, False)
    late = m.RecordFailure(RUN_1, m.TrainingFailure.JOB_DIED)
    assert ready.tell(m.CancelRun(RUN_1, "ada"), TRAINED, late) == []
    ready.tell(m.NoteJobEnded(RUN_1))
    assert (ready.run().state, ready.run().job_ended) == (RunState.CANCELLED, True)
    assert ready.situation.new_labels == 0  # a person's will: it does not start again by itself


@pytest.mark.parametrize("end", ["trained", "failed"])
def test_a_run_that_ended_cannot_be_cancelled(ready: Site, end: str) -> None:
    ended = {"trained": TRAINED, "failed": m.RecordFailure(RUN_1, m.TrainingFailure.DIVERGED)}[end]
    ready.tell(START, m.NoteStart(RUN_1), ended)
    with pytest.raises(Conflict, match="run-step-illegal"):
        ready.tell(m.CancelRun(RUN_1, "ada"))


# What a withdrawn study leaves behind


@pytest.mark.parametrize("order", ORDERS, ids=name)
def test_a_withdrawn_study_leaves_nothing_behind_in_any_order(ready: Site, order: tuple[Message, ...]) -> None:
    before = ready.rows()
    for message in order:
        ready.tell(message)
        ready.retry()
    assert ready.rows(of="study-9") == {"withdrawn": [("study-9",)]}
    assert ready.rows(of="case-9") == {} and ready.early == []
    assert ready.rows() == before | {"withdrawn": [("study-9",)]}
    # Whatever is replayed, in whatever order, does not bring it back.
    for message in NEWS:
        ready.tell(message, approved(9, sequence=2))
        ready.retry()
    assert ready.rows() == before | {"withdrawn": [("study-9",)]}


@ONE_ENGINE
@pytest.mark.parametrize("order", ORDERS, ids=name)
@pytest.mark.parametrize("place", range(1, 5))
def test_a_withdrawn_study_leaves_only_its_dataset_versions_on_a_list(
    ready: Site, order: tuple[Message, ...], place: int
) -> None:
    ready.tell(*order[:place])
    ready.retry()
    (started,) = ready.tell(START)
    ready.tell(*order[place:])
    ready.retry()
    was_in = "study-9" in {item.study_key for item in started.items}
    left = {"withdrawn", "withdrawn_datasets", "dataset_studies", "datasets"} if was_in else {"withdrawn"}
    assert ready.rows(of="study-9").keys() - {"runs"} == left  # a run keeps its plan
    assert (ready.run().state is RunState.CANCELLED) is was_in
    with ready.open(read_only=True) as uow:
        assert bool(uow.withdrawn.listed(PROJECT)) is was_in
        assert "case-9" not in {case.case_id for case, _ in uow.labels.labelled(PROJECT)}


@ONE_ENGINE
@pytest.mark.parametrize("order", [order[:3] for order in ORDERS if order[3] == withdrawn(9)], ids=name)
def test_without_a_withdrawal_every_order_ends_alike(ready: Site, order: tuple[Message, ...]) -> None:
    for message in order:
        ready.tell(message)
        ready.retry()
    assert ready.situation == Situation(False, 0, 5, 1, 5, 0.0, False)
    (started,) = ready.tell(START)
    assert [item.weight for item in started.items if item.case_id == "case-9"] == [3.0]


def test_the_models_of_a_withdrawn_study_are_listed(ready: Site) -> None:
    (started,) = ready.tell(START)
    ready.tell(m.NoteStart(RUN_1), TRAINED, withdrawn(0), withdrawn(4), withdrawn(0))
    version = started.dataset_version
    with ready.open(read_only=True) as uow:
        assert uow.withdrawn.listed(PROJECT) == [
            {"study_key": key, "dataset_version": version, "model_digest": "sha256:model-1"}
            for key in ("study-0", "study-4")
        ]
        assert uow.withdrawn.listed("another project") == []


# Runs that a withdrawal ends


@pytest.mark.parametrize("starts", [0, 1], ids=["queued", "running"])
def test_a_withdrawal_ends_the_run_and_its_labels_are_new_again(ready: Site, starts: int) -> None:
    ready.tell(START, *[m.NoteStart(RUN_1)] * starts)
    cancelled = m.TrainingFailed(RUN_1, PROJECT, m.TrainingFailure.CANCELLED, starts)
    assert ready.tell(withdrawn(0)) == [cancelled]
    assert (ready.run().state, ready.run().job_ended) == (RunState.CANCELLED, False)
    assert ready.situation == Situation(False, 1, 3, 1, 3, 0.0, False)
    assert ready.tell(START, TRAINED) == []  # one of four labels is missing; the late model is not said
    (started,) = ready.tell(study(9), approved(9), START)
    assert "study-0" not in {item.study_key for item in started.items} and started.run_number == 2


def test_a_withdrawal_heard_after_its_objects_were_gone_gives_the_labels_back(ready: Site) -> None:
    # ingest deletes the volumes as soon as it has said so; a job that starts before we hear it finds them gone.
    ready.tell(START, m.RecordFailure(RUN_1, m.TrainingFailure.BAD_PLAN))
    assert ready.tell(withdrawn(0)) == []
    assert ready.run().state is RunState.FAILED and ready.situation.new_labels == 3


@pytest.mark.parametrize("failure", [m.TrainingFailure.DIVERGED, m.TrainingFailure.JOB_DIED])
def test_a_withdrawal_gives_no_labels_back_of_runs_that_failed_for_another_reason(ready: Site, failure) -> None:
    ready.tell(START, m.RecordFailure(RUN_1, failure), withdrawn(0))
    assert ready.situation.new_labels == 0


def test_a_withdrawal_gives_no_labels_back_that_a_later_run_used(ready: Site) -> None:
    ready.tell(START, m.RecordFailure(RUN_1, m.TrainingFailure.BAD_PLAN), m.TrainingRequested("request-1", PROJECT))
    ready.tell(START, m.NoteStart(RUN_2), m.RecordModel(RUN_2, MODEL, (), (), (), 1.0), withdrawn(0))
    assert ready.run(RUN_2).state is RunState.TRAINED and ready.situation.new_labels == 0


def test_a_withdrawal_leaves_runs_on_other_studies_alone(ready: Site) -> None:
    ready.tell(study(9), START)
    assert ready.tell(withdrawn(9), m.StudyWithdrawn("never seen")) == []
    assert ready.run().state is RunState.QUEUED


def test_a_withdrawal_leaves_a_model_that_was_said(ready: Site) -> None:
    ready.tell(START, m.NoteStart(RUN_1), TRAINED)
    assert ready.tell(withdrawn(0)) == []
    assert ready.run().state is RunState.TRAINED and ready.situation.new_labels == 0


# Repeats

STORY: list[Message] = [
    PROJECT_1,
    *(study(n) for n in range(4)),
    study(4, Split.VALIDATION),
    *(approved(n) for n in range(5)),
    flagged(0),
    m.TrainingRequested("request-1", PROJECT),
    START,
    m.NoteStart(RUN_1),
    m.NoteWait(RUN_1, m.TrainingWait.MACHINE, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", 1_000.0),
    m.NoteWait(RUN_1, None, "", 1_001.0),
    TRAINED,
    deployed("sha256:model-1"),
    deployed("sha256:brought", sequence=2),
    withdrawn(3),
]
ONCE = (m.NoteStart, m.NoteWait)
"""What the worker alone says: a second start is another start, and a wait after its end another wait."""
REPEATED = [number for number, message in enumerate(STORY, start=1) if not isinstance(message, ONCE)]


@pytest.mark.parametrize("told", REPEATED, ids=lambda number: f"{number}-{type(STORY[number - 1]).__name__}")
def test_a_repeat_of_any_message_changes_nothing(site: Site, told: int) -> None:
    site.tell(*STORY[:told])
    before = site.rows()
    assert site.tell(STORY[told - 1]) == []
    assert site.rows() == before


@pytest.mark.parametrize("told", REPEATED, ids=lambda number: f"{number}-{type(STORY[number - 1]).__name__}")
def test_a_late_repeat_of_any_message_changes_nothing(site: Site, told: int) -> None:
    site.tell(*STORY)
    before = site.rows()
    assert site.tell(STORY[told - 1]) == [] and site.early == []
    assert site.rows() == before
