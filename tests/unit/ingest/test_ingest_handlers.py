"""What each message does to the state, and what is said."""

import pytest

from ingest.domain.keys import Names
from ingest.domain.messages import (
    AcceptInstance,
    AdoptSiteKeys,
    CompleteStudies,
    DropSiteKey,
    HoldInstance,
    ImportSplit,
    NoteRefusal,
    RecordCases,
    SayRefusals,
    SplitPolicy,
    StudyIngested,
    StudyRejected,
    StudyWithdrawn,
    WithdrawStudy,
)
from ingest.domain.model import (
    FormedCase,
    HeldInstance,
    Instance,
    Refusal,
    SeriesRecord,
    StudyRecord,
    StudyState,
    StudyStep,
    next_state,
)
from ingest.domain.reasons import RejectReason, WithdrawReason
from radloop.errors import Conflict, IllegalTransition, NotFound, PermanentError
from radloop.references import ObjectRef, Split

STUDY = StudyRecord("2.25.9", "patient", "sealed")
SERIES = SeriesRecord("2.25.1", "2.25.9", "sealed")
NAMES = Names({1: "2.25.9"}, {1: "patient"})


def case(case_id="case-1", project_id="hippocampus", **changes):
    values = {
        "case_id": case_id,
        "project_id": project_id,
        "project_version": 1,
        "study_key": "2.25.9",
        "series_keys": ("2.25.1",),
        "phase": 0,
        "phase_count": 1,
        "manifest": ObjectRef("m", "sha256:0", 1),
        "volumes": (ObjectRef("v", "sha256:0", 1),),
        "modality": "MR",
        "shape": (6, 4, 3),
        "spacing_mm": (3.0, 2.0, 1.5),
        "affine_lps": tuple(float(number) for number in range(16)),
        "quantity": "arbitrary",
        "instance_count": 3,
    }
    return FormedCase(**values | changes)


@pytest.fixture
def accept(dispatch, header):
    def run(sop_key="2.25.100", digest="sha256:a"):
        instance = Instance(sop_key, "2.25.1", "2.25.9", ObjectRef("k", digest, 1), header())
        return dispatch(AcceptInstance(instance, STUDY, SERIES, NAMES))

    return run


def test_accepting_counts(accept, uow, clock):
    accept("2.25.100")
    clock.now += 5
    accept("2.25.101")
    study = uow.studies.get("2.25.9")
    assert (study.state, study.generation, study.received_at) == (StudyState.RECEIVING, 2, 1005.0)
    assert uow.studies.series_of("2.25.9")[0].generation == 2


def test_accepting_twice(accept, uow):
    accept()
    accept()
    assert uow.studies.get("2.25.9").generation == 1
    with pytest.raises(Conflict, match="instance-exists"):
        accept(digest="sha256:b")


def test_late_instance_after_told_waits_for_quiet_again(accept, dispatch, uow):
    accept("2.25.100")
    dispatch(CompleteStudies(None))
    assert uow.studies.get("2.25.9").told
    accept("2.25.101")
    assert not uow.studies.get("2.25.9").told


def test_complete_of_an_unknown_study(dispatch):
    with pytest.raises(NotFound, match="study-unknown"):
        dispatch(CompleteStudies("2.25.77"))


def test_cases_are_recorded_and_said(accept, dispatch, uow, project, pseudonyms):
    uow.projects.save(project())
    accept()
    (said,) = dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    assert isinstance(said, StudyIngested)
    assert (said.project_id, said.revision, said.project_version, said.site) == ("hippocampus", 1, 1, "site-1")
    assert said.patient_key == pseudonyms.patient_key("hippocampus", "patient")
    assert said.split is uow.splits.get("hippocampus", said.patient_key)
    assert [one.case_id for one in said.cases] == ["case-1"]
    assert uow.studies.get("2.25.9").state is StudyState.INGESTED


def test_recording_again_says_nothing(accept, dispatch, uow, project):
    uow.projects.save(project())
    accept()
    dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    assert dispatch(RecordCases("2.25.9", 1, (case(),), ())) == []


def test_late_series_is_the_next_revision_with_the_new_cases_only(accept, dispatch, uow, project):
    uow.projects.save(project())
    accept("2.25.100")
    dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    accept("2.25.101")
    (said,) = dispatch(RecordCases("2.25.9", 2, (case(), case("case-2", series_keys=("2.25.2",))), ()))
    assert (said.revision, [one.case_id for one in said.cases]) == (2, ["case-2"])


def test_revisions_are_per_project(accept, dispatch, uow, project):
    uow.projects.save(project())
    uow.projects.save(project(project_id="zz"))
    accept("2.25.100")
    dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    accept("2.25.101")
    said = dispatch(RecordCases("2.25.9", 2, (case("case-2"), case("case-3", "zz")), ()))
    assert [(one.project_id, one.revision) for one in said] == [("hippocampus", 2), ("zz", 1)]


def test_what_arrives_while_cases_are_formed_waits(accept, dispatch, uow, project):
    uow.projects.save(project())
    accept("2.25.100")
    accept("2.25.101")
    dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    study = uow.studies.get("2.25.9")
    assert (study.state, study.generation, study.completed_generation) == (StudyState.RECEIVING, 2, 1)


def test_study_without_cases_is_rejected(accept, dispatch, uow):
    accept()
    refusal = Refusal("2.25.9", "", RejectReason.NO_PROJECT, 1, "no rule")
    (said,) = dispatch(RecordCases("2.25.9", 1, (), (refusal,)))
    assert isinstance(said, StudyRejected)
    assert (said.reason, said.instance_count, said.series_key) == (RejectReason.NO_PROJECT, 1, "")
    assert uow.studies.get("2.25.9").state is StudyState.REJECTED


def test_refusals_are_counted_together_and_said_once(dispatch):
    for _ in range(3):
        dispatch(NoteRefusal(Refusal("unreadable", "", RejectReason.NOT_DICOM, 1, "no prefix")))
    (said,) = dispatch(SayRefusals("unreadable"))
    assert said.instance_count == 3
    assert dispatch(SayRefusals("unreadable")) == []
    dispatch(NoteRefusal(Refusal("unreadable", "", RejectReason.NOT_DICOM, 1, "no prefix")))
    (later,) = dispatch(SayRefusals("unreadable"))
    assert later.instance_count == 1 and later.rejection_id != said.rejection_id


def test_split_is_decided_once(accept, dispatch, uow, project):
    """A project that changes its shares changes no patient's split."""
    uow.projects.save(project(split=SplitPolicy(0.0, 0.0)))
    accept("2.25.100")
    (first,) = dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    uow.projects.save(project(project_version=2, split=SplitPolicy(0.5, 0.5)))
    accept("2.25.101")
    (second,) = dispatch(RecordCases("2.25.9", 2, (case("case-2"),), ()))
    assert first.split is second.split is Split.TRAIN


def test_imported_split_comes_first(accept, dispatch, uow, project, pseudonyms):
    key = pseudonyms.patient_key("hippocampus", "patient")
    dispatch(ImportSplit("hippocampus", ((key, 1, Split.VALIDATION),), "lead"))
    dispatch(ImportSplit("hippocampus", ((key, 1, Split.VALIDATION),), "lead"))
    uow.projects.save(project(split=SplitPolicy(0.0, 0.0)))
    accept()
    (said,) = dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    assert said.split is Split.VALIDATION
    with pytest.raises(Conflict, match="split-decided"):
        dispatch(ImportSplit("hippocampus", ((key, 1, Split.TRAIN),), "lead"))
    assert ("lead", "import-split", "hippocampus") in uow.audit_entries


def test_withdrawal(accept, dispatch, uow, project):
    uow.projects.save(project())
    accept()
    dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    (said,) = dispatch(WithdrawStudy("2.25.9", WithdrawReason.CONSENT, "admin"))
    assert said == StudyWithdrawn("2.25.9", WithdrawReason.CONSENT, "site-1")
    assert not uow.studies.rows and not uow.studies.series and not uow.instances.rows and not uow.cases.rows
    assert uow.tombstones.full == ["2.25.9"]
    assert dispatch(WithdrawStudy("2.25.9", WithdrawReason.CONSENT, "admin")) == []
    with pytest.raises(Conflict, match="study-withdrawn"):
        accept("2.25.101")
    with pytest.raises(Conflict, match="study-withdrawn"):
        dispatch(RecordCases("2.25.9", 1, (case(),), ()))
    assert ("admin", "withdraw", "2.25.9") in uow.audit_entries


def test_holding_lists_the_study_and_says_why(dispatch, uow, header):
    held = HeldInstance(
        "held-1",
        RejectReason.BURNED_IN_TEXT,
        "ultrasound",
        "2.25.100",
        "2.25.1",
        "2.25.9",
        ObjectRef("h", "d", 1),
        header(),
    )
    dispatch(HoldInstance(held, STUDY, SERIES, NAMES))
    dispatch(HoldInstance(held, STUDY, SERIES, NAMES))
    study = uow.studies.get("2.25.9")
    assert (study.state, study.generation) == (StudyState.HELD, 0)
    (said,) = dispatch(SayRefusals("2.25.9"))
    assert (said.reason, said.instance_count) == (RejectReason.BURNED_IN_TEXT, 1)


def test_project_versions_do_not_go_back(dispatch, uow, project):
    for version in (2, 1, 3):
        dispatch(project(project_version=version))
    assert uow.projects.get("hippocampus").project_version == 3
    dispatch(project(project_version=2))
    assert uow.projects.get("hippocampus").project_version == 3


def test_site_keys_are_bound_to_the_index(dispatch, uow, site_key):
    (fingerprint,) = site_key.ring.fingerprints.values()
    assert uow.site_keys.fingerprints() == {1: fingerprint}
    dispatch(AdoptSiteKeys(((1, fingerprint),)))
    with pytest.raises(PermanentError, match="site-key-changed"):
        dispatch(AdoptSiteKeys(((1, "b"),)))
    dispatch(AdoptSiteKeys(((1, fingerprint), (2, "b")), "admin"))
    assert uow.site_keys.current() == 2 and ("admin", "rotate-site-key", "b") in uow.audit_entries
    # An older copy of the file lacks a version: no start with it.
    with pytest.raises(PermanentError, match="site-key-changed"):
        dispatch(AdoptSiteKeys(((1, fingerprint),)))


def test_a_site_key_goes_only_when_nothing_needs_it(dispatch, uow, site_key):
    dispatch(AdoptSiteKeys((*site_key.ring.fingerprints.items(), (2, "b"))))
    uow.site_keys.needed = {1: {"patients": 1, "encrypted": 0}}
    for version in (1, 2):
        with pytest.raises(Conflict, match="site-key-needed"):
            dispatch(DropSiteKey(version, "admin"))
    uow.site_keys.needed = {}
    dispatch(DropSiteKey(1, "admin"))
    assert uow.site_keys.fingerprints() == {2: "b"}
    with pytest.raises(NotFound, match="site-key-unknown"):
        dispatch(DropSiteKey(1, "admin"))
    # Killed before the file forgot it as well: the next start does not take it up again.
    dispatch(AdoptSiteKeys((*site_key.ring.fingerprints.items(), (2, "b"))))
    assert uow.site_keys.fingerprints() == {2: "b"}


@pytest.mark.parametrize(
    ("state", "step", "expected"),
    [
        (None, StudyStep.ACCEPT, StudyState.RECEIVING),
        (None, StudyStep.HOLD, StudyState.HELD),
        (StudyState.HELD, StudyStep.ACCEPT, StudyState.RECEIVING),
        (StudyState.INGESTED, StudyStep.HOLD, StudyState.INGESTED),
        (StudyState.INGESTED, StudyStep.ACCEPT, StudyState.RECEIVING),
        (StudyState.REJECTED, StudyStep.ACCEPT, StudyState.RECEIVING),
        (StudyState.RECEIVING, StudyStep.FORM, StudyState.INGESTED),
        (StudyState.RECEIVING, StudyStep.REFUSE, StudyState.REJECTED),
        (StudyState.INGESTED, StudyStep.FORM, None),
        (StudyState.HELD, StudyStep.FORM, None),
        (None, StudyStep.FORM, None),
    ],
)
def test_states(state, step, expected):
    if expected is None:
        with pytest.raises(IllegalTransition):
            next_state(state, step)
    else:
        assert next_state(state, step) is expected
