"""What the handlers need: repositories inside one transaction, a clock. The SQL side is `adapters/sql.py`.

Whatever runs once per event is one indexed look-up; only drawing a sample, composing a batch and reading a ledger go over a
whole pool, and those run in a worker or behind HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_miner.domain.batch import Line
from edge_miner.domain.model import Case, EntryState, Prediction, Project, Round
from edge_miner.domain.pool import PoolMember
from radloop import uow
from radloop.references import ObjectRef

Clock = Callable[[], float]
"""Seconds since the epoch. Measures how long the pool has been quiet, and dates rounds for people."""


@dataclass(frozen=True, slots=True)
class EligibleCase:
    """A case that may be flagged."""

    case_id: str
    study_key: str
    patient_key: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A case drawn into a round's sample, and where it stands."""

    case_id: str
    study_key: str
    patient_key: str
    state: EntryState


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One case of a round, as it is shown.

    Attributes
    ----------
    line : Line
        What the draw and the ranking made of it.
    scores, volumes : Mapping[str, float]
        What the round's model said when the batch was composed: scores (higher is worse) and volumes in mL.
    dice : Mapping[int, float]
        Dice of the round's prediction, before any correction, against the approved label, by segment; empty so far.
    """

    study_key: str
    patient_key: str
    state: EntryState
    line: Line
    scores: Mapping[str, float]
    volumes: Mapping[str, float]
    prediction_id: str
    dice: Mapping[int, float]
    started_from_model: bool


@dataclass(frozen=True, slots=True)
class MaskToExamine:
    """A prediction of an open round whose parts are still to be counted."""

    case_id: str
    model_digest: str
    prediction_id: str
    mask: ObjectRef


class Projects(Protocol):
    """Projects as configured, with what serves them."""

    def get(self, project_id: str) -> Project | None:
        """Return a project, or None."""
        ...

    def put(self, project: Project) -> None:
        """Keep a project, replacing what was kept."""
        ...

    def all(self) -> Sequence[Project]:
        """Return every project."""
        ...


class Cases(Protocol):
    """Every case heard of, and the studies that are to be forgotten."""

    def get(self, case_id: str) -> Case | None:
        """Return a case, or None."""
        ...

    def add(self, case: Case, now: float) -> None:
        """Keep a new case, giving it the next number; one that is there stays as it is."""
        ...

    def approve(self, case_id: str, study_key: str) -> None:
        """Remember that the case has an approved label, whether the case is known yet or not."""
        ...

    def approved(self, case_id: str) -> bool:
        """Whether the case ever had a label approved."""
        ...

    def open(self, case_ids: Sequence[str], round_id: str) -> None:
        """Mark cases as being before the readers."""
        ...

    def reopen_pool(self, round_id: str) -> None:
        """Give the cases a round flagged back to the pool."""
        ...

    def eligible(self, project_id: str) -> Sequence[EligibleCase]:
        """Return the cases that may be flagged, by ascending case id."""
        ...

    def eligible_by_patient(self, project_id: str, up_to_case: int) -> Mapping[str, int]:
        """Return the number of eligible cases of each patient, among cases numbered up to ``up_to_case``."""
        ...

    def eligible_count(self, project_id: str) -> int:
        """Return the number of cases that may be flagged."""
        ...

    def newest(self, project_id: str) -> tuple[int, float]:
        """Return number and time of arrival of the project's newest case; (0, 0.0) if it has none."""
        ...

    def withdraw(self, study_key: str) -> None:
        """Forget a study's cases and labels, and remember never to take them again."""
        ...

    def withdrawn(self, study_key: str) -> bool:
        """Whether a study is to stay forgotten."""
        ...


class Predictions(Protocol):
    """The newest prediction of each model on each case; kept while the case is."""

    def get(self, case_id: str, model_digest: str) -> Prediction | None:
        """Return a prediction, or None."""
        ...

    def put(self, prediction: Prediction) -> None:
        """Keep a prediction, replacing that of the same case and model."""
        ...

    def of_model(self, project_id: str, model_digest: str) -> Mapping[str, EntryState]:
        """Return where each case stands that the model has predicted on, by case id."""
        ...

    def forget_case(self, case_id: str) -> None:
        """Forget what any model said of a case."""
        ...

    def forget_study(self, study_key: str) -> None:
        """Forget what any model said of a study's cases."""
        ...


class Rounds(Protocol):
    """Rounds, newest last."""

    def get(self, round_id: str) -> Round | None:
        """Return a round, or None."""
        ...

    def put(self, each: Round) -> None:
        """Keep a round, replacing what was kept."""
        ...

    def collecting(self, project_id: str) -> Round | None:
        """Return the project's open round, or None."""
        ...

    def flagged(self, project_id: str) -> Sequence[Round]:
        """Return the rounds of models, and the cold start, whose batches are before the readers."""
        ...

    def last_number(self, project_id: str) -> int:
        """Return the highest number of a round that flagged something; 0 if none has."""
        ...

    def any_of(self, project_id: str) -> bool:
        """Whether the project ever had a round of a model or a cold start."""
        ...

    def open_rounds(self) -> Sequence[Round]:
        """Return every open round of every project."""
        ...

    def of_project(self, project_id: str) -> Sequence[Round]:
        """Return a project's rounds in the order they were opened."""
        ...


class Ledger(Protocol):
    """The cases of each round: awaited first, then with every number behind a flag."""

    def enter(self, round_id: str, entries: Sequence[NewEntry]) -> None:
        """Write down the cases of a new round."""
        ...

    def settle(self, round_id: str, case_id: str, state: EntryState) -> bool:
        """Note where a pending case stands now; return False for one that is not in the round or pending no more."""
        ...

    def leave(self, round_id: str, case_id: str) -> bool:
        """Note that a case is no longer eligible; return False for one that is not in the round."""
        ...

    def any_in(self, round_id: str, states: Sequence[EntryState]) -> bool:
        """Whether any case of the round stands in one of these states."""
        ...

    def to_ask(self, round_id: str, limit: int) -> Sequence[EligibleCase]:
        """Return cases whose prediction is still to be asked for, by ascending case id, and mark them as waiting."""
        ...

    def to_examine(self, round_id: str, limit: int) -> Sequence[MaskToExamine]:
        """Return predictions whose parts are still to be counted."""
        ...

    def pool(self, round_id: str) -> Sequence[PoolMember]:
        """Return the cases whose prediction is in or failed, with what the round's model said of them."""
        ...

    def record(self, round_id: str, lines: Sequence[Line], members: Mapping[str, PoolMember]) -> None:
        """Write the lines of the draw and the ranking, with the members' scores as they are now."""
        ...

    def label(self, case_id: str, prediction_id: str, dice: Mapping[int, float], started_from_model: bool) -> None:
        """Note, wherever a flag rests on this prediction, how well it agrees with the approved label."""
        ...

    def withdraw(self, study_key: str) -> None:
        """Take everything that is known of a study's cases out of every round; that they were there stays."""
        ...

    def counts(self, round_id: str) -> Mapping[EntryState, int]:
        """Return the number of cases by where they stand."""
        ...

    def flagged(self, round_id: str) -> Sequence[LedgerEntry]:
        """Return the flagged cases of a round by rank."""
        ...

    def entries(self, round_id: str) -> Sequence[LedgerEntry]:
        """Return the whole ledger of a round: flagged cases by rank, then the others by pool rank and case id."""
        ...


class UnitOfWork(uow.UnitOfWork, Protocol):
    """One transaction over everything this service owns, at ``site``."""

    site: str
    projects: Projects
    cases: Cases
    predictions: Predictions
    rounds: Rounds
    ledger: Ledger
