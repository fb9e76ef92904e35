"""`qa` with its real parts: event log, database, object store, worker, HTTP; the others are records in the log."""

import itertools
import json

import numpy as np
import pytest
import sqlalchemy as sa

from qa.adapters.tables import METADATA, labels
from radloop.auth import Role, pseudonym
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.references.v1 import references_pb2
from radloop.testing.databases import ONE_ENGINE
from tests.integration.qa_platform import (
    PROJECT,
    SAID,
    Platform,
    imported,
    label,
    mask,
    prediction,
    project,
    reason,
    stray,
    study,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def platform(tmp_path, database_url, objects_url):
    platform = Platform(tmp_path, database_url, objects_url)
    yield platform
    platform.close()


def test_a_good_label_is_approved_with_everything_the_contract_asks_for(platform):
    label_event = label(
        platform,
        "c",
        mask(),
        prediction_id="prediction-c",
        round_id="round-1",
        arm="ARM_CONTROL",
        started_from_model=True,
    )
    platform.hear(project(), study("c"), prediction(platform, "c", mask((0, 0, 1))), label_event)
    (said,) = platform.said("label-approved")
    assert said.label_version_id == label_event.label_version_id
    assert (said.case_id, said.study_key, said.project_id, said.project_version) == ("c", "study-c", PROJECT, 1)
    assert said.mask == label_event.mask
    assert list(said.segments) == list(label_event.segments)
    assert list(said.readers) == ["reader-a"]
    assert said.rules_version == "qa-rules-1"
    assert said.started_from_model and said.round_id == "round-1" and said.task_id == "task-c"
    assert said.arm == references_pb2.ARM_CONTROL
    assert said.source == labeling_pb2.LABEL_SOURCE_READER
    assert said.prediction_id == "prediction-c"
    # Moved by one of eight slices: 7/8 of each box is common.
    assert [(s.name, s.value) for s in said.prediction_dice] == [("dice-segment-1", 0.875), ("dice-segment-2", 0.875)]
    assert not said.agreement
    assert said.sequence == 1
    assert not platform.said("label-returned") and not platform.said("reading-requested")


def test_a_control_label_names_no_prediction_and_is_measured_all_the_same(platform):
    platform.hear(
        project(),
        study("c"),
        prediction(platform, "c", mask((0, 0, 1)), "of-the-round", round_id="round-1"),
        prediction(platform, "c", mask(), "of-the-next", round_id="round-2"),
        label(platform, "c", mask(), round_id="round-1", arm="ARM_CONTROL"),
    )
    (said,) = platform.said("label-approved")
    assert said.prediction_id == "of-the-round"
    assert [score.value for score in said.prediction_dice] == [0.875, 0.875]


def test_the_story_of_the_label_goes_on_in_what_is_said_about_it(platform):
    platform.hear(project(), study("c"), label(platform, "c", mask()))
    (came,) = platform.service.event_log.read("label-submitted", {}, 10)
    (went,) = platform.service.event_log.read("label-approved", {}, 10)
    assert went.record.headers["ce_correlationid"] == came.record.headers["ce_correlationid"]
    assert went.record.headers["ce_causationid"] == came.record.headers["ce_id"]
    assert went.record.key == "study-c"


def test_a_faulty_label_goes_back_and_the_corrected_one_is_approved(platform):
    first = label(platform, "c", stray(mask()))
    platform.hear(project(), study("c"), first)
    (back,) = platform.said("label-returned")
    assert (back.label_version_id, back.task_id, back.reader) == (first.label_version_id, "task-c", "reader-a")
    assert list(back.reasons) == [reason("STRAY_COMPONENT")]
    platform.hear(label(platform, "c", mask(), attempt=2))
    (said,) = platform.said("label-approved")
    assert said.review_id == back.review_id
    assert list(said.readers) == ["reader-a"]


def test_two_blind_readers_who_agree(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", mask(), round_id="r", arm="ARM_MINED"))
    (wanted,) = platform.said("reading-requested")
    assert wanted.reading == labeling_pb2.READING_SECOND
    assert list(wanted.excluded_readers) == ["reader-a"]
    assert not wanted.label_version_ids
    assert (wanted.round_id, wanted.arm) == ("r", references_pb2.ARM_MINED)
    platform.hear(label(platform, "c", mask((0, 0, 1)), task_id="task-2", reader="reader-b", reading="READING_SECOND"))
    (said,) = platform.said("label-approved")
    assert said.task_id == "task-c"  # the first reader's
    assert list(said.readers) == ["reader-a", "reader-b"]
    scores = {score.name: score.value for score in said.agreement}
    assert scores["dice-segment-1"] == scores["dice-segment-2"] == 0.875
    assert scores["surface-distance-95-segment-1-mm"] == 1.0


def test_two_readers_who_differ_are_decided_by_an_adjudicator(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", mask()))
    platform.hear(label(platform, "c", mask((3, 0, 3)), task_id="task-2", reader="reader-b", reading="READING_SECOND"))
    wanted = platform.said("reading-requested")[-1]
    assert wanted.reading == labeling_pb2.READING_ADJUDICATION
    assert list(wanted.excluded_readers) == ["reader-a", "reader-b"]
    assert len(wanted.label_version_ids) == 2
    assert not platform.said("label-approved")
    platform.hear(
        label(platform, "c", mask((3, 0, 2)), task_id="task-3", reader="reader-c", reading="READING_ADJUDICATION")
    )
    (said,) = platform.said("label-approved")
    assert said.task_id == "task-3"
    assert list(said.readers) == ["reader-a", "reader-b", "reader-c"]
    lead = platform.token("dora", Role.PROJECT_LEAD)
    scores = {row["reader"]: row for row in platform.get(f"/v1/readers?project_id={PROJECT}", lead)["readers"]}
    assert scores["reader-a"]["overruled"] == 1
    assert scores["reader-b"]["supported"] == 1
    assert scores["reader-c"]["approved"] == 1
    assert scores["reader-a"]["mean_agreement"] == pytest.approx((5 / 8) ** 2)


def test_imports_are_approved_or_marked_returned_and_a_reviewer_may_override(platform):
    bad = np.where(mask() == 2, 0, mask()).astype(np.uint8)
    platform.hear(project(), study("good"), study("bad"))
    platform.hear(imported(platform, "good", mask()), imported(platform, "bad", bad))
    (said,) = platform.said("label-approved")
    assert said.case_id == "good" and said.task_id == "" and said.source == labeling_pb2.LABEL_SOURCE_IMPORT
    (back,) = platform.said("label-returned")
    assert back.case_id == "bad" and back.task_id == ""
    assert list(back.reasons) == [reason("MISSING_SEGMENT")]

    reviewer = platform.token("carla")  # a member of the project, by project-configured
    answer = platform.get(f"/v1/reviews?project_id={PROJECT}&state=returned", reviewer)
    assert [review["review_id"] for review in answer["reviews"]] == [back.review_id]
    shown = platform.post(f"/v1/reviews/{back.review_id}/approve", {}, reviewer)
    assert shown["state"] == "approved"
    platform.turn()
    assert [said.case_id for said in platform.said("label-approved")] == ["good", "bad"]
    with platform.service.database.begin(read_only=True) as connection:
        rows = connection.execute(sa.select(METADATA.tables["audit"])).all()
    assert [(row.subject, row.action, row.target) for row in rows] == [
        ("carla", "reviews-listed", PROJECT),
        ("carla", "approve-label", back.label_version_id),
    ]


def test_a_later_import_of_the_same_case_is_the_next_approval(platform):
    platform.hear(project(), study("c"), imported(platform, "c", mask()), imported(platform, "c", mask((0, 0, 1))))
    assert [said.sequence for said in platform.said("label-approved")] == [1, 2]


def test_what_a_reviewer_returns_comes_back_to_a_reviewer(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", mask(), reader=pseudonym("anna")))
    review_id = platform.said("reading-requested")[0].review_id
    reviewer = platform.token("carla")
    body = {"comment": "Look at the tail again."}
    assert platform.post(f"/v1/reviews/{review_id}/return", body, reviewer)["state"] == "returned"
    platform.turn()
    (back,) = platform.said("label-returned")
    assert list(back.reasons) == [reason("REVIEWER")]
    own = platform.get(f"/v1/labels/{back.label_version_id}", platform.token("anna", Role.READER))
    assert own["comment"] == "Look at the tail again." and own["outcome"] == "returned"
    platform.get(f"/v1/labels/{back.label_version_id}", platform.token("ben", Role.READER), status=403)
    platform.hear(label(platform, "c", mask(), reader=pseudonym("anna"), attempt=2))
    assert platform.get(f"/v1/reviews/{review_id}", reviewer)["state"] == "held-for-reviewer"
    platform.post(f"/v1/reviews/{review_id}/approve", {}, reviewer)
    platform.turn()
    assert len(platform.said("label-approved")) == 1
    again = platform.post(f"/v1/reviews/{review_id}/approve", {}, reviewer, status=409)
    assert again["error"] == "review-step-impossible"
    # No comment leaves the site's store.
    for topic in SAID:
        for stored in platform.service.event_log.read(topic, {}, 100):
            assert b"tail" not in stored.record.value


def test_who_may_see_and_do_what(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", mask(), reader=pseudonym("carla")))
    review_id = platform.said("reading-requested")[0].review_id
    reader, reviewer = platform.token("anna", Role.READER), platform.token("carla")
    assert platform.client.get("/v1/status").status_code == 401
    platform.get(f"/v1/reviews?project_id={PROJECT}", reader, status=403)
    platform.get(f"/v1/reviews/{review_id}", reader, status=403)
    platform.get("/v1/reviews/nothing", reviewer, status=404)
    platform.get(f"/v1/reviews?project_id={PROJECT}&state=lost", reviewer, status=422)
    platform.post(f"/v1/reviews/{review_id}/approve", {}, platform.token("eve", Role.AUDITOR), status=403)
    own = platform.post(f"/v1/reviews/{review_id}/approve", {}, reviewer, status=403)
    assert own["error"] == "own-label"
    answer = platform.post(
        f"/v1/reviews/{review_id}/approve", {"label_version_id": "x"}, platform.token("dora", Role.PROJECT_LEAD), 404
    )
    assert answer["error"] == "label-unknown"
    assert platform.get(f"/v1/readers?project_id={PROJECT}", reader)["readers"] == []
    assert len(platform.get(f"/v1/readers?project_id={PROJECT}", reviewer)["readers"]) == 1
    assert platform.get("/v1/status", reader)["reviews"]["awaiting-second"] == 1


@pytest.mark.parametrize(("wait_s", "expected"), [(600.0, 0), (0.0, 1)])
def test_a_label_waits_for_the_prediction_it_names_but_not_for_ever(
    tmp_path, database_url, objects_url, wait_s, expected
):
    platform = Platform(tmp_path, database_url, objects_url, prediction_wait_s=wait_s)
    platform.hear(project(), study("c"), label(platform, "c", mask(), prediction_id="prediction-c"))
    assert len(platform.said("label-approved")) == expected
    platform.hear(prediction(platform, "c", mask()))
    (said,) = platform.said("label-approved")
    assert len(said.prediction_dice) == (0 if expected else 2)
    assert said.prediction_id == ("" if expected else "prediction-c")
    platform.close()


@ONE_ENGINE
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_interleaving_ends_in_the_same_approval(tmp_path, database_url, objects_url, order):
    platform = Platform(tmp_path, database_url, objects_url, prediction_wait_s=600)
    events = [
        project(),
        study("c"),
        prediction(platform, "c", mask()),
        label(platform, "c", mask(), prediction_id="prediction-c"),
    ]
    for at in order:
        platform.hear(events[at])
    (said,) = platform.said("label-approved")
    assert [score.value for score in said.prediction_dice] == [1.0, 1.0]
    platform.close()


def test_a_replay_from_the_start_says_nothing_twice(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", mask()))
    platform.hear(label(platform, "c", mask(), task_id="task-2", reader="reader-b", reading="READING_SECOND"))
    before = {topic: platform.said(topic) for topic in SAID}
    platform.replay([METADATA.tables["inbox"]])  # what `replay --again` does
    platform.turn()
    assert {topic: platform.said(topic) for topic in SAID} == before


def test_a_replay_into_an_empty_database_judges_the_same_way(platform):
    platform.hear(project(share=1.0), study("c"), label(platform, "c", stray(mask())))
    platform.hear(label(platform, "c", mask(), attempt=2))
    platform.hear(label(platform, "c", mask(), task_id="task-2", reader="reader-b", reading="READING_SECOND"))
    before = [platform.said(topic) for topic in SAID]
    assert [len(said) for said in before] == [1, 1, 1]
    platform.replay(METADATA.sorted_tables)
    platform.turn(work=False)  # all labels are heard before the first is checked
    platform.turn()
    after = [platform.said(topic) for topic in SAID]
    assert after == [said * 2 for said in before]


def test_a_withdrawn_study_is_forgotten_and_stays_forgotten(platform):
    label_event = label(platform, "c", mask())
    platform.hear(project(), study("c"), prediction(platform, "c", mask()), label_event)
    waiting = label(platform, "c", mask(), task_id="task-9")
    platform.hear(waiting, work=False)
    platform.hear(ingest_pb2.StudyWithdrawn(study_key="study-c", reason="WITHDRAW_REASON_CONSENT"))
    lead = platform.token("dora", Role.PROJECT_LEAD)
    assert platform.get(f"/v1/readers?project_id={PROJECT}", lead)["readers"] == []
    platform.hear(study("c"), prediction(platform, "c", mask()), label(platform, "c", mask()))
    platform.replay([METADATA.tables["inbox"]])
    platform.turn()
    assert len(platform.said("label-approved")) == 1
    with platform.service.database.begin(read_only=True) as connection:
        for name in ("cases", "predictions", "reviews", "labels", "approvals"):
            table = METADATA.tables[name]
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0, name


def test_a_mask_that_is_not_there_is_held_for_a_reviewer(platform):
    event = label(platform, "c", mask())
    platform.objects.delete(event.mask.key)
    platform.hear(project(), study("c"), event)
    reviewer = platform.token("carla")
    (review,) = platform.get(f"/v1/reviews?project_id={PROJECT}", reviewer)["reviews"]
    assert (review["state"], review["doubts"]) == ("held-for-reviewer", ["unreadable"])
    refused = platform.post(f"/v1/reviews/{review['review_id']}/approve", {}, reviewer, status=409)
    assert refused["error"] == "label-unusable"


def test_geometry_and_unknown_values_go_back(platform):
    other = mask()[:, :, :-1]
    unknown = np.where(mask() == 2, 7, mask()).astype(np.uint8)
    platform.hear(project(), study("c"), study("d"), label(platform, "c", other), label(platform, "d", unknown))
    backs = {back.case_id: list(back.reasons) for back in platform.said("label-returned")}
    assert backs["c"] == [reason("GEOMETRY")]
    assert backs["d"][:2] == [reason("UNKNOWN_VALUE"), reason("MISSING_SEGMENT")]


def test_the_approved_labels_become_the_population(platform):
    platform.hear(project(), *[study(f"c{n}", "TEST" if n == 0 else "TRAIN") for n in range(10)])
    for number in range(9):
        platform.hear(imported(platform, f"c{number}", mask()))
    swapped = np.array([0, 2, 1], dtype=np.uint8)[mask()]
    platform.hear(imported(platform, "c9", swapped))  # eight in the population: the test case does not count
    (back,) = platform.said("label-returned")
    assert list(back.reasons) == [reason("SWAPPED_SEGMENTS")]
    with platform.service.database.begin(read_only=True) as connection:
        query = sa.select(labels.c.document).where(labels.c.label_version_id == back.label_version_id)
        document = json.loads(connection.execute(query).scalar())
    assert document["findings"][0]["reason"] == "swapped-segments"


def test_health_and_metrics_answer(platform):
    assert platform.client.get("/livez").status_code == 200
    assert platform.client.get("/readyz").status_code == 200
    assert "radloop_qa_check_seconds" in platform.client.get("/metrics").text
