"""Reviews and the labels in them: entities, closed sets and the state table.

A review is one case's way from a reader's first label to an approval: the first reading, what comes back after a return, a
second blind reading, an adjudication. An import is a review of its own, and so is a reader's reading of a gold case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from qa.domain.findings import Finding, ReturnReason
from qa.domain.label import Segment
from qa.domain.measurement import Measurement
from radloop.errors import IllegalTransition
from radloop.references import Arm, ObjectRef, Score, SegmentStatus

RULES_VERSION = "qa-rules-1"
"""Named in every approval; changes with any rule or limit of this service's domain."""


class LabelSource(StrEnum):
    """Where a label came from."""

    READER = "reader"
    IMPORT = "import"


class Reading(StrEnum):
    """Which reading a label answers."""

    FIRST = "first"
    SECOND = "second"
    """Blind to the first."""
    ADJUDICATION = "adjudication"
    NONE = "none"
    """An import."""


class Role(StrEnum):
    """What a member may do in a project."""

    READER = "reader"
    REVIEWER = "reviewer"
    PROJECT_LEAD = "project-lead"
    SITE_ADMIN = "site-admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Member:
    """A person's role in a project; the subject is the identity provider's."""

    subject: str
    role: Role


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """How a project's labels are checked.

    Attributes
    ----------
    second_reading_share : float
        Share of cases read twice, 0..1.
    agreement_threshold : float
        Mean Dice of two readers below which a third decides, 0..1.
    """

    second_reading_share: float
    agreement_threshold: float


@dataclass(frozen=True, slots=True)
class Project:
    """One version of a project, as far as labels are concerned.

    ``overlapping_segments``: its masks are segment bits; False in what was kept before such projects could be labelled.
    """

    project_id: str
    project_version: int
    segments: tuple[Segment, ...]
    reading: ReadingPolicy
    members: tuple[Member, ...]
    overlapping_segments: bool = False


class ReviewState(StrEnum):
    """Where a review stands."""

    CHECKING = "checking"
    """A label waits for its automatic checks."""
    RETURNED = "returned"
    """A reader has a label back."""
    AWAITING_SECOND = "awaiting-second"
    AWAITING_ADJUDICATION = "awaiting-adjudication"
    HELD_FOR_REVIEWER = "held-for-reviewer"
    """No rule decides; a reviewer approves or returns."""
    APPROVED = "approved"
    CANCELLED = "cancelled"
    """Another label of the case was approved meanwhile."""
    AWAITING_GOLD = "awaiting-gold"
    """A reader was asked for a gold case."""
    GOLD_SCORED = "gold-scored"
    """The reading of a gold case was compared; nothing else becomes of it."""


class Step(StrEnum):
    """What happens to a review."""

    SUBMIT = "submit"
    RETURN = "return"
    APPROVE = "approve"
    ASK_SECOND = "ask-second"
    ASK_ADJUDICATION = "ask-adjudication"
    HOLD = "hold"
    REVIEWER_APPROVES = "reviewer-approves"
    REVIEWER_RETURNS = "reviewer-returns"
    CANCEL = "cancel"
    SCORE_GOLD = "score-gold"


_OPEN = (
    ReviewState.RETURNED,
    ReviewState.AWAITING_SECOND,
    ReviewState.AWAITING_ADJUDICATION,
    ReviewState.HELD_FOR_REVIEWER,
)

TRANSITIONS: Mapping[tuple[ReviewState, Step], ReviewState] = {
    (ReviewState.CHECKING, Step.RETURN): ReviewState.RETURNED,
    (ReviewState.CHECKING, Step.APPROVE): ReviewState.APPROVED,
    (ReviewState.CHECKING, Step.ASK_SECOND): ReviewState.AWAITING_SECOND,
    (ReviewState.CHECKING, Step.ASK_ADJUDICATION): ReviewState.AWAITING_ADJUDICATION,
    (ReviewState.CHECKING, Step.HOLD): ReviewState.HELD_FOR_REVIEWER,
    **{(state, Step.SUBMIT): ReviewState.CHECKING for state in _OPEN},
    # A label that was on its way when the review ended is judged all the same; the newest approval of a case counts.
    (ReviewState.APPROVED, Step.SUBMIT): ReviewState.CHECKING,
    (ReviewState.CANCELLED, Step.SUBMIT): ReviewState.CHECKING,
    **{(state, Step.REVIEWER_APPROVES): ReviewState.APPROVED for state in _OPEN},
    (ReviewState.AWAITING_SECOND, Step.REVIEWER_RETURNS): ReviewState.RETURNED,
    (ReviewState.AWAITING_ADJUDICATION, Step.REVIEWER_RETURNS): ReviewState.RETURNED,
    (ReviewState.HELD_FOR_REVIEWER, Step.REVIEWER_RETURNS): ReviewState.RETURNED,
    **{(state, Step.CANCEL): ReviewState.CANCELLED for state in _OPEN},
    (ReviewState.AWAITING_GOLD, Step.SUBMIT): ReviewState.CHECKING,
    (ReviewState.CHECKING, Step.SCORE_GOLD): ReviewState.GOLD_SCORED,
}


class Doubt(StrEnum):
    """Why a label that was not returned is not approved at once either."""

    DRAWN = "drawn"
    """Its case is among those read twice."""
    FINDING = "finding"
    """An automatic check noticed something that is no reason to return it."""
    LOW_DICE = "low-dice"
    """It differs from the prediction more than labels usually do: the model is wrong, or the label."""
    INSISTED = "insisted"
    """Its reader submitted it again with the same finding."""
    SENT_BACK = "sent-back"
    """A reviewer had sent it back."""
    DISAGREEMENT = "disagreement"
    """Two readers differ."""
    UNREADABLE = "unreadable"
    """Its mask cannot be read from the object store."""


@dataclass(frozen=True, slots=True)
class Review:
    """One case's way to an approval.

    Attributes
    ----------
    review_id : str
    project_id, case_id, study_key : str
    task_id : str
        Task of the first reading; empty for an import.
    prediction_id : str
        Prediction the first reader started from or was offered, or the flag rested on; empty if none.
    round_id : str
    arm : Arm or None
    state : ReviewState
    doubts : tuple[Doubt, ...]
        Why more than the first reading is needed.
    approved_label : str
        Label version that was approved last; empty if none.
    sequence : int
        Grows by one with every step.
    gold_label : str
        Of a gold reading: the label version it is compared with; else empty.
    """

    review_id: str
    project_id: str
    case_id: str
    study_key: str
    task_id: str
    prediction_id: str
    round_id: str
    arm: Arm | None
    state: ReviewState = ReviewState.CHECKING
    doubts: tuple[Doubt, ...] = ()
    approved_label: str = ""
    sequence: int = 1
    gold_label: str = ""

    def step(self, step: Step, *, doubts: tuple[Doubt, ...] = (), approved_label: str = "") -> "Review":
        """Take a step of the state table.

        Raises
        ------
        IllegalTransition
            When the table has no such step from the present state.
        """
        if (self.state, step) not in TRANSITIONS:
            possible = ", ".join(sorted(known for state, known in TRANSITIONS if state == self.state))
            raise IllegalTransition(
                "review-step-impossible",
                expected=f"one of {possible} while the review is {self.state}",
                got=step,
                do="read the review again: something happened to it meanwhile",
            )
        return replace(
            self,
            state=TRANSITIONS[self.state, step],
            doubts=tuple(dict.fromkeys([*self.doubts, *doubts])),
            approved_label=approved_label or self.approved_label,
            sequence=self.sequence + 1,
        )


class Outcome(StrEnum):
    """What became of one label version."""

    CHECKING = "checking"
    CHECKED = "checked"
    """Passed; waits for another reader or a reviewer."""
    RETURNED = "returned"
    APPROVED = "approved"
    SUPPORTED = "supported"
    """Agrees with the label that was approved."""
    OVERRULED = "overruled"
    """The adjudicator or a reviewer took another one."""
    UNNEEDED = "unneeded"
    """Came when its review had been decided."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Where in an image a reviewer's comment belongs.

    Attributes
    ----------
    index : tuple of int
        Voxel (i, j, k) of the case, from 0; k is the slice.
    label_version_id : str
        The label that was looked at; empty while it is not decided, for the one that goes back.
    """

    index: tuple[int, int, int]
    label_version_id: str


@dataclass(frozen=True, slots=True)
class LabelVersion:
    """A submitted label inside its review. Fields up to ``attempt`` are those of the event.

    Attributes
    ----------
    outcome : Outcome
    findings : tuple[Finding, ...]
        Of the automatic checks.
    measurement : Measurement or None
        None before the checks and where the geometry is wrong.
    prediction_dice : tuple[Score, ...]
        Dice with the review's prediction; empty without one.
    agreement : tuple[Score, ...]
        Agreement with the other reader, for a second reading.
    mean_agreement : float or None
        Mean Dice with the other reader, or with the adjudicator where there was one.
    returned_for : tuple[ReturnReason, ...]
        Why it went back.
    comment : str
        A reviewer's words to its reader; they never leave the site's store.
    pin : Pin or None
        Where in the image the comment belongs.
    """

    label_version_id: str
    review_id: str
    task_id: str
    case_id: str
    study_key: str
    project_id: str
    project_version: int
    reader: str
    source: LabelSource
    reading: Reading
    mask: ObjectRef
    segments: tuple[SegmentStatus, ...]
    started_from_model: bool
    attempt: int
    outcome: Outcome = Outcome.CHECKING
    findings: tuple[Finding, ...] = ()
    measurement: Measurement | None = None
    prediction_dice: tuple[Score, ...] = ()
    agreement: tuple[Score, ...] = ()
    mean_agreement: float | None = None
    returned_for: tuple[ReturnReason, ...] = ()
    comment: str = ""
    pin: Pin | None = None
