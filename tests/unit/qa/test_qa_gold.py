"""Gold cases: who is asked for one and when, what becomes of the answer, and what a reader may know of it."""

from functools import partial

import pytest

from qa.domain.agreement import SegmentAgreement
from qa.domain.draw import first_drawn
from qa.domain.examination import Examination
from qa.domain.findings import ReturnReason, Severity, finding
from qa.domain.gold import GoldScore, ScoredReading, score_of, score_told_to
from qa.domain.label import Segment
from qa.domain.measurement import Measurement
from qa.domain.messages import (
    Comparison,
    DropGold,
    IngestedCase,
    LabelApproved,
    LabelSubmitted,
    NameGold,
    ProjectConfigured,
    ReadingRequested,
    RecordExamination,
    StudyIngested,
    StudyWithdrawn,
)
from qa.domain.model import LabelSource, Outcome, Reading, ReadingPolicy, ReviewState
from qa.handlers import HANDLERS, Policy, record_examination
from radloop.errors import Conflict, NotFound
from radloop.references import Arm, ObjectRef, Split
from radloop.testing import deliver

REF = ObjectRef("labeling/study/mask.nii", "sha256:0", 1)
CLEAN = Examination((), Measurement({}, None))
SLOPPY = Examination(
    (
        finding(ReturnReason.STRAY_COMPONENT, Severity.RETURN, 1),
        finding(ReturnReason.VOLUME_OUTLIER, Severity.DOUBT, 1),
    ),
    Measurement({}, None),
)
ALWAYS, NEVER = (
    {**HANDLERS, RecordExamination: partial(record_examination, policy=Policy(b"key", 10, share))} for share in (1, 0)
)


def study(case: str) -> StudyIngested:
    return StudyIngested(f"study-{case}", "project", Split.TRAIN, (IngestedCase(case, (4, 4, 4), (1.0,) * 16),))


def label(name: str, case: str, reader: str, reading: Reading = Reading.FIRST, **changed) -> LabelSubmitted:
    values = {
        "label_version_id": name,
        "task_id": f"task-{name}",
        "case_id": case,
        "study_key": f"study-{case}",
        "project_id": "project",
        "project_version": 1,
        "reader": reader,
        "source": LabelSource.READER,
        "reading": reading,
        "mask": REF,
        "segments": (),
        "started_from_model": False,
        "prediction_id": "",
        "round_id": "round-1",
        "arm": Arm.MINED,
        "attempt": 1,
        **changed,
    }
    return LabelSubmitted(**values)


def checked(name: str, examination: Examination | None = CLEAN, **dices: float) -> RecordExamination:
    comparisons = tuple(Comparison(other, (SegmentAgreement(1, dice, 1.0),)) for other, dice in dices.items())
    return RecordExamination(name, examination, "", comparisons)


@pytest.fixture
def gold(uow):
    """Case g, read by anna, is gold; ben has read nothing yet, carla reads elsewhere in the project."""
    deliver(NEVER, uow, ProjectConfigured("project", 1, (Segment(1, True),), False, ReadingPolicy(0, 0.8), ()))
    deliver(NEVER, uow, *(study(case) for case in "gcde"))
    deliver(NEVER, uow, label("g1", "g", "anna"), checked("g1"), label("e1", "e", "carla"), checked("e1"))
    deliver(NEVER, uow, NameGold("g", "g1", "lead"))
    return uow


def asked(uow, name: str = "c1", case: str = "c", **changed) -> list[ReadingRequested]:
    """Have ben read a case; return what is asked for then."""
    said = deliver(ALWAYS, uow, label(name, case, "ben", **changed), checked(name))
    return [message for message in said if isinstance(message, ReadingRequested)]


def test_who_reads_an_ordinary_case_is_asked_for_a_gold_one_that_looks_like_any_other(gold):
    said = deliver(ALWAYS, gold, label("c1", "c", "ben", round_id="round-2"), checked("c1"))
    approved, request = said
    assert isinstance(approved, LabelApproved) and isinstance(request, ReadingRequested)
    assert (request.case_id, request.study_key, request.reading) == ("g", "study-g", Reading.SECOND)
    assert set(request.excluded_readers) == {"anna", "carla"}
    # As any second reading of the case: no labels named, and in the round in which it was read first.
    assert (request.label_version_ids, request.round_id, request.arm) == ((), "round-1", Arm.MINED)
    assert gold.reviews.get(request.review_id).state == ReviewState.AWAITING_GOLD


def test_nobody_is_asked_twice_or_for_what_they_read(gold):
    (_,) = asked(gold)
    assert asked(gold, "d1", "d") == []
    assert deliver(ALWAYS, gold, checked("c1")) == []
    said = deliver(ALWAYS, gold, label("d2", "d", "anna"), checked("d2"))  # made the gold label
    assert [type(message) for message in said] == [LabelApproved]


def test_nobody_is_asked_without_a_share_a_gold_case_or_a_reader(gold):
    assert len(deliver(NEVER, gold, label("c1", "c", "ben"), checked("c1"))) == 1
    imported = {"task_id": "", "source": LabelSource.IMPORT, "reading": Reading.NONE}
    said = deliver(ALWAYS, gold, label("d1", "d", "", **imported), checked("d1"))
    assert [type(message) for message in said] == [LabelApproved]
    deliver(ALWAYS, gold, DropGold("g", "lead"))
    assert asked(gold, "d2", "d") == []


def test_the_answer_is_scored_and_nothing_else_becomes_of_it(gold):
    (request,) = asked(gold)
    answer = label("g2", "g", "ben", Reading.SECOND)
    assert deliver(ALWAYS, gold, answer) == []
    assert gold.reviews.get(request.review_id).state == ReviewState.CHECKING
    assert deliver(ALWAYS, gold, checked("g2", SLOPPY, g1=0.7), answer, checked("g2", g1=0.1)) == []
    review, kept = gold.reviews.get(request.review_id), gold.labels.get("g2")
    assert review.state == ReviewState.GOLD_SCORED
    assert gold.gold.reading(request.review_id).mean_dice == 0.7
    # What its reader may look at is what a second reading shows that an adjudicator is awaited for.
    assert (kept.outcome, kept.returned_for, kept.mean_agreement) == (Outcome.CHECKED, (), None)
    assert [item.severity for item in kept.findings] == [Severity.DOUBT]
    assert gold.approvals.rows["g"][0].label_version_id == "g1"


def test_an_answer_that_cannot_be_compared_has_no_score(gold):
    (request,) = asked(gold)
    assert deliver(ALWAYS, gold, label("g2", "g", "ben", Reading.SECOND), checked("g2", None)) == []
    assert gold.gold.reading(request.review_id).mean_dice is None
    assert gold.reviews.get(request.review_id).state == ReviewState.GOLD_SCORED


def test_a_second_reading_that_the_rules_ask_for_comes_before_the_gold_one(gold):
    (request,) = asked(gold)
    deliver(NEVER, gold, label("g3", "g", "carla", task_id="again"), checked("g3", SLOPPY))
    insisting = label("g4", "g", "carla", task_id="again", attempt=2)
    (second,) = deliver(NEVER, gold, insisting, checked("g4", SLOPPY))
    deliver(NEVER, gold, label("g5", "g", "ben", Reading.SECOND))
    assert gold.labels.get("g5").review_id == second.review_id
    assert gold.reviews.get(request.review_id).state == ReviewState.AWAITING_GOLD


def test_somebody_elses_second_reading_is_no_answer(gold):
    (request,) = asked(gold)
    assert deliver(ALWAYS, gold, label("g2", "g", "dora", Reading.SECOND)) == []
    assert gold.labels.get("g2").outcome == Outcome.UNNEEDED
    assert gold.reviews.get(request.review_id).state == ReviewState.AWAITING_GOLD


def test_a_gold_case_from_an_import_stands_in_the_round_of_the_reading_before_it(gold):
    imported = {"task_id": "", "source": LabelSource.IMPORT, "reading": Reading.NONE, "round_id": "", "arm": None}
    deliver(NEVER, gold, label("d1", "d", "", **imported), checked("d1"), DropGold("g", "lead"))
    deliver(NEVER, gold, NameGold("d", "d1", "lead"))
    (request,) = asked(gold, round_id="round-2", arm=Arm.CONTROL)
    assert (request.case_id, request.round_id, request.arm) == ("d", "round-2", Arm.CONTROL)


def test_only_an_approved_label_of_the_case_is_gold(gold):
    deliver(NEVER, gold, label("c1", "c", "ben"))
    for case, name, error in (("c", "c1", Conflict), ("c", "g1", NotFound), ("c", "nothing", NotFound)):
        with pytest.raises(error):
            deliver(NEVER, gold, NameGold(case, name, "lead"))
    with pytest.raises(NotFound):
        deliver(NEVER, gold, DropGold("c", "lead"))
    assert list(gold.gold.rows) == ["g"]


def test_a_withdrawn_study_is_gold_no_more(gold):
    asked(gold)
    deliver(ALWAYS, gold, StudyWithdrawn("study-g"))
    assert not gold.gold.rows and not gold.gold.readings
    assert deliver(ALWAYS, gold, label("g2", "g", "ben", Reading.SECOND)) == []
    with pytest.raises(NotFound):
        deliver(ALWAYS, gold, NameGold("g", "g1", "lead"))


def test_a_draw_takes_every_case_sometimes_and_repeats_itself():
    seeds = [f"label-{number}" for number in range(50)]
    drawn = [first_drawn("abc", seed, b"key") for seed in seeds]
    assert set(drawn) == set("abc") and drawn == [first_drawn("cab", seed, b"key") for seed in seeds]
    assert first_drawn((), "seed", b"key") is None


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ((), GoldScore(0, None)),
        ((1, 2), GoldScore(0, None)),
        ((1, 2, 3), GoldScore(3, 0.2)),
        ((1, 2, 5), GoldScore(0, None)),  # one is of today
        ((3, 1, 2, 4), GoldScore(3, 0.2)),  # the newest one waits for two more
    ],
)
def test_a_reader_is_told_the_own_score_in_groups_and_never_of_today(days, told):
    readings = [ScoredReading("ben", day * 86_400.0 + 1, day / 10) for day in days]
    score = score_told_to(readings, now=5 * 86_400.0 + 3600)
    assert score.gold_count == told.gold_count
    assert score.gold_mean_dice == (None if told.gold_mean_dice is None else pytest.approx(told.gold_mean_dice))
    assert score_of(readings).gold_count == len(days)
