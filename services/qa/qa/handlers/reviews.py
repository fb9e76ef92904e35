"""Reviews: what opens and continues them, and what becomes of their labels."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from qa.domain.agreement import mean_dice, scores
from qa.domain.draw import drawn
from qa.domain.examination import Examination
from qa.domain.findings import ReturnReason
from qa.domain.gold import gold_review_id
from qa.domain.label import CaseGeometry
from qa.domain.messages import (
    ApproveReview,
    LabelSubmitted,
    PredictionMade,
    ProjectConfigured,
    RecordExamination,
    ReturnReview,
    StudyIngested,
    StudyWithdrawn,
)
from qa.domain.model import (
    TRANSITIONS,
    Doubt,
    LabelSource,
    LabelVersion,
    Outcome,
    Pin,
    Project,
    Reading,
    Review,
    ReviewState,
    Step,
)
from qa.domain.settlement import approval, request, returned, review_id_of, settle
from qa.domain.verdict import Rules, Verdict, first_reading, judge, unusually_low
from qa.handlers.gold import Policy, ask_for_gold, score_gold
from qa.ports import KnownCase, KnownPrediction, QaUnitOfWork
from radloop.errors import Conflict, Invalid, NotFound, NotYet
from radloop.messages import Message


def keep_project(message: ProjectConfigured, uow: QaUnitOfWork) -> list[Message]:
    """Keep a project's version; labels that waited for it are judged."""
    uow.projects.save(
        Project(
            message.project_id,
            message.project_version,
            message.segments,
            message.reading,
            message.members,
            message.overlapping_segments,
        )
    )
    uow.arrived(_project_token(message.project_id, message.project_version))
    return []


def keep_cases(message: StudyIngested, uow: QaUnitOfWork) -> list[Message]:
    """Keep how the cases of a study are sampled; labels that waited for them are judged."""
    if uow.withdrawn.contains(message.study_key):
        return []
    for case in message.cases:
        geometry = CaseGeometry(case.shape, case.affine_lps)
        uow.cases.save(KnownCase(case.case_id, message.study_key, message.project_id, message.split, geometry))
        uow.arrived(_case_token(case.case_id))
    return []


def keep_prediction(message: PredictionMade, uow: QaUnitOfWork) -> list[Message]:
    """Keep a prediction; a label that waits for it is picked up by the worker."""
    if not uow.withdrawn.contains(message.study_key):
        uow.cases.save_prediction(
            KnownPrediction(
                prediction_id=message.prediction_id,
                case_id=message.case_id,
                study_key=message.study_key,
                project_id=message.project_id,
                mask=message.mask,
                round_id=message.round_id,
            )
        )
    return []


def take_label(message: LabelSubmitted, uow: QaUnitOfWork) -> list[Message]:
    """Open a review for a label, or put it into the one it belongs to; the worker checks it.

    Raises
    ------
    NotYet
        When the project's version or the case is unknown, the label before it is not judged yet, or no review waits for
        this reading.
    """
    if uow.withdrawn.contains(message.study_key) or uow.labels.get(message.label_version_id):
        return []
    if uow.projects.get(message.project_id, message.project_version) is None:
        raise NotYet(_project_token(message.project_id, message.project_version))
    if uow.cases.get(message.case_id) is None:
        raise NotYet(_case_token(message.case_id))
    review = _review_of(message, uow)
    label = LabelVersion(
        label_version_id=message.label_version_id,
        review_id=review.review_id,
        task_id=message.task_id,
        case_id=message.case_id,
        study_key=message.study_key,
        project_id=message.project_id,
        project_version=message.project_version,
        reader=message.reader,
        source=message.source,
        reading=message.reading,
        mask=message.mask,
        segments=message.segments,
        started_from_model=message.started_from_model,
        attempt=message.attempt,
    )
    if review.state == ReviewState.APPROVED and message.reading in (Reading.SECOND, Reading.ADJUDICATION):
        uow.labels.save(replace(label, outcome=Outcome.UNNEEDED))
        return []
    if uow.reviews.get(review.review_id) is not None:
        review = review.step(Step.SUBMIT)
    uow.reviews.save(review)
    uow.labels.save(label)
    return []


def _review_of(message: LabelSubmitted, uow: QaUnitOfWork) -> Review:
    """Return the stored review a label belongs to, or a new one that is not stored yet."""
    known = uow.reviews.of_case(message.case_id)
    if message.reading in (Reading.FIRST, Reading.NONE):
        chain = message.task_id or message.label_version_id
        review_id = review_id_of(message.case_id, chain)
        review = next((item for item in known if item.review_id == review_id), None)
        if review is None:
            return Review(
                review_id=review_id,
                project_id=message.project_id,
                case_id=message.case_id,
                study_key=message.study_key,
                task_id=message.task_id,
                prediction_id=message.prediction_id or _prediction_before(message, uow),
                round_id=message.round_id,
                arm=message.arm,
            )
    else:
        review = _waiting_for(message, known, uow)
    if review.state == ReviewState.CHECKING:
        raise NotYet(_case_token(message.case_id))
    return review


def _prediction_before(message: LabelSubmitted, uow: QaUnitOfWork) -> str:
    """Return the prediction that a label drawn blind is to be measured against, or "" if there is none.

    Control cases name no prediction, lest their reader learns of one; the honest estimate needs their Dice most of all. Any
    model's prediction on a case without an approved label was made blind to that label.
    """
    if message.source == LabelSource.IMPORT or uow.approvals.sequence(message.case_id):
        return ""
    known = uow.cases.newest_prediction(message.case_id, message.round_id)
    return known.prediction_id if known else ""


def _waiting_for(message: LabelSubmitted, known: Sequence[Review], uow: QaUnitOfWork) -> Review:
    """Return the review that asked for a second reading or an adjudication.

    A gold case that is read twice by the rules as well: the reading counts there, as it is wanted more.
    """
    for review in known:
        if any(label.task_id == message.task_id for label in uow.labels.of_review(review.review_id)):
            return review
    asked = {
        Reading.SECOND: ReviewState.AWAITING_SECOND,
        Reading.ADJUDICATION: ReviewState.AWAITING_ADJUDICATION,
    }[message.reading]
    waiting = [review for review in known if review.state == asked]
    gold = gold_review_id(message.case_id, message.reader)
    if message.reading == Reading.SECOND:
        waiting += [review for review in known if (review.review_id, review.state) == (gold, ReviewState.AWAITING_GOLD)]
    known = [review for review in known if not review.gold_label]
    decided = [review for review in known if review.state == ReviewState.APPROVED]
    undecided = [review for review in known if review.state not in (ReviewState.APPROVED, ReviewState.CANCELLED)]
    if waiting:
        return waiting[0]
    if decided and not undecided:
        return decided[-1]
    raise NotYet(_case_token(message.case_id))


def record_examination(message: RecordExamination, uow: QaUnitOfWork, policy: Policy) -> list[Message]:
    """Decide what becomes of a label whose checks are done. A label that is gone or decided changes nothing."""
    label = uow.labels.get(message.label_version_id)
    if label is None or label.outcome != Outcome.CHECKING:
        return []
    uow.arrived(_case_token(label.case_id))
    review = _review(uow, label.review_id)
    if review.gold_label:
        compared = {comparison.label_version_id: comparison.segments for comparison in message.comparisons}
        score_gold(label, review, message.examination, compared.get(review.gold_label, ()), uow)
        return []
    return [*_decide(message, label, review, uow, policy), *ask_for_gold(label, uow, policy)]


def _decide(
    message: RecordExamination, label: LabelVersion, review: Review, uow: QaUnitOfWork, policy: Policy
) -> list[Message]:
    """Take the step that the rules say, and say what follows from it."""
    project = _project(uow, label)
    others = [
        other for other in uow.labels.of_review(review.review_id) if other.label_version_id != label.label_version_id
    ]
    agreements = {comparison.label_version_id: comparison.segments for comparison in message.comparisons}
    rules = Rules(project.reading.agreement_threshold, policy.surface_limit_mm)
    label = replace(label, outcome=Outcome.CHECKED)
    if message.examination is None:
        verdict = Verdict(Step.HOLD, doubts=(Doubt.UNREADABLE,))
    else:
        label = _examined(label, message.examination, own=message.prediction_id == review.prediction_id)
        dice = _mean([score.value for score in message.examination.prediction_dice])
        population = uow.approvals.population(label.project_id, label.case_id)
        verdict = judge(
            label,
            others,
            agreements,
            rules,
            drawn=drawn(label.case_id, project.reading.second_reading_share, policy.draw_key),
            low_dice=unusually_low(dice, population.prediction_dice),
        )
    first = first_reading(others)
    if label.reading == Reading.SECOND and first is not None and first.label_version_id in agreements:
        with_first = agreements[first.label_version_id]
        label = replace(label, agreement=scores(with_first), mean_agreement=mean_dice(with_first))
        uow.labels.save(replace(first, mean_agreement=mean_dice(with_first)))
    uow.labels.save(label)
    if verdict.step == Step.APPROVE:
        agreeing = {other for other, segments in agreements.items() if rules.agree(segments)}
        return _approve(uow, review, verdict.approved, verdict.step, agreeing | {label.label_version_id})
    if verdict.step == Step.RETURN:
        return _send_back(uow, review, label, verdict.step, verdict.returned_for)
    review = review.step(verdict.step, doubts=verdict.doubts)
    uow.reviews.save(review)
    asks = verdict.step in (Step.ASK_SECOND, Step.ASK_ADJUDICATION)
    return [request(review, uow.labels.of_review(review.review_id))] if asks else []


def _examined(label: LabelVersion, examination: Examination, *, own: bool) -> LabelVersion:
    """Put what was found into a label; Dice only with the review's own prediction, never with a later model's."""
    return replace(
        label,
        findings=examination.findings,
        measurement=examination.measurement,
        prediction_dice=examination.prediction_dice if own else (),
    )


def approve_review(message: ApproveReview, uow: QaUnitOfWork) -> list[Message]:
    """Approve a label by a reviewer's word, whatever the checks said.

    Raises
    ------
    NotFound
        No such review, or it has no such label.
    Conflict
        The label's checks are still running, it has another geometry, or the review is decided.
    """
    review = _review(uow, message.review_id)
    label = _chosen(uow, review, message.label_version_id)
    if label.measurement is None:
        raise Conflict(
            "label-unusable",
            expected="a label that could be read, in the geometry of its case",
            got="one that was not or is not",
            do="return it, or import another label",
        )
    uow.audit(message.reviewer, "approve-label", label.label_version_id)
    uow.arrived(_case_token(review.case_id))
    return _approve(uow, review, label.label_version_id, Step.REVIEWER_APPROVES, ())


def return_review(message: ReturnReview, uow: QaUnitOfWork) -> list[Message]:
    """Send a label back to its reader by a reviewer's word; the comment stays here.

    Raises
    ------
    NotFound
        No such review, or it has no such label, or none that the comment could be pinned to.
    Invalid
        The comment is pinned to a place outside of the image.
    Conflict
        A label is with its reader already, or the review is decided.
    """
    review = _review(uow, message.review_id)
    label = _chosen(uow, review, message.label_version_id)
    pin = message.pin
    if pin is not None:
        pin = replace(pin, label_version_id=pin.label_version_id or label.label_version_id)
        _check_pin(uow, review, pin)
    uow.audit(message.reviewer, "return-label", label.label_version_id)
    uow.arrived(_case_token(review.case_id))
    return _send_back(uow, review, label, Step.REVIEWER_RETURNS, (message.reason,), message.comment, pin)


def _check_pin(uow: QaUnitOfWork, review: Review, pin: Pin) -> None:
    _chosen(uow, review, pin.label_version_id)
    case = uow.cases.get(review.case_id)
    shape = case.geometry.shape if case else ()
    if len(pin.index) != len(shape) or not all(0 <= at < size for at, size in zip(pin.index, shape, strict=True)):
        raise Invalid(
            "pin-outside",
            expected=f"a voxel (i, j, k) below {tuple(shape)}",
            got=str(tuple(pin.index)),
            do="pin the comment to a slice of the case",
        )


def forget_study(message: StudyWithdrawn, uow: QaUnitOfWork) -> list[Message]:
    """Delete everything known of a study, statistics included, and refuse it from now on."""
    uow.withdrawn.forget(message.study_key)
    return []


def _approve(
    uow: QaUnitOfWork, review: Review, label_version_id: str, step: Step, agreeing: Collection[str]
) -> list[Message]:
    """Approve a label of a review and end the case's other reviews, whose tasks `labeling` closes."""
    labels = uow.labels.of_review(review.review_id)
    approved = next(label for label in labels if label.label_version_id == label_version_id)
    for label in settle(labels, label_version_id, agreeing):
        uow.labels.save(label)
    review = review.step(step, approved_label=label_version_id)
    uow.reviews.save(review)
    for other in uow.reviews.of_case(review.case_id):
        if (other.state, Step.CANCEL) in TRANSITIONS:
            uow.reviews.save(other.step(Step.CANCEL))
    case = uow.cases.get(review.case_id)
    assert case is not None, "a label is only taken when its case is known"
    sequence = uow.approvals.sequence(review.case_id) + 1
    mean = _mean([score.value for score in approved.prediction_dice])
    uow.approvals.save(approved, split=case.split, sequence=sequence, mean_prediction_dice=mean)
    return [approval(review, labels, approved, sequence)]


def _send_back(
    uow: QaUnitOfWork,
    review: Review,
    label: LabelVersion,
    step: Step,
    reasons: tuple[ReturnReason, ...],
    comment: str = "",
    pin: Pin | None = None,
) -> list[Message]:
    uow.reviews.save(review.step(step))
    uow.labels.save(replace(label, outcome=Outcome.RETURNED, returned_for=reasons, comment=comment, pin=pin))
    return [returned(label, reasons)]


def _chosen(uow: QaUnitOfWork, review: Review, label_version_id: str) -> LabelVersion:
    """Return the label a reviewer means: the one named, or the newest of the review."""
    labels = uow.labels.of_review(review.review_id)
    wanted = [label for label in labels if label_version_id in ("", label.label_version_id)]
    if not wanted:
        raise NotFound("label-unknown", expected="a label version of this review", got="another id")
    return wanted[-1]


def _review(uow: QaUnitOfWork, review_id: str) -> Review:
    review = uow.reviews.get(review_id)
    if review is None:
        raise NotFound(
            "review-unknown", expected="the id of a review", got="another id", do="list them: GET /v1/reviews"
        )
    return review


def _project(uow: QaUnitOfWork, label: LabelVersion) -> Project:
    """Return the newest version of a label's project: today's policy judges, whatever version the label was drawn in."""
    project = uow.projects.newest(label.project_id)
    assert project is not None, "a label is only taken when its project is known"
    return project


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _project_token(project_id: str, version: int) -> str:
    return f"project:{project_id}:{version}"


def _case_token(case_id: str) -> str:
    return f"case:{case_id}"
