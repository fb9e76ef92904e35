"""What the handlers and workers of this service need from outside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qa.domain.gold import GoldCase, GoldReading, ScoredReading
from qa.domain.label import CaseGeometry
from qa.domain.measurement import Population
from qa.domain.model import LabelVersion, Project, Review, ReviewState
from radloop.imaging import Volume
from radloop.messages import Envelope
from radloop.references import ObjectRef, Split
from radloop.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A case as `study-ingested` announced it."""

    case_id: str
    study_key: str
    project_id: str
    split: Split
    geometry: CaseGeometry


@dataclass(frozen=True, slots=True)
class KnownPrediction:
    """A prediction as `prediction-made` announced it."""

    prediction_id: str
    case_id: str
    study_key: str
    project_id: str
    mask: ObjectRef
    round_id: str


@dataclass(frozen=True, slots=True)
class ReaderScore:
    """What became of one reader's labels in one project.

    Attributes
    ----------
    reader : str
        Pseudonym.
    project_id : str
    submitted, returned, approved, supported, overruled : int
        Label versions by outcome; ``submitted`` counts all of them.
    mean_agreement : float or None
        Mean Dice with other readers over the cases read twice; None where there is none.
    """

    reader: str
    project_id: str
    submitted: int
    returned: int
    approved: int
    supported: int
    overruled: int
    mean_agreement: float | None


@dataclass(frozen=True, slots=True)
class ListedReview:
    """A review with what a queue shows of it.

    Attributes
    ----------
    review : Review
    created_at, changed_at : float
        When its first label came, and when it took its last step; seconds since the epoch, 0 if unknown.
    labels : tuple of LabelVersion
        All of the review, in order of arrival.
    """

    review: Review
    created_at: float
    changed_at: float
    labels: tuple[LabelVersion, ...]


class Order(StrEnum):
    """How reviews are listed."""

    ID = "id"
    NEWEST = "newest"
    PRIORITY = "priority"
    """What a reviewer can decide first, then what waits for a reader; of each, what waits longest."""


class Projects(Protocol):
    """Versions of projects."""

    def get(self, project_id: str, version: int) -> Project | None:
        """Return one version."""
        ...

    def newest(self, project_id: str) -> Project | None:
        """Return the newest version."""
        ...

    def save(self, project: Project) -> None:
        """Keep a version; the same again changes nothing."""
        ...


class Cases(Protocol):
    """Cases and predictions."""

    def get(self, case_id: str) -> KnownCase | None:
        """Return a case."""
        ...

    def save(self, case: KnownCase) -> None:
        """Keep a case."""
        ...

    def prediction(self, prediction_id: str) -> KnownPrediction | None:
        """Return a prediction."""
        ...

    def newest_prediction(self, case_id: str, round_id: str = "") -> KnownPrediction | None:
        """Return the prediction of a case that was heard of last; one that the round asked for comes before all others."""
        ...

    def save_prediction(self, prediction: KnownPrediction) -> None:
        """Keep a prediction; when it is said again, the round that asked last counts."""
        ...


class Reviews(Protocol):
    """Reviews."""

    def get(self, review_id: str) -> Review | None:
        """Return a review."""
        ...

    def of_case(self, case_id: str) -> Sequence[Review]:
        """Return the reviews of a case, oldest first."""
        ...

    def save(self, review: Review) -> None:
        """Keep a review."""
        ...

    def listed(self, review_id: str) -> ListedReview | None:
        """Return a review as a list shows it."""
        ...

    def page(
        self,
        project_id: str,
        *,
        states: Collection[ReviewState] = (),
        search: str = "",
        order: Order = Order.ID,
        after: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, Sequence[ListedReview]]:
        """Return how many reviews of a project there are, and a page of them.

        ``states`` empty: in any. ``search``: beginning of the case's or the review's id. ``after``: only ids behind this one,
        for who pages by id.
        """
        ...

    def counts(self, project_id: str | None) -> dict[str, int]:
        """Return how many reviews stand in each state."""
        ...


class Labels(Protocol):
    """Label versions."""

    def get(self, label_version_id: str) -> LabelVersion | None:
        """Return a label version."""
        ...

    def of_review(self, review_id: str) -> Sequence[LabelVersion]:
        """Return the labels of a review in order of arrival."""
        ...

    def save(self, label: LabelVersion) -> None:
        """Keep a label version."""
        ...

    def next_to_check(self, prediction_wait_s: float) -> LabelVersion | None:
        """Return the oldest label that waits for its checks.

        One whose prediction is announced but not heard of yet is left alone for so many seconds.
        """
        ...

    def cause(self, label_version_id: str) -> Envelope | None:
        """Return the envelope of the event that brought a label, so that what follows continues its story."""
        ...

    def scores(self, project_id: str) -> Sequence[ReaderScore]:
        """Return the score of every reader of a project."""
        ...


class Approvals(Protocol):
    """The newest approved label of each case."""

    def sequence(self, case_id: str) -> int:
        """Return how often a label of the case was approved."""
        ...

    def save(self, label: LabelVersion, *, split: Split, sequence: int, mean_prediction_dice: float | None) -> None:
        """Replace the case's approved label."""
        ...

    def population(self, project_id: str, without_case: str) -> Population:
        """Return the approved labels of a project without those of one case and of test cases."""
        ...


class Gold(Protocol):
    """Gold cases, and who was asked for them."""

    def get(self, case_id: str) -> GoldCase | None:
        """Return a gold case."""
        ...

    def of_project(self, project_id: str) -> Sequence[GoldCase]:
        """Return the gold cases of a project, in order of case id."""
        ...

    def unread(self, project_id: str, reader: str) -> Sequence[GoldCase]:
        """Return the gold cases that a reader made no label of and was not asked for, in order of case id."""
        ...

    def save(self, case: GoldCase) -> None:
        """Keep a gold case; it replaces what was kept of the case."""
        ...

    def drop(self, case_id: str) -> None:
        """Forget that a case is gold."""
        ...

    def reading(self, review_id: str) -> GoldReading | None:
        """Return the gold reading a review asked for."""
        ...

    def save_reading(self, reading: GoldReading) -> None:
        """Keep a gold reading; with its score, also when that was."""
        ...

    def scored(self, project_id: str) -> Sequence[ScoredReading]:
        """Return the gold readings of a project that have a score, oldest first."""
        ...

    def readers(self, project_id: str) -> Collection[str]:
        """Return the pseudonyms of all who are known to be able to read: a project's members, and who submitted a label."""
        ...


class Withdrawn(Protocol):
    """Studies that must stay forgotten."""

    def contains(self, study_key: str) -> bool:
        """Whether a study was withdrawn."""
        ...

    def forget(self, study_key: str) -> None:
        """Delete every row of a study and remember its key."""
        ...


class QaUnitOfWork(UnitOfWork, Protocol):
    """The transaction of this service."""

    projects: Projects
    cases: Cases
    reviews: Reviews
    labels: Labels
    approvals: Approvals
    gold: Gold
    withdrawn: Withdrawn


class Masks(Protocol):
    """Masks in the object store."""

    def load(self, ref: ObjectRef) -> Volume:
        """Read a mask: a label map (uint8) or segment bits (uint32).

        Raises
        ------
        PermanentError
            When it is not there, damaged or no mask.
        TemporaryError
            When the store is away.
        """
        ...
