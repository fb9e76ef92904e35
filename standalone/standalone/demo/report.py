"""What a demo brought, as numbers: a pure function of stored events, stored objects and the expert masks.

Nothing here asks a service or remembers anything, so a test recomputes every number from what is stored, and the report
can be made again at any time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radloop.imaging import dice, read_nifti
from standalone.demo.answers import ReadingOf, planted_error
from standalone.demo.estimates import Estimate, by_patient, estimate
from standalone.demo.facts import Facts, enum_word, scores

# Fetches an object by its reference in an event.
Fetch = Callable[[Any], bytes]


@dataclass(frozen=True)
class ModelRow:
    """One trained model.

    Attributes
    ----------
    number
        Round whose labels it learned from; 0 for the first model.
    model_digest
        Which one.
    labelled_patients
        Patients with a training label.
    dice
        Dice on the test patients by segment name.
    mean_dice
        Mean over the segments of each test patient.
    outcome
        "serving" or "kept" (the one before serves on) or "load-failed"; "" while undecided.
    duration_s
        Seconds of training.
    """

    number: int
    model_digest: str
    labelled_patients: int
    dice: dict[str, Estimate]
    mean_dice: Estimate
    outcome: str
    duration_s: float


@dataclass(frozen=True)
class RoundRow:
    """One round of mining.

    Attributes
    ----------
    number
        From 1.
    pool, batch
        Eligible cases, and cases flagged.
    mined, control
        Dice of the model's prediction before correction against the approved label, mean over segments, by arm.
    mined_dice, control_dice
        The same, case by case, in the order of the batch.
    worst_count
        Number of cases in the worst decile of the pool by Dice of the prediction against the expert mask.
    worst_flagged
        How many of those were flagged.
    by_chance
        How many a random batch of the same size would have flagged on average.
    """

    number: int
    pool: int
    batch: int
    mined: Estimate
    control: Estimate
    mined_dice: tuple[float, ...]
    control_dice: tuple[float, ...]
    worst_count: int
    worst_flagged: int
    by_chance: float


@dataclass(frozen=True)
class QualityRow:
    """What quality control did with the readers' submissions."""

    errors: int
    errors_returned: int
    clean: int
    clean_returned: int
    second_readings: int
    adjudications: int
    errors_by_kind: dict[str, tuple[int, int]]
    """Kind -> (planted, returned)."""


@dataclass(frozen=True)
class Report:
    """All numbers of a demo."""

    seed: int
    said: str
    attribution: str
    models: tuple[ModelRow, ...]
    rounds: tuple[RoundRow, ...]
    quality: QualityRow
    serving: ModelRow | None


def make_report(
    facts: Facts,
    fetch: Fetch,
    experts: Callable[[str], np.ndarray],
    *,
    seed: int,
    error_share: float,
    segments: Mapping[int, str],
    said: str,
    attribution: str,
) -> Report:
    """Compute every number of a demo.

    Parameters
    ----------
    facts
        The project's events.
    fetch
        Gives the bytes behind an object reference.
    experts
        Gives the expert mask of a case: uint8, axes (i, j, k).
    seed, error_share
        What the simulated readers were started with.
    segments
        Name of each segment by value.
    said, attribution
        Where the images come from, and what their licence asks to be written beside them.
    """
    models = tuple(_model_row(number, model, facts, segments) for number, model in enumerate(facts.models()))
    numbers = sorted({number for number in facts.round_numbers().values() if number > 0})
    return Report(
        seed=seed,
        said=said,
        attribution=attribution,
        models=models,
        rounds=tuple(_round_row(number, facts, fetch, experts, segments) for number in numbers),
        quality=_quality_row(facts, seed, error_share),
        serving=_serving(facts, models),
    )


def mined_minus_control(rounds: Sequence[RoundRow]) -> float:
    """Pool the difference of the two arms over the rounds, each weighted by ``n_m * n_c / (n_m + n_c)``; NaN for none.

    Each round has its own model and pool, so only differences within a round may be averaged.
    """
    usable = [row for row in rounds if row.mined.count and row.control.count]
    weights = [row.mined.count * row.control.count / (row.mined.count + row.control.count) for row in usable]
    if not usable:
        return math.nan
    return float(np.average([row.mined.mean - row.control.mean for row in usable], weights=weights))


def _model_row(number: int, model: Any, facts: Facts, segments: Mapping[int, str]) -> ModelRow:
    outcomes = {event.candidate_digest: enum_word(event, "outcome") for event in reversed(facts.outcomes())}
    return ModelRow(
        number=number,
        model_digest=model.model_digest,
        labelled_patients=model.train_patient_count,
        dice={name: estimate(by_patient(model.test_dice, value)) for value, name in segments.items()},
        mean_dice=estimate(by_patient(model.test_dice)),
        outcome=outcomes.get(model.model_digest, ""),
        duration_s=model.duration_s,
    )


def _serving(facts: Facts, models: tuple[ModelRow, ...]) -> ModelRow | None:
    deployed = facts.of("model-deployed")
    if not deployed:
        return None
    serving = max(deployed, key=lambda event: event.sequence).serving_digest
    return next((model for model in models if model.model_digest == serving), None)


def pool_of_round(facts: Facts, number: int) -> list[str]:
    """Return the cases that were eligible in a round: training cases without a label approved before it."""
    rounds = facts.round_numbers()
    before = {
        event.case_id
        for event in facts.of("label-approved")
        if not event.round_id or rounds.get(event.round_id, 0) < number
    }
    return sorted(
        case_id
        for case_id, (study, _) in facts.cases().items()
        if enum_word(study, "split") == "train" and case_id not in before
    )


def prediction_dice(
    facts: Facts,
    fetch: Fetch,
    experts: Callable[[str], np.ndarray],
    model_digest: str,
    cases: Sequence[str],
    segments: Mapping[int, str],
) -> dict[str, float]:
    """Compare a model's predictions with the expert masks: mean Dice over the segments, by case.

    A case the model failed on counts as 0; one it was not asked about is left out.
    """
    made = {event.case_id: event for event in facts.of("prediction-made") if event.model_digest == model_digest}
    failed = {event.case_id for event in facts.of("prediction-failed") if event.model_digest == model_digest}
    found = {}
    for case_id in cases:
        if case_id in made:
            mask, expert = read_nifti(fetch(made[case_id].mask)).array, experts(case_id)
            found[case_id] = float(np.mean([dice(mask, expert, value) for value in segments]))
        elif case_id in failed:
            found[case_id] = 0.0
    return found


def _round_row(
    number: int,
    facts: Facts,
    fetch: Fetch,
    experts: Callable[[str], np.ndarray],
    segments: Mapping[int, str],
) -> RoundRow:
    flags = facts.flagged(number)
    pool = pool_of_round(facts, number)
    before = prediction_dice(facts, fetch, experts, flags[0].model_digest, pool, segments)
    worst = sorted(before, key=lambda case_id: (before[case_id], case_id))[: math.ceil(0.1 * len(before))]
    batch = {flag.case_id for flag in flags}
    mined, control = (tuple(_corrected(facts, flags, arm, segments)) for arm in ("mined", "control"))
    return RoundRow(
        number=number,
        pool=len(pool),
        batch=len(batch),
        mined=estimate(mined),
        control=estimate(control),
        mined_dice=mined,
        control_dice=control,
        worst_count=len(worst),
        worst_flagged=len(batch.intersection(worst)),
        by_chance=len(worst) * len(batch) / len(pool) if pool else math.nan,
    )


def _corrected(facts: Facts, flags: Sequence[Any], arm: str, segments: Mapping[int, str]) -> list[float]:
    """Collect the Dice before correction of one arm of a round, mean over segments, as the approvals tell it."""
    approved: dict[str, Any] = {}
    for event in sorted(facts.of("label-approved"), key=lambda event: event.sequence):
        approved[event.case_id] = event
    values = []
    for flag in flags:
        if enum_word(flag, "arm") != arm or flag.case_id not in approved:
            continue
        named = scores(approved[flag.case_id].prediction_dice)
        measured = [named[f"dice-segment-{value}"] for value in segments if f"dice-segment-{value}" in named]
        if measured:
            values.append(float(np.mean(measured)))
    return values


def _quality_row(facts: Facts, seed: int, error_share: float) -> QualityRow:
    returned = facts.returned_versions()
    kinds: dict[str, list[int]] = {}
    clean = clean_returned = second = adjudications = 0
    for event in facts.of("label-submitted"):
        if enum_word(event, "source") != "reader":
            continue
        reading = enum_word(event, "reading")
        second += reading == "second" and event.attempt == 1
        adjudications += reading == "adjudication" and event.attempt == 1
        went_back = event.label_version_id in returned
        error = planted_error(seed, error_share, ReadingOf(event.case_id, reading, event.attempt))
        if error is None:
            clean += 1
            clean_returned += went_back
        else:
            counts = kinds.setdefault(error.value, [0, 0])
            counts[0] += 1
            counts[1] += went_back
    return QualityRow(
        errors=sum(counts[0] for counts in kinds.values()),
        errors_returned=sum(counts[1] for counts in kinds.values()),
        clean=clean,
        clean_returned=clean_returned,
        second_readings=second,
        adjudications=adjudications,
        errors_by_kind={kind: (counts[0], counts[1]) for kind, counts in sorted(kinds.items())},
    )
