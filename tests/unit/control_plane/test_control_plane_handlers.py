"""Messages in, facts out, on fakes."""

from dataclasses import replace

import pytest

from control_plane.domain import messages
from control_plane.domain.lineage import descendants, served_before
from control_plane.handlers import HANDLERS
from control_plane.ports import WishKind
from radloop.errors import Conflict, Invalid, NotFound
from radloop.references import Arm, CaseDice, ObjectRef, Score, Split
from radloop.testing import deliver

BUNDLE = ObjectRef("trainer/p/m.zip", "sha256:b", 5)
COMPARISON = messages.Comparison("", 0.0, 0.0, 0.0, 3, True)


def handle(uow, *said):
    return deliver(HANDLERS, uow, *said)


def configured(uow, settings, project_id="p"):
    return handle(uow, messages.ConfigureProject(project_id, settings, by="dora", by_site_admin=False))


def trained(digest, test=()):
    return messages.ModelTrained(
        "hippocampus", digest, "p", f"run-{digest}", 1, "d1", "plan", BUNDLE, 2, (), (), tuple(test), COMPARISON, 1.0
    )


def deployed(sequence, serving, candidate, outcome=messages.Deployment.SERVING, bundle=BUNDLE, wish=0):
    return messages.ModelDeployed("hippocampus", "p", serving, candidate, outcome, sequence, "", bundle, wish)


def test_a_project_is_said_when_it_changes(uow, settings):
    (first,) = configured(uow, settings)
    assert (first.project_id, first.project_version, first.segments) == ("p", 1, settings.segments)
    assert configured(uow, settings) == []
    (second,) = configured(uow, replace(settings, segments=settings.segments[:1]))
    assert second.project_version == 2
    assert uow.audit_entries == [("dora", "configure-project", "p/1"), ("dora", "configure-project", "p/2")]


def test_a_model_name_belongs_to_one_project(uow, settings):
    configured(uow, settings)
    with pytest.raises(Conflict, match="model-name-taken"):
        configured(uow, settings, project_id="q")


def test_wishes_are_numbered(uow, settings):
    configured(uow, settings)
    handle(uow, trained("m1"), deployed(1, "m1", "m1"), trained("m2"), deployed(2, "m2", "m2"))
    (promoted,) = handle(uow, messages.PromoteModel("p", "m2", by="dora"))
    (back,) = handle(uow, messages.RollBack("p", by="dora"))
    (none,) = handle(uow, messages.ServeNone("p", by="dora"))
    assert promoted == messages.ModelPromoted("hippocampus", "p", "m2", BUNDLE, 1)
    assert back == messages.ModelPromoted("hippocampus", "p", "m1", BUNDLE, 2)
    assert none == messages.ModelPromoted("hippocampus", "p", "", None, 3)
    assert [kind for _, kind, _ in uow.wishes.made] == [WishKind.PROMOTE, WishKind.ROLL_BACK, WishKind.SERVE_NONE]
    assert ("dora", "model-roll-back", "p/m1") in uow.audit_entries


def back(uow):
    (said,) = handle(uow, messages.RollBack("p", by="dora"))
    return said.model_digest


def test_going_back_undoes_the_newest_wish_whether_or_not_it_is_done(uow, settings):
    configured(uow, settings)
    handle(uow, *(trained(digest) for digest in ("m1", "m2", "m3")), deployed(1, "m1", "m1"), deployed(2, "m2", "m2"))
    handle(uow, messages.PromoteModel("p", "m3", by="dora"))
    assert back(uow) == "m2", "m3 is not loaded yet"
    overtaken = messages.Deployment.OVERTAKEN
    handle(uow, deployed(3, "m2", "m3", overtaken, wish=1), deployed(4, "m2", "m2", wish=2))
    assert back(uow) == "m1"
    assert back(uow) == "m2", "m1 is not loaded yet"
    handle(uow, deployed(5, "m2", "m1", overtaken, wish=3), deployed(6, "m2", "m2", wish=4))
    handle(uow, messages.ServeNone("p", by="dora"))
    assert back(uow) == "m2"


def test_going_back_counts_what_a_site_said_after_the_wish_as_done(uow, settings):
    configured(uow, settings)
    handle(uow, trained("m1"), trained("m2"), trained("m3"), deployed(1, "m1", "m1"), deployed(2, "m2", "m2"))
    handle(uow, messages.PromoteModel("p", "m1", by="dora"), deployed(3, "m1", "m1", wish=1))
    handle(uow, deployed(4, "m3", "m3"))
    assert back(uow) == "m1"


@pytest.mark.parametrize(
    "cmd",
    [
        messages.PromoteModel("p", "m1", by="dora"),
        messages.RollBack("p", by="dora"),
        messages.ServeNone("p", by="dora"),
        messages.RequestTraining("p", "r", by="dora"),
    ],
)
def test_nothing_is_wished_for_an_unknown_project(uow, cmd):
    with pytest.raises(NotFound, match="project-unknown"):
        handle(uow, cmd)


def test_an_unknown_model_is_not_promoted(uow, settings):
    configured(uow, settings)
    with pytest.raises(NotFound, match="model-unknown"):
        handle(uow, messages.PromoteModel("p", "m9", by="dora"))
    assert uow.wishes.made == []


def test_training_is_requested(uow, settings):
    configured(uow, settings)
    assert handle(uow, messages.RequestTraining("p", "r1", by="dora")) == [messages.TrainingRequested("r1", "p")]


def test_a_brought_model_can_be_promoted(uow, settings):
    configured(uow, settings)
    brought = ObjectRef("inference/p/brought.zip", "sha256:c", 9)
    handle(uow, deployed(1, "", "m7", messages.Deployment.IMPORTED, brought))
    (promoted,) = handle(uow, messages.PromoteModel("p", "m7", by="dora"))
    assert promoted.bundle == brought


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_dice_that_cannot_be_is_refused(uow, value):
    with pytest.raises(Invalid, match="dice-not-finite"):
        handle(uow, trained("m1", [CaseDice("c1", "a", 1, value)]))
    score = Score("dice-segment-1", value)
    source = messages.LabelSource.READER
    with pytest.raises(Invalid, match="dice-not-finite"):
        handle(uow, messages.LabelApproved("l1", "c1", "s1", "p", source, True, (score,), "r1", Arm.MINED, 1))
    assert uow.registry.bundles == {} and uow.rounds.kept == []


def test_the_newest_wait_of_a_run_is_kept(uow):
    wait = messages.TrainingWaiting("run-1", "p", 1, messages.TrainingWait.MACHINE, "0/1 nodes are available.", 7, 2)
    older = messages.TrainingWaiting("run-1", "p", 1, messages.TrainingWait.QUEUE, "", 7, 1)
    assert handle(uow, wait, older) == []
    assert uow.registry.runs["run-1"]["wait"] == wait


def about_study(key="s1", case="c1"):
    return [
        messages.StudyIngested(key, "site-1", "p", 1, "a", Split.TRAIN, (messages.Case(case),)),
        messages.PredictionMade("x", case, key, "p", "m1"),
        messages.PredictionFailed("y", case, key, "p", "m1", messages.PredictionFailure.UNREADABLE),
        messages.EdgeCaseFlagged("r1", 1, case, key, "p", Arm.MINED, 10, 2, "m1"),
        messages.LabelApproved("l1", case, key, "p", messages.LabelSource.READER, True, (), "r1", Arm.MINED, 1),
    ]


def test_a_withdrawn_study_does_not_come_back(uow):
    handle(uow, *about_study(), trained("m1", [CaseDice("c1", "a", 1, 0.5), CaseDice("c2", "b", 1, 0.9)]))
    assert len(uow.rounds.kept) == 4
    gone = messages.StudyWithdrawn("s1", "site-1", messages.WithdrawReason.CONSENT)
    for events in ([gone], about_study(), [gone], [trained("m1", [CaseDice("c1", "a", 1, 0.5)])]):
        handle(uow, *events)
        assert uow.rounds.kept == [] and uow.studies.studies == {}
    assert uow.registry.dice["p", "m1", "test"] == []


def test_a_case_learnt_of_after_the_withdrawal_is_forgotten_too(uow):
    handle(uow, trained("m1", [CaseDice("c1", "a", 1, 0.5)]))
    handle(uow, messages.StudyWithdrawn("s1", "site-1", messages.WithdrawReason.CONSENT))
    item = messages.DatasetItem("c1", "s1", "i", "l1", "m", 1.0, Split.TRAIN, None)
    handle(uow, messages.TrainingStarted("run-1", "p", "d1", "plan", (item,), 1, ""))
    assert uow.registry.dice["p", "m1", "test"] == []
    assert uow.registry.datasets["d1"] == (item,), "a person must see which versions contained it"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"s": ["a", "b"]}, "a"),
        ({"s": ["a", "b", "b", "b"]}, "a"),
        ({"s": ["a", "b", "a"]}, "b"),
        ({"s": ["a", ""]}, "a"),
        ({"s": ["a", "b", "c"], "t": ["b", "d"]}, "b"),
    ],
)
def test_what_served_before(history, expected):
    assert served_before(history) == expected


@pytest.mark.parametrize(
    ("history", "code"),
    [
        ({}, "no-earlier-model"),
        ({"s": []}, "no-earlier-model"),
        ({"s": ["a"]}, "no-earlier-model"),
        ({"s": ["", "a", "a"]}, "no-earlier-model"),
        ({"s": ["a", "b"], "t": ["c", "b"]}, "sites-differ"),
    ],
)
def test_when_nothing_served_before(history, code):
    with pytest.raises(Conflict, match=code):
        served_before(history)


def test_descendants_of_models():
    started_from = {"m1": "", "m2": "m1", "m3": "m2", "m4": "", "m5": "m4", "loop": "loop"}
    assert descendants(started_from, ["m1"]) == {"m2", "m3"}
    assert descendants(started_from, ["m4", "m3"]) == {"m5"}
    assert descendants(started_from, []) == set()
