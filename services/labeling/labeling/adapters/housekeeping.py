"""Work the service does by itself: leases that ran out, objects of withdrawn studies, uploads nobody came to refer to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from labeling.domain.messages import ExpireLeases, StudyPurged, UploadSwept
from labeling.ports import Clock
from radloop.dispatch import Dispatcher
from radloop.objects import Objects


def expire_leases(dispatcher: Dispatcher) -> bool:
    """Give tasks back whose lease has run out."""
    dispatcher.dispatch(ExpireLeases())
    return False


def purge_study(dispatcher: Dispatcher, unit_of_work: Callable[..., Any], objects: Objects) -> bool:
    """Delete the objects of one withdrawn study; return whether there was one. Killed in between, it begins again."""
    with unit_of_work(read_only=True) as uow:
        study_key = uow.studies.to_purge()
    if study_key is None:
        return False
    for key in objects.keys(f"labeling/{study_key}/"):
        objects.delete(key)
    dispatcher.dispatch(StudyPurged(study_key))
    return True


def sweep_upload(
    dispatcher: Dispatcher, unit_of_work: Callable[..., Any], objects: Objects, clock: Clock, abandoned_s: float
) -> bool:
    """Delete one object that was announced long ago and that no label refers to; return whether there was one.

    Its announcement ends first, so that no label can come to refer to what is being deleted. Its uploader may come back at
    this very moment: then the object is young again, and stays.
    """
    looked_at = datetime.now(UTC)
    with unit_of_work(read_only=True) as uow:
        key = uow.uploads.abandoned(clock.now() - timedelta(seconds=abandoned_s))
    if key is None:
        return False
    dispatcher.dispatch(UploadSwept(key))
    objects.discard(key, looked_at)
    return True
