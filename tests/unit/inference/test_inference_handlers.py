"""The handlers on fakes: what is queued, decided, said, and what a repeat does."""

from functools import partial

import pytest

from inference.domain import messages as m
from inference.domain.model import ModelState, PredictionSettings, PredictionState, prediction_id_of, seed_of
from inference.handlers import HANDLERS
from radloop.errors import NotFound, NotYet
from radloop.testing import deliver

SETTINGS = PredictionSettings()
BOUND = {
    kind: partial(handler, settings=SETTINGS)
    if kind in (m.StudyIngested, m.PredictionRequested, m.AskForPrediction)
    else handler
    for kind, handler in HANDLERS.items()
}


def hand(uow, *messages):
    return deliver(BOUND, uow, *messages)


def conclude(uow, loaded=True):
    """Conclude the deployment that waits longest, as the keeper would."""
    pending = uow.deployments.next()
    detail = "" if loaded else "why"
    return hand(uow, m.ConcludeDeployment(pending.deployment_id, pending.model_digest, loaded, detail))


@pytest.fixture
def serving(uow, events):
    """Let model "a" serve."""
    hand(uow, events.project(), events.trained("a"))
    conclude(uow)
    return uow


# ---- which model serves


def test_the_first_model_serves(uow, events):
    assert hand(uow, events.project(), events.trained("a")) == []
    (said,) = conclude(uow)
    assert said == m.ModelDeployed(
        "model-p",
        "p",
        events.digest("a"),
        events.digest("a"),
        m.Deployment.SERVING,
        1,
        "",
        events.ref("a"),
        events.ref("a"),
        0,
    )


@pytest.mark.parametrize(
    ("mode", "passes", "against", "loaded", "outcome"),
    [
        ("automatic", True, "a", True, m.Deployment.SERVING),
        ("automatic", False, "a", True, m.Deployment.KEPT),
        ("automatic", True, "x", True, m.Deployment.KEPT),  # compared with a model that no longer serves
        ("automatic", True, "", True, m.Deployment.KEPT),
        ("manual", True, "a", True, m.Deployment.KEPT),
        ("automatic", True, "a", False, m.Deployment.LOAD_FAILED),
        ("manual", False, "a", False, m.Deployment.LOAD_FAILED),
    ],
)
def test_a_candidate_beside_a_serving_model(serving, events, mode, passes, against, loaded, outcome):
    hand(serving, events.project(mode, version=2), events.trained("b", against, passes))
    (said,) = conclude(serving, loaded)
    moved = outcome is m.Deployment.SERVING
    assert said.outcome is outcome and said.sequence == 2
    assert said.candidate_digest == events.digest("b") and said.candidate_bundle == events.ref("b")
    assert said.serving_digest == events.digest("b" if moved else "a")
    assert said.bundle == events.ref("b" if moved else "a")
    assert said.previous_digest == (events.digest("a") if moved else "")
    state = {m.Deployment.SERVING: "serving", m.Deployment.KEPT: "kept", m.Deployment.LOAD_FAILED: "load-failed"}
    model = serving.models.get("p", events.digest("b"))
    assert model.state == state[outcome] and model.detail == ("" if loaded else "why")


def test_a_model_before_its_project_waits(uow, events):
    with pytest.raises(NotYet, match="project/p"):
        hand(uow, events.trained("a"))
    hand(uow, events.project())
    assert uow.arrived_tokens == ["project/p"]


def test_repeats_of_a_trained_model_change_nothing(serving, events):
    assert hand(serving, events.trained("a"), events.trained("a", "x", False)) == []
    assert serving.deployments.next() is None
    assert hand(serving, m.ConcludeDeployment(1, events.digest("a"), True, "")) == []
    assert serving.traffic.get("p").sequence == 1


@pytest.mark.parametrize(("name", "outcome"), [("a", m.Deployment.SERVING), ("b", m.Deployment.KEPT)])
def test_every_run_is_answered_also_one_that_ends_with_a_known_bundle(serving, events, name, outcome):
    hand(serving, events.trained("b", "a", passes=False))
    conclude(serving)
    hand(serving, events.trained(name, "a", passes=False, run="run-later"))
    (said,) = conclude(serving)
    assert (said.outcome, said.candidate_digest, said.sequence) == (outcome, events.digest(name), 3)
    assert said.serving_digest == events.digest("a") and said.previous_digest == ""


def test_a_person_promotes_and_rolls_back(serving, events):
    hand(serving, events.promoted("b", 1))
    (said,) = conclude(serving)
    assert (said.outcome, said.serving_digest, said.previous_digest, said.sequence) == (
        m.Deployment.SERVING,
        events.digest("b"),
        events.digest("a"),
        2,
    )
    assert serving.models.get("p", events.digest("a")).state is ModelState.RETIRED
    hand(serving, events.promoted("a", 2))
    (said,) = conclude(serving)
    assert said.serving_digest == events.digest("a") and said.sequence == 3
    assert serving.models.get("p", events.digest("b")).state is ModelState.RETIRED


def test_no_model_is_a_valid_wish(serving, events):
    (said,) = hand(serving, events.promoted("", 1))
    assert (said.outcome, said.serving_digest, said.candidate_digest) == (m.Deployment.NONE, "", "")
    assert said.bundle is None and said.candidate_bundle is None
    assert said.previous_digest == events.digest("a") and said.model_name == "model-p"
    (again,) = hand(serving, events.promoted("", 2))
    assert (again.outcome, again.sequence, again.wish_sequence) == (m.Deployment.NONE, 3, 2)
    assert again.previous_digest == events.digest("a")


def test_older_wishes_are_stale(serving, events):
    hand(serving, events.promoted("b", 5))
    conclude(serving)
    assert hand(serving, events.promoted("c", 5), events.promoted("c", 4)) == []
    assert serving.deployments.next() is None


def answers(events, said):
    """Shorten what was said to (outcome, candidate, serving, wish)."""
    names = {events.digest(name): name for name in "abcdv"} | {"": ""}
    return [
        (str(each.outcome), names[each.candidate_digest], names[each.serving_digest], each.wish_sequence)
        for each in said
    ]


def test_a_roll_back_and_a_promotion_while_it_loads_are_both_answered(serving, events):
    hand(serving, events.promoted("b", 1))
    conclude(serving)
    # "b" serves, "a" did before: roll back, then want "b" after all, before "a" is loaded.
    assert hand(serving, events.promoted("a", 2)) == []
    loading = serving.deployments.next().deployment_id
    said = hand(serving, events.promoted("b", 3))
    assert answers(events, said) == [("overtaken", "a", "b", 2), ("serving", "b", "b", 3)]
    assert [each.sequence for each in said] == [3, 4] and said[1].previous_digest == events.digest("a")
    assert hand(serving, m.ConcludeDeployment(loading, events.digest("a"), True, "")) == []
    assert serving.traffic.get("p").serving_digest == events.digest("b")
    assert serving.models.get("p", events.digest("a")).state is ModelState.RETIRED


def test_what_became_of_one_that_was_overtaken_is_not_said_of_its_successor(serving, events):
    """SQLite gives the number of a row that is gone to the next one."""
    hand(serving, events.promoted("b", 1))
    successor = serving.deployments.next()
    overtaken = m.ConcludeDeployment(successor.deployment_id, events.digest("c"), False, "why")
    assert hand(serving, overtaken) == []
    assert serving.deployments.next() == successor


def test_of_several_wishes_only_the_last_is_loaded(serving, events):
    said = hand(serving, events.promoted("b", 1), events.promoted("c", 2), events.promoted("d", 3))
    assert answers(events, said) == [("overtaken", "b", "a", 1), ("overtaken", "c", "a", 2)]
    assert serving.models.get("p", events.digest("c")).state is ModelState.IMPORTED
    assert answers(events, conclude(serving)) == [("serving", "d", "d", 3)]
    assert serving.deployments.next() is None


def test_no_model_is_wished_for_while_one_loads(serving, events):
    hand(serving, events.promoted("b", 1))
    said = hand(serving, events.promoted("", 2))
    assert answers(events, said) == [("overtaken", "b", "a", 1), ("none", "", "", 2)]
    assert serving.deployments.next() is None


def bring(events, name):
    return m.ImportModel("p", "visitor", events.digest(name), events.ref(name), True, "root")


def test_a_wish_overtakes_a_brought_model_that_was_to_serve(serving, events):
    hand(serving, bring(events, "v"))
    said = hand(serving, events.promoted("a", 1))
    assert answers(events, said) == [("overtaken", "v", "a", 0), ("serving", "a", "a", 1)]
    assert serving.deployments.next() is None


@pytest.mark.parametrize("name", ["a", "v"])
def test_a_brought_model_that_is_to_serve_overtakes_a_wish(serving, events, name):
    hand(serving, events.promoted("b", 1))
    said = hand(serving, bring(events, name))
    assert answers(events, said)[-1] == ("overtaken", "b", "a", 1)
    while serving.deployments.next():
        conclude(serving)
    assert serving.traffic.get("p").serving_digest == events.digest(name)


def test_a_trained_model_does_not_outdo_a_wish_that_came_while_it_loaded(serving, events):
    hand(serving, events.trained("b", "a"))
    assert answers(events, hand(serving, events.promoted("a", 1))) == [("serving", "a", "a", 1)]
    assert answers(events, conclude(serving)) == [("kept", "b", "a", 0)]


def test_a_wish_for_a_trained_model_that_waits_leaves_its_run_an_answer(serving, events):
    hand(serving, events.trained("b", "a", passes=False), events.promoted("b", 1))
    assert answers(events, hand(serving, events.promoted("a", 2)))[0] == ("overtaken", "b", "a", 1)
    assert serving.models.get("p", events.digest("b")).state is ModelState.WAITING
    assert answers(events, conclude(serving)) == [("kept", "b", "a", 0)]


def test_a_wish_fulfilled_while_it_waited_is_answered(serving, events):
    hand(serving, events.trained("b", "a"), events.promoted("b", 1))
    assert answers(events, conclude(serving)) == [("kept", "b", "a", 0)]
    assert answers(events, conclude(serving)) == [("serving", "b", "b", 1)]


def test_a_promotion_that_cannot_be_loaded_leaves_the_traffic(serving, events):
    hand(serving, events.promoted("b", 1))
    (said,) = conclude(serving, loaded=False)
    assert said.outcome is m.Deployment.LOAD_FAILED and said.serving_digest == events.digest("a")


def test_a_promotion_of_an_unknown_model_without_bundle_waits(serving, events):
    with pytest.raises(NotYet):
        hand(serving, m.ModelPromoted("model-p", "p", events.digest("z"), None, 1))


def test_a_brought_model_is_announced_once_and_serves_if_asked(serving, events):
    bring = m.ImportModel("p", "visitor", events.digest("v"), events.ref("v"), False, "root")
    (said,) = hand(serving, bring)
    assert (said.outcome, said.serving_digest, said.candidate_bundle) == (
        m.Deployment.IMPORTED,
        events.digest("a"),
        events.ref("v"),
    )
    assert said.model_name == "visitor"
    assert hand(serving, bring) == [] and serving.deployments.next() is None
    assert hand(serving, m.ImportModel("p", "visitor", events.digest("v"), events.ref("v"), True, "root")) == []
    (said,) = conclude(serving)
    assert said.outcome is m.Deployment.SERVING and said.serving_digest == events.digest("v")
    assert serving.audit_entries == [("root", "import-model", events.digest("v"))] * 3


def test_only_a_newer_version_of_a_project_counts(uow, events):
    hand(uow, events.project("manual", version=2), events.project("automatic", version=1))
    assert uow.projects.get("p").promotion is m.PromotionMode.MANUAL
    assert uow.projects.get("p").segment_values == (1, 2)


# ---- predictions


def test_new_studies_are_predicted_with_what_serves(uow, events):
    hand(uow, events.project(), events.study("early", "case-0"), events.trained("a"))
    assert uow.predictions.rows == {}
    conclude(uow)
    hand(uow, events.study("late", "case-1", "case-2"))
    assert {p.case_id for p in uow.predictions.rows.values()} == {"case-1", "case-2"}
    assert {p.model_digest for p in uow.predictions.rows.values()} == {events.digest("a")}
    assert uow.arrived_tokens[-2:] == ["case/case-1", "case/case-2"]


def test_a_prediction_is_said_to_every_round_that_waits(serving, events):
    hand(serving, events.study("study", "case"))
    identity = prediction_id_of("case", events.digest("a"), SETTINGS.digest)
    hand(serving, events.requested("case", "a", "round-1"), events.requested("case", "a", "round-2"))
    hand(serving, events.requested("case", "a", "round-1"))
    said = hand(serving, events.made(identity))
    assert [(type(one), one.round_id) for one in said] == [(m.PredictionMade, "round-1"), (m.PredictionMade, "round-2")]
    assert said[0].prediction_id == identity and said[0].model_name == "model-p"
    assert hand(serving, events.made(identity)) == []


def test_a_prediction_nobody_waits_for_is_said_without_a_round(serving, events):
    hand(serving, events.study("study", "case"))
    (said,) = hand(serving, events.made(prediction_id_of("case", events.digest("a"), SETTINGS.digest)))
    assert said.round_id == ""


def test_a_second_request_says_the_existing_prediction_again(serving, events):
    hand(serving, events.study("study", "case"))
    hand(serving, events.made(prediction_id_of("case", events.digest("a"), SETTINGS.digest)))
    (said,) = hand(serving, events.requested("case", "a", "round-9"))
    assert isinstance(said, m.PredictionMade) and said.round_id == "round-9"
    assert len(serving.predictions.rows) == 1


def test_a_failed_prediction_is_said_again_too(serving, events):
    hand(serving, events.study("study", "case"), events.requested("case", "a", "round-1"))
    identity = prediction_id_of("case", events.digest("a"), SETTINGS.digest)
    give_up = m.GiveUpPrediction(identity, m.PredictionFailure.NOT_FINITE, "3 of 9 values")
    (said,) = hand(serving, give_up)
    assert said == m.PredictionFailed(
        identity, "case", "study", "p", events.digest("a"), m.PredictionFailure.NOT_FINITE, "round-1"
    )
    assert hand(serving, give_up) == []
    (again,) = hand(serving, events.requested("case", "a", "round-2"))
    assert again.round_id == "round-2" and again.reason is m.PredictionFailure.NOT_FINITE


def test_requests_wait_for_their_case_and_their_model(serving, events):
    with pytest.raises(NotYet, match="case/case"):
        hand(serving, events.requested("case", "a", "round-1"))
    hand(serving, events.study("study", "case"))
    with pytest.raises(NotYet, match="model/p/sha256:z"):
        hand(serving, events.requested("case", "z", "round-1"))


def test_identity_and_seed_follow_from_case_model_and_settings():
    one = prediction_id_of("case", "sha256:a", "sha256:s")
    assert one == prediction_id_of("case", "sha256:a", "sha256:s")
    assert len({one, prediction_id_of("case", "sha256:b", "sha256:s"), prediction_id_of("case", "sha256:a", "s")}) == 3
    assert 0 <= seed_of("case", "sha256:a", "sha256:s") < 2**63
    assert PredictionSettings().digest != PredictionSettings(members=2).digest != PredictionSettings(overlap=0.5).digest


def test_only_a_mask_of_bits_has_another_identity(serving, events):
    before = "sha256:5c89e6495ee1026a32a983b48b89af39f485460db4930247d3e8dd8b1e35b961"
    assert SETTINGS.digest == before  # of predictions made before there were masks of bits
    bits = PredictionSettings(segment_bits=True).digest
    assert bits != before
    hand(serving, events.study("study", "case"))
    hand(serving, events.project(version=2, overlapping_segments=True))
    hand(serving, events.study("other", "other-case"), events.requested("case", "a", "round-1"))
    hand(serving, m.AskForPrediction("p", "other-case", "", "dora"))
    kept = {(p.case_id, p.settings_digest) for p in serving.predictions.rows.values()}
    assert kept == {("case", before), ("case", bits), ("other-case", bits)}


def test_a_person_goes_before_the_others(serving, events):
    hand(serving, events.study("study", "case"))
    identity = prediction_id_of("case", events.digest("a"), SETTINGS.digest)
    assert not serving.predictions.get(identity).urgent
    assert hand(serving, m.AskForPrediction("p", "case", "", "dora")) == []
    assert serving.predictions.get(identity).urgent
    assert serving.audit_entries == [("dora", "infer", "case")]
    hand(serving, events.made(identity))
    hand(serving, m.AskForPrediction("p", "case", events.digest("a"), "dora"))
    assert serving.predictions.get(identity).state is PredictionState.MADE


@pytest.mark.parametrize(
    ("project", "case", "digest", "code"),
    [
        ("p", "nobody", "", "case-unknown"),
        ("q", "case", "", "case-unknown"),
        ("p", "case", "sha256:unknown", "model-unknown"),
    ],
)
def test_a_person_is_told_what_is_unknown(serving, events, project, case, digest, code):
    hand(serving, events.study("study", "case"))
    with pytest.raises(NotFound, match=code):
        hand(serving, m.AskForPrediction(project, case, digest, "dora"))


def test_without_a_serving_model_a_person_is_told_so(uow, events):
    hand(uow, events.project(), events.study("study", "case"))
    with pytest.raises(NotFound, match="no-model-serves"):
        hand(uow, m.AskForPrediction("p", "case", "", "dora"))


# ---- withdrawal


def test_a_withdrawn_study_is_forgotten_and_refused(serving, events):
    hand(serving, events.study("study", "case"), events.requested("case", "a", "round-1"))
    assert hand(serving, m.StudyWithdrawn("study")) == []
    assert serving.predictions.rows == {} and serving.cases.get("case") is None
    again = [events.study("study", "case"), events.requested("case", "a", "round-2"), m.StudyWithdrawn("study")]
    assert hand(serving, *again) == []
    assert serving.predictions.rows == {} and serving.cases.get("case") is None


def test_a_prediction_concluded_after_the_withdrawal_has_its_objects_deleted(serving, events):
    hand(serving, events.study("study", "case"), m.StudyWithdrawn("study"))
    serving.cases.objects_deleted("study")
    assert hand(serving, events.made(prediction_id_of("case", events.digest("a"), SETTINGS.digest))) == []
    assert serving.cases.objects_to_delete() == ["study"]


def test_other_studies_are_left_alone(serving, events):
    hand(serving, events.study("study", "case"), events.study("other", "other-case"), m.StudyWithdrawn("study"))
    assert [p.case_id for p in serving.predictions.rows.values()] == ["other-case"]
