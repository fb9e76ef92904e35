"""New against serving model, with the numbers worked by hand."""

import math

import pytest

from radloop.references import CaseDice
from trainer.domain.comparison import compare
from trainer.domain.messages import Comparison, PromotionMode, PromotionPolicy

SERVING = "sha256:serving"
T_975 = {1: 12.706204736432095, 2: 4.302652729911275, 3: 3.182446305284263}
"""Quantiles of Student's t for 0.975, by degrees of freedom (any printed table)."""


def rows(values: dict[tuple[str, str, int], float]) -> tuple[CaseDice, ...]:
    return tuple(CaseDice(case, patient, segment, dice) for (patient, case, segment), dice in values.items())


def flat(*dice: float) -> tuple[CaseDice, ...]:
    """One patient, one case and one segment for each number."""
    return rows({(f"p{n}", f"c{n}", 1): value for n, value in enumerate(dice)})


def judged(new, serving, *, margin: float = 0.0, bound: float = 0.5, digest: str = SERVING) -> Comparison:
    return compare(new, serving, serving_digest=digest, policy=PromotionPolicy(PromotionMode.AUTOMATIC, margin, bound))


def test_the_lower_bound_worked_by_hand() -> None:
    # Differences 0.1, 0.2, 0.3, 0.4: mean 0.25, s = sqrt(0.05 / 3) = 0.1290994, s / sqrt(4) = 0.0645497.
    result = judged(flat(0.6, 0.7, 0.8, 0.9), flat(0.5, 0.5, 0.5, 0.5))
    assert result.mean_difference == pytest.approx(0.25)
    assert result.lower_bound == pytest.approx(0.25 - T_975[3] * math.sqrt(0.05 / 3) / 2)
    assert result.lower_bound == pytest.approx(0.0445741, abs=1e-6)
    assert (result.patient_count, result.serving_digest, result.passes) == (4, SERVING, True)


def test_patients_are_paired_not_cases() -> None:
    # p: two cases, +0.1 and +0.3, mean 0.2. q: one case, +0.4. Two patients, so one degree of freedom.
    new = rows({("p", "c1", 1): 0.6, ("p", "c2", 1): 0.8, ("q", "c3", 1): 0.9})
    serving = rows({("p", "c1", 1): 0.5, ("p", "c2", 1): 0.5, ("q", "c3", 1): 0.5})
    result = judged(new, serving)
    assert (result.patient_count, result.mean_difference) == (2, pytest.approx(0.3))
    # differences 0.2 and 0.4: s = sqrt(0.02), s / sqrt(2) = 0.1
    assert result.lower_bound == pytest.approx(0.3 - T_975[1] * 0.1)
    assert not result.passes


def test_the_order_of_rows_does_not_matter() -> None:
    new, serving = flat(0.6, 0.7, 0.9), flat(0.5, 0.4, 0.8)
    assert judged(new, serving) == judged(new[::-1], serving[1:] + serving[:1])


@pytest.mark.parametrize(("margin", "passes"), [(0.0445, True), (0.0446, False), (-0.1, True), (0.3, False)])
def test_the_bound_must_be_above_the_margin(margin: float, passes: bool) -> None:
    assert judged(flat(0.6, 0.7, 0.8, 0.9), flat(0.5, 0.5, 0.5, 0.5), margin=margin).passes is passes


def test_equal_models_do_not_pass_a_margin_of_zero_but_a_negative_one() -> None:
    same = flat(0.5, 0.6, 0.7)
    assert judged(same, same).lower_bound == 0.0
    assert not judged(same, same).passes
    assert judged(same, same, margin=-0.01).passes


@pytest.mark.parametrize(("bound", "passes"), [(0.05, False), (0.0999, False), (0.1001, True), (0.2, True)])
def test_no_segment_may_lose_more_than_its_bound(bound: float, passes: bool) -> None:
    # Segment 1 gains 0.4 and segment 2 loses 0.1 in each of three patients: +0.15 on average, without any spread.
    patients = ("p", "q", "r")
    new = rows({(p, p, s): {1: 0.9, 2: 0.4}[s] for p in patients for s in (1, 2)})
    serving = rows({(p, p, s): 0.5 for p in patients for s in (1, 2)})
    result = judged(new, serving, bound=bound)
    assert result.worst_segment_difference == pytest.approx(-0.1)
    assert result.lower_bound == pytest.approx(0.15)
    assert result.passes is passes


def test_the_segment_difference_is_a_mean_over_patients() -> None:
    # Segment 2 was looked for in one case of p (-0.3) and in two of q (0 and -0.2, mean -0.1): -0.2 over patients.
    new = rows({("p", "c1", 2): 0.2, ("q", "c2", 2): 0.5, ("q", "c3", 2): 0.3})
    serving = rows({("p", "c1", 2): 0.5, ("q", "c2", 2): 0.5, ("q", "c3", 2): 0.5})
    assert judged(new, serving).worst_segment_difference == pytest.approx(-0.2)


def test_with_no_serving_model_the_new_one_passes() -> None:
    result = judged(flat(0.1, 0.2), (), margin=0.9, digest="")
    assert result == Comparison("", 0.0, 0.0, 0.0, patient_count=2, passes=True)


def test_one_patient_gives_no_interval_and_no_promotion() -> None:
    result = judged(flat(1.0), flat(0.0), margin=0.0)
    assert (result.mean_difference, result.lower_bound, result.patient_count) == (1.0, -1.0, 1)
    assert not result.passes
    assert not judged(flat(1.0), flat(0.0), margin=-2.0).passes  # whatever margin a project sets


def test_a_serving_model_is_not_replaced_without_a_measurement() -> None:
    # A person's request can start a run without any validation label.
    result = judged((), (), margin=-2.0, bound=1.0)
    assert result.serving_digest == SERVING and result.patient_count == 0
    assert not result.passes


@pytest.mark.parametrize(
    "serving",
    [flat(0.5), flat(0.5, 0.5, 0.5), rows({("p0", "c0", 1): 0.5, ("p1", "c1", 2): 0.5}), ()],
    ids=["one missing", "one more", "another segment", "none"],
)
def test_models_measured_on_different_cases_are_not_compared(serving) -> None:
    with pytest.raises(ValueError, match="same validation cases"):
        judged(flat(0.6, 0.7), serving)
