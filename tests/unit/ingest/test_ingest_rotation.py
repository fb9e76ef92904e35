"""A rotation of the site key: who is known keeps every name, who is new gets names under the new version."""

import io

import pydicom
import pytest

from ingest.adapters.reception import Fate
from ingest.domain.keys import Chosen, KeyRing
from ingest.domain.messages import AcceptInstance, AdoptSiteKeys, HoldInstance, ImportSplit, WithdrawStudy
from ingest.domain.pseudonyms import PatientIdentity
from ingest.domain.reasons import WithdrawReason
from radloop.errors import Invalid
from radloop.references import Split

OLD, NEW = bytes(32), bytes([7]) * 32
JANE = PatientIdentity("", "PAT-1")


@pytest.fixture
def rotate(site_key, dispatch):
    def run():
        site_key.add()
        dispatch(AdoptSiteKeys(tuple(site_key.ring.fingerprints.items()), "admin"))

    return run


@pytest.fixture
def receive(receiver, phantoms):
    def run(**changes):
        with receiver.open("RADLOOP") as reception:
            return reception.receive(phantoms.file(phantoms.slice(**changes)))

    return run


def other_study(number, **changes):
    return {
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.3.{number}.1",
        "SOPInstanceUID": f"1.2.3.{number}.1.1",
    } | changes


def stored(uow, objects, sop_key):
    return pydicom.dcmread(io.BytesIO(objects.stored[uow.instances.get(sop_key).object.key]))


def test_a_known_study_is_a_repeat_and_its_late_slices_join_it(receive, rotate, uow, site_key):
    before = receive()
    rotate()
    again, late = receive(), receive(SOPInstanceUID="1.2.3.4.101")
    assert (again.fate, late.fate) == (Fate.DUPLICATE, Fate.STORED)
    assert again.study_key == late.study_key == before.study_key == site_key.ring[1].uid("1.2.3.4")
    assert uow.instances.get(site_key.ring[1].uid("1.2.3.4.101")) is not None
    assert uow.studies.get(before.study_key).record.vault_version == 2


def test_a_known_patient_keeps_pseudonym_dates_and_shared_uids(receive, rotate, uow, objects, site_key):
    receive(FrameOfReferenceUID="1.9.9")
    rotate()
    second = receive(**other_study(5, FrameOfReferenceUID="1.9.9", StudyDate="20210131"))
    old = site_key.ring[1]
    assert second.study_key == old.uid("1.2.3.5")
    assert uow.studies.get(second.study_key).record.patient == old.patient(JANE, "")
    first, last = stored(uow, objects, old.uid("1.2.3.4.100")), stored(uow, objects, old.uid("1.2.3.5.1.1"))
    assert first.FrameOfReferenceUID == last.FrameOfReferenceUID == old.uid("1.9.9")
    dates = [pydicom.valuerep.DA(ds.StudyDate) for ds in (first, last)]
    assert (dates[1] - dates[0]).days == 366  # as between the originals: 2020 is a leap year
    assert first.PatientID == last.PatientID


def test_a_new_patient_is_named_under_the_new_version(receive, rotate, uow, site_key):
    receive()
    rotate()
    new = receive(**other_study(5, PatientID="PAT-2"))
    ring = site_key.ring
    assert new.study_key == ring[2].uid("1.2.3.5") != ring[1].uid("1.2.3.5")
    record = uow.studies.get(new.study_key).record
    assert (record.key_version, record.patient_version, record.vault_version) == (2, 2, 2)
    assert uow.patients.patient_version(ring[2].patient(PatientIdentity("", "PAT-2"), "")) == 2


def test_a_study_without_patient_id_is_found_by_its_uid(receive, rotate):
    before = receive(PatientID=None)
    rotate()
    assert receive(PatientID=None).study_key == before.study_key
    assert receive(PatientID=None, SOPInstanceUID="1.2.3.4.7").study_key == before.study_key


def test_a_withdrawn_study_stays_refused(receive, rotate, dispatch, site_key):
    study_key = receive().study_key
    dispatch(WithdrawStudy(study_key, WithdrawReason.CONSENT, "admin"))
    dispatch(WithdrawStudy(site_key.ring[1].uid("1.2.3.5"), WithdrawReason.CONSENT, "admin"))
    rotate()
    assert receive().fate is Fate.REFUSED
    assert receive(**other_study(5, PatientID="NEVER-SEEN")).fate is Fate.REFUSED


def test_a_split_that_was_imported_holds_for_a_patient_who_comes_later(
    receive, rotate, dispatch, uow, site_key, project
):
    uow.projects.save(project())
    old = site_key.ring[1]
    key = old.patient_key("hippocampus", old.patient(JANE, ""))
    dispatch(ImportSplit("hippocampus", ((key, 1, Split.TEST),), "lead"))
    rotate()
    assert receive().study_key == old.uid("1.2.3.4")


@pytest.mark.parametrize("message", [AcceptInstance, HoldInstance])
def test_a_rotation_between_naming_and_counting_names_anew(
    message, receiver, uow, dispatch, rotate, phantoms, site_key
):
    """The sender was slower than the rotation: nothing may be named under the old version any more."""
    changes = {"BurnedInAnnotation": "YES"} if message is HoldInstance else {}
    rotated = False

    def slow(command):
        nonlocal rotated
        if isinstance(command, message) and not rotated:
            rotated = True
            rotate()
        return dispatch(command)

    receiver.dispatch = slow
    with receiver.open("RADLOOP") as reception:
        outcome = reception.receive(phantoms.file(phantoms.slice(**changes)))
    assert rotated and outcome.study_key == site_key.ring[2].uid("1.2.3.4")
    assert set(uow.studies.rows) == {outcome.study_key}
    assert list(uow.patients.rows.values()) == [2]


def test_two_senders_of_one_new_patient_agree(receiver, uow, dispatch, rotate, phantoms, site_key):
    """One named the patient before the rotation, and is counted after the other has named them again, before its count."""
    rotate()
    old, counted = site_key.ring[1], False

    def slow(command):
        nonlocal counted
        if isinstance(command, AcceptInstance) and not counted:
            counted = True
            uow.patients.remember(old.patient(JANE, ""), 1)
        return dispatch(command)

    receiver.dispatch = slow
    with receiver.open("RADLOOP") as reception:
        outcome = reception.receive(phantoms.file(phantoms.slice()))
    assert counted and outcome.study_key == old.uid("1.2.3.4")
    assert set(uow.studies.rows) == {outcome.study_key}


def test_a_ring_needs_keys_and_knows_its_versions():
    ring = KeyRing({1: OLD, 3: NEW})
    assert (ring.current, ring.versions, list(ring.fingerprints)) == (3, (3, 1), [1, 3])
    assert ring.vault_keys == [ring[3].vault_key, ring[1].vault_key]
    for keys in ({}, {0: OLD}, {1: b"short"}):
        with pytest.raises(Invalid, match="site-key-invalid"):
            KeyRing(keys)
    with pytest.raises(Invalid, match="site-key-unknown"):
        ring[2]


def test_a_known_study_with_another_known_patient_keeps_both_versions(uow):
    ring = KeyRing({1: OLD, 2: NEW})
    names = ring.names(JANE, "1.2.3")
    assert ring.choose(names, uow.patients) == Chosen(2, 2)
    uow.patients.remember(names.patients[2], 2)
    uow.tombstones.add(names.study_keys[1], WithdrawReason.CONSENT, 1.0, 1)
    assert ring.choose(names, uow.patients) == Chosen(1, 2)
    assert names.newest == 2
