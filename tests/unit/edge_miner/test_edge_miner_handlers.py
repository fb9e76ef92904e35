"""Every handler, on the fakes and on SQLite: what is sent in, what is said, where the round stands."""

from collections import Counter
from typing import Any

import pytest

from edge_miner.domain.messages import Deployment, FlagReason
from edge_miner.domain.model import EntryState, Round, RoundKind, RoundState, Step, round_id_of, round_seed
from edge_miner.handlers import HANDLERS
from radloop.errors import IllegalTransition, Invalid
from radloop.references import Arm, Split

PROJECT = "hippocampus"
Site = Any  # the fixture's class lives in conftest.py


def _pool(site: Site, count: int = 10, **selection: Any) -> None:
    site.hear(site.configured(**selection), *(site.ingested(number) for number in range(count)))


def test_a_round_from_deployment_to_flags(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1))
    site.work()
    assert sorted(site.asked) == [f"case-{number:04d}" for number in range(10)]
    assert site.rounds()[0].state is RoundState.REQUESTED
    site.hear(*(site.made(number, "model-1") for number in range(9)))
    site.work()
    assert not site.flagged
    site.hear(site.made(9, "model-1"))
    assert site.rounds()[0].state is RoundState.SCORED
    site.work()
    (each,) = site.rounds()
    assert each.state is RoundState.FLAGGED and each.round_number == 1
    assert (each.pool_size, each.patient_count, each.sample_size) == (10, 10, 10)
    # Two sites that work on one project never give a round the same id.
    assert each.round_id != round_id_of("site-2", PROJECT, "deployment-1")
    assert each.round_id == round_id_of("site-1", PROJECT, "deployment-1") and each.seed == round_seed(1, each.round_id)
    assert [flag.rank for flag in site.flagged] == [1, 2, 3, 4]
    assert Counter(flag.arm for flag in site.flagged) == {Arm.MINED: 2, Arm.CONTROL: 2}
    for flag in site.flagged:
        assert (flag.round_id, flag.round_number, flag.pool_size, flag.batch_size) == (each.round_id, 1, 10, 4)
        assert (flag.model_digest, flag.seed) == ("model-1", each.seed)
        assert flag.prediction_id == f"prediction-{int(flag.case_id[5:])}-model-1-a"
        names = [score.name for score in flag.scores]
        assert names == sorted(names) and {"foreground-entropy", "volume-robust-z", "ranked-by"} <= set(names)
        if flag.arm is Arm.CONTROL:
            assert not flag.show_proposal and flag.inclusion_probability == pytest.approx(2 / 10)
            assert flag.reasons == (FlagReason.RANDOM,)
        else:
            assert flag.show_proposal and flag.inclusion_probability == 0.0
            assert flag.reasons == (FlagReason.UNCERTAIN,)
    control = {flag.case_id for flag in site.flagged if flag.arm is Arm.CONTROL}
    worst = [f"case-{number:04d}" for number in range(9, -1, -1) if f"case-{number:04d}" not in control]
    assert [flag.case_id for flag in site.flagged if flag.arm is Arm.MINED] == worst[:2]


def test_only_lacking_predictions_are_asked_for(site: Site) -> None:
    _pool(site)
    site.hear(*(site.made(number, "model-1") for number in range(3)), site.failed(3, "model-1"))
    site.hear(*(site.made(number, "model-0") for number in range(10)))
    site.hear(site.deployed("model-1", 1))
    site.work()
    assert sorted(site.asked) == [f"case-{number:04d}" for number in range(4, 10)]


def test_a_pool_predicted_already_is_flagged_at_once(site: Site) -> None:
    _pool(site)
    site.hear(*(site.made(number, "model-1") for number in range(10)), site.deployed("model-1", 1))
    site.work()
    assert not site.asked and len(site.flagged) == 4


@pytest.mark.parametrize(
    ("outcome", "serving", "opens"),
    [
        (Deployment.SERVING, "model-1", True),
        (Deployment.KEPT, "model-1", True),
        (Deployment.LOAD_FAILED, "model-1", True),
        (Deployment.LOAD_FAILED, "", False),
        (Deployment.IMPORTED, "model-1", False),
        (Deployment.NONE, "", False),
    ],
)
def test_which_deployments_open_a_round(site: Site, outcome: Deployment, serving: str, opens: bool) -> None:
    _pool(site)
    site.hear(site.deployed(serving, 1, outcome))
    assert [each.state for each in site.rounds()] == ([RoundState.ANNOUNCED] if opens else [])
    assert site.uow.projects.get(PROJECT).serving_digest == serving


def test_an_import_leaves_the_open_round_alone_and_none_ends_it(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(site.deployed("model-1", 2, Deployment.IMPORTED))
    assert site.rounds()[0].state is RoundState.REQUESTED
    site.hear(site.deployed("", 3, Deployment.NONE))
    assert [each.state for each in site.rounds()] == [RoundState.ABANDONED]


def test_a_wish_that_moves_nothing_opens_no_round(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1, wish=1))
    site.work()
    site.hear(
        site.deployed("model-1", 2, Deployment.OVERTAKEN, wish=2),
        site.deployed("model-1", 3, Deployment.SERVING, wish=3),
        site.deployed("model-1", 4, Deployment.LOAD_FAILED, wish=4),
        site.deployed("model-1", 5, Deployment.OVERTAKEN),
    )
    assert [each.state for each in site.rounds()] == [RoundState.REQUESTED]
    site.hear(site.deployed("model-0", 6, wish=5))
    assert [(each.model_digest, each.state) for each in site.rounds()] == [
        ("model-1", RoundState.ABANDONED),
        ("model-0", RoundState.ANNOUNCED),
    ]


def test_a_deployment_is_heard_once_and_never_after_a_newer_one(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-2", 2), site.deployed("model-2", 2), site.deployed("model-1", 1))
    assert [each.model_digest for each in site.rounds()] == ["model-2"]


def test_a_newer_model_abandons_the_round_and_takes_its_number(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(*(site.made(number, "model-1") for number in range(5)))
    flagged = site.round_of("model-2", 2, range(10))
    assert [(each.state, each.round_number) for each in site.rounds()] == [
        (RoundState.ABANDONED, 1),
        (RoundState.FLAGGED, 1),
    ]
    assert {flag.model_digest for flag in flagged} == {"model-2"}
    site.hear(*(site.made(number, "model-1") for number in range(5, 10)))
    site.work()
    assert len(site.flagged) == 4


def test_the_next_round_supersedes_the_last_and_takes_back_what_nobody_labelled(site: Site) -> None:
    _pool(site, 12)
    first = site.round_of("model-1", 1, range(12))
    opened = {flag.case_id for flag in first}
    assert site.uow.cases.eligible_count(PROJECT) == 8
    labelled = first[0].case_id
    site.hear(site.approved(int(labelled[5:])))
    second = site.round_of("model-2", 2, range(12))
    assert [each.state for each in site.rounds()] == [RoundState.SUPERSEDED, RoundState.FLAGGED]
    assert not opened & {flag.case_id for flag in second}
    assert second[0].pool_size == 8 and second[0].round_number == 2
    third = site.round_of("model-3", 3, range(12))
    assert third[0].pool_size == 12 - 1 - 4  # all but the labelled one and those before the readers now
    assert labelled not in {flag.case_id for flag in third}


def test_max_rounds(site: Site) -> None:
    _pool(site, 30, max_rounds=2)
    for number in (1, 2, 3):
        site.round_of(f"model-{number}", number, range(30))
    assert [each.round_number for each in site.rounds()] == [1, 2]
    assert site.uow.projects.get(PROJECT).serving_digest == "model-3"


def test_an_empty_pool_is_recorded_and_says_nothing(site: Site) -> None:
    site.hear(site.configured(), site.deployed("model-1", 1))
    site.work()
    assert [each.state for each in site.rounds()] == [RoundState.EMPTY] and not site.said
    site.hear(site.ingested(1))
    assert len(site.round_of("model-2", 2, [1])) == 1
    assert [each.round_number for each in site.rounds()] == [1, 1]


def test_a_round_whose_every_case_leaves_is_empty(site: Site) -> None:
    _pool(site, 2)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(site.approved(0), site.withdrawn(1))
    site.work()
    assert [each.state for each in site.rounds()] == [RoundState.EMPTY] and not site.flagged


def test_what_becomes_labelled_or_withdrawn_is_waited_for_no_longer(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(*(site.made(number, "model-1") for number in range(8)))
    site.hear(site.withdrawn(8))
    assert site.rounds()[0].state is RoundState.REQUESTED
    site.hear(site.approved(9), site.approved(0))
    assert site.rounds()[0].state is RoundState.SCORED
    site.work()
    assert site.flagged[0].pool_size == 7
    assert not {"case-0000", "case-0008", "case-0009"} & {flag.case_id for flag in site.flagged}
    assert site.uow.ledger.counts(site.rounds()[0].round_id)[EntryState.GONE] == 3


def test_a_case_labelled_between_scored_and_flagged_is_not_flagged(site: Site) -> None:
    _pool(site, 5, batch_size=5)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(*(site.made(number, "model-1") for number in range(5)))
    assert site.rounds()[0].state is RoundState.SCORED
    site.hear(site.approved(2))
    site.work()
    assert sorted(flag.case_id for flag in site.flagged) == ["case-0000", "case-0001", "case-0003", "case-0004"]


def test_withdrawn_studies_stay_forgotten(site: Site) -> None:
    _pool(site, 4)
    site.round_of("model-1", 1, range(4))
    (each,) = site.rounds()
    site.hear(site.approved(1, "prediction-1-model-1-a", (0.8, 0.6)))
    site.hear(site.withdrawn(1))
    for event in (
        site.ingested(1),
        site.made(1, "model-1"),
        site.failed(1, "model-1"),
        site.approved(1),
        site.reported(1),
    ):
        site.hear(event)
    assert site.uow.cases.get("case-0001") is None
    assert site.uow.predictions.get("case-0001", "model-1") is None
    assert not site.uow.cases.approved("case-0001")
    assert not site.parked
    entry = next(entry for entry in site.uow.ledger.entries(each.round_id) if entry.line.case_id == "case-0001")
    assert entry.state is EntryState.GONE and entry.line.rank > 0
    assert not (
        entry.scores or entry.volumes or entry.dice or entry.patient_key or entry.prediction_id or entry.line.computed
    )


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.TEST])
def test_validation_and_test_never_enter_the_pool(site: Site, split: Split) -> None:
    site.hear(site.configured(cold_start=True, batch_size=1))
    site.hear(site.made(1, "model-1"))  # before its study, so its split is not known yet
    site.hear(site.ingested(1, split), site.ingested(2, split))
    site.hear(site.made(2, "model-1"), site.failed(2, "model-1"), site.reported(1))
    site.now += 1000
    site.hear(site.deployed("model-1", 1))
    site.work()
    assert site.rounds()[0].state is RoundState.EMPTY and not site.said
    assert not site.uow.predictions.of_model(PROJECT, "model-1")


def test_failed_and_unfinite_predictions_are_flagged_first(site: Site) -> None:
    _pool(site, 12, batch_size=6)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(site.failed(0, "model-1"), site.made(1, "model-1", entropy=float("nan")))
    site.hear(site.made(2, "model-1", ml=float("inf")))
    site.hear(*(site.made(number, "model-1") for number in range(3, 12)))
    site.work()
    control = {flag.case_id for flag in site.flagged if flag.arm is Arm.CONTROL}
    mined = [flag for flag in site.flagged if flag.arm is Arm.MINED]
    broken = {"case-0000", "case-0001", "case-0002"} - control
    assert {flag.case_id for flag in mined[: len(broken)]} == broken
    for flag in mined[: len(broken)]:
        assert flag.reasons == (FlagReason.FAILED_PREDICTION,)
        assert not flag.show_proposal and not flag.prediction_id and not flag.scores


def test_a_failure_never_hides_a_prediction(site: Site) -> None:
    _pool(site, 1)
    site.hear(site.made(0, "model-1"), site.failed(0, "model-1"))
    assert not site.uow.predictions.get("case-0000", "model-1").failed
    site.hear(site.failed(0, "model-2"), site.made(0, "model-2"))
    assert not site.uow.predictions.get("case-0000", "model-2").failed


def test_parts_are_counted_on_the_mask_where_no_score_says(site: Site) -> None:
    _pool(site)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(*(site.made(number, "model-1", parts=None) for number in range(10)))
    assert site.rounds()[0].state is RoundState.REQUESTED
    site.work()
    assert site.rounds()[0].state is RoundState.FLAGGED
    assert all(("components-segment-1", 2.0) in [(s.name, s.value) for s in flag.scores] for flag in site.flagged)
    site.hear(site.made(0, "model-1", parts=None))  # a repeat does not undo the counting
    assert site.uow.predictions.get("case-0000", "model-1").mask is None


def test_a_mask_that_is_gone_or_damaged_holds_no_round_up(site: Site) -> None:
    _pool(site, 3)
    site.hear(site.deployed("model-1", 1))
    site.work()
    events = [site.made(number, "model-1", parts=None) for number in range(3)]
    site.objects.delete(events[0].mask.key)
    site.objects.stored[events[1].mask.key] = b"no NIfTI"
    site.hear(*events)
    site.work()
    assert site.rounds()[0].state is RoundState.FLAGGED
    assert set(site.uow.predictions.get("case-0000", "model-1").scores) == {"foreground-entropy"}


def test_an_empty_mask_is_not_read(site: Site) -> None:
    _pool(site, 1)
    site.hear(site.made(0, "model-1", parts=None, ml=0.0))
    assert site.uow.predictions.get("case-0000", "model-1").state is EntryState.READY


def test_a_large_pool_is_sampled_and_stood_for(site: Site) -> None:
    _pool(site, 20, pool_sample=8)
    site.hear(site.deployed("model-1", 1))
    site.work()
    assert len(site.asked) == 8
    site.hear(*(site.made(int(case[5:]), "model-1") for case in site.asked))
    site.hear(site.ingested(99))  # too late for this round, and no part of what it stands for
    site.work()
    (each,) = site.rounds()
    assert (each.pool_size, each.sample_size) == (20, 8)
    assert {flag.case_id for flag in site.flagged} <= set(site.asked)
    for flag in site.flagged:
        assert flag.pool_size == 20
        if flag.arm is Arm.CONTROL:
            assert flag.inclusion_probability == pytest.approx(2 / 20)


def test_the_ledger_keeps_every_number_and_learns_the_dice(site: Site) -> None:
    _pool(site)
    site.round_of("model-1", 1, range(10))
    (each,) = site.rounds()
    flag = site.flagged[0]
    number = int(flag.case_id[5:])
    site.hear(site.approved(number, "prediction-of-another-model", (0.1, 0.1)))
    entries = site.uow.ledger.entries(each.round_id)
    assert len(entries) == 10 and not entries[0].dice
    site.hear(site.approved(number, flag.prediction_id, (0.75, 0.5), from_model=True))
    entries = site.uow.ledger.entries(each.round_id)
    assert [entry.line.rank for entry in entries] == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]
    pool_ranks = [entry.line.pool_rank for entry in entries[4:]]
    assert pool_ranks == sorted(pool_ranks) and sorted(entry.line.pool_rank for entry in entries) == list(range(1, 11))
    first = entries[0]
    assert first.line.case_id == flag.case_id and first.line.arm is flag.arm
    assert first.dice == {1: 0.75, 2: 0.5} and first.started_from_model
    assert first.scores["foreground-entropy"] == number / 1000 and first.volumes == {"segment-1-ml": 3.0}
    assert {score.name: score.value for score in flag.scores} == {**first.scores, **first.line.computed}
    assert site.uow.ledger.flagged(each.round_id) == entries[:4]


def test_approval_before_the_study_is_remembered(site: Site) -> None:
    site.hear(site.configured(), site.approved(1), site.ingested(1), site.ingested(2))
    assert [case.case_id for case in site.uow.cases.eligible(PROJECT)] == ["case-0002"]


def test_cold_start_waits_for_rest_and_for_a_batch(site: Site) -> None:
    site.hear(site.configured(cold_start=True, batch_size=4))
    site.hear(*(site.ingested(number, patient=number // 2) for number in range(3)))
    site.now += 100
    site.work()
    assert not site.said  # three cases are no batch
    site.hear(site.ingested(3, patient=1), site.ingested(4), site.ingested(5), site.ingested(6, Split.TEST))
    site.work()
    assert not site.said  # the pool is not at rest
    site.now += 60
    site.work()
    assert len(site.flagged) == 4
    (cold,) = site.rounds()
    assert cold.kind is RoundKind.COLD_START and cold.state is RoundState.FLAGGED and cold.round_number == 0
    for flag in site.flagged:
        assert flag.arm is Arm.COLD_START and flag.round_number == 0 and flag.reasons == (FlagReason.RANDOM,)
        assert flag.pool_size == 6 and not flag.prediction_id and not flag.model_digest and not flag.show_proposal
        alone = flag.case_id in ("case-0004", "case-0005")
        assert flag.inclusion_probability == (1.0 if alone else 0.5)
    patients = {"case-0000": 0, "case-0001": 0, "case-0002": 1, "case-0003": 1}
    assert len({patients.get(flag.case_id, flag.case_id) for flag in site.flagged}) == 4
    site.now += 1000
    site.work()
    assert len(site.flagged) == 4  # once


def test_cold_start_does_not_wait_for_a_clock_that_was_set_back(site: Site) -> None:
    site.hear(site.configured(cold_start=True, batch_size=2), *(site.ingested(number) for number in range(4)))
    site.now -= 30
    site.work()
    assert not site.said
    site.now -= 5 * 3600
    site.work()
    assert len(site.flagged) == 2


@pytest.mark.parametrize("why", ["not-wanted", "has-a-model"])
def test_no_cold_start(site: Site, why: str) -> None:
    site.hear(site.configured(cold_start=why == "has-a-model", batch_size=2))
    site.hear(*(site.ingested(number) for number in range(5)))
    if why == "has-a-model":
        site.hear(site.deployed("model-1", 1))
    site.now += 1000
    site.work()
    assert not site.flagged


def test_the_first_round_supersedes_the_cold_start(site: Site) -> None:
    site.hear(site.configured(cold_start=True, batch_size=2), *(site.ingested(number) for number in range(8)))
    site.now += 100
    site.work()
    cold = {flag.case_id for flag in site.flagged}
    first = site.round_of("model-1", 1, range(8))
    assert first[0].round_number == 1 and not cold & {flag.case_id for flag in first}
    assert [each.state for each in site.rounds()] == [RoundState.SUPERSEDED, RoundState.FLAGGED]


def test_a_reported_case_is_flagged_at_once(site: Site) -> None:
    _pool(site, 5)
    site.hear(site.deployed("model-1", 1))
    site.work()
    site.hear(site.made(3, "model-1"), site.reported(3))
    (flag,) = site.flagged
    assert (flag.arm, flag.rank, flag.batch_size, flag.round_number, flag.pool_size) == (Arm.REPORTED, 1, 1, 0, 1)
    assert flag.reasons == (FlagReason.REPORTED,) and flag.prediction_id == "prediction-3-model-1-a"
    assert flag.show_proposal and flag.inclusion_probability == 0.0
    reported = next(each for each in site.rounds() if each.kind is RoundKind.REPORTED)
    assert site.uow.ledger.entries(reported.round_id)[0].line.arm is Arm.REPORTED
    site.hear(site.reported(3), site.reported(3, "report-2"))
    assert len(site.flagged) == 1  # open already
    site.hear(*(site.made(number, "model-1") for number in (0, 1, 2, 4)))
    site.work()
    assert "case-0003" not in {each.case_id for each in site.flagged[1:]} and site.flagged[1].pool_size == 4


def test_a_reported_case_stays_open_when_the_next_round_comes(site: Site) -> None:
    _pool(site, 8)
    site.hear(site.reported(3))
    for number in (1, 2, 3):
        assert "case-0003" not in {flag.case_id for flag in site.round_of(f"model-{number}", number, range(8))}


def test_reports_of_labelled_or_unknown_cases(site: Site) -> None:
    _pool(site, 2)
    site.hear(site.approved(1), site.reported(1))
    assert not site.flagged
    site.hear(site.reported(7))
    assert [token for token, _ in site.parked] == ["case:case-0007"]
    site.hear(site.ingested(7))
    assert [flag.case_id for flag in site.flagged] == ["case-0007"] and not site.flagged[0].show_proposal


def test_a_deployment_before_its_project_waits(site: Site) -> None:
    site.hear(site.deployed("model-1", 1), site.ingested(1))
    assert [token for token, _ in site.parked] == [f"project:{PROJECT}"]
    site.hear(site.configured())
    assert [each.state for each in site.rounds()] == [RoundState.ANNOUNCED] and not site.parked


def test_project_versions(site: Site) -> None:
    site.hear(site.configured(version=2, batch_size=7), site.deployed("model-1", 1), site.configured(version=1))
    assert site.uow.projects.get(PROJECT).selection.batch_size == 7
    site.hear(site.configured(version=3, batch_size=9))
    project = site.uow.projects.get(PROJECT)
    assert project.selection.batch_size == 9 and project.serving_digest == "model-1"
    assert project.always_present == (1,) and [each.project_id for each in site.uow.projects.all()] == [PROJECT]
    with pytest.raises(Invalid, match="strategy-unknown"):
        site.hear(site.configured(version=4, strategy="best"))


def test_repeats_change_nothing(site: Site) -> None:
    events = [
        site.configured(),
        *(site.ingested(number) for number in range(6)),
        site.deployed("model-1", 1),
        *(site.made(number, "model-1") for number in range(5)),
        site.failed(5, "model-1"),
    ]
    for event in events:
        site.hear(event, event)
    site.work()
    said, rounds = list(site.said), site.rounds()
    assert len(site.flagged) == 4
    site.hear(*events)
    site.work()
    assert site.said == said and site.rounds() == rounds


def test_the_state_table_refuses_what_it_does_not_know() -> None:
    each = Round("r", PROJECT, RoundKind.MODEL, 1, RoundState.FLAGGED, "m", 1, "random", 4, 0.1, 100, 0.0)
    assert each.after(Step.NEXT_FLAGGED).state is RoundState.SUPERSEDED
    with pytest.raises(IllegalTransition):
        each.after(Step.ALL_IN)


def test_seeds_are_the_rounds_own() -> None:
    assert round_seed(1, "a") != round_seed(1, "b") != round_seed(2, "b")
    assert 0 <= round_seed(1, "a") < 2**63


def test_every_message_has_its_handler() -> None:
    from edge_miner.adapters.wire import WIRE

    assert len(WIRE.topics) == 8 and len(HANDLERS) == 13
