"""Gold cases over HTTP: named by a lead, asked for unseen, scored from the masks, told late."""

import time

import pytest
import sqlalchemy as sa

from qa.adapters import tables
from radloop.auth import Role, pseudonym
from radloop.contracts.ingest.v1 import ingest_pb2
from tests.integration.qa_platform import PROJECT, Platform, imported, label, mask, project, study

pytestmark = pytest.mark.integration

CASES = [f"c-{number}" for number in range(6)]
GOLD = CASES[:3]
ANNA, BEN = pseudonym("anna"), pseudonym("ben")


@pytest.fixture
def platform(tmp_path, database_url, objects_url):
    platform = Platform(tmp_path, database_url, objects_url, gold_share=1.0)
    platform.hear(project(), *(study(case) for case in CASES))
    yield platform
    platform.close()


@pytest.fixture
def lead(platform):
    return platform.token("lena", Role.PROJECT_LEAD)


def name(platform, lead, case: str, event, status: int = 200):
    path, body = f"/v1/gold/{case}", {"label_version_id": event.label_version_id}
    answer = platform.client.put(path, json=body, headers=lead)
    assert answer.status_code == status, answer.text
    return answer.json()


def name_three(platform, lead) -> None:
    for case in GOLD:
        event = imported(platform, case, mask())
        platform.hear(event)
        name(platform, lead, case, event)


def read_and_be_asked(platform) -> None:
    """Have ben read three ordinary cases, and after each what is asked for; each time a voxel further off."""
    for number, case in enumerate(CASES[3:]):
        platform.hear(label(platform, case, mask(), reader=BEN))
        request = platform.said("reading-requested")[-1]
        asked = label(platform, request.case_id, mask((number, 0, 0)), reader=BEN)
        asked.task_id, asked.reading = f"task-{request.request_id}", 2
        platform.hear(asked)


def row(platform, token, reader: str = BEN) -> dict:
    found = platform.get(f"/v1/readers?project_id={PROJECT}", token)["readers"]
    return next(one for one in found if one["reader"] == reader)


def test_a_reader_reads_three_gold_cases_and_only_the_lead_knows(platform, lead) -> None:
    name_three(platform, lead)
    read_and_be_asked(platform)
    requests = platform.said("reading-requested")
    assert {request.case_id for request in requests} == set(GOLD)
    # Carla is a member, so she is known to be able to read.
    assert {tuple(request.excluded_readers) for request in requests} == {(pseudonym("carla"),)}
    assert len(platform.said("label-approved")) == 6 and not platform.said("label-returned")
    # Boxes of eight voxels a side, moved by none, one and two: eight, seven and six eighths are common.
    known = row(platform, lead)
    assert (known["gold_count"], known["gold_mean_dice"]) == (3, pytest.approx((8 + 7 + 6) / 24))
    reader = platform.token("ben", Role.READER)
    own = row(platform, reader)
    assert (own["gold_count"], own["gold_mean_dice"], own["submitted"]) == (0, None, 6)
    platform.get(f"/v1/gold?project_id={PROJECT}", reader, status=403)
    # A second reading that no review waited for would be known to be gold.
    counts = platform.get("/v1/status", reader)["reviews"]
    assert counts["approved"] == 9 and not any("gold" in state for state in counts)
    with platform.service.database.begin() as connection:
        connection.execute(tables.gold_readings.update().values(scored_at=time.time() - 2 * 86_400))
    assert row(platform, reader)["gold_count"] == 3


def test_what_a_reader_sees_of_the_own_gold_label_is_nothing_unusual(platform, lead) -> None:
    name_three(platform, lead)
    read_and_be_asked(platform)
    (newest, *_) = platform.get(f"/v1/reviews?project_id={PROJECT}&state=gold-scored&order=newest", lead)["reviews"]
    (shown,) = platform.get(f"/v1/reviews/{newest['review_id']}", lead)["labels"]
    assert shown["agreement"]["dice-segment-1"] == 0.75
    own = platform.get(f"/v1/labels/{shown['label_version_id']}", platform.token("ben", Role.READER))
    assert (own["outcome"], own["returned_for"], own["comment"]) == ("checked", [], "")
    for what in ("approve", "return"):
        path = f"/v1/reviews/{newest['review_id']}/{what}"
        assert platform.post(path, {}, lead, status=409)["error"] == "review-step-impossible"


def test_gold_is_named_listed_and_dropped_on_record(platform, lead) -> None:
    event = label(platform, "c-0", mask(), reader=ANNA)
    platform.hear(event)
    assert name(platform, lead, "c-0", event)["case_id"] == "c-0"
    assert name(platform, lead, "c-1", event, status=404)["error"] == "label-unknown"
    assert name(platform, lead, "nothing", event, status=404)["error"] == "case-unknown"
    held = label(platform, "c-1", mask((0, 0, 7)), reader=ANNA)
    platform.hear(held, work=False)
    assert name(platform, lead, "c-1", held, status=409)["error"] == "label-not-approved"
    listed = {"case_id": "c-0", "label_version_id": event.label_version_id}
    assert platform.get(f"/v1/gold?project_id={PROJECT}", lead)["gold"] == [listed]
    assert [platform.client.delete("/v1/gold/c-0", headers=lead).status_code for _ in range(2)] == [204, 404]
    assert platform.get(f"/v1/gold?project_id={PROJECT}", lead)["gold"] == []
    authenticator = platform.service.http.state.authenticator
    auditor = {"Authorization": f"Bearer {authenticator.issue('eve', {'*': (Role.AUDITOR,)}, lifetime_s=600)}"}
    trail = [(entry["action"], entry["target"]) for entry in platform.get("/v1/audit", auditor)["entries"]]
    assert trail == [("gold-named", "c-0"), ("gold-listed", PROJECT), ("gold-dropped", "c-0"), ("gold-listed", PROJECT)]


def test_a_withdrawal_takes_gold_and_its_scores_along(platform, lead) -> None:
    name_three(platform, lead)
    read_and_be_asked(platform)
    platform.hear(ingest_pb2.StudyWithdrawn(study_key="study-c-0", reason="WITHDRAW_REASON_CONSENT"))
    assert row(platform, lead)["gold_count"] == 2
    assert len(platform.get(f"/v1/gold?project_id={PROJECT}", lead)["gold"]) == 2


def test_a_replay_asks_for_nothing_twice(platform, lead) -> None:
    name_three(platform, lead)
    read_and_be_asked(platform)
    before = row(platform, lead)
    platform.replay(forget=[tables.METADATA.tables["inbox"]])
    platform.turn()
    assert row(platform, lead) == before and len(platform.said("reading-requested")) == 3


def test_gold_of_an_earlier_release_is_none(platform) -> None:
    """A review that was stored before there was gold has no gold label."""
    platform.hear(label(platform, "c-3", mask(), reader=ANNA))
    with platform.service.database.begin() as connection:
        document = connection.execute(sa.select(tables.reviews.c.document)).scalar_one()
        old = document.replace(',"gold_label":""', "")
        assert old != document
        connection.execute(tables.reviews.update().values(document=old))
    with platform.service.database.begin() as connection:
        review_id = connection.execute(sa.select(tables.reviews.c.review_id)).scalar_one()
    found = platform.get(f"/v1/reviews/{review_id}", platform.token("lena", Role.PROJECT_LEAD))
    assert found["state"] == "approved"
