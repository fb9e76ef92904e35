"""From complete studies to volumes and manifests, and away again."""

import json

import numpy as np
import pytest

from ingest.adapters.forming import REST_S, Forgetting, Forming
from ingest.adapters.vault import Vault
from ingest.domain.messages import CompleteStudies, FormAgain, PhaseRule, StudyIngested, StudyRejected, WithdrawStudy
from ingest.domain.model import StudyState
from ingest.domain.reasons import RejectReason, WithdrawReason
from radloop.errors import IllegalTransition, NotFound, TemporaryError
from radloop.imaging import read_nifti


@pytest.fixture
def forming(dispatch, uow, objects, site_key, clock):
    vault = Vault(site_key.vault_keys)
    return Forming(
        dispatch, lambda: uow, objects, vault, site="site-1", clock=clock, quiet_s=10.0, broken_quiet_s=600.0
    )


@pytest.fixture
def send(receiver):
    def run(*files, ae_title="RADLOOP"):
        with receiver.open(ae_title) as reception:
            return [reception.receive(file) for file in files]

    return run


def stored(objects, ref):
    return objects.stored[ref.key]


def test_nothing_to_do(forming):
    assert forming.step() is False


def test_waits_for_the_quiet_time(forming, send, phantoms, uow, clock, project):
    uow.projects.save(project())
    send(*phantoms.series(3))
    clock.now += 9.9
    assert forming.step() is False
    clock.now += 0.2
    assert forming.step() is True
    assert forming.step() is False
    (said,) = uow.said
    assert isinstance(said, StudyIngested)


def test_volume_and_manifest(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project())
    send(*reversed(phantoms.series(3)))
    clock.now += 10
    forming.step()
    (case,) = uow.said[0].cases
    assert (case.shape, case.spacing_mm, case.quantity) == ((6, 4, 3), (3.0, 2.0, 1.5), "arbitrary")
    volume = read_nifti(stored(objects, case.volumes[0]))
    assert volume.array.dtype == np.int16
    assert volume.array[5, 2, 1] == 100 + 2 * 6 + 5
    assert np.allclose(volume.affine_lps.ravel(), case.affine_lps)
    manifest = json.loads(stored(objects, case.manifest))
    assert manifest["case_id"] == case.case_id
    assert [objects.stored[one["object"]["key"]][128:132] for one in manifest["slices"]] == [b"DICM"] * 3
    assert all(key.startswith(f"ingest/{uow.said[0].study_key}/") for key in objects.stored)


def test_hounsfield_units(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project(routing=()))
    uow.projects.save(project(project_id="ct", routing=(project().routing[0].__class__("", "CT", "", ""),)))
    send(*phantoms.series(2, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024))
    clock.now += 10
    forming.step()
    (case,) = uow.said[0].cases
    volume = read_nifti(stored(objects, case.volumes[0]))
    assert case.quantity == "HU" and volume.array[0, 0, 0] == -1024


def test_told_complete(forming, send, phantoms, uow, dispatch, project):
    uow.projects.save(project())
    send(*phantoms.series(3))
    dispatch(CompleteStudies(None))
    assert forming.step() is True


def test_late_series(forming, send, phantoms, uow, clock, project):
    uow.projects.save(project())
    for number in (1, 2):
        send(*phantoms.series(3, number=number))
        clock.now += 10
        assert forming.step() is True
    assert [(said.revision, len(said.cases)) for said in uow.said] == [(1, 1), (2, 1)]
    assert uow.said[0].cases[0].case_id != uow.said[1].cases[0].case_id


def test_the_rest_of_a_series_mends_it(forming, send, phantoms, uow, clock, project):
    uow.projects.save(project())
    files = phantoms.series(4)
    send(files[0], files[1], files[3])
    clock.now += 10
    forming.step()
    assert [said.reason for said in uow.said] == [RejectReason.MISSING_SLICES]
    send(files[2])
    clock.now += 10
    forming.step()
    assert isinstance(uow.said[1], StudyIngested) and uow.said[1].revision == 1


def test_project_that_comes_later_takes_what_comes_later(forming, send, phantoms, uow, clock, project):
    send(*phantoms.series(3))
    clock.now += 10
    forming.step()
    uow.projects.save(project())
    assert forming.step() is False
    send(*phantoms.series(3, number=2))
    clock.now += 10
    forming.step()
    assert [type(said) for said in uow.said] == [StudyRejected, StudyIngested]
    assert uow.said[0].reason is RejectReason.NO_PROJECT
    assert len(uow.said[1].cases) == 1


def test_forming_again_takes_the_projects_as_they_are_now(forming, send, phantoms, uow, clock, dispatch, project):
    send(*phantoms.series(3))
    clock.now += 10
    forming.step()
    (study_key,) = uow.studies.rows
    uow.projects.save(project())
    dispatch(FormAgain(study_key, "admin"))
    assert uow.studies.get(study_key).state is StudyState.RECEIVING
    assert forming.step() is True and forming.step() is False
    assert [type(said) for said in uow.said] == [StudyRejected, StudyIngested]
    assert uow.studies.get(study_key).state is StudyState.INGESTED
    assert ("admin", "form-again", study_key) in uow.audit_entries


def test_forming_again_leaves_cases_as_they_are(forming, send, phantoms, uow, clock, dispatch, project):
    uow.projects.save(project())
    broken = phantoms.series(4, number=2)
    send(*phantoms.series(3), *broken[:2], broken[3])
    clock.now += 10
    forming.step()
    (study_key,) = uow.studies.rows
    before = list(uow.cases.rows)
    dispatch(FormAgain(study_key, "admin"))
    assert forming.step() is True and forming.step() is False
    # The series without its slice is refused again; of the formed one there is nothing to say.
    assert [said.reason for said in uow.said[2:]] == [RejectReason.MISSING_SLICES]
    assert list(uow.cases.rows) == before and uow.studies.get(study_key).state is StudyState.INGESTED


def test_forming_again_while_the_rest_arrives(forming, send, phantoms, uow, clock, dispatch, project):
    uow.projects.save(project())
    files = phantoms.series(4)
    send(files[0], files[1], files[3])
    clock.now += 10
    forming.step()
    (study_key,) = uow.studies.rows
    dispatch(FormAgain(study_key, "admin"))
    send(files[2])
    assert uow.studies.get(study_key).again
    clock.now += 10
    assert forming.step() is True and forming.step() is False
    assert isinstance(uow.said[-1], StudyIngested)


def test_what_cannot_be_formed_again(forming, send, phantoms, uow, dispatch):
    with pytest.raises(NotFound, match="study-unknown"):
        dispatch(FormAgain("2.25.77", "admin"))
    send(phantoms.file(phantoms.slice(BurnedInAnnotation="YES")))
    (study_key,) = uow.studies.rows
    with pytest.raises(IllegalTransition, match="ingested, receiving, rejected"):
        dispatch(FormAgain(study_key, "admin"))


def test_called_ae_title_routes(forming, send, phantoms, uow, clock, project):
    rule = project().routing[0].__class__
    uow.projects.save(project(routing=(rule("BRAIN", "", "", ""),)))
    send(*phantoms.series(3), ae_title="BRAIN")
    send(*phantoms.series(3, study="1.2.3.5"), ae_title="OTHER")
    clock.now += 10
    while forming.step():
        pass
    assert [type(said) for said in uow.said] == [StudyIngested, StudyRejected]


def cine(phantoms, phases=3, positions=4, **changes):
    return [
        phantoms.file(
            phantoms.slice(
                SOPInstanceUID=f"1.2.3.4.1.{position}.{phase}",
                ImagePositionPatient=[0, 0, 8.0 * position],
                TriggerTime=20.0 * phase + position,
                PixelData=np.full(24, 10 * position + phase, dtype="<u2").tobytes(),
                **changes,
            )
        )
        for position in range(positions)
        for phase in reversed(range(phases))
    ]


def test_phases_become_cases(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project())
    send(*cine(phantoms))
    clock.now += 10
    forming.step()
    (said,) = uow.said
    assert [(case.phase, case.phase_count) for case in said.cases] == [(0, 3), (1, 3), (2, 3)]
    for case in said.cases:
        volume = read_nifti(stored(objects, case.volumes[0]))
        assert volume.array[0, 0].tolist() == [10 * position + case.phase for position in range(4)]


def test_phases_become_channels(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project(phases=PhaseRule.CHANNELS))
    send(*cine(phantoms))
    clock.now += 10
    forming.step()
    (case,) = uow.said[0].cases
    assert len(case.volumes) == 3
    assert [int(read_nifti(stored(objects, ref)).array[0, 0, 1]) for ref in case.volumes] == [10, 11, 12]
    manifest = json.loads(stored(objects, case.manifest))
    assert [channel["phase"] for channel in manifest["channels"]] == [0, 1, 2]


def test_unequal_phases(forming, send, phantoms, uow, clock, project):
    uow.projects.save(project())
    send(*cine(phantoms)[1:])
    clock.now += 10
    forming.step()
    assert [said.reason for said in uow.said] == [RejectReason.UNEQUAL_PHASES]


def test_pixels_no_codec_can_decode(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project())
    item, end = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    file = phantoms.file(phantoms.slice(PixelData=None), "1.2.840.10008.1.2.4.80")
    pixels = item + bytes(4) + item + b"\x08\0\0\0" + b"rubbish!" + end
    send(file + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + pixels)
    clock.now += 10
    forming.step()
    assert [said.reason for said in uow.said] == [RejectReason.UNDECODABLE]


def test_left_over_of_a_kill_is_replaced(forming, send, phantoms, uow, objects, clock, project):
    """Killed after the volume was written and before the case was recorded; then the last slice came."""
    uow.projects.save(project())
    files = phantoms.series(3)
    send(*files[:2])
    clock.now += 10
    (study_key,) = uow.studies.rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forming, "_dispatch", lambda _message: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            forming.form(study_key)
    send(files[2])
    clock.now += 10
    forming.step()
    (case,) = uow.said[0].cases
    assert read_nifti(stored(objects, case.volumes[0])).array.shape == (6, 4, 3)


def test_refusals_without_a_study_are_said_when_it_is_quiet(forming, send, uow, clock):
    send(b"hello", b"hello again")
    assert forming.step() is False
    clock.now += 10
    assert forming.step() is True
    (said,) = uow.said
    assert (said.reason, said.instance_count, said.study_key) == (RejectReason.NOT_DICOM, 2, "unreadable")
    assert forming.step() is False


def test_withdrawn_while_being_formed(forming, send, phantoms, uow, objects, clock, dispatch, project):
    uow.projects.save(project())
    send(*phantoms.series(3))
    (study_key,) = uow.studies.rows
    put = objects.put

    def withdrawn_meanwhile(key, data):
        if key.endswith(".nii"):
            dispatch(WithdrawStudy(study_key, WithdrawReason.CONSENT, "admin"))
            Forgetting(dispatch, lambda: uow, objects).step()
        return put(key, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "put", withdrawn_meanwhile)
        clock.now += 10
        forming.step()
    assert not objects.stored
    assert not uow.cases.rows


def test_forgetting(forming, send, phantoms, uow, objects, clock, dispatch, project):
    uow.projects.save(project())
    send(*phantoms.series(3), *phantoms.series(3, study="1.2.3.5"))
    clock.now += 10
    while forming.step():
        pass
    first, second = (said.study_key for said in uow.said)
    dispatch(WithdrawStudy(first, WithdrawReason.CONSENT, "admin"))
    forgetting = Forgetting(dispatch, lambda: uow, objects)
    assert forgetting.step() is True and forgetting.step() is False
    assert objects.stored and all(key.startswith(f"ingest/{second}/") for key in objects.stored)


def test_a_study_that_fails_lets_the_others_pass(forming, send, phantoms, uow, objects, clock, project, monkeypatch):
    uow.projects.save(project())
    send(*phantoms.series(3))
    clock.now += 1
    send(*phantoms.series(3, study="1.2.3.5"))
    clock.now += 10
    get = objects.get
    first = next(iter(uow.studies.rows))

    def away(ref):
        if first in ref.key:
            raise TemporaryError("object-store-unavailable")
        return get(ref)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "get", away)
        with pytest.raises(TemporaryError):
            forming.step()
        assert forming.step() is True
        assert forming.step() is False
    assert [said.study_key == first for said in uow.said] == [False]
    clock.now += REST_S
    assert forming.step() is True
    assert [said.study_key == first for said in uow.said] == [False, True]


def test_a_damaged_object_is_named(forming, send, phantoms, uow, objects, clock, project):
    uow.projects.save(project())
    send(*phantoms.series(3))
    objects.stored[next(iter(objects.stored))] = b"rot"
    clock.now += 10
    forming.step()
    assert [said.reason for said in uow.said] == [RejectReason.UNDECODABLE]
    assert "missing or damaged" in uow.refusals.rows[0].refusal.detail


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_jumps_keeps_no_study_waiting(forming, send, phantoms, uow, clock, project, hours):
    """What comes after it was formed too early makes a revision, as after any pause."""
    uow.projects.save(project())
    send(*phantoms.series(3))
    clock.now += hours * 3600
    assert forming.step() is True
    send(*phantoms.series(3))
    clock.now += 10
    forming.step()
    assert [type(said) for said in uow.said] == [StudyIngested]  # the same slices again make nothing new


def test_a_study_that_failed_rests_no_longer_for_a_clock_set_back(
    forming, send, phantoms, uow, objects, clock, project
):
    uow.projects.save(project())
    send(*phantoms.series(3))
    clock.now += 10
    objects.put = lambda key, data: (_ for _ in ()).throw(TemporaryError("object-store-unavailable"))
    with pytest.raises(TemporaryError):
        forming.step()
    del objects.put
    assert forming.step() is False
    clock.now -= 5 * 3600
    assert forming.step() is True
