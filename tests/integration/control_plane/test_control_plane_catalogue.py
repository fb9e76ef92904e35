"""The catalogue from events alone: lineage, counts, curve, withdrawal, any order."""

from itertools import combinations

import pytest

from radloop.contracts.inference.v1 import inference_pb2

pytestmark = pytest.mark.integration
PROJECT = "hippocampus"


def test_lineage_from_labels_to_deployments(project, story):
    project.hear(
        story.study(1),
        story.study(2),
        story.approved(1),
        story.approved(2),
        story.started(1, 1, 2),
        story.trained(1),
        story.deployed(1, "m1", "m1"),
    )
    (listed,) = project.get(f"/v1/models?project_id={PROJECT}")["models"]
    assert listed["serving"] is True and listed["outcome"] == "serving" and listed["origin"] == "trained"

    lineage = project.get(f"/v1/models/{story.digest('m1')}")["lineage"]
    assert lineage["label_version_ids"] == ["label-1-1", "label-2-1"]
    assert lineage["dataset_version"] == story.digest("d1")
    assert lineage["run_id"] == "run-1"
    assert [(one["site"], one["sequence"], one["outcome"]) for one in lineage["deployments"]] == [
        ("site-1", 1, "serving")
    ]

    (dataset,) = project.get("/v1/datasets")["datasets"]
    assert dataset["labels"] == {"train": 2} and dataset["runs"][0]["state"] == "trained"
    items = project.get(f"/v1/datasets/{story.digest('d1')}")["items"]
    assert [item["label_version_id"] for item in items] == ["label-1-1", "label-2-1"]
    assert project.get("/v1/datasets/sha256:none", status=404)["error"] == "dataset-unknown"
    assert project.get("/v1/models/sha256:none", status=404)["error"] == "model-unknown"


def test_what_a_run_waits_for_is_shown_until_it_has_ended(project, story):
    said = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    project.hear(story.waiting(1, 2, scheduler_said=said), story.waiting(1, 1, "QUEUE"), story.started(1, 1, 2))

    def run():
        (dataset,) = project.get("/v1/datasets")["datasets"]
        return dataset["runs"][0]

    assert run()["run_number"] == 1
    assert run()["last_wait"] == {
        "waits_for": "machine",
        "scheduler_said": said,
        "waiting_since_s": 1_700_000_000,
    }
    project.hear(story.trained(1))
    assert run()["last_wait"] is None


def test_counts(project, story):
    project.hear(
        story.study(1),
        story.study(2),
        story.study(3, "TEST"),
        story.approved(1),
        story.approved(1, sequence=2),
        story.approved(3),
        story.approved(99),
        story.flagged(1, "MINED"),
        story.flagged(2, "CONTROL"),
        inference_pb2.PredictionMade(
            prediction_id="p1",
            case_id="case-1",
            study_key="study-1",
            project_id=PROJECT,
            model_digest=story.digest("m1"),
        ),
        inference_pb2.PredictionFailed(
            prediction_id="p2",
            case_id="case-2",
            study_key="study-2",
            project_id=PROJECT,
            model_digest=story.digest("m1"),
            reason="PREDICTION_FAILURE_UNREADABLE",
        ),
    )
    counts = project.get(f"/v1/projects/{PROJECT}/counts")
    assert counts["splits"]["train"] == {"studies": 2, "patients": 2, "cases": 2, "approved_labels": 1}
    assert counts["splits"]["test"] == {"studies": 1, "patients": 1, "cases": 1, "approved_labels": 1}
    assert counts["approved_labels_of_unknown_split"] == 1
    (round_one,) = counts["rounds"]
    assert round_one["flagged"] == {"mined": 1, "control": 1, "reported": 0, "cold-start": 0}
    assert counts["predictions"] == [{"model_digest": story.digest("m1"), "made": 1, "failed": 1}]


def test_the_curve_takes_patients_not_cases(project, story):
    # Patient A: cases 11 and 12 (0.8, 0.9 -> 0.85), B: 0.95. Mean 0.9, sd 0.0707, half-width 12.706 * 0.05 = 0.6353.
    test = story.dice(11, 0.8, 0.8, "A") + story.dice(12, 0.9, 0.9, "A") + story.dice(13, 0.95, 0.95, "B")
    project.hear(
        *(story.study(number) for number in (1, 2, 3, 4)),
        story.started(1, 1, 2),
        story.trained(1, test),
        story.flagged(1, "MINED"),
        story.flagged(2, "MINED"),
        story.flagged(3, "CONTROL"),
        story.flagged(4, "CONTROL"),
        story.approved(1, "MINED", "round-1", 0.5),
        story.approved(2, "MINED", "round-1", 0.7),
        story.approved(3, "CONTROL", "round-1", 0.8),
        story.approved(4, "CONTROL", "round-1", 0.9),
    )
    curve = project.get(f"/v1/projects/{PROJECT}/curve")
    (point,) = curve["models"]
    assert point["labels"] == {"train": 2, "by_arm": {"import": 2}, "all": 2}
    assert point["train_patient_count"] == 2
    assert point["test"]["mean"] == pytest.approx(0.9)
    assert point["test"]["patients"] == 2
    assert point["test"]["high"] - point["test"]["mean"] == pytest.approx(0.6353, abs=1e-4)
    assert [segment["value"] for segment in point["test_segments"]] == [1, 2]
    (round_one,) = curve["rounds"]
    assert round_one["approved"]["mined"] == 2
    assert round_one["prediction_dice"]["mined"]["mean"] == pytest.approx(0.6)
    assert round_one["prediction_dice"]["control"]["mean"] == pytest.approx(0.85)
    assert curve["mined_against_control"]["mean"] == pytest.approx(0.25)
    assert curve["mined_against_control"]["known"] is False


def test_withdrawal_forgets_the_study_and_lists_what_contained_it(project, story):
    project.hear(*story.everything_about_one_study())
    assert project.get("/v1/withdrawals")["withdrawals"] == [
        {
            "study_key": "study-1",
            "site": "site-1",
            "reason": "consent",
            "dataset_versions": [story.digest("d1")],
            "models": [story.digest("m1")],
            "models_from_their_weights": [story.digest("m2")],
        }
    ]
    counts = project.get(f"/v1/projects/{PROJECT}/counts")
    assert counts["splits"]["train"]["studies"] == 0 and counts["rounds"] == [] and counts["predictions"] == []
    cases = project.get(f"/v1/models/{story.digest('m1')}")["metrics"]["test"]["cases"]
    assert {case["case_id"] for case in cases} == {"case-2"}

    before = project.picture()
    project.hear(*story.everything_about_one_study()[:-1])
    assert project.picture() == before


def test_every_pair_of_topics_may_arrive_in_either_order(make_platform, story, body):
    """Any interleaving of topics gives one picture; order holds within a topic and key only."""
    events = story.everything_about_one_study()
    orders = [events, events[::-1]]
    orders += [[b, a, *(e for e in events if e not in (a, b))] for a, b in combinations(events, 2)]
    orders = [order for order in orders if order.index(events[5]) < order.index(events[6])]
    pictures = []
    for number, order in enumerate(orders):
        platform = make_platform(str(number))
        platform.put(body)
        platform.hear(*order)
        pictures.append(platform.picture())
    assert all(each == pictures[0] for each in pictures)


def test_repeats_and_replay_double_nothing(project, story):
    events = story.everything_about_one_study()[:-1] + [story.deployed(1, "m1", "m1")]
    project.hear(*events)
    before = project.picture()
    project.hear(*events)  # new ids, as a producer's second outbox would say them
    assert project.picture() == before


def test_a_bound_that_does_not_exist_is_null(project, story):
    event = story.trained(1)
    event.comparison.lower_bound = float("-inf")
    project.hear(event)
    assert project.get(f"/v1/models/{story.digest('m1')}")["comparison"]["lower_bound"] is None
