"""Control arm, sample, strategies and batches: properties over many seeds, and small cases by hand."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from edge_miner.domain.batch import BatchPolicy, Frame, Line, compose_batch, draw_cold_start
from edge_miner.domain.control import batch_sizes, draw_by_patient
from edge_miner.domain.messages import FlagReason
from edge_miner.domain.pool import Pool, PoolMember
from edge_miner.domain.sampling import draw_sample
from edge_miner.domain.sanity import examine
from edge_miner.domain.strategies import STRATEGIES, strategy_named
from radloop.errors import Invalid
from radloop.references import Arm

ENTROPY = "foreground-entropy"


@pytest.mark.parametrize(
    ("batch", "fraction", "patients", "mined", "control"),
    [
        (20, 0.10, 100, 18, 2),
        (40, 0.10, 100, 36, 4),
        (8, 0.10, 100, 6, 2),  # 10 % of 8 is 1: the floor of 2 holds
        (8, 0.0, 100, 6, 2),
        (8, 0.5, 100, 4, 4),
        (8, 1.0, 100, 0, 8),
        (20, 0.10, 5, 3, 2),  # no more than there are patients
        (3, 0.1, 100, 1, 2),
        (2, 0.1, 100, 1, 1),  # the floor never takes the miner's only place
        (1, 0.1, 100, 1, 0),
        (8, 0.1, 1, 1, 0),
        (8, 0.1, 0, 0, 0),
    ],
)
def test_batch_sizes(batch: int, fraction: float, patients: int, mined: int, control: int) -> None:
    assert batch_sizes(batch, fraction, patients) == (mined, control)


def test_control_is_uniform_over_patients_and_over_the_cases_of_each() -> None:
    patients = np.array([0, 1, 1, 2, 2, 2, 3])
    draws = 6000
    counts = np.bincount([int(draw_by_patient(patients, 1, seed)[0]) for seed in range(draws)], minlength=7)
    expected = draws / 4 / np.bincount(patients)[patients]
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_control_draws_patients_without_replacement() -> None:
    patients = np.array([0, 1, 1, 2, 2, 2, 3, 4])
    drawn = [tuple(sorted(patients[draw_by_patient(patients, 3, seed)].tolist())) for seed in range(4000)]
    assert all(len(set(triple)) == 3 for triple in drawn)
    counts = Counter(drawn)
    assert len(counts) == 10  # every set of 3 of 5 patients
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert draw_by_patient(patients, 99, 0).shape == (5,)
    assert draw_by_patient(np.array([], dtype=int), 2, 0).shape == (0,)


def test_sample_takes_everybody_or_one_case_of_each_patient_first() -> None:
    patients = np.array([0, 0, 0, 1, 1, 2])
    assert draw_sample(patients, 6, 1).tolist() == [0, 1, 2, 3, 4, 5]
    for seed in range(50):
        chosen = draw_sample(patients, 4, seed)
        assert len(set(chosen.tolist())) == 4
        assert set(patients[chosen].tolist()) == {0, 1, 2}
        assert len(set(patients[draw_sample(patients, 2, seed)].tolist())) == 2


def test_control_of_a_sample_is_control_of_the_pool() -> None:
    patients = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3])
    expected = 1 / 4 / np.bincount(patients)[patients]
    for size in (3, 6):  # fewer cases than patients, and more
        counts = np.zeros(10)
        for seed in range(6000):
            sample = draw_sample(patients, size, seed)
            _, renumbered = np.unique(patients[sample], return_inverse=True)
            counts[sample[draw_by_patient(renumbered, 1, seed)[0]]] += 1
        assert stats.chisquare(counts, 6000 * expected).pvalue > 1e-3


def _members(seed: int, count: int = 40) -> list[PoolMember]:
    """Return a pool of random scores, some failed, some without any, two or so cases to a patient."""
    chance = np.random.default_rng(seed)
    members = []
    for n in range(count):
        kind = chance.random()
        members.append(
            PoolMember(
                case_id=f"case-{n:03d}",
                study_key=f"study-{n:03d}",
                patient_key=f"patient-{chance.integers(count // 2)}",
                failed=kind < 0.05,
                scores={}
                if kind < 0.1
                else {ENTROPY: float(chance.integers(10)) / 10, "pairwise-dice": float(chance.random())},
                volumes={} if kind < 0.05 else {"segment-1-ml": 0.0 if kind > 0.95 else float(chance.lognormal())},
                prediction_id=f"prediction-{n}",
            )
        )
    return members


def _frame(members: list[PoolMember]) -> Frame:
    return Frame(Counter(member.patient_key for member in members))


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_batch_is_whole(strategy: str) -> None:
    for seed in range(60):
        members = _members(seed)
        frame = _frame(members)
        policy = BatchPolicy(strategy, batch_size=10, control_fraction=0.3)
        lines = compose_batch(Pool.of(members), policy, [1], frame, seed)
        assert [line.case_id for line in lines] == [member.case_id for member in members]
        flagged = [line for line in lines if line.arm]
        by_case = {member.case_id: member for member in members}
        patients = [by_case[line.case_id].patient_key for line in flagged]
        assert len(set(patients)) == len(flagged) == 10  # one case of a patient; so the arms are disjoint as well
        assert sorted(line.rank for line in flagged) == list(range(1, 11))
        assert Counter(line.arm for line in flagged) == {Arm.MINED: 7, Arm.CONTROL: 3}
        for line in lines:
            member = by_case[line.case_id]
            if line.arm is Arm.CONTROL:
                expected = 3 / frame.patient_count / frame.cases_of_patient[member.patient_key]
                assert line.inclusion_probability == pytest.approx(expected)
                assert line.reasons == (FlagReason.RANDOM,)
            else:
                assert line.inclusion_probability == 0.0 and not line.mined_as_well
                assert bool(line.reasons) == (line.arm is Arm.MINED)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_batch_is_a_pure_function_of_pool_and_seed(strategy: str) -> None:
    members = _members(1)
    policy = BatchPolicy(strategy, 10, 0.2)

    def lines(order: list[PoolMember], seed: int) -> list[Line]:
        return compose_batch(Pool.of(order), policy, [1], _frame(order), seed)

    shuffled = [members[n] for n in np.random.default_rng(0).permutation(len(members))]
    assert lines(members, 5) == lines(shuffled, 5)
    assert lines(members, 5) != lines(members, 6)


def test_control_is_blind_to_scores() -> None:
    members = _members(2)
    policy = BatchPolicy("entropy-and-sanity", 10, 0.3)

    def control(pool: list[PoolMember]) -> set[str]:
        lines = compose_batch(Pool.of(pool), policy, [1], _frame(pool), 9)
        return {line.case_id for line in lines if line.arm is Arm.CONTROL}

    blank = [PoolMember(member.case_id, member.study_key, member.patient_key) for member in members]
    assert control(members) == control(blank)


def test_the_place_in_the_batch_does_not_tell_the_arm() -> None:
    members = [PoolMember(f"{n:02d}", "s", f"p{n}", scores={ENTROPY: n / 100}) for n in range(30)]
    places = np.zeros(6)
    for seed in range(3000):
        lines = compose_batch(Pool.of(members), BatchPolicy("foreground-entropy", 6, 0.3), [], _frame(members), seed)
        for line in lines:
            if line.arm is Arm.CONTROL:
                places[line.rank - 1] += 1
    assert stats.chisquare(places).pvalue > 1e-3


def test_worst_first_and_what_the_miner_would_have_taken() -> None:
    members = [PoolMember(f"{n}", "s", f"p{n}", scores={ENTROPY: n / 10}) for n in range(8)]
    policy = BatchPolicy("foreground-entropy", 5, 0.4)
    seen = set()
    for seed in range(40):
        lines = compose_batch(Pool.of(members), policy, [], _frame(members), seed)
        control = {line.case_id for line in lines if line.arm is Arm.CONTROL}
        mined = [line.case_id for line in sorted(lines, key=lambda line: line.rank) if line.arm is Arm.MINED]
        assert mined == [case for case in "76543210" if case not in control][:3]
        assert {line.case_id for line in lines if line.mined_as_well} == control & {"7", "6", "5"}
        assert [line.pool_rank for line in lines] == [8, 7, 6, 5, 4, 3, 2, 1]
        seen |= control
    assert len(seen) == 8


def test_same_patient_twice_keeps_the_worst() -> None:
    members = [
        PoolMember("a", "s1", "p", scores={ENTROPY: 0.9}),
        PoolMember("b", "s2", "p", scores={ENTROPY: 0.8}),
        PoolMember("c", "s3", "q", scores={ENTROPY: 0.1}),
    ]
    for seed in range(30):
        lines = compose_batch(Pool.of(members), BatchPolicy("foreground-entropy", 2, 0.0), [], _frame(members), seed)
        arms = {line.case_id: line.arm for line in lines if line.arm}
        if arms.get("c") is Arm.CONTROL:
            assert arms == {"c": Arm.CONTROL, "a": Arm.MINED}
        else:  # the control is a or b, drawn evenly: then c is all that is left to mine
            assert arms["c"] is Arm.MINED


def _strange_pool() -> Pool:
    ordinary = [
        PoolMember(
            f"ordinary-{n}", "s", f"o{n}", scores={ENTROPY: 0.1 + n / 100}, volumes={"segment-1-ml": 3.0 + n / 10}
        )
        for n in range(10)
    ]
    return Pool.of(
        [
            *ordinary,
            PoolMember("failed", "s", "f", failed=True),
            PoolMember("empty", "s", "e", scores={ENTROPY: 0.01}, volumes={"segment-1-ml": 0.0}),
            PoolMember("huge", "s", "h", scores={ENTROPY: 0.02}, volumes={"segment-1-ml": 90.0}),
            PoolMember("uncertain", "s", "u", scores={ENTROPY: 0.9}, volumes={"segment-1-ml": 3.3}),
            PoolMember(
                "scattered",
                "s",
                "x",
                scores={ENTROPY: 0.15, "components-segment-1": 9.0},
                volumes={"segment-1-ml": 3.3},
            ),
            PoolMember("without-scores", "s", "w", volumes={"segment-1-ml": 3.3}),
        ]
    )


def _order(strategy: str, always_present: list[int]) -> list[str]:
    pool = _strange_pool()
    ranking = strategy_named(strategy)(pool, examine(pool, always_present), 3)
    return [pool.members[index].case_id for index in ranking.order]


def test_sanity_goes_first_then_entropy_then_what_has_no_number() -> None:
    order = _order("entropy-and-sanity", [1])
    assert order[:5] == ["failed", "empty", "huge", "uncertain", "ordinary-9"]
    assert order[-1] == "without-scores"


def test_an_empty_prediction_is_ranked_where_nothing_need_be_there() -> None:
    order = _order("entropy-and-sanity", [])
    assert order[:3] == ["failed", "huge", "uncertain"]
    assert order[-2:] == ["empty", "without-scores"]


def test_entropy_alone_puts_only_failures_first() -> None:
    order = _order("foreground-entropy", [1])
    assert order[:2] == ["failed", "uncertain"]
    assert order[-3:] == ["huge", "empty", "without-scores"]


def test_reasons_name_what_is_wrong() -> None:
    pool = _strange_pool()
    # Nobody but failed, empty, huge and uncertain is in the batch's worth of uncertainty but the top ordinary ones.
    frame = Frame({member.patient_key: 1 for member in pool.members})
    found: dict[str, tuple[FlagReason, ...]] = {}
    for seed in range(30):
        for line in compose_batch(pool, BatchPolicy("entropy-and-sanity", 16, 0.1), [1], frame, seed):
            if line.arm is Arm.MINED:
                found[line.case_id] = line.reasons
    assert found["failed"] == (FlagReason.FAILED_PREDICTION,)
    assert found["empty"][0] is FlagReason.EMPTY_PREDICTION
    assert FlagReason.VOLUME_OUTLIER in found["huge"]
    assert found["uncertain"] == (FlagReason.UNCERTAIN,)
    assert found["without-scores"] == (FlagReason.RANDOM,)


def test_components_are_a_reason_when_the_pool_has_one_part_each() -> None:
    members = [
        PoolMember(
            f"{n:02d}",
            "s",
            f"p{n}",
            scores={ENTROPY: n / 100, "components-segment-1": 7.0 if n == 11 else 1.0},
            volumes={"segment-1-ml": 3.0},
        )
        for n in range(12)
    ]
    for seed in range(20):
        lines = compose_batch(Pool.of(members), BatchPolicy("entropy-and-sanity", 4, 0.0), [1], _frame(members), seed)
        if lines[11].arm is Arm.MINED:
            assert lines[11].reasons == (FlagReason.COMPONENTS, FlagReason.UNCERTAIN)
            assert lines[11].computed["components-robust-z"] == pytest.approx(6 / 0.3)
            return
    raise AssertionError("never mined")


def test_disagreement_falls_back_to_entropy_for_the_whole_pool() -> None:
    both = [
        PoolMember(case, "s", case, scores={ENTROPY: entropy, "pairwise-dice": disagreement})
        for case, entropy, disagreement in (("a", 0.3, 0.1), ("b", 0.2, 0.9), ("c", 0.1, 0.5))
    ]
    pool = Pool.of(both)
    ranking = strategy_named("entropy-and-disagreement")(pool, examine(pool, []), 0)
    assert ranking.values.tolist() == [2.0, 2.5, 1.5]  # ranks (3, 1), (2, 3), (1, 2)
    pool = Pool.of([*both, PoolMember("d", "s", "d", scores={ENTROPY: 0.25})])
    ranking = strategy_named("entropy-and-disagreement")(pool, examine(pool, []), 0)
    assert ranking.values.tolist() == [0.3, 0.2, 0.1, 0.25]


def test_a_model_without_any_score_still_gives_a_batch() -> None:
    members = [PoolMember(f"{n}", "s", f"p{n}") for n in range(6)]
    lines = compose_batch(Pool.of(members), BatchPolicy("entropy-and-sanity", 4, 0.1), [], _frame(members), 1)
    flagged = [line for line in lines if line.arm]
    assert len(flagged) == 4
    assert all(line.reasons == (FlagReason.RANDOM,) and line.pool_rank == 0 for line in flagged)


def test_ties_are_broken_by_the_seed_and_not_by_the_id() -> None:
    members = [PoolMember(f"{n:02d}", "s", f"p{n}", scores={ENTROPY: 0.5}) for n in range(20)]
    first = Counter(
        next(line.case_id for line in lines if line.pool_rank == 1)
        for seed in range(2000)
        for lines in [
            compose_batch(Pool.of(members), BatchPolicy("foreground-entropy", 4, 0.1), [], _frame(members), seed)
        ]
    )
    assert len(first) == 20 and stats.chisquare(list(first.values())).pvalue > 1e-3


def test_strategy_unknown() -> None:
    with pytest.raises(Invalid, match="strategy-unknown"):
        strategy_named("best")


def test_cold_start_draws_patients() -> None:
    members = [PoolMember(f"{n}", "s", f"p{n // 2}") for n in range(10)]
    counts: Counter[str] = Counter()
    for seed in range(3000):
        flagged = [line for line in draw_cold_start(Pool.of(members), 2, seed) if line.arm]
        assert len(flagged) == 2 and sorted(line.rank for line in flagged) == [1, 2]
        for line in flagged:
            assert line.arm is Arm.COLD_START and line.reasons == (FlagReason.RANDOM,)
            assert line.inclusion_probability == pytest.approx(2 / 5 / 2)
        counts.update(line.case_id for line in flagged)
    assert stats.chisquare([counts[str(n)] for n in range(10)]).pvalue > 1e-3
