"""New against serving model: paired per patient, on the same validation cases."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from radloop.references import CaseDice
from trainer.domain.messages import Comparison, PromotionPolicy

CONFIDENCE = 0.95


def compare(
    new: Iterable[CaseDice], serving: Iterable[CaseDice], *, serving_digest: str, policy: PromotionPolicy
) -> Comparison:
    """Decide whether a new model may replace the serving one.

    A patient's Dice is the mean over the patient's cases (and segments); the pairs are patients. The lower bound is that of
    the two-sided 95 % t interval of the mean difference. The rule is met when the bound is above the policy's margin and no
    segment loses more than its bound. With no serving model the new one passes; with one patient, or none at all, there is no
    interval, the bound is minus one, and it does not pass.

    Parameters
    ----------
    new, serving
        Dice of each model on each validation case and segment; ``serving`` is not looked at when none serves.
    serving_digest
        Digest of the serving model, empty if none serves.
    policy
        Margin and bound.

    Raises
    ------
    ValueError
        When the two lists are not about the same cases and segments.

    References
    ----------
    Student 1908, paired comparison; `selection.md`, section 10, on pairing by patient.
    """
    new_by, serving_by = _by_case(new), _by_case(serving)
    patients = {patient for patient, _, _ in new_by}
    if not serving_digest:
        return Comparison("", 0.0, 0.0, 0.0, len(patients), passes=True)
    if new_by.keys() != serving_by.keys():
        raise ValueError("the models were not measured on the same validation cases")
    if not patients:  # a person's request can start a run without validation labels: nothing is known of the model
        return Comparison(serving_digest, 0.0, -1.0, 0.0, 0, passes=False)
    per_patient: dict[str, list[float]] = defaultdict(list)
    per_segment: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for key, value in new_by.items():
        patient, _, segment = key
        difference = value - serving_by[key]
        per_patient[patient].append(difference)
        per_segment[segment][patient].append(difference)
    differences = np.array([np.mean(per_patient[patient]) for patient in sorted(per_patient)])
    mean = float(differences.mean())
    worst = min(float(np.mean([np.mean(d) for d in by_patient.values()])) for by_patient in per_segment.values())
    bound = _lower_bound(differences)
    return Comparison(
        serving_digest=serving_digest,
        mean_difference=mean,
        lower_bound=bound,
        worst_segment_difference=worst,
        patient_count=len(differences),
        passes=len(differences) > 1 and bound > policy.margin and worst >= -policy.segment_loss_bound,
    )


def _by_case(dice: Iterable[CaseDice]) -> dict[tuple[str, str, int], float]:
    return {(entry.patient_key, entry.case_id, entry.segment): entry.dice for entry in dice}


def _lower_bound(differences: np.ndarray) -> float:
    """Return the lower end of the t interval of the mean of ``differences``, shape ``(patients,)``."""
    count = len(differences)
    if count < 2:
        return -1.0
    error = float(differences.std(ddof=1)) / count**0.5
    # scipy.stats takes a second to import, and only comparisons need it.
    from scipy import stats

    return float(differences.mean()) - float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
