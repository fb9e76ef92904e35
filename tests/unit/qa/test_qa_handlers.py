"""The handlers with everything outside faked: what they keep, what they say, what waits for what."""

from dataclasses import replace
from functools import partial
from itertools import permutations

import pytest

from qa.domain.agreement import SegmentAgreement
from qa.domain.examination import Examination
from qa.domain.findings import ReturnReason, Severity, finding
from qa.domain.label import Segment
from qa.domain.measurement import Measurement
from qa.domain.messages import (
    ApproveReview,
    Comparison,
    IngestedCase,
    LabelApproved,
    LabelReturned,
    LabelSubmitted,
    PredictionMade,
    ProjectConfigured,
    ReadingRequested,
    RecordExamination,
    ReturnReview,
    StudyIngested,
    StudyWithdrawn,
)
from qa.domain.model import LabelSource, Outcome, Reading, ReadingPolicy, ReviewState
from qa.handlers import HANDLERS, Policy, record_examination
from radloop.errors import Conflict, IllegalTransition, NotFound, NotYet
from radloop.references import Arm, ObjectRef, Score, Split
from radloop.testing import deliver

REF = ObjectRef("labeling/study/mask.nii", "sha256:0", 1)
POLICY = Policy(draw_key=b"key", surface_limit_mm=10)
TABLE = {**HANDLERS, RecordExamination: partial(record_examination, policy=POLICY)}
CLEAN = Examination((), Measurement({}, None), (Score("dice-segment-1", 0.9),))
STRAY = Examination((finding(ReturnReason.STRAY_COMPONENT, Severity.RETURN, 1),), Measurement({}, None))
STUDY = StudyIngested("study", "project", Split.TRAIN, (IngestedCase("case", (4, 4, 4), (1.0,) * 16),))
PREDICTION = PredictionMade("prediction", "case", "study", "project", REF, "round")


def project(share: float = 0.0, version: int = 1) -> ProjectConfigured:
    return ProjectConfigured("project", version, (Segment(1, True),), False, ReadingPolicy(share, 0.8), ())


def label(name: str = "a", **changed) -> LabelSubmitted:
    values = {
        "label_version_id": name,
        "task_id": "task",
        "case_id": "case",
        "study_key": "study",
        "project_id": "project",
        "project_version": 1,
        "reader": "anna",
        "source": LabelSource.READER,
        "reading": Reading.FIRST,
        "mask": REF,
        "segments": (),
        "started_from_model": False,
        "prediction_id": "",
        "round_id": "round",
        "arm": Arm.MINED,
        "attempt": 1,
        **changed,
    }
    return LabelSubmitted(**values)


def second(name: str = "b", **changed) -> LabelSubmitted:
    return label(name, **{"task_id": "task-2", "reader": "ben", "reading": Reading.SECOND, **changed})


def third(name: str = "c", **changed) -> LabelSubmitted:
    return label(name, **{"task_id": "task-3", "reader": "carla", "reading": Reading.ADJUDICATION, **changed})


def imported(name: str = "i", **changed) -> LabelSubmitted:
    changed = {"task_id": "", "reader": "", "source": LabelSource.IMPORT, "reading": Reading.NONE, **changed}
    return label(name, **changed)


def checked(name: str, examination: Examination | None = CLEAN, prediction_id: str = "", **dices: float):
    comparisons = tuple(Comparison(other, (SegmentAgreement(1, dice, 1.0),)) for other, dice in dices.items())
    return RecordExamination(name, examination, prediction_id, comparisons)


def only_review(uow):
    (review,) = uow.reviews.rows.values()
    return review


def test_a_label_opens_a_review_and_says_nothing_until_it_is_checked(uow):
    assert deliver(TABLE, uow, project(), STUDY, label()) == []
    assert only_review(uow).state == ReviewState.CHECKING
    (said,) = deliver(TABLE, uow, checked("a"))
    assert isinstance(said, LabelApproved) and said.label_version_id == "a"
    assert only_review(uow).state == ReviewState.APPROVED
    assert only_review(uow).approved_label == "a"


def test_whether_segments_overlap_is_kept_of_a_project(uow):
    deliver(TABLE, uow, project(), replace(project(), project_id="other", overlapping_segments=True))
    assert not uow.projects.newest("project").overlapping_segments
    assert uow.projects.newest("other").overlapping_segments


def test_what_a_label_refers_to_must_be_known(uow):
    with pytest.raises(NotYet) as early:
        deliver(TABLE, uow, label())
    assert early.value.token == "project:project:1"
    deliver(TABLE, uow, project())
    assert "project:project:1" in uow.arrived_tokens
    with pytest.raises(NotYet) as early:
        deliver(TABLE, uow, label())
    assert early.value.token == "case:case"
    deliver(TABLE, uow, STUDY)
    assert "case:case" in uow.arrived_tokens
    deliver(TABLE, uow, label())
    with pytest.raises(NotYet):
        deliver(TABLE, uow, label("z", project_version=2))


def test_the_same_label_is_judged_once(uow):
    deliver(TABLE, uow, project(), STUDY, label(), label())
    assert len(deliver(TABLE, uow, checked("a"), checked("a"), label(), checked("a"))) == 1
    assert deliver(TABLE, uow, checked("nobody")) == []


def test_a_return_keeps_the_review_and_the_task(uow):
    (back,) = deliver(TABLE, uow, project(), STUDY, label(), checked("a", STRAY))
    assert isinstance(back, LabelReturned)
    assert (back.task_id, back.reader, back.reasons) == ("task", "anna", (ReturnReason.STRAY_COMPONENT,))
    (said,) = deliver(TABLE, uow, label("a2", attempt=2), checked("a2"))
    assert said.review_id == back.review_id and said.readers == ("anna",)
    assert [item.outcome for item in uow.labels.rows.values()] == [Outcome.RETURNED, Outcome.APPROVED]


def test_an_insisting_reader_is_approved_when_a_second_agrees(uow):
    deliver(TABLE, uow, project(), STUDY, label(), checked("a", STRAY))
    (wanted,) = deliver(TABLE, uow, label("a2", attempt=2), checked("a2", STRAY))
    assert isinstance(wanted, ReadingRequested) and wanted.reading == Reading.SECOND
    assert wanted.excluded_readers == ("anna",)
    (back,) = deliver(TABLE, uow, second(), checked("b", STRAY, a2=0.9))
    assert back.reader == "ben"  # the second reader is asked to look again, too
    (said,) = deliver(TABLE, uow, second("b2", attempt=2), checked("b2", STRAY, a2=0.9))
    assert said.label_version_id == "a2" and said.readers == ("anna", "ben")
    assert said.agreement[0] == Score("dice-segment-1", 0.9)


def test_disagreement_goes_to_an_adjudicator_whose_label_is_approved(uow):
    deliver(TABLE, uow, project(share=1.0), STUDY, label(), checked("a"))
    (wanted,) = deliver(TABLE, uow, second(), checked("b", a=0.3))
    assert wanted.reading == Reading.ADJUDICATION and wanted.label_version_ids == ("a", "b")
    assert wanted.excluded_readers == ("anna", "ben")
    (said,) = deliver(TABLE, uow, third(), checked("c", a=0.4, b=0.95))
    assert said.label_version_id == "c" and said.readers == ("anna", "ben", "carla")
    assert said.agreement[0] == Score("dice-segment-1", 0.3)  # of the two blind readers
    outcomes = {name: item.outcome for name, item in uow.labels.rows.items()}
    assert outcomes == {"a": Outcome.OVERRULED, "b": Outcome.SUPPORTED, "c": Outcome.APPROVED}
    assert uow.labels.rows["a"].mean_agreement == uow.labels.rows["b"].mean_agreement == 0.3


def test_the_dice_that_is_said_is_that_of_the_reviews_own_prediction(uow):
    deliver(TABLE, uow, project(), STUDY, PREDICTION, label(prediction_id="prediction"))
    (said,) = deliver(TABLE, uow, checked("a", prediction_id="prediction"))
    assert said.prediction_id == "prediction" and said.prediction_dice == CLEAN.prediction_dice
    deliver(TABLE, uow, label("d", task_id="task-4"))
    (said,) = deliver(
        TABLE, uow, checked("d", prediction_id="prediction")
    )  # checked against a model's, but not its own
    assert said.prediction_id == "" and said.prediction_dice == ()


def test_a_label_drawn_blind_is_measured_against_its_rounds_prediction(uow):
    later = replace(PREDICTION, prediction_id="later", round_id="next round")
    deliver(TABLE, uow, project(), STUDY, PREDICTION, later, label(arm=Arm.CONTROL))
    (said,) = deliver(TABLE, uow, checked("a", prediction_id="prediction"))
    assert said.prediction_id == "prediction" and said.prediction_dice == CLEAN.prediction_dice


def test_an_import_is_measured_against_no_prediction(uow):
    deliver(TABLE, uow, project(), STUDY, PREDICTION, imported())
    (said,) = deliver(TABLE, uow, checked("i", prediction_id="prediction"))
    assert said.prediction_id == "" and said.prediction_dice == ()


def test_a_low_dice_asks_for_a_second_reader(uow):
    low = replace(CLEAN, prediction_dice=(Score("dice-segment-1", 0.3),))
    deliver(TABLE, uow, project(), STUDY, PREDICTION, label(prediction_id="prediction"))
    (wanted,) = deliver(TABLE, uow, checked("a", low, "prediction"))
    assert isinstance(wanted, ReadingRequested)


def test_the_newest_policy_judges(uow):
    deliver(TABLE, uow, project(), project(share=1.0, version=2), STUDY, label())
    (said,) = deliver(TABLE, uow, checked("a"))
    assert isinstance(said, ReadingRequested)


def test_an_approval_ends_the_cases_other_reviews_and_counts_up(uow):
    deliver(TABLE, uow, project(share=1.0), STUDY, label(), checked("a"))
    (said,) = deliver(TABLE, uow, imported(), checked("i"))
    assert said.sequence == 1
    states = [review.state for review in uow.reviews.rows.values()]
    assert states == [ReviewState.CANCELLED, ReviewState.APPROVED]
    # A label that was on its way is judged all the same.
    deliver(TABLE, uow, label("a2", attempt=2))
    (wanted,) = deliver(TABLE, uow, checked("a2"))
    assert isinstance(wanted, ReadingRequested)


def test_a_late_reading_of_a_decided_review_is_not_needed(uow):
    deliver(TABLE, uow, project(share=1.0), STUDY, label(), checked("a"))
    (said,) = deliver(TABLE, uow, ApproveReview(only_review(uow).review_id, "", "carla"))
    assert deliver(TABLE, uow, second()) == []
    assert uow.labels.rows["b"].outcome == Outcome.UNNEEDED
    assert said.readers == ("anna",)


def test_a_second_reading_waits_until_it_is_asked_for(uow):
    deliver(TABLE, uow, project(share=1.0), STUDY)
    for message in (second(), third()):
        with pytest.raises(NotYet) as early:
            deliver(TABLE, uow, message)
        assert early.value.token == "case:case"
    deliver(TABLE, uow, label())
    with pytest.raises(NotYet):
        deliver(TABLE, uow, second())  # the first is not checked yet
    uow.arrived_tokens.clear()
    deliver(TABLE, uow, checked("a"))
    assert uow.arrived_tokens == ["case:case"]
    deliver(TABLE, uow, second())
    with pytest.raises(NotYet):
        deliver(TABLE, uow, third())


def test_an_unreadable_label_is_held_and_cannot_be_approved(uow):
    deliver(TABLE, uow, project(), STUDY, label(), checked("a", None))
    review = only_review(uow)
    assert review.state == ReviewState.HELD_FOR_REVIEWER
    with pytest.raises(Conflict, match="label-unusable"):
        deliver(TABLE, uow, ApproveReview(review.review_id, "", "carla"))
    (back,) = deliver(TABLE, uow, ReturnReview(review.review_id, "", ReturnReason.REVIEWER, "again", "carla"))
    assert back.reasons == (ReturnReason.REVIEWER,)
    assert uow.labels.rows["a"].comment == "again"
    assert uow.audit_entries == [("carla", "return-label", "a")]  # what was refused is no decision


def test_a_reviewer_may_choose_between_labels_but_not_invent_one(uow):
    deliver(TABLE, uow, project(share=1.0), STUDY, label(), checked("a"), second(), checked("b", a=0.3))
    review = only_review(uow)
    with pytest.raises(NotFound):
        deliver(TABLE, uow, ApproveReview(review.review_id, "z", "carla"))
    with pytest.raises(NotFound):
        deliver(TABLE, uow, ApproveReview("z", "", "carla"))
    (said,) = deliver(TABLE, uow, ApproveReview(review.review_id, "a", "carla"))
    assert said.label_version_id == "a"
    assert uow.labels.rows["b"].outcome == Outcome.OVERRULED
    with pytest.raises(IllegalTransition):
        deliver(TABLE, uow, ReturnReview(review.review_id, "a", ReturnReason.REVIEWER, "", "carla"))


def test_while_the_checks_run_a_reviewer_waits(uow):
    deliver(TABLE, uow, project(), STUDY, label())
    with pytest.raises(Conflict):
        deliver(TABLE, uow, ApproveReview(only_review(uow).review_id, "", "carla"))


def test_a_returned_import_is_approved_by_a_reviewer(uow):
    (back,) = deliver(TABLE, uow, project(), STUDY, imported(), checked("i", STRAY))
    assert isinstance(back, LabelReturned) and back.task_id == "" and back.reader == ""
    (said,) = deliver(TABLE, uow, ApproveReview(back.review_id, "", "carla"))
    assert said.source == LabelSource.IMPORT and said.task_id == ""


def test_a_withdrawn_study_is_forgotten_and_refused(uow):
    deliver(TABLE, uow, project(), STUDY, PREDICTION, label(), StudyWithdrawn("study"))
    assert not uow.cases.rows and not uow.cases.predictions and not uow.reviews.rows and not uow.labels.rows
    assert deliver(TABLE, uow, STUDY, PREDICTION, label("z"), checked("a")) == []
    assert not uow.cases.rows and not uow.cases.predictions and not uow.labels.rows


class Parking:
    """Delivers as the consumer loop does: what comes too early waits for its token. Checks labels when none is left."""

    def __init__(self, uow) -> None:
        self.uow, self.parked, self.said = uow, [], []

    def deliver(self, message) -> None:
        try:
            self.said += deliver(TABLE, self.uow, message)
        except NotYet as early:
            self.parked.append((early.token, message))
        woken = [item for item in self.parked if item[0] in self.uow.arrived_tokens]
        self.uow.arrived_tokens.clear()
        self.parked = [item for item in self.parked if item not in woken]
        for _, message in woken:
            self.deliver(message)

    def check(self) -> None:
        while (waiting := self.uow.labels.next_to_check(60)) is not None:
            # Two readers who agree, whoever comes first.
            self.deliver(checked(waiting.label_version_id, prediction_id="prediction", a=0.9))


@pytest.mark.parametrize("order", list(permutations(range(5))))
@pytest.mark.parametrize("checking", ["at once", "at the end"])
def test_all_interleavings_end_in_the_same_approval(uow, order, checking):
    events = [project(share=1.0), STUDY, PREDICTION, label(prediction_id="prediction"), second()]
    parking = Parking(uow)
    for at in order:
        parking.deliver(events[at])
        if checking == "at once":
            parking.check()
    parking.check()
    assert not parking.parked
    assert [type(message) for message in parking.said] == [ReadingRequested, LabelApproved]
    said = parking.said[-1]
    assert (said.label_version_id, said.prediction_id, said.readers) == ("a", "prediction", ("anna", "ben"))
