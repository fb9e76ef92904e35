"""A clock that is set forwards or back by hours: no task is with two readers, none is stuck, no label loses its mask."""

import pytest

from labeling.domain.messages import AppendDraft, ExpireLeases, RenewLease, UploadSwept
from labeling.domain.states import TaskState
from radloop.errors import Busy, Conflict

HOURS = 5 * 3600
LEASE_S = 600


def test_set_forwards_a_lease_ends_and_its_holder_goes_on_with_the_draft(world, ada, ben) -> None:
    (task_id,) = world.ready()
    old = world.take(ada)
    world.do(AppendDraft(old.lease_id, task_id, ada, 0, ("{}",)))
    world.clock.pass_(HOURS)
    world.do(ExpireLeases())
    with pytest.raises(Conflict, match="lease-expired"):
        world.submit(ada, old, "v1")
    again = world.take(ada)
    assert again.task_id == task_id and world.uow.drafts.last(task_id, "reader-ada") == 1
    world.submit(ada, again, "v1")
    assert world.take(ben) is None and list(world.uow.labels.rows) == ["v1"]


def test_set_forwards_and_back_a_task_is_with_one_reader(world, ada, ben) -> None:
    world.ready()
    old = world.take(ada)
    world.clock.pass_(HOURS)
    new = world.take(ben)
    assert new.task_id == old.task_id
    world.clock.pass_(-HOURS)
    for late in (lambda: world.submit(ada, old, "v1"), lambda: world.take(ada, old.task_id)):
        with pytest.raises(Conflict, match=r"lease-foreign|task-held"):
            late()
    assert world.take(ada) is None
    world.submit(ben, new, "v2")
    assert list(world.uow.labels.rows) == ["v2"]


def test_set_back_whoever_works_on_keeps_the_task_for_a_whole_lease(world, ada, ben) -> None:
    (task_id,) = world.ready()
    held = world.take(ada)
    world.clock.pass_(-HOURS)
    assert world.take(ben) is None
    world.do(RenewLease(held.lease_id, task_id, ada))
    world.clock.pass_(LEASE_S - 1)
    assert world.take(ben) is None
    world.submit(ada, held, "v1")
    assert world.state(task_id) is TaskState.SUBMITTED


def test_set_back_a_task_that_was_left_is_offered_after_a_lease(world, ada, ben) -> None:
    (task_id,) = world.ready()
    world.take(ada)
    world.clock.pass_(-HOURS)
    assert world.take(ben) is None  # asking made the lease end as if it were taken now
    world.clock.pass_(LEASE_S - 1)
    assert world.take(ben) is None
    world.clock.pass_(2)
    assert world.take(ben).task_id == task_id


def test_a_lease_of_a_replica_whose_clock_is_a_little_ahead_is_left(world, ada, ben) -> None:
    (task_id,) = world.ready()
    expires_at = world.take(ada).lease_expires_at
    world.clock.pass_(-60)
    world.take(ben)
    assert world.uow.tasks.get(task_id).lease_expires_at == expires_at


def test_set_forwards_a_label_whose_object_was_swept_is_sent_again(world, ada) -> None:
    """The sweep took the upload for old between its announcement and its label."""
    world.ready()
    held = world.take(ada)
    announced = world.uow.uploads.begin
    world.uow.uploads.begin = lambda key, study_key, at: announced(key, study_key, at) or world.do(UploadSwept(key))
    with pytest.raises(Busy, match="upload-swept"):
        world.submit(ada, held, "v1")
    assert world.uow.labels.rows == {}
