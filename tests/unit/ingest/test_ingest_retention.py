"""How long studies are kept: each rule by itself, together, and what stays their hand."""

import json
from datetime import date

import pytest

from ingest.adapters.retention import Retention, read_retention
from ingest.domain.messages import EdgeCaseFlagged, LabelApproved, WithdrawStudy
from ingest.domain.reasons import WithdrawReason
from ingest.domain.retention import DAY_S, KeptCase, KeptStudy, ProjectRule, RetentionPolicy, due
from radloop.errors import Invalid
from radloop.references import ObjectRef

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
YEAR = ProjectRule(unlabelled_days=365)
ENDED = ProjectRule(ended_on=date(2027, 1, 10), after_end_days=4)
LABEL = LabelApproved("l1", "c1", "s", "p", 1, ObjectRef("k", "sha256:0", 1), (), False, 1)
GOES_ON = ProjectRule(ended_on=date(2027, 1, 10), after_end_days=5)


def case(project="p", *, labelled=False, flagged_days=None) -> KeptCase:
    return KeptCase(project, labelled, None if flagged_days is None else NOW - flagged_days * DAY_S)


def study(*cases: KeptCase, days: float = 400) -> KeptStudy:
    return KeptStudy("s", NOW - days * DAY_S, cases)


@pytest.mark.parametrize(
    ("kept", "rules", "goes"),
    [
        (study(case()), {}, False),  # no rule keeps
        (study(case()), {"p": ProjectRule()}, False),
        (study(case()), {"p": YEAR}, True),
        (study(case(), days=364.9), {"p": YEAR}, False),
        (study(case(labelled=True)), {"p": YEAR}, False),
        (study(case(), case(labelled=True)), {"p": YEAR}, False),  # one phase is labelled
        (study(case(flagged_days=10)), {"p": YEAR}, False),  # in use by a round
        (study(case(flagged_days=91)), {"p": YEAR}, True),  # asked for, and never answered
        (study(case(labelled=True)), {"p": ENDED}, True),
        (study(case(labelled=True), days=1), {"p": GOES_ON}, False),
        (study(case(), case("q")), {"p": YEAR}, False),  # q keeps it
        (study(case(), case("q")), {"p": YEAR, "q": ENDED}, True),
        (study(), {"p": YEAR}, False),
    ],
)
def test_rules(kept, rules, goes):
    assert (due(kept, RetentionPolicy(rules), NOW) is not None) is goes


def test_an_ended_project_takes_what_a_round_uses_and_says_so():
    found = due(study(case(flagged_days=1)), RetentionPolicy({"p": ENDED}), NOW)
    assert found is not None and found.in_use and found.why == "project p ended on 2027-01-10"


def test_what_no_project_has():
    assert due(study(days=29), RetentionPolicy(without_case_days=30), NOW) is None
    assert due(study(days=31), RetentionPolicy(without_case_days=30), NOW)


class Kept:
    """What is kept, as the worker reads it."""

    def __init__(self, uow, *studies: KeptStudy) -> None:
        self.uow, self.all = uow, list(studies)

    def studies(self):
        return [one for one in self.all if not self.uow.tombstones.has(one.study_key)]

    def notices(self):
        return dict(self.uow.used_cases.notices)


def test_notice_first_then_withdrawn_for_everybody(uow, dispatch, clock):
    clock.now = NOW
    policy = RetentionPolicy({"p": YEAR}, notice_days=7, act=True)
    retention = Retention(dispatch, Kept(uow, study(case())), policy, clock)
    (listed,) = retention.listed()["due"]
    assert listed["noticed_at"] is None and listed["goes_at"] == NOW + 7 * DAY_S and not uow.used_cases.notices
    retention.step()
    clock.now += 6.9 * DAY_S
    retention.step()
    assert uow.used_cases.notices == {"s": NOW} and not uow.tombstones.rows
    clock.now += 0.2 * DAY_S
    retention.step()
    assert uow.tombstones.rows == {"s": WithdrawReason.RETENTION} and not uow.used_cases.notices
    (said,) = uow.said
    assert (said.study_key, said.reason) == ("s", WithdrawReason.RETENTION)
    assert uow.audit_entries[-2:] == [("retention", "notice-retention", "s"), ("retention", "withdraw", "s")]
    retention.step()
    assert len(uow.said) == 1


def test_a_dry_run_never_acts(uow, dispatch, clock):
    clock.now = NOW
    retention = Retention(dispatch, Kept(uow, study(case())), RetentionPolicy({"p": YEAR}, notice_days=0), clock)
    for _ in range(3):
        retention.step()
        clock.now += DAY_S
    assert not uow.tombstones.rows and uow.used_cases.notices == {"s": NOW}
    assert retention.listed()["due"][0]["goes_at"] is None


def test_notice_is_taken_back(uow, dispatch, clock):
    clock.now = NOW
    kept = Kept(uow, study(case()))
    retention = Retention(dispatch, kept, RetentionPolicy({"p": YEAR}, act=True), clock)
    retention.step()
    kept.all = [study(case(labelled=True))]
    clock.now += 30 * DAY_S
    retention.step()
    assert not uow.used_cases.notices and not uow.tombstones.rows


def test_what_is_heard_is_remembered_and_forgotten_with_the_study(uow, dispatch, clock):
    dispatch(LABEL)
    dispatch(EdgeCaseFlagged("c2", "s"))
    assert uow.used_cases.labelled == {"c1": "s"} and uow.used_cases.flagged == {"c2": ("s", clock.now)}
    dispatch(WithdrawStudy("s", WithdrawReason.CONSENT, "somebody"))
    dispatch(LABEL)  # on its way meanwhile
    assert not uow.used_cases.labelled and not uow.used_cases.flagged


def test_the_file(tmp_path):
    file = tmp_path / "retention.json"
    rule = {"unlabelled_days": 365, "ended_on": "2027-01-10", "after_end_days": 4}
    file.write_text(json.dumps({"projects": {"p": rule}, "without_case_days": 30, "act": True}))
    read = read_retention(file)
    assert read.projects == {"p": ProjectRule(365, date(2027, 1, 10), 4)}
    assert (read.without_case_days, read.notice_days, read.in_use_days, read.act) == (30, 7, 90, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "INGEST_RETENTION_FILE"),
        ("{", "the file"),
        ('{"projects": {"p": {"days": 3}}}', "projects.p.days"),
        ('{"projects": {"p": {"unlabelled_days": -1}}}', "projects.p.unlabelled_days"),
        ('{"act": "maybe"}', "act"),
    ],
)
def test_a_file_that_is_not_understood(tmp_path, text, said):
    file = tmp_path / "retention.json"
    if text:
        file.write_text(text)
    with pytest.raises(Invalid, match=said):
        read_retention(file)
