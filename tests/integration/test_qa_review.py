"""What a reviewer is shown and can say: the queue, a comment pinned to a slice, agreement numbers, scores."""

import time
from datetime import datetime

import pytest
import sqlalchemy as sa

from qa.adapters.tables import METADATA
from qa.domain.model import ReviewState
from radloop.auth import Role, pseudonym
from radloop.sql import Database
from radloop.testing.databases import ONE_ENGINE
from tests.integration.qa_platform import PROJECT, SAID, Platform, label, mask, prediction, project, study

pytestmark = pytest.mark.integration


@pytest.fixture
def platform(tmp_path, database_url, objects_url):
    platform = Platform(tmp_path, database_url, objects_url)
    yield platform
    platform.close()


@pytest.fixture
def reviewer(platform):
    return platform.token("carla", Role.REVIEWER)


def returned(platform, reviewer, **body):
    """Have anna's label of case c returned; return its id and the answer."""
    event = label(platform, "c", mask(), reader=pseudonym("anna"))
    platform.hear(project(share=1.0), study("c"), event)
    review_id = platform.said("reading-requested")[0].review_id
    answer = platform.client.post(f"/v1/reviews/{review_id}/return", json=body, headers=reviewer)
    return event.label_version_id, answer


def test_a_comment_pinned_to_a_slice_reaches_the_reader_and_the_reviewers(platform, reviewer) -> None:
    version, answer = returned(
        platform, reviewer, comment="The tail ends here.", pin={"index": [3, 29, 19], "label_version_id": ""}
    )
    assert answer.status_code == 200, answer.text
    pin = {"index": [3, 29, 19], "label_version_id": version}
    (shown,) = answer.json()["labels"]
    assert (shown["comment"], shown["pin"]) == ("The tail ends here.", pin)
    own = platform.get(f"/v1/labels/{version}", platform.token("anna", Role.READER))
    assert (own["comment"], own["pin"], own["returned_for"]) == ("The tail ends here.", pin, ["reviewer"])
    platform.get(f"/v1/labels/{version}", platform.token("ben", Role.READER), status=403)
    platform.turn()
    assert len(platform.said("label-returned")) == 1
    for topic in SAID:
        for stored in platform.service.event_log.read(topic, {}, 100):
            assert b"tail" not in stored.record.value


def test_a_comment_needs_no_pin(platform, reviewer) -> None:
    version, answer = returned(platform, reviewer, comment="All of it.", pin=None)
    assert answer.json()["labels"][0]["pin"] is None
    assert platform.get(f"/v1/labels/{version}", platform.token("anna", Role.READER))["pin"] is None


@ONE_ENGINE
@pytest.mark.parametrize(
    ("pin", "status", "code"),
    [
        ({"index": [24, 0, 0]}, 422, "pin-outside"),
        ({"index": [0, -1, 0]}, 422, "pin-outside"),
        ({"index": [0, 0]}, 422, "request-invalid"),
        ({"index": [0.5, 0, 0]}, 422, "request-invalid"),
        ({"index": [0, 0, 0], "label_version_id": "nobody's"}, 404, "label-unknown"),
    ],
)
def test_pins_that_are_none(platform, reviewer, pin, status, code) -> None:
    version, answer = returned(platform, reviewer, comment="Here.", pin=pin)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert platform.get(f"/v1/labels/{version}", reviewer)["outcome"] == "checked"


def test_a_pin_on_another_readers_label_names_the_own_one_to_the_reader(platform, reviewer) -> None:
    one, other = two_readers(platform, mask((1, 0, 0)))
    review_id = platform.said("reading-requested")[0].review_id
    body = {"label_version_id": one, "comment": "See there.", "pin": {"index": [1, 2, 3], "label_version_id": other}}
    labels = platform.post(f"/v1/reviews/{review_id}/return", body, reviewer)["labels"]
    assert {item["label_version_id"]: item["pin"] for item in labels} == {
        one: {"index": [1, 2, 3], "label_version_id": other},
        other: None,
    }
    own = platform.get(f"/v1/labels/{one}", platform.token("anna", Role.READER))
    assert own["pin"] == {"index": [1, 2, 3], "label_version_id": one} and other not in str(own)


def two_readers(platform, second):
    """Case c is read by anna and by ben; return the ids of their labels."""
    first = label(platform, "c", mask(), reader=pseudonym("anna"))
    platform.hear(project(share=1.0, threshold=0.95), study("c"), prediction(platform, "c", mask((0, 0, 1))), first)
    then = label(platform, "c", second, reader=pseudonym("ben"), task_id="task-c-2", reading="READING_SECOND")
    platform.hear(then)
    return first.label_version_id, then.label_version_id


def test_agreement_of_the_labels_and_of_each_with_the_model(platform, reviewer) -> None:
    one, other = two_readers(platform, mask((1, 0, 0)))
    review_id = platform.said("reading-requested")[0].review_id
    found = platform.get(f"/v1/reviews/{review_id}/agreement", reviewer)
    assert (found["labels"], found["prediction_id"]) == ([one, other], "prediction-c")
    pairs = {(pair["first"], pair["second"]): pair for pair in found["pairs"]}
    assert pairs.keys() == {(one, other), (one, "prediction"), (other, "prediction")}
    # Boxes of eight voxels a side, moved by one along i, and the model's by one along k: 7/8 are common, and 7/8 of 7/8.
    segments = [
        (item["segment"], item["dice"], item["surface_distance_95_mm"]) for item in pairs[one, other]["segments"]
    ]
    assert [item[:2] for item in segments] == [(1, 0.875), (2, 0.875)] and all(0 < item[2] <= 1 for item in segments)
    assert pairs[one, other]["mean_dice"] == 0.875 and pairs[one, "prediction"]["mean_dice"] == 0.875
    assert pairs[other, "prediction"]["mean_dice"] == 0.875 * 0.875
    assert not any(pair["why_not"] for pair in found["pairs"])
    only = platform.get(f"/v1/reviews/{review_id}/agreement?label={other}", reviewer)
    assert [(pair["first"], pair["second"]) for pair in only["pairs"]] == [(other, "prediction")]
    assert platform.get(f"/v1/reviews/{review_id}/agreement?label=x", reviewer, status=404)["error"] == "label-unknown"
    platform.get(f"/v1/reviews/{review_id}/agreement", platform.token("anna", Role.READER), status=403)


def test_agreement_with_a_mask_that_is_not_there(platform, reviewer) -> None:
    two_readers(platform, mask((1, 0, 0)))
    review_id = platform.said("reading-requested")[0].review_id
    for key in platform.objects.keys("labeling/study-c/")[1:]:
        platform.objects.delete(key)
    pairs = platform.get(f"/v1/reviews/{review_id}/agreement", reviewer)["pairs"]
    assert sorted(pair["why_not"] for pair in pairs) == ["", "unreadable", "unreadable"]
    assert [pair["mean_dice"] for pair in pairs if pair["why_not"]] == [None, None]


def queue(platform, reviewer, **query) -> dict:
    answer = platform.client.get("/v1/reviews", params={"project_id": PROJECT, **query}, headers=reviewer)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def four(platform, reviewer):
    """Reviews of four cases, the oldest first: approved, awaiting a second reader, held for a reviewer, returned."""
    platform.hear(project(), study("a-1"), label(platform, "a-1", mask()))
    platform.hear(project(share=1.0, version=2), study("b-2"), label(platform, "b-2", mask()))
    platform.hear(
        study("b-3"),
        label(
            platform,
            "b-3",
            mask(),
            task_id="",
            reader="",
            source="LABEL_SOURCE_IMPORT",
            reading="READING_NONE",
            mask=platform.stored("labeling/study-b-3", mask() * 3),
        ),
    )
    platform.hear(study("c-4"), label(platform, "c-4", mask(), task_id="task-c-4"))
    fourth = next(row for row in queue(platform, reviewer)["reviews"] if row["case_id"] == "c-4")
    platform.post(f"/v1/reviews/{fourth['review_id']}/return", {"comment": "again"}, reviewer)
    return ["a-1", "b-2", "b-3", "c-4"]


def test_a_row_of_the_queue(platform, reviewer) -> None:
    began = time.time()
    one, other = two_readers(platform, mask((1, 0, 0)))
    (row,) = queue(platform, reviewer)["reviews"]
    assert (row["state"], row["doubts"]) == ("awaiting-adjudication", ["drawn", "disagreement"])
    assert (row["reader_count"], row["label_count"], row["mean_agreement"]) == (2, 2, 0.875)
    assert row["prediction_dice"] == pytest.approx(0.875 * 0.875)
    assert 0 <= row["age_s"] < 600
    created, changed = (datetime.fromisoformat(row[name]).timestamp() for name in ("created_at", "changed_at"))
    assert began - 0.01 <= created <= changed <= time.time()
    assert row["findings"] == []
    detail = platform.get(f"/v1/reviews/{row['review_id']}", reviewer)
    assert detail["created_at"] == row["created_at"] and len(detail["labels"]) == 2


def test_findings_stand_in_the_row(platform, reviewer) -> None:
    faulty = mask()
    faulty[1:3, 1:3, 1:3] = 1
    platform.hear(project(), study("c"), label(platform, "c", faulty))
    (row,) = queue(platform, reviewer)["reviews"]
    assert ("stray-component", 1) in {(item["reason"], item["segment"]) for item in row["findings"]}, row["findings"]


def test_the_queue_is_paged_filtered_and_ordered(platform, reviewer, four) -> None:
    newest = queue(platform, reviewer, order="newest")
    assert (newest["total"], [row["case_id"] for row in newest["reviews"]]) == (4, four[::-1])
    pages = [queue(platform, reviewer, order="newest", limit=3, offset=offset)["reviews"] for offset in (0, 3)]
    assert [row["case_id"] for page in pages for row in page] == four[::-1]
    states = [row["state"] for row in queue(platform, reviewer, order="priority")["reviews"]]
    order = [
        state.value
        for state in (
            ReviewState.HELD_FOR_REVIEWER,
            ReviewState.AWAITING_SECOND,
            ReviewState.RETURNED,
            ReviewState.APPROVED,
        )
    ]
    assert states == sorted(states, key=order.index) and set(states) >= {"returned", "approved", "awaiting-second"}
    some = queue(platform, reviewer, state="approved,awaiting-second", order="newest")
    assert (some["total"], [row["case_id"] for row in some["reviews"]]) == (2, ["b-2", "a-1"])
    assert [row["case_id"] for row in queue(platform, reviewer, search="b-", order="newest")["reviews"]] == [
        "b-3",
        "b-2",
    ]
    assert queue(platform, reviewer, search="%")["total"] == 0
    by_id = queue(platform, reviewer, limit=2)["reviews"]
    rest = queue(platform, reviewer, after=by_id[-1]["review_id"])["reviews"]
    ids = [row["review_id"] for row in by_id + rest]
    assert ids == sorted(ids) and len(ids) == 4


@ONE_ENGINE
@pytest.mark.parametrize(
    "query", [{"state": "lost"}, {"order": "best"}, {"order": "newest", "after": "x"}, {"limit": 501}]
)
def test_pages_that_cannot_be_made(platform, reviewer, query) -> None:
    platform.hear(project())
    answer = platform.client.get("/v1/reviews", params={"project_id": PROJECT, **query}, headers=reviewer)
    assert answer.status_code == 422


def test_a_reader_sees_the_own_score_and_a_lead_everybodys(platform) -> None:
    two_readers(platform, mask((1, 0, 0)))
    everybody = {pseudonym("anna"), pseudonym("ben")}
    for subject, role, seen in (
        ("anna", Role.READER, {pseudonym("anna")}),
        ("ben", Role.READER, {pseudonym("ben")}),
        ("zoe", Role.READER, set()),
        ("dora", Role.PROJECT_LEAD, everybody),
    ):
        scores = platform.get(f"/v1/readers?project_id={PROJECT}", platform.token(subject, role))["readers"]
        assert {score["reader"] for score in scores} == seen
        assert all((score["submitted"], score["mean_agreement"]) == (1, 0.875) for score in scores)


def test_reviews_from_before_the_upgrade_have_their_times(empty_database_url) -> None:
    database = Database(empty_database_url, "qa")
    database.migrate("qa.adapters.migrations", to="0002")
    with database.begin() as connection:
        tables = {
            name: sa.Table(name, sa.MetaData(), autoload_with=connection, schema=database.schema)
            for name in ("reviews", "labels")
        }
        review = {
            "project_id": "p",
            "case_id": "c",
            "study_key": "s",
            "state": "checking",
            "prediction_id": "",
            "document": "{}",
        }
        connection.execute(
            tables["reviews"].insert(), [review | {"review_id": name} for name in ("r", "without labels")]
        )
        one = {
            "review_id": "r",
            "project_id": "p",
            "study_key": "s",
            "reader": "",
            "outcome": "checking",
            "cause": "",
            "document": "{}",
        }
        connection.execute(
            tables["labels"].insert(), [one | {"label_version_id": f"l{at}", "received_at": at} for at in (5.5, 3.5)]
        )
    database.migrate("qa.adapters.migrations")
    columns = METADATA.tables["reviews"].c
    with database.begin(read_only=True) as connection:
        rows = connection.execute(sa.select(columns.review_id, columns.created_at, columns.changed_at)).all()
    assert {row[0]: tuple(row[1:]) for row in rows} == {"r": (3.5, 5.5), "without labels": (0.0, 0.0)}
    database.close()
