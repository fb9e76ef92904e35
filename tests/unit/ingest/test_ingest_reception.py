"""The one way in: stored, repeated, held, refused; and nothing half there."""

import logging

import pytest

from ingest.adapters.reception import Fate
from ingest.domain.messages import WithdrawStudy
from ingest.domain.model import UNREADABLE
from ingest.domain.reasons import RejectReason, WithdrawReason
from radloop.errors import Conflict, NotFound, TemporaryError

IDENTIFYING = (b"Doe", b"Jane", b"PAT-1", b"1.2.3.4", b"20200131", b"T1 hippocampus")


def receive(receiver, *files):
    with receiver.open("RADLOOP") as reception:
        return [reception.receive(file) for file in files]


def test_stored_and_counted(receiver, uow, objects, phantoms, pseudonyms):
    outcomes = receive(receiver, *phantoms.series(3))
    assert [outcome.fate for outcome in outcomes] == [Fate.STORED] * 3
    study_key = pseudonyms.uid("1.2.3.4")
    assert {outcome.study_key for outcome in outcomes} == {study_key}
    study = uow.studies.get(study_key)
    assert (study.generation, study.completed_generation) == (3, 0)
    stored = [instance for _, instance in uow.instances.of_study(study_key)]
    assert {instance.object.key for instance in stored} == set(objects.stored)
    assert all(key.startswith(f"ingest/{study_key}/instances/") for key in objects.stored)


def test_nothing_identified_is_stored_in_the_clear(receiver, uow, objects, phantoms):
    receive(
        receiver,
        *phantoms.series(2),
        phantoms.file(phantoms.slice(BurnedInAnnotation="YES", SOPInstanceUID="1.2.3.4.9")),
    )
    rows = repr((uow.studies.rows, uow.studies.series, uow.instances.rows, uow.held.rows, uow.refusals.rows)).encode()
    for value in IDENTIFYING:
        assert value not in rows
        for key, data in objects.stored.items():
            assert value not in data and value.decode() not in key


def test_the_index_begins_before_and_ends_after_the_object(receiver, uow, objects, phantoms, monkeypatch):
    seen = []
    put = objects.put

    def watched(key, data, digest):
        seen.append((len(uow.receptions.rows), len(uow.instances.rows)))
        return put(key, data, digest)

    monkeypatch.setattr(objects, "put", watched)
    receive(receiver, *phantoms.series(2))
    assert seen == [(1, 0), (1, 1)]
    assert uow.receptions.rows == set()


def test_full_disk(receiver, uow, objects, phantoms):
    objects.full = True
    with pytest.raises(TemporaryError):
        receive(receiver, *phantoms.series(1))
    assert not objects.stored and not uow.instances.rows and not uow.studies.rows
    objects.full = False
    assert receive(receiver, *phantoms.series(1))[0].fate is Fate.STORED


def test_index_that_cannot_be_written(receiver, uow, objects, phantoms, monkeypatch):
    """The object is there and nobody was told: the sweep of the next start takes it away."""

    def unavailable(*_arguments):
        raise TemporaryError("database-unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(uow.instances, "add", unavailable)
        reception = receiver.open("RADLOOP")
        with pytest.raises(TemporaryError):
            reception.receive(phantoms.series(1)[0])
    assert len(objects.stored) == 1 and not uow.instances.rows
    assert receiver.sweep() == 1
    assert not objects.stored and not uow.receptions.rows


def test_sweep_leaves_what_counts(receiver, uow, objects, phantoms):
    held = phantoms.file(phantoms.slice(BurnedInAnnotation="YES", SOPInstanceUID="1.2.3.4.9"))
    reception = receiver.open("RADLOOP")
    for file in (*phantoms.series(2), held):
        reception.receive(file)
    assert receiver.sweep() == 0
    assert len(objects.stored) == 3 and not uow.receptions.rows


def test_the_same_again(receiver, uow, objects, phantoms):
    first, again = receive(receiver, phantoms.series(1)[0], phantoms.series(1)[0])
    assert (first.fate, again.fate) == (Fate.STORED, Fate.DUPLICATE)
    assert len(objects.stored) == 1 and not uow.instances.differences


def test_same_pixels_other_header(receiver, uow, objects, phantoms, pseudonyms):
    first, again = receive(
        receiver, phantoms.file(phantoms.slice()), phantoms.file(phantoms.slice(EchoTime=7, PatientID="PAT-2"))
    )
    assert (first.fate, again.fate) == (Fate.STORED, Fate.DUPLICATE)
    assert len(objects.stored) == 1
    ((sop_key, keywords),) = uow.instances.differences
    assert sop_key == pseudonyms.uid("1.2.3.4.100")
    assert {"EchoTime", "PatientID"} <= set(keywords)


def test_same_pixels_other_transfer_syntax(receiver, uow, phantoms):
    again = phantoms.file(phantoms.slice(), "1.2.840.10008.1.2")
    assert [outcome.fate for outcome in receive(receiver, phantoms.file(phantoms.slice()), again)] == [
        Fate.STORED,
        Fate.DUPLICATE,
    ]


def test_other_pixels_under_the_same_uid(receiver, uow, objects, phantoms):
    other = phantoms.file(phantoms.slice(PixelData=bytes(48)))
    first, second, third = receive(receiver, phantoms.file(phantoms.slice()), other, other)
    assert (second.fate, second.reason) == (Fate.HELD, RejectReason.PIXELS_DIFFER)
    assert third.fate is Fate.HELD
    (held,) = uow.held.rows.values()
    (noted,) = uow.refusals.rows
    assert (noted.refusal.reason, noted.refusal.instance_count) == (RejectReason.PIXELS_DIFFER, 1)
    with pytest.raises(Conflict, match="another-is-stored"):
        receiver.release(held.held_id)
    assert len(uow.instances.rows) == 1 and len(objects.stored) == 2


def test_held_until_released(receiver, uow, objects, phantoms, pseudonyms):
    file = phantoms.file(phantoms.slice(BurnedInAnnotation="YES"))
    (outcome,) = receive(receiver, file)
    assert (outcome.fate, outcome.reason) == (Fate.HELD, RejectReason.BURNED_IN_TEXT)
    assert not uow.instances.rows
    (held,) = uow.held.rows.values()
    assert held.object.key.startswith(f"ingest/{outcome.study_key}/held/")
    assert objects.stored[held.object.key].startswith(b"gAAAA")  # a Fernet token
    assert receiver.release(held.held_id) == outcome.study_key
    (instance,) = (row for _, row in uow.instances.rows.values())
    assert set(objects.stored) == {instance.object.key}
    assert objects.stored[instance.object.key][128:132] == b"DICM"
    assert uow.studies.get(outcome.study_key).generation == 1
    with pytest.raises(NotFound, match="nothing-held"):
        receiver.release(held.held_id)
    assert receive(receiver, file)[0].fate is Fate.DUPLICATE


def test_withdrawn_is_refused(receiver, uow, objects, dispatch, phantoms, pseudonyms):
    study_key = pseudonyms.uid("1.2.3.4")
    dispatch(WithdrawStudy(study_key, WithdrawReason.CONSENT, "admin"))
    (outcome,) = receive(receiver, *phantoms.series(1))
    assert (outcome.fate, outcome.reason) == (Fate.REFUSED, RejectReason.WITHDRAWN)
    assert not objects.stored and not uow.studies.rows


def test_withdrawn_between_looking_and_counting(receiver, uow, objects, dispatch, phantoms, pseudonyms, monkeypatch):
    study_key = pseudonyms.uid("1.2.3.4")
    put = objects.put

    def withdrawn_meanwhile(key, data, digest=""):
        dispatch(WithdrawStudy(study_key, WithdrawReason.CONSENT, "admin"))
        return put(key, data, digest)

    monkeypatch.setattr(objects, "put", withdrawn_meanwhile)
    (outcome,) = receive(receiver, *phantoms.series(1))
    assert outcome.reason is RejectReason.WITHDRAWN
    assert not objects.stored and not uow.instances.rows


def test_two_senders_at_once_with_other_pixels(receiver, uow, objects, phantoms, monkeypatch):
    """The second looked before the first was counted; it must not disturb the first's object."""
    put = objects.put
    nested = []

    def first_comes_between(key, data, digest=""):
        if not nested:
            nested.append(True)
            receive(receiver, phantoms.file(phantoms.slice(PixelData=bytes(48))))
        return put(key, data, digest)

    monkeypatch.setattr(objects, "put", first_comes_between)
    (outcome,) = receive(receiver, phantoms.file(phantoms.slice()))
    assert outcome.reason is RejectReason.PIXELS_DIFFER
    (instance,) = (row for _, row in uow.instances.rows.values())
    assert instance.object.key in objects.stored


@pytest.mark.parametrize("named", [False, True])
def test_refusals_are_noted(receiver, uow, phantoms, pseudonyms, named):
    file = phantoms.file(phantoms.slice(PixelData=None)) if named else b"hello"
    outcome, _ = receive(receiver, file, file)
    assert outcome.fate is Fate.REFUSED
    (noted,) = uow.refusals.rows
    assert noted.refusal.study_key == (pseudonyms.uid("1.2.3.4") if named else UNREADABLE)
    assert noted.refusal.instance_count == 2


def test_logs_name_nobody(receiver, phantoms, caplog):
    with caplog.at_level(logging.DEBUG):
        receive(receiver, *phantoms.series(2), b"hello", phantoms.file(phantoms.slice())[:-10])
    assert not any(value.decode() in caplog.text for value in IDENTIFYING)


def test_what_a_crash_left_stays_while_the_store_is_away(receiver, objects, uow):
    reception = receiver.open("")
    reception.begin("1.2.3")
    objects.put("ingest/1.2.3/instances/left-behind.dcm", b"x")
    objects.away = True
    assert receiver.sweep() == 0
    assert not uow.receptions.rows and objects.stored
