"""What is heard: any order, more than once, and always the same end."""

import itertools

import pytest

from labeling.domain.messages import AppendDraft, ReleaseLease
from labeling.domain.states import TaskState
from labeling.domain.vocabulary import FlagReason, Reading
from radloop.errors import Conflict, Invalid, NotFound
from radloop.references import Arm, Split


def picture(world) -> dict[str, tuple]:
    """Return what a world has come to: each task's state and what its reader would see."""
    return {
        task.task_id: (
            task.state,
            task.reader,
            task.returned,
            task.attempt,
            task.offered_prediction(case) if (case := world.uow.cases.get(task.case_id)) else "",
        )
        for task in world.uow.tasks.rows.values()
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_before_a_reader_any_order_opens_the_task(new_world, order) -> None:
    """project-configured, study-ingested, prediction-made, edge-case-flagged."""
    world = new_world()
    events = [world.project(), world.study(), world.prediction(), world.flag()]
    world.hear(*(events[n] for n in order))
    world.hear(*events)  # and all again
    assert world.parked == []
    ((state, *_, offered),) = picture(world).values()
    assert (state, offered) == (TaskState.OPEN, "pred-c1")


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_restored_from_a_backup_any_order_comes_to_the_same(new_world, ada, order) -> None:
    """edge-case-flagged, study-ingested, prediction-made, label-returned, label-approved, the label's own events last or first.

    The reader's answer falls where the task is first there to be taken; verdicts that come before it wait.
    """
    world = new_world()
    world.hear(world.project())
    events = [
        world.flag(),
        world.study(),
        world.prediction(),
        world.returned("v1"),
        world.approved("v1"),
    ]
    answered = False
    for n in order:
        world.hear(events[n])
        if not answered and (task := world.take(ada)):
            world.submit(ada, task, "v1")
            answered = True
    assert answered
    world.hear(*events)
    assert world.parked == []
    ((state, reader, *_),) = picture(world).values()
    assert (state, reader) == (TaskState.APPROVED, ada.pseudonym)
    assert len(world.said) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_return_and_an_approval_of_the_next_answer(new_world, ada, order) -> None:
    world = new_world()
    (task_id,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.returned("v1"))
    world.submit(ada, world.take(ada), "v2")
    events = [world.returned("v1"), world.approved("v2"), world.flag()]
    world.hear(*(events[n] for n in order))
    assert world.state(task_id) is TaskState.APPROVED


def test_a_return_of_an_older_answer_is_only_kept(world, ada) -> None:
    (task_id,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.returned("v1"))
    world.submit(ada, world.take(ada), "v2")
    world.hear(world.returned("v1", review_id="another"))
    assert world.state(task_id) is TaskState.SUBMITTED


def test_approval_ends_the_siblings_of_the_review(world, ada, ben) -> None:
    (first,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.second())
    world.submit(ben, world.take(ben), "v2")
    world.hear(world.approved("v2"))
    states = {t.reading: t.state for t in world.uow.tasks.rows.values()}
    assert states == {Reading.FIRST: TaskState.CANCELLED, Reading.SECOND: TaskState.APPROVED}
    # QA approves the first one's label after all: the last word on a label stands.
    world.hear(world.approved("v1", review_id="again"))
    assert world.state(first) is TaskState.APPROVED


@pytest.mark.parametrize("approved_first", [False, True])
def test_a_reading_requested_and_its_review_approved_in_any_order(new_world, ada, approved_first) -> None:
    world = new_world()
    world.ready()
    world.submit(ada, world.take(ada), "v1")
    events = [world.second(), world.approved("v1")]
    world.hear(*(reversed(events) if approved_first else events))
    states = {t.reading: t.state for t in world.uow.tasks.rows.values()}
    assert states == {Reading.FIRST: TaskState.APPROVED, Reading.SECOND: TaskState.CANCELLED}


@pytest.mark.parametrize("approved_first", [False, True])
@pytest.mark.parametrize(
    "arm, left", [(Arm.MINED, TaskState.CANCELLED), (Arm.CONTROL, TaskState.CANCELLED), (Arm.REPORTED, TaskState.OPEN)]
)
def test_a_case_approved_elsewhere_is_not_read_but_on_report(new_world, ada, approved_first, arm, left) -> None:
    """An import was approved while the miner, who had not heard of it, flagged the case."""
    world = new_world()
    world.ready()
    world.submit(ada, world.take(ada), "v1")
    events = [world.flag(round_number=2, arm=arm, show_proposal=False), world.approved("v1")]
    world.hear(*(reversed(events) if approved_first else events))
    states = {t.round_number: t.state for t in world.uow.tasks.rows.values()}
    assert states == {1: TaskState.APPROVED, 2: left}


def test_another_review_of_the_case_goes_on(world, ada, ben) -> None:
    world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.approved("v1"))
    world.hear(world.second(request_id="r2", review_id="another-review"))
    assert world.take(ben).reading is Reading.SECOND


def test_a_label_waits_for_nobody_while_being_corrected(world, ada) -> None:
    (task_id,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.returned("v1"))
    held = world.take(ada)
    world.hear(world.approved("v1"))
    assert world.state(task_id) is TaskState.APPROVED
    with pytest.raises(Conflict, match="task-closed"):
        world.submit(ada, held, "v2")


# --- rounds -----------------------------------------------------------------------------------------------------------------


def test_a_new_round_supersedes_what_nobody_has_started(world, ada, ben) -> None:
    opened, leased, drafted, returned = world.ready("c1", "c2", "c3", "c4")
    world.take(ada, returned)
    world.submit(ada, world.uow.tasks.get(returned), "v4")
    world.hear(world.returned("v4"))
    held = world.take(ada, drafted)
    world.do(AppendDraft(held.lease_id, drafted, ada, 0, ("1",)))
    world.do(ReleaseLease(held.lease_id, drafted, ada))
    world.take(ben, leased)
    world.hear(world.study("c9", "s9"), world.flag("c9", "s9", round_number=2, show_proposal=False))
    assert world.state(opened) is TaskState.SUPERSEDED
    assert world.state(leased) is TaskState.LEASED
    assert world.state(drafted) is TaskState.OPEN
    assert world.state(returned) is TaskState.RETURNED


def test_a_lease_that_ran_out_keeps_nothing_in_an_old_round(world, ada) -> None:
    (task_id,) = world.ready()
    world.take(ada)
    world.clock.pass_(601)
    world.hear(world.study("c9", "s9"), world.flag("c9", "s9", round_number=2, show_proposal=False))
    assert world.state(task_id) is TaskState.SUPERSEDED


def test_rounds_heard_out_of_order(new_world) -> None:
    """Order holds within one study's topic only: round 2 of one study may come before round 1 of another."""
    ends = []
    for order in itertools.permutations(range(3)):
        world = new_world()
        world.hear(world.project(), world.study("c1", "s1"), world.study("c2", "s2"), world.study("c3", "s3"))
        events = [
            world.flag("c1", "s1", round_number=1, show_proposal=False),
            world.flag("c2", "s2", round_number=2, show_proposal=False),
            world.flag("c3", "s3", round_number=0, arm=Arm.COLD_START, show_proposal=False),
        ]
        world.hear(*(events[n] for n in order))
        ends.append({t.case_id: t.state for t in world.uow.tasks.rows.values()})
    assert ends == [{"c1": TaskState.SUPERSEDED, "c2": TaskState.OPEN, "c3": TaskState.SUPERSEDED}] * len(ends)


def test_reported_cases_and_further_readings_outlive_rounds(world, ada) -> None:
    world.ready("c1")
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.second())
    world.hear(world.study("c2", "s2"))
    world.hear(world.flag("c2", "s2", round_number=0, arm=Arm.REPORTED, show_proposal=False))
    world.hear(world.study("c3", "s3"), world.flag("c3", "s3", round_number=2, show_proposal=False))
    world.hear(world.study("c4", "s4"))
    world.hear(world.flag("c4", "s4", round_number=0, arm=Arm.REPORTED, round_id="later", show_proposal=False))
    assert TaskState.SUPERSEDED not in {t.state for t in world.uow.tasks.rows.values()}


def test_a_second_reading_that_a_review_of_its_own_asks_for_outlives_the_approvals_of_the_case(world, ada, ben) -> None:
    """QA reads an approved case again as gold: the task is one of the others, and waits when it is answered."""
    world.ready("c1")
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.approved("v1"), world.second(review_id="gold", excluded_readers=(ada.pseudonym,)))
    task = world.take(ben)
    assert task.case_id == "c1"
    world.submit(ben, task, "v2")
    world.hear(world.approved("v1", "review-later"))
    assert world.uow.tasks.get(task.task_id).state is TaskState.SUBMITTED


def test_a_second_reading_of_a_case_that_was_never_read_here_stands_among_the_newest_round(world) -> None:
    """It may be a gold case whose label was imported: nothing may tell."""
    world.hear(world.project(), world.study("c1", "s1"), world.study("c2", "s2"))
    world.hear(world.flag("c1", "s1", round_number=3, show_proposal=False), world.second("c2", "s2"))
    places = {task.case_id: (task.round_number, task.rank) for task in world.uow.tasks.rows.values()}
    assert places == {"c1": (3, 1), "c2": (3, 1)}


# --- what a reader may see --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("reading", [Reading.FIRST, Reading.SECOND, Reading.ADJUDICATION])
def test_the_proposal_is_shown_only_where_nothing_forbids_it(world, split, shown, reading) -> None:
    world.hear(world.project(), world.study(split=split), world.prediction())
    world.hear(world.flag(show_proposal=shown) if reading is Reading.FIRST else world.second(reading=reading))
    (task,) = world.uow.tasks.rows.values()
    case = world.uow.cases.get("c1")
    assert task.blind(case) is not (split is Split.TRAIN and shown and reading is Reading.FIRST)
    assert bool(task.offered_prediction(case)) is not task.blind(case)


def test_why_a_case_was_flagged_does_not_give_the_control_arm_away(world) -> None:
    world.hear(world.project(), world.study(), world.prediction(), world.study("c2", "s2"))
    control = (FlagReason.RANDOM, FlagReason.UNCERTAIN)
    world.hear(world.flag("c2", "s2", arm=Arm.CONTROL, reasons=control, show_proposal=False))
    world.hear(world.flag(reasons=control))
    control_task, mined_task = sorted(world.uow.tasks.rows.values(), key=lambda t: t.arm)
    assert control_task.shown_reasons(world.uow.cases.get("c2")) == ()
    assert mined_task.shown_reasons(world.uow.cases.get("c1")) == (FlagReason.UNCERTAIN,)


def test_a_case_the_model_failed_on_does_not_wait_for_its_mask(world, ada) -> None:
    world.hear(world.project(), world.study(), world.flag(reasons=(FlagReason.FAILED_PREDICTION,)))
    (said,) = world.submit(ada, world.take(ada), "v1")
    assert said.prediction_id == ""


# --- projects and withdrawal ------------------------------------------------------------------------------------------------


def test_the_newest_version_of_a_project_counts(world) -> None:
    world.hear(world.project(3), world.project(2))
    assert world.uow.projects.get("p").version == 3


def test_an_unexpected_reading_goes_to_the_dead_letters(world) -> None:
    world.hear(world.project(), world.study())
    with pytest.raises(Invalid, match="reading-unexpected"):
        world.hear(world.second(reading=Reading.FIRST))


def test_withdrawal_forgets_and_stays(world, ada) -> None:
    (task_id, other) = world.ready("c1", "c2")
    held = world.take(ada)
    world.do(AppendDraft(held.lease_id, task_id, ada, 0, ("1",)))
    world.submit(ada, held, "v1")
    late = [world.project(), world.study(), world.prediction(), world.flag(), world.second(), world.approved("v1")]
    late += [world.returned("v1"), world.flag(round_number=7)]
    world.hear(world.withdrawal(), *late, world.withdrawal())
    assert world.state(task_id) is TaskState.CANCELLED
    assert world.state(other) is TaskState.OPEN
    assert world.uow.labels.get("v1") is None
    assert world.uow.cases.get("c1") is None
    assert world.uow.drafts.last(task_id, ada.pseudonym) == 0
    assert world.uow.studies.to_purge() == "s1"
    assert world.parked == []
    with pytest.raises(Conflict, match="study-withdrawn"):
        world.take(ada, task_id)
    assert len(world.said) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_withdrawal_among_all_else_in_any_order(new_world, order) -> None:
    world = new_world()
    world.hear(world.project())
    events = [world.study(), world.prediction(), world.flag(), world.withdrawal()]
    world.hear(*(events[n] for n in order))
    for token, event in world.parked:  # what waits is tried again now and then; by then it has nothing to do
        assert token.startswith(("case:", "prediction:"))
        assert world.handlers[type(event)](event, world.uow) == []
    assert {t.state for t in world.uow.tasks.rows.values()} <= {TaskState.CANCELLED}
    assert world.uow.cases.get("c1") is None


def test_a_submit_that_crosses_a_withdrawal_is_refused(world, ada) -> None:
    world.ready()
    held = world.take(ada)
    world.hear(world.withdrawal())
    with pytest.raises(Conflict, match="study-withdrawn"):
        world.submit(ada, held, "v1")


def test_labels_nobody_has_heard_of_wait(world) -> None:
    world.hear(world.project(), world.study())
    world.hear(world.approved("v1"), world.returned("v2"))
    assert [token for token, _ in world.parked] == ["label:v1", "label:v2"]


def test_a_case_nobody_has_heard_of_cannot_be_reported(world, ada) -> None:
    from labeling.domain.messages import ReportCase
    from labeling.domain.vocabulary import ReportReason

    with pytest.raises(NotFound, match="case-unknown"):
        world.do(ReportCase("r", "c1", ada, ReportReason.OTHER, ""))
