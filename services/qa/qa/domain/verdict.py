"""The rules: from what the checks and the other readers say to what becomes of a label and its review."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qa.domain.agreement import SegmentAgreement, readers_agree
from qa.domain.findings import ReturnReason, Severity, reasons
from qa.domain.model import Doubt, LabelSource, LabelVersion, Outcome, Reading, Step

FORMAL = frozenset({ReturnReason.GEOMETRY, ReturnReason.UNKNOWN_VALUE})
"""Faults that no second opinion heals: such a label could not be trained on."""
ADJUDICATOR_FAULTS = FORMAL | {ReturnReason.EMPTY, ReturnReason.MISSING_SEGMENT}
"""What even an adjudicator's label goes back for. The other checks are opinions, and the adjudicator's counts more."""

LOW_DICE = 0.5
"""Mean Dice with the prediction below which a label gets a second reader while little is known of the project."""
LOW_DICE_CEILING = 0.6
"""Never doubted above this, however good the model is on the other cases."""
LOW_DICE_POPULATION = 20
"""Approved labels with a prediction from which the worst tenth of them sets the limit."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a project and a site decide.

    Attributes
    ----------
    agreement_threshold : float
        Mean Dice of two readers below which an adjudicator decides.
    surface_limit_mm : float
        95 % surface distance of any segment above which two readers do not agree, whatever their Dice.
    """

    agreement_threshold: float
    surface_limit_mm: float

    def agree(self, agreement: Sequence[SegmentAgreement]) -> bool:
        """Whether two labels say the same."""
        return readers_agree(agreement, self.agreement_threshold, self.surface_limit_mm)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a label and its review.

    Attributes
    ----------
    step : Step
        Of the review.
    returned_for : tuple[ReturnReason, ...]
        With `Step.RETURN`.
    doubts : tuple[Doubt, ...]
        With every step that neither approves nor returns.
    approved : str
        Label version to approve, with `Step.APPROVE`.
    """

    step: Step
    returned_for: tuple[ReturnReason, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    approved: str = ""


def judge(
    label: LabelVersion,
    others: Sequence[LabelVersion],
    comparisons: Mapping[str, Sequence[SegmentAgreement]],
    rules: Rules,
    *,
    drawn: bool,
    low_dice: bool,
) -> Verdict:
    """Decide on a label whose checks are done.

    Parameters
    ----------
    label : LabelVersion
        With the findings of its checks.
    others : sequence of LabelVersion
        The other labels of its review, in order of arrival.
    comparisons : Mapping[str, sequence of SegmentAgreement]
        Agreement with other labels of the review, by label version.
    rules : Rules
    drawn : bool
        Whether the case is among those read twice.
    low_dice : bool
        See `unusually_low`.

    Notes
    -----
    A return reason sends a label back, but not twice for the same: a reader who insists gets a second reader instead. An
    import has no reader to insist or to be compared with, so a doubt about it is a reviewer's.
    """
    back = reasons(label.findings, Severity.RETURN)
    before = {reason for other in others if other.task_id == label.task_id for reason in other.returned_for}
    insisted = bool(back) and label.attempt > 1 and before.issuperset(back)
    doubtful = bool(reasons(label.findings, Severity.DOUBT))

    if label.source == LabelSource.IMPORT:
        if back:
            return Verdict(Step.RETURN, returned_for=back)
        return Verdict(Step.HOLD, doubts=(Doubt.FINDING,)) if doubtful else _approve(label)
    if label.reading == Reading.ADJUDICATION:
        back = tuple(reason for reason in back if reason in ADJUDICATOR_FAULTS)
        if not back:
            return _approve(label)
        return Verdict(Step.HOLD, doubts=(Doubt.INSISTED,)) if insisted else Verdict(Step.RETURN, returned_for=back)
    if back and not insisted:
        return Verdict(Step.RETURN, returned_for=back)
    if FORMAL.intersection(back):
        return Verdict(Step.HOLD, doubts=(Doubt.INSISTED,))
    if label.reading == Reading.SECOND:
        return _compare(label, back, others, comparisons, rules)
    if ReturnReason.REVIEWER in before or ReturnReason.DISAGREEMENT in before:
        return Verdict(Step.HOLD, doubts=(Doubt.SENT_BACK,))
    noticed = {Doubt.INSISTED: insisted, Doubt.FINDING: doubtful, Doubt.LOW_DICE: low_dice, Doubt.DRAWN: drawn}
    doubts = tuple(doubt for doubt, holds in noticed.items() if holds)
    return Verdict(Step.ASK_SECOND, doubts=doubts) if doubts else _approve(label)


def _approve(label: LabelVersion) -> Verdict:
    return Verdict(Step.APPROVE, approved=label.label_version_id)


def _compare(
    second: LabelVersion,
    second_back: tuple[ReturnReason, ...],
    others: Sequence[LabelVersion],
    comparisons: Mapping[str, Sequence[SegmentAgreement]],
    rules: Rules,
) -> Verdict:
    """Compare with the first reader: agreement approves the first label, unless only the second is without findings."""
    first = first_reading(others)
    if first is None:
        return Verdict(Step.HOLD, doubts=(Doubt.DISAGREEMENT,))
    if not rules.agree(comparisons.get(first.label_version_id, ())):
        return Verdict(Step.ASK_ADJUDICATION, doubts=(Doubt.DISAGREEMENT,))
    first_back = reasons(first.findings, Severity.RETURN)
    return _approve(second if first_back and not second_back else first)


def first_reading(labels: Sequence[LabelVersion]) -> LabelVersion | None:
    """Return the newest first reading that passed its checks, if any."""
    passed = [label for label in labels if label.reading == Reading.FIRST and label.outcome == Outcome.CHECKED]
    return passed[-1] if passed else None


def unusually_low(mean_prediction_dice: float | None, approved: Sequence[float]) -> bool:
    """Whether a label differs from the prediction more than approved labels of the project do.

    Then either the model is wrong on a case (what mining looks for) or the label is; a second reader tells. The limit is the
    lowest tenth of the approved labels' Dice, at most 0.6; 0.5 while there are fewer than 20.
    """
    if mean_prediction_dice is None:
        return False
    limit = LOW_DICE
    if len(approved) >= LOW_DICE_POPULATION:
        limit = min(LOW_DICE_CEILING, float(np.quantile(approved, 0.1)))
    return mean_prediction_dice < limit
