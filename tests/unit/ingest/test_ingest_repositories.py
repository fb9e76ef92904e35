"""One suite for every repository port, run against the fake of the unit tests and against SQL."""

import dataclasses
import json

import pytest
import sqlalchemy as sa

from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.sql_studies import header_from_json, header_to_json
from ingest.adapters.tables import METADATA
from ingest.adapters.wire import make_wire
from ingest.domain.model import (
    FormedCase,
    FrameHeader,
    HeldInstance,
    Instance,
    Refusal,
    SeriesRecord,
    StudyRecord,
    StudyState,
)
from ingest.domain.pulls import Entry, Fate, Pull, PullState, Way
from ingest.domain.reasons import RejectReason, WithdrawReason
from ingest.ports import Series, StoredCase, Study
from radloop.references import ObjectRef, Split
from radloop.sql import Database
from radloop.testing import assert_migrations_match
from radloop.testing.databases import ENGINES

REF = ObjectRef("ingest/a/b", "sha256:0", 7)


@pytest.fixture(params=["fake", *ENGINES])
def state(request, uow, make_database):
    """A unit of work of either kind, open for the whole test."""
    if request.param == "fake":
        yield uow
        return
    database = Database(make_database(request.param), "ingest")
    database.migrate("ingest.adapters.migrations")
    with SqlIngestUnitOfWork(database, make_wire(), source="/site-1/ingest") as sql:
        yield sql
    database.close()


def study(key="2.25.9", **changes):
    plain = Study(StudyRecord(key, "patient", "sealed"), StudyState.RECEIVING, 1, 0, told=False, received_at=100.0)
    return dataclasses.replace(plain, **changes)


def formed(case_id="case-1", study_key="2.25.9"):
    return FormedCase(
        case_id=case_id,
        project_id="p",
        project_version=2,
        study_key=study_key,
        series_keys=("2.25.1",),
        phase=1,
        phase_count=2,
        manifest=REF,
        volumes=(REF, dataclasses.replace(REF, key="other")),
        modality="MR",
        shape=(6, 4, 3),
        spacing_mm=(3.0, 2.0, 1.5),
        affine_lps=tuple(float(number) for number in range(16)),
        quantity="HU",
        instance_count=3,
    )


def test_migrations_make_these_tables(empty_database_url):
    assert_migrations_match(empty_database_url, "ingest", "ingest.adapters.migrations", METADATA)


def test_headers_there_and_back(header):
    frames = (
        FrameHeader((0.0, 0.0, 1.5), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (2.0, 3.0), 1.5, 1.0, 0.0, {"echo-time-ms": 2.5}),
        FrameHeader(None, None, None, None, 2.0, -1024.0, {}),
    )
    for one in (
        header(numbers={"echo-time-ms": 2.5}),
        header(position_lps_mm=None, slice_step_mm=None),
        header(frames=2, per_frame=frames),
    ):
        assert header_from_json(header_to_json(one)) == one


def test_headers_that_were_written_before_frames_had_their_own(header):
    written = json.loads(header_to_json(header()))
    assert written.pop() == []
    assert header_from_json(json.dumps(written)) == header()


def test_studies(state):
    assert state.studies.get("2.25.9") is None
    state.studies.save(study())
    state.studies.save(study(state=StudyState.INGESTED, generation=2, completed_generation=2, told=True))
    assert state.studies.get("2.25.9") == study(
        state=StudyState.INGESTED, generation=2, completed_generation=2, told=True
    )


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({"received_at": 100.0}, True),
        ({"received_at": 100.1}, False),
        ({"received_at": 100.1, "told": True}, True),
        ({"received_at": 100.0, "broken": True}, False),
        ({"received_at": 40.0, "broken": True}, True),
        ({"received_at": 100.0, "broken": True, "told": True}, True),
        ({"received_at": 50.0, "completed_generation": 1}, False),
        ({"told": True, "completed_generation": 1}, False),
    ],
)
def test_due_studies(state, changes, due):
    state.studies.save(study(**changes))
    assert state.studies.next_due(100.0, 40.0) == ("2.25.9" if due else None)


def test_a_study_at_hand_waits_longer(state):
    state.studies.save(study(received_at=50.0))
    state.receptions.open("r", "2.25.9")
    assert state.studies.next_due(100.0, 40.0) is None
    assert state.studies.next_due(100.0, 50.0) == "2.25.9"
    state.receptions.open("r", "2.25.8")  # the same sender has gone on to another
    assert state.studies.next_due(100.0, 40.0) == "2.25.9"


def test_oldest_study_is_due_first(state):
    state.studies.save(study("2.25.8", received_at=20.0))
    state.studies.save(study("2.25.9", received_at=10.0))
    assert state.studies.next_due(100.0, 40.0) == "2.25.9"
    assert state.studies.next_due(100.0, 40.0, skip=["2.25.9"]) == "2.25.8"
    assert state.studies.next_due(100.0, 40.0, skip=["2.25.9", "2.25.8"]) is None


def test_a_study_that_is_to_be_formed_again_is_due(state):
    looked_at = study(state=StudyState.RECEIVING, completed_generation=1, told=True)
    state.studies.save(looked_at)
    assert state.studies.next_due(100.0, 40.0) is None
    state.studies.save(dataclasses.replace(looked_at, again=True))
    assert state.studies.next_due(100.0, 40.0) == "2.25.9"
    assert state.studies.get("2.25.9").again


def test_tell_all_tells_those_that_wait(state):
    state.studies.save(study("2.25.8"))
    state.studies.save(study("2.25.9", completed_generation=1))
    state.studies.tell_all()
    assert state.studies.get("2.25.8").told and not state.studies.get("2.25.9").told


def test_series_keep_their_first_routing_and_latest_generation(state):
    for generation, routing in ((1, "first"), (3, "second"), (0, "held")):
        state.studies.save_series(Series(SeriesRecord("2.25.1", "2.25.9", routing), generation))
    assert state.studies.series_of("2.25.9") == [Series(SeriesRecord("2.25.1", "2.25.9", "first"), 3)]


def test_instances_in_order_of_arrival(state, header):
    for generation, key in ((2, "2.25.101"), (1, "2.25.102")):
        state.instances.add(Instance(key, "2.25.1", "2.25.9", REF, header()), generation)
    assert [instance.sop_key for _, instance in state.instances.of_study("2.25.9")] == ["2.25.102", "2.25.101"]
    assert state.instances.get("2.25.101") == Instance("2.25.101", "2.25.1", "2.25.9", REF, header())
    assert state.instances.get("2.25.1") is None
    state.instances.note_difference("2.25.101", ("EchoTime",), 1.0)


def test_receptions(state):
    state.receptions.open("a", "2.25.9")
    state.receptions.open("a", "2.25.9")
    state.receptions.open("b", "2.25.9")
    state.receptions.close("a")
    assert (state.receptions.studies(), state.receptions.ids()) == (["2.25.9"], ["b"])


def test_held(state, header):
    held = HeldInstance("h", RejectReason.BURNED_IN_TEXT, "why", "2.25.100", "2.25.1", "2.25.9", REF, header())
    state.held.add(held, 1.0)
    state.held.add(dataclasses.replace(held, detail="again"), 2.0)
    assert state.held.get("h") == held
    assert state.held.object_keys("2.25.9") == [REF.key]
    state.held.release("h")
    assert state.held.get("h") is None and state.held.object_keys("2.25.9") == []


def test_refusals_add_up_until_they_are_said(state):
    for reason in (RejectReason.NOT_DICOM, RejectReason.TRUNCATED, RejectReason.NOT_DICOM):
        state.refusals.note(Refusal("2.25.9", "", reason, 1, "why"), 10.0)
    noted = {one.refusal.reason: one.refusal.instance_count for one in state.refusals.unsaid("2.25.9")}
    assert noted == {RejectReason.NOT_DICOM: 2, RejectReason.TRUNCATED: 1}
    state.refusals.mark_said("2.25.9")
    assert state.refusals.unsaid("2.25.9") == []
    state.refusals.note(Refusal("2.25.9", "", RejectReason.NOT_DICOM, 1, "why"), 10.0)
    assert len(state.refusals.unsaid("2.25.9")) == 1


def test_refusals_wait_for_quiet_and_for_their_study(state):
    state.refusals.note(Refusal("2.25.9", "", RejectReason.NOT_DICOM, 1, "why"), 10.0)
    state.refusals.note(Refusal("2.25.9", "", RejectReason.TRUNCATED, 1, "why"), 20.0)
    assert state.refusals.next_due(19.0) is None
    assert state.refusals.next_due(20.0) == "2.25.9"
    state.studies.save(study())
    assert state.refusals.next_due(20.0) is None


@pytest.mark.parametrize("study_key", ["2.25.9", None])
def test_refusals_can_be_hurried(state, study_key):
    state.refusals.note(Refusal("2.25.9", "", RejectReason.NOT_DICOM, 1, "why"), 10.0)
    state.refusals.hurry("2.25.8")
    assert state.refusals.next_due(0.0) is None
    state.refusals.hurry(study_key)
    assert state.refusals.next_due(0.0) == "2.25.9"
    (noted,) = state.refusals.unsaid("2.25.9")
    assert (noted.at, noted.hurried) == (10.0, True)
    state.refusals.note(Refusal("2.25.9", "", RejectReason.NOT_DICOM, 1, "why"), 11.0)
    assert state.refusals.next_due(10.0) is None and state.refusals.next_due(11.0) == "2.25.9"


def test_cases(state):
    stored = StoredCase(formed(), 3, "patient-1", Split.VALIDATION)
    state.cases.add(stored)
    assert state.cases.of_study("2.25.9") == [stored]
    assert state.cases.of_study("2.25.8") == []


def test_projects(state, project):
    state.projects.save(project(project_id="b"))
    state.projects.save(project(project_id="a"))
    state.projects.save(project(project_id="b", project_version=2))
    assert state.projects.get("a") == project(project_id="a")
    assert [one.project_version for one in state.projects.all()] == [1, 2]
    assert state.projects.get("c") is None


def test_splits(state):
    assert state.splits.get("p", "patient-1") is None
    state.splits.decide("p", "patient-1", Split.TEST, imported=True, key_version=1)
    assert state.splits.get("p", "patient-1") is Split.TEST
    assert state.splits.get("q", "patient-1") is None


def test_tombstones(state):
    assert not state.tombstones.has("2.25.9")
    state.tombstones.add("2.25.9", WithdrawReason.CONSENT, 1.0, 1)
    assert state.tombstones.has("2.25.9") and state.tombstones.next_full() == "2.25.9"
    state.tombstones.mark_empty("2.25.9")
    assert state.tombstones.has("2.25.9") and state.tombstones.next_full() is None


def test_site_keys(state):
    assert (state.site_keys.fingerprints(), state.site_keys.current()) == ({}, 0)
    state.site_keys.remember(1, "abc")
    state.site_keys.remember(2, "def")
    assert (state.site_keys.fingerprints(), state.site_keys.current()) == ({1: "abc", 2: "def"}, 2)
    state.site_keys.forget(1)
    assert state.site_keys.fingerprints() == {2: "def"}


def test_patients(state):
    assert state.patients.patient_version("a") is None
    state.patients.remember("a", 2)
    state.patients.remember("a", 3)
    assert state.patients.patient_version("a") == 2
    state.studies.save(study("2.25.9"))
    state.tombstones.add("2.25.8", WithdrawReason.CONSENT, 1.0, 1)
    known = {key for key in ("2.25.7", "2.25.8", "2.25.9") if state.patients.knows_study(key)}
    assert known == {"2.25.8", "2.25.9"}
    state.splits.decide("p", "patient-1", Split.TEST, imported=True, key_version=1)
    assert state.patients.knows_split("p", "patient-1") and not state.patients.knows_split("q", "patient-1")


def test_forgetting_a_study_leaves_the_others(state, header):
    for key in ("2.25.8", "2.25.9"):
        state.studies.save(study(key))
        state.studies.save_series(Series(SeriesRecord(f"{key}.1", key, "sealed"), 1))
        state.instances.add(Instance(f"{key}.1.1", f"{key}.1", key, REF, header()), 1)
        held = HeldInstance(f"h-{key}", RejectReason.BURNED_IN_TEXT, "", f"{key}.2", f"{key}.1", key, REF, header())
        state.held.add(held, 1.0)
        state.cases.add(StoredCase(formed(f"case-{key}", key), 1, "patient-1", Split.TRAIN))
    state.studies.forget("2.25.9")
    for key, there in (("2.25.8", True), ("2.25.9", False)):
        assert (state.studies.get(key) is not None) is there
        assert bool(state.studies.series_of(key)) is there
        assert (state.instances.get(f"{key}.1.1") is not None) is there
        assert (state.held.get(f"h-{key}") is not None) is there
        assert bool(state.cases.of_study(key)) is there


def test_what_came_before_the_clock_was_set_back_is_due(state):
    state.studies.save(study(received_at=5000.0))
    state.refusals.note(Refusal("2.25.8", "", RejectReason.NOT_DICOM, 1, "why"), 5000.0)
    assert state.studies.next_due(100.0, 40.0, not_after=5000.0) is None
    assert state.refusals.next_due(100.0, not_after=5000.0) is None
    assert state.studies.next_due(100.0, 40.0, not_after=4999.0) == "2.25.9"
    assert state.refusals.next_due(100.0, not_after=4999.0) == "2.25.8"


def test_refusals_that_were_hurried_before_the_upgrade(empty_database_url):
    database = Database(empty_database_url, "ingest")
    database.migrate("ingest.adapters.migrations", to="0003")
    with database.begin() as connection:
        for number, (said, at) in enumerate([(False, 0.0), (True, 0.0), (False, 5.0)]):
            connection.execute(
                sa.text("INSERT INTO refusals VALUES (:id, '2.25.9', '', 'truncated', 'why', 1, :said, :at)"),
                {"id": f"r{number}", "said": said, "at": at},
            )
    database.migrate("ingest.adapters.migrations")
    with SqlIngestUnitOfWork(database, make_wire(), source="/site-1/ingest") as sql:
        assert {one.rejection_id: one.hurried for one in sql.refusals.unsaid("2.25.9")} == {"r0": True, "r2": False}
    database.close()


def pull(pull_id="pull-1", **changes):
    plain = Pull(pull_id, PullState.RUNNING, "pacs", Way.C_GET, "p", "somebody", 100.0, order="sealed")
    return dataclasses.replace(plain, **changes)


def entry(position=0, **changes):
    plain = Entry(f"entry-{position}", "pull-1", position, f"2.25.{position}", Fate.WAITING, identity="sealed")
    return dataclasses.replace(plain, **changes)


def test_pulls_keep_what_is_sealed_and_come_in_order(state):
    state.pulls.save(pull("pull-2", created_at=200.0))
    state.pulls.save(pull())
    state.pulls.save(pull("pull-3", state=PullState.PAUSED))
    state.pulls.save(pull(problem="archive-away", tries=2, not_before=160.0, order="other", vault_version=7))
    assert state.pulls.get("pull-1") == pull(problem="archive-away", tries=2, not_before=160.0)
    assert [one.pull_id for one in state.pulls.going()] == ["pull-1", "pull-2"]
    assert state.pulls.get("none") is None


def test_studies_of_a_pull_are_asked_for_in_order_the_one_at_hand_first(state):
    state.pulls.add_entries([])
    assert state.pulls.next_entry("pull-1", 100.0) is None
    state.pulls.add_entries([entry(0), entry(1, fate=Fate.RETRIEVING), entry(2, not_before=150.0), entry(3)])
    assert state.pulls.next_entry("pull-1", 100.0).position == 1
    done = entry(1, fate=Fate.DONE, identity="", present=3, expected=3, refused={"no-pixel-data": 1}, ended_at=100.0)
    state.pulls.save_entry(done)
    assert state.pulls.entry("entry-1") == done
    state.pulls.save_entry(entry(0, fate=Fate.FAILED, attempts=4, reason="gone", not_before=900.0))
    assert state.pulls.next_entry("pull-1", 100.0).position == 3
    assert state.pulls.counts("pull-1") == {Fate.FAILED: 1, Fate.DONE: 1, Fate.WAITING: 2}
    state.pulls.retry_failed("pull-1")
    assert state.pulls.next_entry("pull-1", 100.0) == entry(0, reason="gone")
    state.pulls.forget("2.25.3")
    assert state.pulls.entry("entry-3") == entry(3, fate=Fate.WITHDRAWN, identity="")


def test_an_instance_counts_once_wherever_it_is(state, header):
    state.instances.add(Instance("sop-1", "2.25.8", "2.25.9", REF, header()), 1)
    for number, sop_key in enumerate(("sop-1", "sop-2")):
        held = HeldInstance(
            f"held-{number}", RejectReason.PIXELS_DIFFER, "", sop_key, "2.25.8", "2.25.9", REF, header()
        )
        state.held.add(held, 100.0)
    assert state.pulls.present(["2.25.9", "2.25.7"]) == 2
    assert state.pulls.present(["2.25.7"]) == 0
