"""The state table of a review, and the rules from findings and other readers to what becomes of a label."""

from dataclasses import replace
from itertools import product

import pytest

from qa.domain.agreement import SegmentAgreement
from qa.domain.findings import ReturnReason, Severity, finding, reasons
from qa.domain.model import (
    TRANSITIONS,
    Doubt,
    LabelSource,
    LabelVersion,
    Outcome,
    Reading,
    Review,
    ReviewState,
    Step,
)
from qa.domain.settlement import approval, request, settle
from qa.domain.verdict import Rules, Verdict, judge, unusually_low
from radloop.errors import IllegalTransition
from radloop.references import Arm, ObjectRef, Score

RULES = Rules(agreement_threshold=0.8, surface_limit_mm=10)
STRAY = finding(ReturnReason.STRAY_COMPONENT, Severity.RETURN, 1)
HOLES = finding(ReturnReason.HOLES, Severity.RETURN)
GEOMETRY = finding(ReturnReason.GEOMETRY, Severity.RETURN)
MISSING = finding(ReturnReason.MISSING_SEGMENT, Severity.RETURN, 2)
DOUBTFUL = finding(ReturnReason.VOLUME_OUTLIER, Severity.DOUBT, 1)

TABLE = """
                        submit   return   approve  ask-second ask-adjud. hold reviewer-approves reviewer-returns cancel    score-gold
checking                -        returned approved second     adjud.     held -                 -                -         gold-scored
returned                checking -        -        -          -          -    approved          -                cancelled    -
awaiting-second         checking -        -        -          -          -    approved          returned         cancelled    -
awaiting-adjudication   checking -        -        -          -          -    approved          returned         cancelled    -
held-for-reviewer       checking -        -        -          -          -    approved          returned         cancelled    -
approved                checking -        -        -          -          -    -                 -                -         -
cancelled               checking -        -        -          -          -    -                 -                -         -
awaiting-gold           checking -        -        -          -          -    -                 -                -         -
gold-scored             -        -        -        -          -          -    -                 -                -         -
"""
SHORT = {"second": "awaiting-second", "adjud.": "awaiting-adjudication", "held": "held-for-reviewer"}


def review(state: ReviewState = ReviewState.CHECKING) -> Review:
    return Review("review", "project", "case", "study", "task", "prediction", "round", Arm.MINED, state)


def label(name: str = "a", **changed) -> LabelVersion:
    values = {
        "label_version_id": name,
        "review_id": "review",
        "task_id": "task",
        "case_id": "case",
        "study_key": "study",
        "project_id": "project",
        "project_version": 1,
        "reader": f"reader-{name}",
        "source": LabelSource.READER,
        "reading": Reading.FIRST,
        "mask": ObjectRef("key", "digest", 1),
        "segments": (),
        "started_from_model": False,
        "attempt": 1,
        **changed,
    }
    return LabelVersion(**values)


def verdict(judged: LabelVersion, others=(), comparisons=None, *, drawn=False, low_dice=False) -> Verdict:
    return judge(judged, others, comparisons or {}, RULES, drawn=drawn, low_dice=low_dice)


def test_the_state_table_is_the_one_written_here():
    rows = TABLE.split("\n")[2:-1]
    cells = {ReviewState(row.split()[0]): row.split()[1:] for row in rows}
    assert set(cells) == set(ReviewState)
    for state, (at, step) in product(ReviewState, enumerate(Step)):
        expected = cells[state][at]
        if expected == "-":
            assert (state, step) not in TRANSITIONS
            with pytest.raises(IllegalTransition):
                review(state).step(step)
        else:
            after = review(state).step(step)
            assert after.state == SHORT.get(expected, expected)
            assert after.sequence == review(state).sequence + 1


def test_doubts_gather_and_are_not_doubled():
    once = review().step(Step.ASK_SECOND, doubts=(Doubt.DRAWN,))
    twice = once.step(Step.SUBMIT).step(Step.ASK_ADJUDICATION, doubts=(Doubt.DRAWN, Doubt.DISAGREEMENT))
    assert twice.doubts == (Doubt.DRAWN, Doubt.DISAGREEMENT)


def test_a_clean_first_label_is_approved():
    assert verdict(label()) == Verdict(Step.APPROVE, approved="a")


@pytest.mark.parametrize(
    ("findings", "drawn", "low_dice", "doubts"),
    [
        ((), True, False, (Doubt.DRAWN,)),
        ((), False, True, (Doubt.LOW_DICE,)),
        ((DOUBTFUL,), False, False, (Doubt.FINDING,)),
        ((DOUBTFUL,), True, True, (Doubt.FINDING, Doubt.LOW_DICE, Doubt.DRAWN)),
    ],
)
def test_a_doubtful_first_label_gets_a_second_reader(findings, drawn, low_dice, doubts):
    assert verdict(label(findings=findings), drawn=drawn, low_dice=low_dice) == Verdict(Step.ASK_SECOND, doubts=doubts)


def test_a_finding_sends_a_label_back_with_each_reason_once():
    said = verdict(label(findings=(STRAY, HOLES, STRAY, DOUBTFUL)), drawn=True)
    assert said == Verdict(Step.RETURN, returned_for=(ReturnReason.STRAY_COMPONENT, ReturnReason.HOLES))
    assert reasons((STRAY, HOLES, STRAY), Severity.RETURN) == said.returned_for


def test_a_reader_who_insists_gets_a_second_reader_not_the_label_again():
    before = label("a", outcome=Outcome.RETURNED, returned_for=(ReturnReason.STRAY_COMPONENT, ReturnReason.HOLES))
    again = label("b", attempt=2, findings=(STRAY,))
    assert verdict(again, [before]) == Verdict(Step.ASK_SECOND, doubts=(Doubt.INSISTED,))
    other = label("b", attempt=2, findings=(STRAY, MISSING))
    assert verdict(other, [before]).step == Step.RETURN  # a new reason: back once more
    elsewhere = replace(before, task_id="task-of-somebody-else")
    assert verdict(again, [elsewhere]).step == Step.RETURN


def test_a_fault_no_reader_can_judge_goes_to_a_reviewer_in_the_end():
    before = label("a", outcome=Outcome.RETURNED, returned_for=(ReturnReason.GEOMETRY,))
    again = label("b", attempt=2, findings=(GEOMETRY,))
    assert verdict(again, [before]) == Verdict(Step.HOLD, doubts=(Doubt.INSISTED,))


def test_what_a_reviewer_sent_back_goes_to_a_reviewer():
    before = label("a", outcome=Outcome.RETURNED, returned_for=(ReturnReason.REVIEWER,))
    assert verdict(label("b", attempt=2), [before]) == Verdict(Step.HOLD, doubts=(Doubt.SENT_BACK,))


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ((), Verdict(Step.APPROVE, approved="a")),
        ((MISSING,), Verdict(Step.RETURN, returned_for=(ReturnReason.MISSING_SEGMENT,))),
        ((DOUBTFUL,), Verdict(Step.HOLD, doubts=(Doubt.FINDING,))),
    ],
)
def test_imports(findings, expected):
    imported = label(source=LabelSource.IMPORT, reading=Reading.NONE, task_id="", findings=findings)
    assert verdict(imported, drawn=True, low_dice=True) == expected


def agreement(dice: float, distance_mm: float = 1.0) -> tuple[SegmentAgreement, ...]:
    return (SegmentAgreement(1, dice, distance_mm),)


SECOND = label("b", reading=Reading.SECOND, task_id="task-2")
FIRST = label("a", outcome=Outcome.CHECKED)


@pytest.mark.parametrize(
    ("first", "second", "compared", "expected"),
    [
        (FIRST, SECOND, agreement(0.8), Verdict(Step.APPROVE, approved="a")),
        (FIRST, SECOND, agreement(0.79), Verdict(Step.ASK_ADJUDICATION, doubts=(Doubt.DISAGREEMENT,))),
        (FIRST, SECOND, agreement(0.9, 11), Verdict(Step.ASK_ADJUDICATION, doubts=(Doubt.DISAGREEMENT,))),
        # The first reader insisted on a stray component; the second agrees, without one: theirs is better supported.
        (replace(FIRST, findings=(STRAY,)), SECOND, agreement(0.9), Verdict(Step.APPROVE, approved="b")),
        # A second reader who has it too supports the first.
        (
            replace(FIRST, findings=(STRAY,)),
            replace(SECOND, findings=(STRAY,), attempt=2),
            agreement(0.9),
            Verdict(Step.APPROVE, approved="a"),
        ),
        (FIRST, replace(SECOND, findings=(STRAY,)), agreement(0.9), Verdict(Step.RETURN, (STRAY.reason,))),
    ],
)
def test_two_readers(first, second, compared, expected):
    before = label("b0", task_id="task-2", outcome=Outcome.RETURNED, returned_for=(STRAY.reason,))
    others = [first, before] if second.attempt > 1 else [first]
    assert verdict(second, others, {"a": compared}, drawn=True, low_dice=True) == expected


def test_a_second_reading_without_a_first_is_for_a_reviewer():
    assert verdict(SECOND).step == Step.HOLD


def test_a_second_reading_that_could_not_be_compared_is_a_disagreement():
    assert verdict(SECOND, [FIRST]).step == Step.ASK_ADJUDICATION


@pytest.mark.parametrize(
    ("findings", "attempt", "expected"),
    [
        ((), 1, Verdict(Step.APPROVE, approved="c")),
        ((STRAY, DOUBTFUL), 1, Verdict(Step.APPROVE, approved="c")),  # opinions, and the adjudicator's counts more
        ((MISSING,), 1, Verdict(Step.RETURN, returned_for=(ReturnReason.MISSING_SEGMENT,))),
        ((STRAY, MISSING), 2, Verdict(Step.HOLD, doubts=(Doubt.INSISTED,))),
    ],
)
def test_adjudication(findings, attempt, expected):
    before = label("c0", task_id="task-3", outcome=Outcome.RETURNED, returned_for=(MISSING.reason, STRAY.reason))
    judged = label("c", reading=Reading.ADJUDICATION, task_id="task-3", findings=findings, attempt=attempt)
    assert verdict(judged, [before] if attempt > 1 else [], drawn=True, low_dice=True) == expected


@pytest.mark.parametrize(
    ("dice", "approved", "expected"),
    [
        (None, [], False),
        (0.49, [], True),
        (0.50, [], False),
        (0.49, [0.1] * 19, True),  # too few to say
        (0.49, [0.1] * 20, False),  # a hard project
        (0.62, [0.9] * 20, False),  # never doubted above 0.6
        (0.59, [0.9] * 20, True),
    ],
)
def test_a_low_dice_is_one_that_is_low_for_the_project(dice, approved, expected):
    assert unusually_low(dice, approved) is expected


def test_an_approval_settles_the_labels_that_passed():
    labels = [
        label("back", outcome=Outcome.RETURNED),
        label("won", outcome=Outcome.CHECKED),
        label("near", outcome=Outcome.CHECKED),
        label("far", outcome=Outcome.CHECKED),
    ]
    changed = {item.label_version_id: item.outcome for item in settle(labels, "won", {"near"})}
    assert changed == {"won": Outcome.APPROVED, "near": Outcome.SUPPORTED, "far": Outcome.OVERRULED}


def test_an_approval_names_all_who_read_and_the_last_agreement():
    labels = [
        label("a0", reader="anna", outcome=Outcome.RETURNED),
        label("a", reader="anna", outcome=Outcome.APPROVED, prediction_dice=(Score("dice-segment-1", 0.5),)),
        label("b", reader="ben", agreement=(Score("dice-segment-1", 0.9),)),
        label("x", reader="late", outcome=Outcome.UNNEEDED),
    ]
    said = approval(review(), labels, labels[1], 3)
    assert said.readers == ("anna", "ben")
    assert said.agreement == (Score("dice-segment-1", 0.9),)
    assert (said.prediction_id, said.sequence, said.arm) == ("prediction", 3, Arm.MINED)
    assert approval(review(), labels, replace(labels[1], prediction_dice=()), 3).prediction_id == ""


def test_a_request_excludes_who_read_and_shows_labels_to_an_adjudicator_only():
    labels = [
        label("a0", reader="anna", outcome=Outcome.RETURNED),
        label("a", reader="anna", outcome=Outcome.CHECKED),
        label("b", reader="ben", outcome=Outcome.CHECKED),
    ]
    second = request(review(ReviewState.AWAITING_SECOND), labels[:2])
    third = request(review(ReviewState.AWAITING_ADJUDICATION), labels)
    assert (second.reading, second.excluded_readers, second.label_version_ids) == (Reading.SECOND, ("anna",), ())
    assert (third.reading, third.excluded_readers) == (Reading.ADJUDICATION, ("anna", "ben"))
    assert third.label_version_ids == ("a", "b")
    assert second.request_id != third.request_id
