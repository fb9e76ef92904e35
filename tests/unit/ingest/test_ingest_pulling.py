"""Pulls: windows, throttles, cohorts and query files as rows worked by hand; the worker against an archive that misbehaves."""

import dataclasses
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.adapters.dimse_query import spans
from ingest.adapters.dimse_retrieve import storage_contexts
from ingest.adapters.multipart import UnreadableBody, UnsupportedMedia
from ingest.adapters.multipart_stream import parts_in
from ingest.adapters.pull_planning import Planning
from ingest.adapters.pulling import CLAIM_S, Pace, Pulling
from ingest.adapters.query_file import order_from_fields, order_of, order_to_fields
from ingest.adapters.vault import Vault
from ingest.domain.cohorts import Found, by_kind_and_year, kind_of, matches, newest, priors_of
from ingest.domain.messages import WithdrawStudy
from ingest.domain.pull_messages import StartPull, StepPull
from ingest.domain.pulls import (
    MOST_ATTEMPTS,
    Failure,
    Fate,
    Pull,
    PullState,
    PullStep,
    Query,
    StudyFailed,
    Throttle,
    Way,
    backoff_s,
    estimated_s,
    next_state,
    opens_at,
    paced_until,
    window_of,
)
from ingest.domain.reasons import WithdrawReason
from ingest.ports.pulling import Retrieved
from radloop.errors import IllegalTransition, Invalid, NotFound, TemporaryError

BERLIN = ZoneInfo("Europe/Berlin")


def local(text):
    """Seconds since the epoch of a time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("window", "now", "opens"),
    [
        ("20:00-06:00", "2026-03-02T19:59", "2026-03-02T20:00"),
        ("20:00-06:00", "2026-03-02T20:00", "2026-03-02T20:00"),
        ("20:00-06:00", "2026-03-03T05:59", "2026-03-03T05:59"),
        ("20:00-06:00", "2026-03-03T06:00", "2026-03-03T20:00"),
        ("01:00-04:00", "2026-03-02T04:00", "2026-03-03T01:00"),
        ("01:00-04:00", "2026-03-02T00:30", "2026-03-02T01:00"),
        # The clocks are put forward on the 29th: the night has an hour less, the window is where it was on the clock.
        ("20:00-06:00", "2026-03-29T05:30", "2026-03-29T05:30"),
        ("20:00-06:00", "2026-03-28T12:00", "2026-03-28T20:00"),
        ("09:00-10:00", "2026-03-28T12:00", "2026-03-29T09:00"),
        ("00:00-00:00", "2026-03-28T12:00", "2026-03-28T12:00"),
    ],
)
def test_when_a_window_opens(window, now, opens):
    assert opens_at(window_of(window), local(now), BERLIN) == local(opens)


def test_a_window_is_as_long_as_it_says():
    assert window_of("20:00-06:00").length_s == 10 * 3600
    assert window_of("01:15-04:00").length_s == 2.75 * 3600
    assert window_of("00:00-00:00").length_s == 24 * 3600


@pytest.mark.parametrize("text", ["", "20-6", "25:00-06:00", "20:00", "20:61-06:00"])
def test_what_is_no_window_is_said(text):
    with pytest.raises(Invalid, match="window-unclear"):
        window_of(text)


def test_a_throttle_gives_the_next_study_its_time():
    assert paced_until(Throttle(), 1000.0, 500) == 1000.0
    assert paced_until(Throttle(studies_per_hour=60), 1000.0, 500) == 1060.0
    assert paced_until(Throttle(studies_per_hour=60, instances_per_second=5), 1000.0, 500) == 1100.0
    assert estimated_s(Throttle(), 10, 5000) is None
    assert estimated_s(Throttle(studies_per_hour=60, instances_per_second=5), 10, 5000) == 1000.0


def test_waiting_grows_to_an_hour():
    assert [backoff_s(attempts) for attempts in (1, 2, 3, 4, 9)] == [60.0, 240.0, 960.0, 3600.0, 3600.0]


def test_the_states_of_a_pull():
    assert next_state(PullState.DONE, PullStep.RESUME) is PullState.PLANNED
    assert next_state(PullState.PAUSED, PullStep.PAUSE) is PullState.PAUSED
    for state, step in ((PullState.DONE, PullStep.PAUSE), (PullState.CANCELLED, PullStep.RESUME)):
        with pytest.raises(IllegalTransition, match="pull-state"):
            next_state(state, step)


def found(number=1, **changes):
    plain = Found(f"1.2.{number}", "P1", "", "20200131", "CT Abdomen routine", "A1", ("CT",), 3)
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize(
    ("query", "is_matched"),
    [
        (Query(modality="CT"), True),
        (Query(modality="MR"), False),
        (Query(dates=("20200131", "20200131")), True),
        (Query(dates=("20200201", "")), False),
        (Query(dates=("", "20200130")), False),
        (Query(study_description="*abdomen*"), True),
        (Query(study_description="ct ?bdomen*"), True),
        (Query(study_description="abdomen"), False),
        (Query(study_description="[C]T*"), False),
        (Query(patient_ids=("P2", "P1")), True),
        (Query(patient_ids=("P",)), False),
        (Query(accession_numbers=("A1",), patient_ids=("P2",)), False),
    ],
)
def test_what_an_archive_matched_is_matched_again(query, is_matched):
    assert matches(found(), query) is is_matched


def test_a_study_without_a_date_is_in_no_range():
    assert not matches(found(study_date=""), Query(dates=("20200101", "")))


def test_the_newest_studies_are_taken_each_once():
    studies = [found(1, study_date="20190101"), found(2), found(2), found(3, study_date="20210101")]
    assert [each.study_instance_uid for each in newest(studies, 2)] == ["1.2.3", "1.2.2"]
    assert len(newest(studies, None)) == 3


def test_a_study_is_of_the_kind_of_its_images():
    assert kind_of(found(modalities=("SR", "PT", "CT"))) == "PT"
    assert kind_of(found(modalities=("KO",))) == "OT"
    assert kind_of(found(modalities=("Doe^Jane",))) == "OT"
    assert by_kind_and_year([found(), found(study_date="")]) == {"CT": {"2020": 1, "unknown": 1}}


def test_priors_are_of_the_same_patient_kind_and_part_and_not_newer():
    study = found(1, body_parts=frozenset({"ABDOMEN"}))
    others = [
        found(2, study_date="20180101"),
        found(3, study_date="20190101", body_parts=frozenset({"HEAD"})),
        found(4, study_date="20170101", body_parts=frozenset({"ABDOMEN", "PELVIS"})),
        found(5, study_date="20200201"),
        found(6, study_date="20160101", modalities=("MR",)),
        found(7, study_date="20160101", patient_id="P2"),
        found(8, study_date="20150101"),
        found(9, study_date=""),
        study,
    ]
    assert [each.study_instance_uid for each in priors_of(study, others, 2)] == ["1.2.2", "1.2.4"]
    assert priors_of(found(1, patient_id=""), others, 2) == []


def test_a_long_range_of_dates_is_asked_for_week_by_week():
    today = date(2026, 3, 2)
    assert spans(("20200127", "20200205"), today) == ["20200127-20200202", "20200203-20200205"]
    assert spans(("20260301", ""), today) == ["20260301-20260302"]
    assert spans(("", "20200101"), today) == ["-20200101"]
    assert spans(("", ""), today) == [""]


def test_what_an_archive_is_offered_fits_into_an_association():
    ct, mr = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
    one = storage_contexts((ct, "1.2.3", ct))
    assert {sop_class for sop_class, _ in one} == {ct}
    assert sum(len(syntaxes) == 1 for _, syntaxes in one) == 12
    assert len(storage_contexts((ct, mr))) == 2 * len(one)
    assert 100 < len(storage_contexts(())) <= 127


ORDER = {
    "archive": "pacs",
    "project": "hippocampus",
    "purpose": "cohort",
    "way": "c-get",
    "queries": [{"modality": "CT", "study_date": {"first": "2020-01-01"}, "patient_ids": ["P1", "P1"], "at_most": 9}],
    "priors": 2,
    "throttle": {"instances_per_second": 20},
    "window": "20:00-06:00",
}


def test_a_query_file_there_and_back():
    order = order_of(ORDER)
    assert order.queries == (Query("CT", ("20200101", ""), "", "", ("P1",), (), 9),)
    assert order_from_fields(order_to_fields(order)) == order


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"priority": 1}, "priority"),
        ({"queries": []}, "queries"),
        ({"queries": [{"modality": "ct", "patient_ids": ["a"]}]}, "queries.0.modality"),
        ({"queries": [{"study_date": {"first": "2020-02-01", "last": "2020-01-01"}}]}, "queries.0.study_date"),
        ({"queries": [{"accession_numbers": ["SECRET\\\\2"]}]}, "queries.0.accession_numbers.0"),
        ({"throttle": {"studies_per_hour": 0}}, "throttle.studies_per_hour"),
        ({"priors": -1}, "priors"),
    ],
)
def test_a_fault_of_a_query_file_is_said_by_its_place_only(changes, place):
    with pytest.raises(Invalid, match="query-file") as caught:
        order_of(ORDER | changes)
    assert place in caught.value.got
    assert "SECRET" not in str(caught.value)


HEAD = 'multipart/related; type="application/dicom"; boundary=abc'
BODY = b"--abc\r\nContent-Type: application/dicom\r\n\r\none\r\n\r\n--abc\r\n\r\ntwo\r\n--abc--\r\n"


@pytest.mark.parametrize("length", [1, 2, 3, 7, 1000])
def test_parts_come_whole_however_a_body_is_cut(length):
    pieces = [BODY[start : start + length] for start in range(0, len(BODY), length)]
    assert list(parts_in(pieces, HEAD, 100)) == [b"one\r\n", b"two"]


def test_a_body_that_is_cut_off_gives_what_was_whole():
    coming = parts_in([BODY[:-12]], HEAD, 100)
    assert next(coming) == b"one\r\n"
    with pytest.raises(UnreadableBody, match="cut off"):
        next(coming)


def test_a_body_of_another_kind_or_of_a_huge_part_is_refused():
    with pytest.raises(UnsupportedMedia):
        list(parts_in([BODY], "text/html", 100))
    with pytest.raises(UnsupportedMedia):
        list(parts_in([BODY.replace(b"application/dicom", b"image/jpeg")], HEAD, 100))
    with pytest.raises(UnreadableBody, match="part-too-large"):
        list(parts_in([b"--abc\r\n\r\n", b"x" * 60, b"x" * 60], HEAD, 50))


def test_instances_are_held_back_evenly():
    now, waited = [100.0], []

    def wait(seconds):
        waited.append(round(seconds, 3))
        now[0] += seconds

    pace = Pace(wait, lambda: now[0])
    pace()
    pace.begin(10)
    for _ in range(3):
        pace()
    now[0] += 0.05
    pace()
    assert waited == [0.1, 0.1, 0.05]


class FakeArchive:
    """An archive whose studies come by `receiver`; tests have it misbehave."""

    def __init__(self, receiver, files) -> None:
        self.receiver, self.files = receiver, files
        self.studies = {"1.2.3.4": Found("1.2.3.4", "PAT-1", "", "20200131", "", "", ("MR",), len(files))}
        self.error: Exception | None = None
        self.send = len(files)
        self.asked = 0

    def __call__(self, archive, way):
        return self

    def get(self, name, way):
        return name

    def find(self, query):
        if isinstance(self.error, TemporaryError):
            raise self.error
        return list(self.studies.values())

    def look(self, uid):
        return self.studies.get(uid)

    def body_parts(self, uid):
        return frozenset()

    def retrieve(self, study, anew):
        self.asked += 1
        with self.receiver.open("") as reception:
            for data in self.files[: self.send]:
                reception.receive(data)
        if self.error is not None:
            raise self.error
        return Retrieved(self.send, 0)

    def abort(self):
        pass


@pytest.fixture
def archive(receiver, phantoms):
    return FakeArchive(receiver, phantoms.series(3))


@pytest.fixture
def make_worker(archive, receiver, dispatch, uow, site_key, clock):
    def make(holder="a"):
        vault = Vault(site_key.vault_keys)
        planning = Planning(lambda: uow, lambda: site_key.ring, vault, dict)
        pace = Pace(lambda seconds: None)
        parts = {"archives": archive, "connect": archive, "planning": planning, "vault": vault, "pace": pace}
        return Pulling(dispatch, lambda: uow, receiver, **parts, clock=clock, zone=BERLIN, holder=holder)

    return make


@pytest.fixture
def begin(dispatch, uow, project, site_key):
    uow.projects.save(project())

    def run(**changes):
        order = order_of({**ORDER, "window": "", "priors": 0, "queries": [{"patient_ids": ["PAT-1"]}], **changes})
        sealed = Vault(site_key.vault_keys).seal_fields(order_to_fields(order))
        dispatch(StartPull(Pull("x", PullState.PLANNED, "pacs", Way.C_GET, order.project_id, "me", 5.0, order=sealed)))

    return run


def run(worker):
    for _ in range(10):
        if not worker.step():
            return
    raise AssertionError("it never rests")


def only(uow):
    (entry,) = uow.pulls.entries.values()
    return entry


def test_a_study_is_listed_fetched_and_done(begin, make_worker, uow, archive):
    begin()
    run(make_worker())
    assert uow.pulls.get("x").state is PullState.DONE
    assert (only(uow).fate, only(uow).present, only(uow).identity) == (Fate.DONE, 3, "")
    assert archive.asked == 1


def test_a_pull_for_nobody_is_refused(begin):
    with pytest.raises(NotFound, match="project-unknown"):
        begin(project="nobody")


def test_one_that_breaks_off_is_tried_again_and_given_up(begin, make_worker, uow, archive, clock, dispatch):
    begin()
    archive.send, archive.error = 1, StudyFailed(Failure.BROKEN_OFF, "the end of the connection")
    worker = make_worker()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        run(worker)
        assert only(uow).attempts == attempt
        clock.now += backoff_s(attempt)
    assert (only(uow).fate, only(uow).reason, only(uow).present) == (Fate.FAILED, "broken-off", 1)
    run(worker)
    assert uow.pulls.get("x").state is PullState.DONE
    assert archive.asked == MOST_ATTEMPTS
    archive.send, archive.error = 3, None
    dispatch(StepPull("x", PullStep.RESUME, "me"))
    run(worker)
    assert only(uow).fate is Fate.DONE


def test_all_that_came_before_the_connection_broke_is_enough(begin, make_worker, uow, archive):
    begin()
    archive.error = StudyFailed(Failure.BROKEN_OFF, "no last answer")
    run(make_worker())
    assert only(uow).fate is Fate.DONE


@pytest.mark.parametrize(("send", "fate"), [(3, Fate.DONE), (0, Fate.WAITING)])
def test_an_archive_that_counts_nothing_is_believed_what_it_sent(begin, make_worker, uow, archive, send, fate):
    begin()
    archive.studies = {uid: dataclasses.replace(study, instances=0) for uid, study in archive.studies.items()}
    archive.send = send
    run(make_worker())
    assert (only(uow).fate, only(uow).present) == (fate, send)


def test_a_study_the_archive_lost_is_named_so(begin, make_worker, uow, archive):
    begin()
    worker = make_worker()
    worker.step()
    archive.studies = {}
    worker.step()
    assert (only(uow).reason, archive.asked) == ("gone", 0)


def test_an_archive_that_is_away_costs_no_study_an_attempt(begin, make_worker, uow, archive, clock):
    begin()
    archive.error = TemporaryError("archive-away")
    worker = make_worker()
    run(worker)
    assert (uow.pulls.get("x").problem, uow.pulls.get("x").not_before) == ("archive-away", clock.now + 60.0)
    archive.error = None
    run(worker)
    assert not uow.pulls.entries
    clock.now += 60.0
    run(worker)
    assert (uow.pulls.get("x").problem, only(uow).fate) == ("", Fate.DONE)


def test_of_two_replicas_one_pulls(begin, make_worker, uow, archive, clock):
    begin()
    first, second = make_worker("a"), make_worker("b")
    inner = archive.retrieve
    archive.retrieve = lambda study, anew: (second.step(), inner(study, anew))[1]
    run(first)
    assert (archive.asked, only(uow).fate) == (1, Fate.DONE)
    assert uow.pulls.get("x").held_until == 0.0


def test_the_pull_of_a_replica_that_died_goes_on_elsewhere(begin, make_worker, uow, archive, clock):
    begin()
    make_worker("a").step()
    dead = dataclasses.replace(uow.pulls.get("x"), holder="a", held_until=clock.now + CLAIM_S)
    uow.pulls.save(dead)
    uow.pulls.save_entry(dataclasses.replace(only(uow), fate=Fate.RETRIEVING))
    other = make_worker("b")
    assert not other.step()
    clock.now += CLAIM_S
    run(other)
    assert only(uow).fate is Fate.DONE


def test_a_study_withdrawn_while_it_comes_is_left(begin, make_worker, uow, archive, dispatch):
    begin()
    worker = make_worker()
    worker.step()
    dispatch(WithdrawStudy(only(uow).study_key, WithdrawReason.CONSENT, "me"))
    run(worker)
    assert (only(uow).fate, archive.asked, uow.pulls.get("x").state) == (Fate.WITHDRAWN, 0, PullState.DONE)
