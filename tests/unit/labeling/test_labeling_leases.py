"""Leases: who gets what, in which order, and what a lost lease is answered with."""

import pytest

from labeling.domain.messages import (
    AppendDraft,
    ExpireLeases,
    ReleaseLease,
    RenewLease,
    SkipTask,
)
from labeling.domain.states import TaskState
from labeling.domain.vocabulary import Reading, SkipReason
from radloop.errors import Conflict, Forbidden, Invalid, NotFound
from radloop.references import Arm


def test_most_urgent_first(world, ada, ben, eve) -> None:
    first, second, third = world.ready("c1", "c2", "c3")
    assert world.take(ada).task_id == first
    world.submit(ada, world.uow.tasks.get(first), "v1")
    assert world.take(ben).task_id == second
    # An adjudication of c1 comes before what is left of the round, for who may do it.
    adjudication = world.second(
        request_id="adj", reading=Reading.ADJUDICATION, label_version_ids=("v1",), excluded_readers=("reader-ada",)
    )
    world.hear(adjudication)
    assert world.take(eve).reading is Reading.ADJUDICATION
    assert world.take(ada).task_id == third
    # What is returned to ada comes before everything that is open.
    world.do(ReleaseLease(world.uow.tasks.get(third).lease_id, third, ada))
    world.hear(world.returned("v1"))
    assert world.take(ada).task_id == first


def test_older_rounds_and_lower_ranks_first(world, ada) -> None:
    world.ready("c1")
    world.hear(world.study("c2", "s2"), world.study("c3", "s3"))
    world.hear(world.flag("c3", "s3", round_number=1, rank=9, show_proposal=False))
    world.hear(world.flag("c2", "s2", round_number=1, rank=4, show_proposal=False))
    seen = []
    while task := world.take(ada):
        seen.append(task.rank)
        world.submit(ada, task, f"v{task.rank}")
    assert seen == [1, 4, 9]


def test_next_gives_back_what_i_hold(world, ada) -> None:
    world.ready("c1", "c2")
    first = world.take(ada)
    world.clock.pass_(100)
    again = world.take(ada)
    assert (again.task_id, again.lease_id) == (first.task_id, first.lease_id)
    assert again.lease_expires_at > first.lease_expires_at


def test_never_two_readings_of_one_case_for_one_reader(world, ada, ben) -> None:
    (first,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.second())
    assert world.take(ada) is None
    second = world.take(ben)
    assert second.reading is Reading.SECOND
    world.do(ReleaseLease(second.lease_id, second.task_id, ben))
    with pytest.raises(Forbidden, match="reader-excluded"):
        world.take(ada, second.task_id)
    assert first != second.task_id


def test_not_while_the_other_reading_is_in_hand(world, ada) -> None:
    world.ready()
    world.hear(world.second())
    held = world.take(ada)
    other = next(t for t in world.uow.tasks.rows if t != held.task_id)
    with pytest.raises(Forbidden, match="reader-excluded"):
        world.take(ada, other)


def test_excluded_readers_never_get_it(world, ada, ben) -> None:
    world.ready("c2")
    world.hear(world.study(), world.second(excluded_readers=("reader-ada",), round_id=""))
    assert world.take(ada).case_id == "c2"
    assert world.take(ben).case_id == "c1"


def test_roles_decide_the_kind_of_reading(world, ada, eve) -> None:
    world.hear(world.project(), world.study())
    world.hear(world.second(request_id="adj", reading=Reading.ADJUDICATION))
    (task_id,) = world.uow.tasks.rows
    assert world.take(ada) is None
    with pytest.raises(Forbidden, match="role-missing"):
        world.take(ada, task_id)
    assert world.take(eve).task_id == task_id


def test_a_held_task_is_refused_to_others(world, ada, ben) -> None:
    (task_id,) = world.ready()
    world.take(ada)
    with pytest.raises(Conflict, match="held by somebody else") as refused:
        world.take(ben, task_id)
    assert refused.value.code == "task-held"
    assert "ada" not in str(refused.value)


def test_an_expired_lease_loses_nothing(world, ada, ben) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    world.do(AppendDraft(held.lease_id, task_id, ada, 0, ('{"stroke":1}',)))
    world.clock.pass_(601)
    for lost in (
        lambda: world.submit(ada, held, "v1"),
        lambda: world.do(RenewLease(held.lease_id, task_id, ada)),
        lambda: world.do(AppendDraft(held.lease_id, task_id, ada, 1, ("{}",))),
        lambda: world.do(SkipTask(held.lease_id, task_id, ada, SkipReason.NO_TIME)),
    ):
        with pytest.raises(Conflict) as refused:
            lost()
        assert refused.value.code == "lease-expired"
        assert "your draft is kept" in refused.value.do
    world.do(ExpireLeases())
    assert world.state(task_id) is TaskState.OPEN
    with pytest.raises(Conflict) as refused:
        world.submit(ada, held, "v1")
    assert refused.value.code == "lease-expired"
    # Somebody else takes it: then that is what ada is told, and their journals are apart.
    theirs = world.take(ben)
    with pytest.raises(Conflict, match="somebody else") as refused:
        world.submit(ada, held, "v1")
    assert refused.value.code == "lease-foreign"
    assert world.uow.drafts.last(task_id, ada.pseudonym) == 1
    assert world.uow.drafts.last(task_id, ben.pseudonym) == 0
    world.do(ReleaseLease(theirs.lease_id, task_id, ben))
    again = world.take(ada)
    assert world.do(AppendDraft(again.lease_id, task_id, ada, 1, ("{}",))) == []


def test_renewal_keeps_it(world, ada) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    for _ in range(5):
        world.clock.pass_(500)
        world.do(RenewLease(held.lease_id, task_id, ada))
    assert world.uow.tasks.get(task_id).held_by(ada.pseudonym, world.clock.now())


def test_my_own_newer_lease_says_so(world, ada) -> None:
    (task_id,) = world.ready()
    old = world.take(ada)
    world.clock.pass_(601)
    world.take(ada)
    with pytest.raises(Conflict, match="held by you") as refused:
        world.submit(ada, old, "v1")
    assert refused.value.code == "lease-replaced"
    assert task_id == old.task_id


def test_a_foreign_lease_id_is_no_key(world, ada, ben) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    with pytest.raises(Conflict) as refused:
        world.do(ReleaseLease(held.lease_id, task_id, ben))
    assert refused.value.code == "lease-foreign"


def test_releasing_twice_is_one_release(world, ada) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    for _ in range(2):
        world.do(ReleaseLease(held.lease_id, task_id, ada))
    assert world.state(task_id) is TaskState.OPEN


def test_what_was_returned_waits_for_its_reader(world, ada, ben) -> None:
    (task_id,) = world.ready()
    world.submit(ada, world.take(ada), "v1")
    world.hear(world.returned("v1"))
    assert world.take(ben) is None
    with pytest.raises(Conflict, match="returned to somebody else"):
        world.take(ben, task_id)
    held = world.take(ada)
    assert held.returned == ("missing-segment",)
    world.clock.pass_(601)
    world.do(ExpireLeases())
    assert world.state(task_id) is TaskState.RETURNED
    again = world.take(ada)
    (said,) = world.submit(ada, again, "v2")
    assert (said.attempt, said.reader) == (2, ada.pseudonym)


@pytest.mark.parametrize("reason", SkipReason)
def test_skipping(world, ada, ben, reason) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    for _ in range(2):  # the second is a repeat
        world.do(SkipTask(held.lease_id, task_id, ada, reason))
    assert world.state(task_id) is (TaskState.SKIPPED if reason.closes else TaskState.OPEN)
    assert world.take(ada) is None
    assert (world.take(ben) is None) == reason.closes
    if reason.closes:
        assert world.take(ben, task_id).state is TaskState.LEASED


def test_unknown_task_and_project(world, ada) -> None:
    with pytest.raises(NotFound, match="task-unknown"):
        world.take(ada, "no")
    with pytest.raises(NotFound, match="project-unknown"):
        world.take(ada)


def test_drafts_are_appended_once_and_in_order(world, ada) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    for _ in range(2):  # a request that is sent again changes nothing
        world.do(AppendDraft(held.lease_id, task_id, ada, 0, ('"a"', '"b"')))
    world.do(AppendDraft(held.lease_id, task_id, ada, 2, ('"c"',)))
    with pytest.raises(Conflict) as refused:
        world.do(AppendDraft(held.lease_id, task_id, ada, 0, ('"x"',)))
    assert (refused.value.code, refused.value.expected) == ("draft-sequence", "after_sequence 3")
    with pytest.raises(Conflict):
        world.do(AppendDraft(held.lease_id, task_id, ada, 7, ('"x"',)))
    entries = world.uow.drafts.entries(task_id, ada.pseudonym, 0, 10)
    assert [(e.sequence, e.entry) for e in entries] == [(1, '"a"'), (2, '"b"'), (3, '"c"')]


def test_a_blind_reading_did_not_start_from_the_model(world, ada) -> None:
    world.hear(world.project(), world.study())
    world.hear(world.flag(arm=Arm.CONTROL, show_proposal=False))
    with pytest.raises(Invalid, match="blind"):
        world.submit(ada, world.take(ada), "v1", started_from_model=True)
